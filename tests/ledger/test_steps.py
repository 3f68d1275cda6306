"""Steps on disk: computed once, checked, refused where something changed behind them."""

import json
import re
import shutil
import threading

import numpy as np
import pytest

from al_bench.costs import Costs
from al_bench.errors import UserError
from al_bench.ledger.ledger import read_json
from al_bench.ledger.store import Step, Steps, finished, step_folder

FINGERPRINTS = {"data": "d", "successor": "s"}
IDENTITY = {"step": "fit", "cycle": 1}


def compute() -> Step:
    return Step({"f1": 0.5}, {"score": np.arange(3.0)}, Costs({"train": 1.5}, {"steps": 7}))


def never() -> Step:
    raise AssertionError("computed twice")


def test_a_step_comes_back_as_it_was(tmp_path):
    first = Steps(tmp_path, FINGERPRINTS, run="me", machine={"threads": 2}).get(IDENTITY, ("successor",), compute)
    again = Steps(tmp_path, FINGERPRINTS).get(dict(reversed(IDENTITY.items())), ("successor",), never)
    for step in (first, again):
        assert step.values == {"f1": 0.5}
        assert step.arrays["score"].tolist() == [0, 1, 2]
        assert step.costs == Costs({"train": 1.5}, {"steps": 7}, {"threads": 2}), "of whoever computed it"
    folder = step_folder(tmp_path, IDENTITY)
    assert finished(folder)
    assert json.loads((folder / "costs.json").read_text())["computed_by"] == "me"


def test_other_steps_are_apart(tmp_path):
    steps = Steps(tmp_path, FINGERPRINTS)
    steps.get(IDENTITY, ("successor",), compute)
    other = steps.get({**IDENTITY, "cycle": 2}, ("successor",), lambda: Step({"f1": 0.7}))
    assert other.values == {"f1": 0.7}


def test_a_failed_step_leaves_nothing_that_counts(tmp_path):
    steps = Steps(tmp_path, FINGERPRINTS)
    with pytest.raises(AssertionError):
        steps.get(IDENTITY, ("successor",), never)
    assert not finished(step_folder(tmp_path, IDENTITY))
    assert steps.get(IDENTITY, ("successor",), compute).values == {"f1": 0.5}


@pytest.mark.parametrize("changed", ["data", "successor"])
def test_other_data_or_weights_are_refused(tmp_path, changed):
    Steps(tmp_path, FINGERPRINTS).get(IDENTITY, ("successor",), compute)
    with pytest.raises(UserError, match=f"{changed} changed since it was begun"):
        Steps(tmp_path, {**FINGERPRINTS, changed: "other"}).get(IDENTITY, ("successor",), never)


def test_a_failed_step_binds_nothing(tmp_path):
    """The package, the file or the network that it lacked may come with other weights."""
    with pytest.raises(AssertionError):
        Steps(tmp_path, FINGERPRINTS).get(IDENTITY, ("successor",), never)
    mended = {**FINGERPRINTS, "successor": "mended"}
    assert Steps(tmp_path, mended).get(IDENTITY, ("successor",), compute).values == {"f1": 0.5}
    assert read_json(step_folder(tmp_path, IDENTITY) / "identity.json")["fingerprints"] == mended


def test_weights_it_does_not_depend_on_may_change(tmp_path):
    Steps(tmp_path, {**FINGERPRINTS, "verifier": "v"}).get(IDENTITY, ("successor",), compute)
    Steps(tmp_path, {**FINGERPRINTS, "verifier": "w"}).get(IDENTITY, ("successor",), never)


@pytest.mark.parametrize("name", ["values.json", "costs.json", "identity.json"])
@pytest.mark.parametrize("damage", ["null", "", "[]", "{}", "changed"])
def test_damaged_records_are_refused(tmp_path, name, damage):
    steps = Steps(tmp_path, FINGERPRINTS)
    steps.get(IDENTITY, ("successor",), compute)
    path = step_folder(tmp_path, IDENTITY) / name
    text = path.read_text()
    path.write_text(damage.replace("changed", re.sub(r"\d", "7", text, count=1)))
    assert path.read_text() != text
    with pytest.raises(UserError, match=rf"{path}: missing or damaged.* delete {path.parent} to"):
        steps.get(IDENTITY, ("successor",), never)
    shutil.rmtree(path.parent)
    assert steps.get(IDENTITY, ("successor",), compute).values == {"f1": 0.5}


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_arrays_are_refused(tmp_path, damage):
    steps = Steps(tmp_path, FINGERPRINTS)
    steps.get(IDENTITY, ("successor",), compute)
    path = step_folder(tmp_path, IDENTITY) / "score.npy"
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="missing or damaged"):
        steps.get(IDENTITY, ("successor",), never)


def test_two_at_once_compute_it_once(tmp_path):
    times, waited, go = [], [], threading.Event()

    def slow() -> Step:
        times.append(1)
        go.wait(10)
        return compute()

    def waiting() -> None:
        waited.append(1)
        go.set()

    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(
                Steps(tmp_path, FINGERPRINTS, waiting=waiting).get(IDENTITY, ("successor",), slow).values
            )
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [{"f1": 0.5}] * 2
    assert (len(times), len(waited)) == (1, 1)
