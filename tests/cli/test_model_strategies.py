"""Strategies that look at the fitted model, by the command line on both tasks."""

import json

import pytest

from al_bench.acquisition.strategies import STRATEGIES

LAST_LAYER = ["egl", "badge", "bait", "cal", "ddu", "gold_loss"]


def cycles(folder) -> list[dict]:
    (ledger,) = folder.glob("outputs/trajectories/*/ledger.jsonl")
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("name", "learner"), [*((name, "linear") for name in LAST_LAYER), ("badge", "transformer"), ("egl", "transformer")]
)
def test_runs(al, quick_run, tmp_path, name, learner):
    done = al("run", *quick_run, f"strategy={name}", f"acquisition.learner={learner}", "evaluate_at=none")
    assert done.code == 0, done.err
    assert len(cycles(tmp_path)[0]["queried"]) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strategy=cal", "strategy.params.neighbours=0"], "strategy.params.neighbours=0: must be at least 1"),
        (["strategy=bald", "strategy.params.draws=1"], "strategy.params.draws=1: must be at least 2"),
        (["strategy=bait", "strategy.params.width=wide"], "strategy.params.width=wide: must be a whole number"),
        (["strategy=bait", "+strategy.params.widht=3"], "strategy.params.widht=3: no such parameter"),
        (["strategy=badge", "subsampling=ups"], "reads last-known scores, and strategy=badge gives none"),
        (["strategy=batch_bald", "rescore=2"], "computes scores again, and strategy=batch_bald gives none"),
    ],
)
def test_refusals(al, quick_run, words, message):
    done = al("run", *quick_run, *words)
    assert done.code != 0
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["badge", "batch_bald", "bait", "cal"])
def test_what_compares_texts_is_refused_on_tagging(al, quick_tagging_run, name):
    done = al("run", *quick_tagging_run, f"strategy={name}")
    assert done.code != 0
    assert f"strategy={name}: does not work on tagging; choose one of" in done.err
    assert "tagging" not in STRATEGIES[name].tasks
