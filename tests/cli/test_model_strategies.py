"""Strategies that look at the fitted model, by the command line on both tasks."""

import json

import pytest

from al_bench.acquisition.strategies import STRATEGIES

NAMES = ("bald", "batch_bald", "egl", "badge", "bait", "cal", "mahalanobis", "ddu", "gold_loss")
EVERY = [
    (name, task, learner) for name in NAMES for task in STRATEGIES[name].tasks for learner in ("linear", "transformer")
]
QUICK = [
    ("batch_bald", "classification", "transformer"),
    ("badge", "classification", "transformer"),
    ("bait", "classification", "linear"),
    ("bald", "tagging", "linear"),
    ("ddu", "tagging", "transformer"),
]


@pytest.mark.parametrize(
    ("name", "task", "learner"),
    [pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow]) for case in EVERY],
)
def test_runs(al, quick_run, quick_tagging_run, tmp_path, name, task, learner):
    words = quick_run if task == "classification" else quick_tagging_run
    words = [*words, f"strategy={name}", f"acquisition.learner={learner}", "evaluate_at=none", "schedule.cycles=2"]
    done = al("run", *words)
    assert done.code == 0, done.err
    (ledger,) = tmp_path.glob("outputs/trajectories/*/ledger.jsonl")
    cycles = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    queried = [i for cycle in cycles for i in cycle["queried"]]
    assert len(queried) == len(set(queried)) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strategy=bald", "strategy.params.draws=1"], "strategy.params.draws=1: must be at least 2"),
        (["strategy=bait", "+strategy.params.widht=3"], "strategy.params.widht=3: no such parameter"),
        (["strategy=badge", "subsampling=ups"], "reads last-known scores, and strategy=badge gives none"),
    ],
)
def test_refusals(al, quick_run, words, message):
    done = al("run", *quick_run, *words)
    assert done.code != 0
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_what_compares_texts_is_refused_on_tagging(al, quick_tagging_run):
    done = al("run", *quick_tagging_run, "strategy=badge")
    assert done.code != 0
    assert "strategy=badge: does not work on tagging; choose one of" in done.err
