"""A trajectory on disk: interrupted anywhere, shared by anyone, refused where it would mix data."""

import json
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLearner, changed, collected, config_of, corpus_of, fake_for, later_is_harder, snapshot

from al_bench.acquisition.loop import Computed, acquire
from al_bench.acquisition.setup import Setup
from al_bench.config.schema import SubsamplingConfig
from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, read_json
from al_bench.ledger.trajectory import Trajectory

CORPUS = corpus_of()
CONFIG = config_of(subsampling=SubsamplingConfig("ups", 0.2, 0.2, refresh=[0]), schedule__cycles=3)
IDENTITY = {"what": "determines it"}
FINGERPRINTS = {"data": "d1", "acquisition": "w1"}


def opened(root: Path, **changes) -> Trajectory:
    return Trajectory(root, IDENTITY, changes.pop("fingerprints", FINGERPRINTS), len(CORPUS.train), **changes)


def acquired(root: Path, learner: FakeLearner | None, config=CONFIG, **changes) -> list[Computed]:
    setup = Setup(config, CORPUS, learner and (lambda cycle: learner))
    return list(acquire(setup, opened(root, **changes).cycle))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Files of an uninterrupted trajectory."""
    root = tmp_path_factory.mktemp("whole")
    acquired(root, fake_for(CORPUS))
    return snapshot(opened(root).folder)


def same(one: Computed, other: Computed) -> None:
    (cycle, _), (again, _) = one, other
    for name in ("number", "labelled", "words", "metrics", "extended", "query"):
        assert getattr(cycle, name) == getattr(again, name), name
    for name in ("seed_set", "queried", "scored", "scores"):
        assert getattr(cycle, name).dtype == getattr(again, name).dtype, name
        assert np.array_equal(getattr(cycle, name), getattr(again, name)), name


def test_the_disk_changes_nothing(tmp_path, whole):
    """Computed without a disk, recorded and read again: the same cycles."""
    plain = collected(CONFIG, CORPUS, fake_for(CORPUS))
    recorded, idle = acquired(tmp_path, fake_for(CORPUS)), fake_for(CORPUS)
    read = acquired(tmp_path, idle)
    assert idle.events == [], "a finished trajectory fits nothing"
    assert len(plain) == len(recorded) == len(read) == 4
    for a, b, c in zip(plain, recorded, read, strict=True):
        same(a, b)
        same(b, c)
        assert b[1] == c[1], "costs are read as they were"


def test_what_is_on_disk(tmp_path):
    done = acquired(tmp_path, fake_for(CORPUS), run="a-run", machine={"threads": 2})
    folder = opened(tmp_path).folder
    lines = Ledger(folder / "ledger.jsonl").read()
    assert [line["cycle"] for line in lines] == [0, 1, 2, 3]
    for (cycle, _), line in zip(done[:-1], lines, strict=False):
        assert line["queried"] == cycle.queried.tolist()
        scores = np.load(folder / "scores" / f"cycle_{cycle.number:04d}.npy")
        assert scores.shape == (60,)
        assert np.flatnonzero(~np.isnan(scores)).tolist() == cycle.scored.tolist()
        assert np.array_equal(scores[cycle.scored], cycle.scores)
        stop_labels = np.load(folder / "stop" / f"cycle_{cycle.number:04d}.npy")
        assert np.array_equal(stop_labels, cycle.stop_labels)
    assert lines[0]["stop_set"] == done[0][0].stop_set
    assert [line["stop_set"] for line in lines[1:]] == [None] * 3
    for cost in Ledger(folder / "costs.jsonl").read():
        assert (cost["computed_by"], cost["machine"]) == ("a-run", {"threads": 2})
    assert read_json(folder / "identity.json") == {"identity": IDENTITY, "fingerprints": FINGERPRINTS}


def test_time_and_place_are_not_in_the_ledger(tmp_path, whole):
    acquired(tmp_path / "elsewhere", fake_for(CORPUS), run="another run")
    assert snapshot(opened(tmp_path / "elsewhere").folder) == whole


# ----------------------------------------------------------------------------------------- interruptions


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, at: str, number: int) -> Iterator[None]:
    """Die at a point of recording cycle `number`."""
    honest = Ledger.put

    def put(ledger: Ledger, position: int, record: dict) -> None:
        name = ledger.path.stem
        if record["cycle"] != number or not at.endswith(name):
            honest(ledger, position, record)
            return
        if at.startswith("after"):
            honest(ledger, position, record)
        elif at.startswith("half"):
            with ledger.path.open("ab") as file:
                file.write(json.dumps(record).encode()[:25])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", put)
        yield


POINTS = ["before costs", "half costs", "after costs", "half ledger", "after ledger"]


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("number", range(4))
def test_resumed_is_uninterrupted(tmp_path, monkeypatch, whole, at, number):
    first, second = fake_for(CORPUS), fake_for(CORPUS)
    with killed(monkeypatch, at, number), pytest.raises(Killed):
        acquired(tmp_path, first)
    resumed = acquired(tmp_path, second)
    assert snapshot(opened(tmp_path).folder) == whole
    costs = Ledger(opened(tmp_path).folder / "costs.jsonl").read()
    assert [cost["cycle"] for cost in costs] == [0, 1, 2, 3]
    committed = number + (at == "after ledger")
    assert [fit.seeds.cycle for fit in second.fits] == list(range(committed, 4)), "what counts is not repeated"
    for one, other in zip(resumed, collected(CONFIG, CORPUS, fake_for(CORPUS)), strict=True):
        same(one, other)


def test_killed_in_every_cycle(tmp_path, monkeypatch, whole):
    for number, at in enumerate(["half ledger", "after costs", "after ledger", "half costs"]):
        with killed(monkeypatch, at, number), pytest.raises(Killed):
            acquired(tmp_path, fake_for(CORPUS))
    acquired(tmp_path, fake_for(CORPUS))
    assert snapshot(opened(tmp_path).folder) == whole
    assert len(Ledger(opened(tmp_path).folder / "costs.jsonl").read()) == 4


def test_killed_while_computing(tmp_path, whole):
    def dies(fit, n: int) -> np.ndarray:
        if fit.seeds.cycle == 2:
            raise Killed
        return fake_for(CORPUS).opinion(fit, n)

    with pytest.raises(Killed):
        acquired(tmp_path, fake_for(CORPUS, dies))
    acquired(tmp_path, fake_for(CORPUS))
    assert snapshot(opened(tmp_path).folder) == whole


def test_scores_of_a_cycle_that_never_counted_are_replaced(tmp_path, monkeypatch, whole):
    with killed(monkeypatch, "before costs", 1), pytest.raises(Killed):
        acquired(tmp_path, fake_for(CORPUS))
    path = opened(tmp_path).folder / "scores" / "cycle_0001.npy"
    path.write_bytes(b"anything")
    acquired(tmp_path, fake_for(CORPUS))
    assert snapshot(opened(tmp_path).folder) == whole


# ----------------------------------------------------------------------------- a longer run goes on from a shorter


def shorter(cycles: int):
    return changed(CONFIG, {"schedule.cycles": cycles})


@pytest.mark.parametrize("lengths", [(0, 3), (1, 3), (2, 3), (0, 1, 3)])
def test_a_longer_run_continues_a_shorter_one(tmp_path, whole, lengths):
    """To the same bytes; only the last cycle of each shorter run is fitted again, for its query."""
    learners = [fake_for(CORPUS) for _ in lengths]
    for cycles, learner in zip(lengths, learners, strict=True):
        done = acquired(tmp_path, learner, config=shorter(cycles))
    assert snapshot(opened(tmp_path).folder) == whole
    for one, other in zip(done, collected(CONFIG, CORPUS, fake_for(CORPUS)), strict=True):
        same(one, other)
        assert one[1].counts == other[1].counts
        assert list(one[1].seconds) == list(other[1].seconds)
    begins = [0, *lengths[:-1]]
    for learner, begin, end in zip(learners, begins, lengths, strict=True):
        assert [fit.seeds.cycle for fit in learner.fits] == list(range(begin, end + 1))
    tests = sum(learner.events.count("predict test") for learner in learners)
    assert tests == 4, "each cycle is evaluated once"


def test_a_shorter_run_pays_for_no_query_after_its_end(tmp_path):
    learner = fake_for(CORPUS)
    done = acquired(tmp_path, learner, config=shorter(2))
    assert learner.events.count("look at pool") == 2
    assert len(done[-1][0].queried) == 0
    assert "predict" not in done[-1][1].seconds
    line = opened(tmp_path).ledger.read()[-1]
    assert (line["queried"], line["scores_sha256"]) == ([], None)


def test_a_shorter_run_reads_a_longer_ones_trajectory_as_its_own(tmp_path, whole):
    """The query after its end, and what it cost, are not its own."""
    acquired(tmp_path, fake_for(CORPUS))
    idle = fake_for(CORPUS)
    read = acquired(tmp_path, idle, config=shorter(2))
    assert idle.events == []
    assert snapshot(opened(tmp_path).folder) == whole
    for (cycle, costs), (own, own_costs) in zip(read, collected(shorter(2), CORPUS, fake_for(CORPUS)), strict=True):
        same((cycle, costs), (own, own_costs))
        assert costs.counts == own_costs.counts
        assert list(costs.seconds) == list(own_costs.seconds)


def test_random_draws_go_on_without_a_model(tmp_path):
    short, long = (config_of(strategy__name="random", schedule__cycles=cycles) for cycles in (1, 3))
    folders = []
    for name, configs in (("straight", [long]), ("extended", [short, long])):
        for config in configs:
            acquired(tmp_path / name, None, config=config)
        folders.append(snapshot(opened(tmp_path / name).folder))
    assert folders[0] == folders[1]


def test_a_completed_cycle_is_charged_for_one_fit_of_whoever_queried(tmp_path):
    """Both fits are the same computation, so the iteration's seconds are of one machine."""
    acquired(tmp_path, fake_for(CORPUS), config=shorter(1), run="short", machine={"device": "A"})
    before = opened(tmp_path).costs.read()
    done = acquired(tmp_path, fake_for(CORPUS), run="long", machine={"device": "B"})
    after = opened(tmp_path).costs.read()
    assert [line["computed_by"] for line in after] == ["short", "long", "long", "long"]
    assert [costs.machine["device"] for _, costs in done] == ["A", "B", "B", "B"]
    assert after[0] == before[0]
    assert after[1]["seconds"]["evaluate"] == before[1]["seconds"]["evaluate"]
    assert after[1]["seconds"]["train"] != before[1]["seconds"]["train"]
    assert after[1]["counts"]["train_steps"] == before[1]["counts"]["train_steps"] == 1


@pytest.mark.parametrize("at", ["before costs", "after costs", "before ledger", "after ledger"])
def test_killed_while_a_cycle_gets_its_query(tmp_path, monkeypatch, whole, at):
    """The line is replaced whole or not at all, and what the shorter run recorded stays valid."""
    acquired(tmp_path, fake_for(CORPUS), config=shorter(1))
    honest = Ledger.put

    def put(ledger: Ledger, number: int, record: dict) -> None:
        if not at.endswith(ledger.path.stem):
            honest(ledger, number, record)
            return
        if at.startswith("after"):
            honest(ledger, number, record)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", put)
        with pytest.raises(Killed):
            acquired(tmp_path, fake_for(CORPUS))
    read = acquired(tmp_path, idle := fake_for(CORPUS), config=shorter(1))
    assert idle.events == []
    same(read[-1], collected(shorter(1), CORPUS, fake_for(CORPUS))[-1])
    assert "predict" not in read[-1][1].seconds
    acquired(tmp_path, fake_for(CORPUS))
    assert snapshot(opened(tmp_path).folder) == whole
    assert [line["cycle"] for line in opened(tmp_path).costs.read()] == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------------------ sharing


def test_two_that_need_it_compute_each_cycle_once(tmp_path, whole):
    """Threads with a trajectory object each stand for processes: the lock is the file's."""
    learners = [fake_for(CORPUS) for _ in range(3)]
    ready, results = threading.Barrier(3), {}

    def work(i: int) -> None:
        ready.wait()
        results[i] = acquired(tmp_path, learners[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fit.seeds.cycle for learner in learners for fit in learner.fits) == [0, 1, 2, 3]
    assert snapshot(opened(tmp_path).folder) == whole
    for i in (1, 2):
        for one, other in zip(results[0], results[i], strict=True):
            same(one, other)


def test_runs_of_different_lengths_at_once_give_one_trajectory(tmp_path, whole):
    configs, ready = [shorter(1), shorter(2), CONFIG], threading.Barrier(3)
    results: dict[int, list[Computed]] = {}

    def work(i: int) -> None:
        ready.wait()
        results[i] = acquired(tmp_path, fake_for(CORPUS), config=configs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert snapshot(opened(tmp_path).folder) == whole
    for i, config in enumerate(configs):
        for one, other in zip(results[i], collected(config, CORPUS, fake_for(CORPUS)), strict=True):
            same(one, other)


def process(root: Path, results) -> None:
    learner = fake_for(CORPUS)
    done = acquired(root, learner)
    results.put(([fit.seeds.cycle for fit in learner.fits], [cycle.queried.tolist() for cycle, _ in done]))


def test_two_processes_compute_each_cycle_once(tmp_path, whole):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=process, args=(tmp_path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    (fits, queried), (more, others) = (results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert sorted(fits + more) == [0, 1, 2, 3]
    assert queried == others
    assert snapshot(opened(tmp_path).folder) == whole


def test_one_that_waits_says_so(tmp_path):
    entered, release, messages = threading.Event(), threading.Event(), []

    def slow(fit, n: int) -> np.ndarray:
        entered.set()
        assert release.wait(20)
        return later_is_harder(fit, n)

    learner = fake_for(CORPUS, slow)
    holder = threading.Thread(target=acquired, args=(tmp_path, learner))

    def waiting() -> None:
        messages.append("waits")
        release.set()

    trajectory = opened(tmp_path, waiting=waiting)
    holder.start()
    assert entered.wait(20)
    idle = fake_for(CORPUS, later_is_harder)
    setup = Setup(CONFIG, CORPUS, lambda cycle: idle)
    first = next(acquire(setup, trajectory.cycle))
    holder.join()
    assert messages == ["waits"]
    assert idle.fits == []
    same(first, collected(CONFIG, CORPUS, fake_for(CORPUS, later_is_harder))[0])


def test_other_identities_live_elsewhere(tmp_path):
    one = Trajectory(tmp_path, {"a": 1}, FINGERPRINTS, 60)
    for other in ({"a": 2}, {"a": 1.0}, {"a": "1"}, {"a": 1, "b": None}):
        assert Trajectory(tmp_path, other, FINGERPRINTS, 60).folder != one.folder
    assert (
        Trajectory(tmp_path, {"b": 1, "a": 2}, FINGERPRINTS, 60).id
        == Trajectory(tmp_path, {"a": 2, "b": 1}, FINGERPRINTS, 60).id
    )


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fingerprints", "says"),
    [
        ({**FINGERPRINTS, "data": "d2"}, "data changed since"),
        ({**FINGERPRINTS, "acquisition": "w2"}, "acquisition changed since"),
        ({"data": "d2", "acquisition": "w2"}, "acquisition and data changed since"),
        ({"data": "d1"}, "acquisition changed since"),
    ],
)
def test_other_data_or_weights_behind_the_same_identity_are_refused(tmp_path, fingerprints, says):
    acquired(tmp_path, fake_for(CORPUS))
    before = snapshot(opened(tmp_path).folder)
    with pytest.raises(UserError) as caught:
        opened(tmp_path, fingerprints=fingerprints)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(opened(tmp_path).folder) == before
    assert json.loads((opened(tmp_path).folder / "identity.json").read_text())["fingerprints"] == FINGERPRINTS


def test_nothing_is_bound_before_the_first_cycle(tmp_path):
    """What made a first try fail may be mended: the model's file, or a text."""

    def fail(cycle: int) -> FakeLearner:
        raise UserError("cannot be loaded")

    with pytest.raises(UserError, match="cannot be loaded"):
        list(acquire(Setup(CONFIG, CORPUS, fail), opened(tmp_path).cycle))
    mended = {"data": "d2", "acquisition": "w2"}
    acquired(tmp_path, fake_for(CORPUS), fingerprints=mended)
    assert read_json(opened(tmp_path, fingerprints=mended).folder / "identity.json")["fingerprints"] == mended


@pytest.mark.parametrize("kind", ["scores", "stop"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "swapped"])
def test_damaged_arrays_are_an_error_that_names_the_file(tmp_path, damage, kind):
    acquired(tmp_path, fake_for(CORPUS))
    folder = opened(tmp_path).folder / kind
    path = folder / "cycle_0001.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        other = (folder / "cycle_0002.npy").read_bytes()
        path.write_bytes({"flipped": content, "cut": content[:50], "swapped": other}[damage])
    idle = fake_for(CORPUS)
    with pytest.raises(UserError, match=r"cycle_0001\.npy: missing or damaged.*restore the file or delete"):
        acquired(tmp_path, idle)
    assert idle.fits == []


def test_lost_costs_are_an_error_that_names_the_file(tmp_path):
    acquired(tmp_path, fake_for(CORPUS))
    costs = Ledger(opened(tmp_path).folder / "costs.jsonl")
    costs.put(1, costs.read()[1])
    with pytest.raises(UserError, match=r"costs\.jsonl: missing or damaged"):
        acquired(tmp_path, fake_for(CORPUS))


def test_a_trajectory_without_a_model_keeps_no_scores(tmp_path):
    config = config_of(strategy__name="random")
    list(acquire(Setup(config, CORPUS, None), opened(tmp_path).cycle))
    folder = opened(tmp_path).folder
    assert {path.parent.name for path in folder.glob("*/*.npy")} == {"labels", "seed_labels"}
    again = list(acquire(Setup(config, CORPUS, None), opened(tmp_path).cycle))
    for one, other in zip(again, collected(config, CORPUS, None), strict=True):
        same(one, other)
