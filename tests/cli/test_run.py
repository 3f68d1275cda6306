"""Whole runs through the command line: both tasks, adding cycles, and a pool that ends early."""

import json
from pathlib import Path

import pytest

from al_bench import workbench
from al_bench.learners.engine.optimizations import PACKED
from al_bench.ledger.ledger import Ledger


def test_runs(al, tiny_run):
    done = al("run", *tiny_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out


def test_runs_tagging(al, tiny_tagging_run):
    done = al("run", *tiny_tagging_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out


def trajectory(outputs: Path) -> dict[str, bytes]:
    """Every file of the one trajectory that says what was decided."""
    (ledger,) = outputs.glob("trajectories/*/ledger.jsonl")
    paths = [ledger, *sorted(ledger.parent.glob("*/*.npy"))]
    return {str(path.relative_to(ledger.parent)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(("strategy", "refresh"), [("entropy", "none"), ("entropy", "all"), ("random", "none")])
def test_adding_cycles_continues(al, quick_run, tmp_path, strategy, refresh):
    """A run of 1 cycle, then one of 3, then one of 2: the bytes of a run of 3, and steps of equal cycles are shared."""
    words = [*quick_run, f"strategy={strategy}", "evaluate_at=[0,1]"]
    if strategy != "random":
        words += ["subsampling=ups", f"subsampling.refresh={refresh}", "subsampling.gamma=0.2"]
    for folder, lengths in (("straight", [3]), ("extended", [1, 3, 2])):
        for cycles in lengths:
            done = al("run", *words, f"output_dir={folder}", f"schedule.cycles={cycles}")
            assert done.code == 0, done.err
    straight, extended = tmp_path / "straight", tmp_path / "extended"
    assert trajectory(straight) == trajectory(extended)
    assert len(list(extended.glob("steps/*/values.json"))) == len(list(straight.glob("steps/*/values.json"))) == 2
    assert len(list(extended.glob("runs/test/*/ledger.jsonl"))) == 3
    (long,) = straight.glob("runs/test/*/ledger.jsonl")
    same = extended / long.relative_to(straight)
    assert same.read_bytes() == long.read_bytes()
    (costs,) = (Ledger(path).read() for path in extended.glob("trajectories/*/costs.jsonl"))
    names = {len(Ledger(path).read()) - 1: path.parent.name for path in extended.glob("runs/test/*/ledger.jsonl")}
    assert [line["computed_by"] for line in costs] == [names[length] for length in (1, 3, 3, 3)]


def test_the_last_cycle_is_evaluated_where_the_pool_ends_early(al, quick_run, tmp_path):
    words = [*quick_run, "schedule.initial=60", "schedule.step=30", "schedule.cycles=4"]
    done = al("run", *words, "evaluate_at=[1,3,4]")
    assert done.code == 0, done.err
    (ledger,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    lines = Ledger(ledger).read()
    assert [line["labelled"] for line in lines] == [60, 90, 120]
    assert [line["successor"] is not None for line in lines] == [False, True, True]
    assert "evaluate_at: cycle 2 is the last, and is evaluated in place of 3, 4" in done.out
    again = al("run", *words, "evaluate_at=[1,2]", "output_dir=other")
    assert again.code == 0, again.err
    assert "in place of" not in again.out


def test_stopping_criteria_get_the_dev_split(al, quick_run, review_folder, tmp_path):
    (review_folder / "dev.csv").write_text("text,label\ngood film,pos\nbad film,neg\n")
    for folder in ("with", "without"):
        assert al("run", *quick_run, "evaluate_at=last", f"output_dir={folder}").code == 0
        (review_folder / "dev.csv").unlink(missing_ok=True)
    first, second = (
        json.loads(next((tmp_path / folder).glob("trajectories/*/ledger.jsonl")).read_text().splitlines()[0])
        for folder in ("with", "without")
    )
    assert first["stop_set"] == {"split": "dev", "examples": 2, "ids": [0, 1], "words": [2, 2]}
    assert (second["stop_set"]["split"], second["stop_set"]["examples"]) == ("pool", 12)
    assert not set(second["stop_set"]["ids"]) & set(second["seeded"])
    assert first["queried"] == second["queried"]


def test_a_run_prints_its_optimizations(al, quick_run, monkeypatch):
    """The key, the device and the precision reach the choice, and the choice the learner; a CPU gets none."""
    words = ["run", *quick_run, "device=cpu", "precision=bfloat16"]
    assert "tiny: computes as transformers does" in al(*words).out
    chosen_for = []

    def choose(engine, device, precision):
        chosen_for.append((engine, device.type, precision))
        return frozenset({PACKED})

    monkeypatch.setattr(workbench, "optimizations_of", choose)
    assert f"tiny: {PACKED}" in al(*words, "engine=plain", "output_dir=other").out
    assert set(chosen_for) == {("plain", "cpu", "bfloat16")}
