"""Runs that look at the encoder as it comes: no acquisition model is fitted, or a strategy selects the seed set."""

from pathlib import Path

import pytest

from al_bench.ledger.ledger import Ledger

STRATEGIES = ("embedding_kmeans", "coreset_pretrained")


def lines(outputs: Path, pattern: str) -> list[dict]:
    (ledger,) = outputs.glob(pattern)
    return Ledger(ledger).read()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_without_a_fit_runs_is_planned_and_shown(al, tiny_run, tmp_path, strategy):
    command = [*tiny_run, f"strategy={strategy}", "subsampling=seals", "subsampling.params.neighbours=3"]
    planned = al("plan", *command)
    assert planned.code == 0, planned.err
    assert "acquisition │" not in planned.out, "nothing is fitted for it"
    done = al("run", *command)
    assert done.code == 0, done.err
    assert "acquisition accuracy" not in done.out.partition("cycle 0/3")[2].partition("labelled")[0]
    for line in lines(tmp_path / "outputs", "trajectories/*/ledger.jsonl"):
        assert line["metrics"] is None
        assert line["scored"] == 0
    for spent in lines(tmp_path / "outputs", "trajectories/*/costs.jsonl"):
        assert not {"train", "evaluate"} & set(spent["seconds"])
        assert "train_steps" not in spent["counts"]
    assert "already finished" in al("run", *command).out
    for words in (["tables"], ["report"]):
        shown = al(*words)
        assert shown.code == 0, shown.err
