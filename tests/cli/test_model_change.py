"""A linear head acquires first, then a fine-tuned encoder: one run, whatever interrupts it."""

import gc
import weakref

import pytest
from made import decided

from al_bench.analysis.store import load
from al_bench.ledger.ledger import Ledger
from al_bench.workbench import Workbench


@pytest.fixture
def changing(tiny_model) -> list[str]:
    """What makes a tiny run one whose acquisition model changes in cycle 2, to the model that is the successor."""
    later = {"path": tiny_model, "name": "tiny", "sha256": "null", "max_length": 32, "num_hidden_layers": 2}
    words = [
        "+model@acquisition_from.2=minilm_l6",
        *(f"acquisition_from.2.{key}={value}" for key, value in later.items()),
    ]
    words += ["acquisition.learner=linear", "acquisition.name=tiny_linear", "training.epochs=2"]
    return [*words, "subsampling=ups", "subsampling.refresh=[0]", "evaluate_at=all"]


@pytest.fixture
def released(monkeypatch) -> None:
    """Fails a run in which two learners that acquire are in memory at once."""
    alive: weakref.WeakSet = weakref.WeakSet()
    acquirer = Workbench.acquirer

    def watched(bench: Workbench, cycle: int) -> object:
        learner = acquirer(bench, cycle)
        alive.add(learner)
        gc.collect()
        assert len([one for one in alive if one in bench.learners.values()]) == len(alive) == 1
        return learner

    monkeypatch.setattr(Workbench, "acquirer", watched)


def test_what_a_run_with_a_change_leaves(al, tiny_run, changing, released, tmp_path):
    words = [*tiny_run, *changing, "dataset.train_examples=120"]
    done = al("run", *words)
    assert done.code == 0, done.err
    assert "acquisition tiny_linear: " in done.out
    assert "acquisition (from cycle 2) tiny: " in done.out
    (folder,) = (tmp_path / "outputs" / "runs" / "test").iterdir()
    assert "tiny_linear+tiny_from_2" in folder.name
    costs = Ledger(folder / "costs.jsonl").read()
    assert ["prepare" in line["seconds"] for line in costs] == [True, False, True, False], "one-off, for each model"
    assert [line["trained_parameters"] > 10_000 for line in costs] == [False, False, True, True]
    assert ["successor_train" in line["seconds"] for line in costs] == [True, True, False, False], "fits are shared"
    lines = Ledger(next(tmp_path.glob("outputs/trajectories/*/ledger.jsonl"))).read()
    assert [line["scored"] + line["labelled"] == 120 for line in lines[:-1]] == [True, False, True], "a refresh"
    (row,) = load([tmp_path / "outputs"]).runs.to_dict("records")
    assert row["acquisition"] == "tiny_linear, tiny from 2"
    assert row["acquisition_learner"] == "linear, transformer from 2"
    assert row["arm"] == "ASM"
    plan = al("plan", *words)
    assert "1 jobs: 1 finished" in plan.out
    assert "nothing is left to train" in plan.out
    longer = al("plan", *words, "schedule.cycles=5")
    assert "time: about" in longer.out, "each model by its own past"
    assert al("rm", "--orphans", "--yes").code == 0
    assert len(list(tmp_path.glob("outputs/steps/*"))) == 2, "what the run needs is known"


@pytest.mark.parametrize("task", ["classification", pytest.param("tagging", marks=pytest.mark.slow)])
def test_interrupted_around_the_change(request, al, changing, interrupt_successor, tmp_path, task):
    """After the last cycle of the first model is recorded, and after the first one of the second is."""
    run = request.getfixturevalue("tiny_run" if task == "classification" else "tiny_tagging_run")
    assert al("run", *run, *changing, "output_dir=whole").code == 0
    for _ in range(2):
        interrupt_successor(2)
        assert al("run", *run, *changing, "output_dir=parts").code == 130
    assert al("run", *run, *changing, "output_dir=parts").code == 0
    assert decided(tmp_path / "parts") == decided(tmp_path / "whole")
