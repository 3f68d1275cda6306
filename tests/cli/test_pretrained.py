"""Runs that look at the encoder as it comes: no acquisition model is fitted, or a strategy selects the seed set."""

from pathlib import Path

import pytest

from al_bench.acquisition import setup
from al_bench.costs import totals
from al_bench.ledger.ledger import Ledger

SEEDED = ["strategy=random", "schedule.seed_by=embedding_kmeans"]


def lines(outputs: Path, pattern: str) -> list[dict]:
    (ledger,) = outputs.glob(pattern)
    return Ledger(ledger).read()


def fitted_parts(plan: str) -> set[str]:
    """First column of the table "fits by model"."""
    return {line.split("│")[1].strip() for line in plan.partition("fits by model")[2].splitlines() if "│" in line}


def test_a_strategy_without_a_fit_is_planned_runs_resumes_and_is_shown(al, tiny_run, tmp_path, interrupt_successor):
    """With the model that SEALS and the strategy look at, which differs from the successor."""
    command = [*tiny_run, "strategy=embedding_kmeans", "subsampling=seals", "subsampling.params.neighbours=3"]
    assert fitted_parts(al("plan", *tiny_run).out) == {"acquisition", "successor"}
    planned = al("plan", *command)
    assert fitted_parts(planned.out) == {"successor"}, planned.err
    interrupt_successor(3)
    assert al("run", *command).code != 0
    done = al("run", *command)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out
    assert "acquisition accuracy 0" not in done.out
    decided, spent = (lines(tmp_path / "outputs", f"trajectories/*/{kind}.jsonl") for kind in ("ledger", "costs"))
    assert [line["metrics"] for line in decided] == [None] * 4
    assert [len(line["queried"]) for line in decided] == [8, 8, 8, 0]
    assert not {"train", "evaluate"} & {phase for line in spent for phase in line["seconds"]}
    assert "already finished" in al("run", *command).out
    for words in (["plan", *command], ["tables"], ["report"]):
        shown = al(*words)
        assert shown.code == 0, shown.err


def test_a_seed_set_is_selected_once_and_shared(al, tiny_run, tmp_path, interrupt_successor, monkeypatch):
    interrupt_successor(2)
    assert al("run", *tiny_run, *SEEDED).code != 0
    calls: list[object] = []
    monkeypatch.setattr(setup, "select_seed_set", lambda *arguments: calls.append(arguments))
    done = al("run", *tiny_run, *SEEDED)
    assert done.code == 0, done.err
    assert not calls, "the trajectory has it"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    decided, spent = (lines(tmp_path / "outputs", f"trajectories/*/{kind}.jsonl") for kind in ("ledger", "costs"))
    assert ["seed" in line["seconds"] for line in spent] == [True, False, False, False]
    assert totals(spent[0]["seconds"])["one_off"] >= spent[0]["seconds"]["seed"] > 0
    assert not {"predict", "train"} & set(spent[0]["seconds"])

    again = al("run", *tiny_run, *SEEDED, "output_dir=again")
    assert again.code == 0, again.err
    assert lines(tmp_path / "again", "trajectories/*/ledger.jsonl") == decided, "uninterrupted, the same bytes"
    fitted = al("run", *tiny_run, SEEDED[1], "strategy=entropy", "schedule.cycles=1", "output_dir=fitted")
    assert fitted.code == 0, fitted.err
    assert "to select the seed set" in fitted.out.replace("\n", " ") or "one-off" not in fitted.out
    first = lines(tmp_path / "fitted", "trajectories/*/ledger.jsonl")[0]
    assert first["seeded"] == decided[0]["seeded"], "whatever queries after it"
    assert len(first["seeded"]) == 12
    assert not set(first["stop_set"]["ids"]) & set(first["seeded"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["schedule.seed_by=entropy"], "schedule.seed_by=entropy: needs predictions of a fitted model"),
        (["schedule.seed_by=no_module:thing"], "no_module:thing: cannot be imported"),
        (["subsampling=seals", "subsampling.params.neighbours=0"], "neighbours=0: must be at least 1; the paper"),
        (["subsampling=anchoral", "+subsampling.params.anchor=3"], "did you mean anchors?"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(al, tiny_run, tmp_path, overrides, says):
    done = al("run", *tiny_run, *overrides)
    assert done.code != 0
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_anchoral_is_refused_for_tagging(al, tiny_tagging_run):
    done = al("run", *tiny_tagging_run, "subsampling=anchoral")
    assert "subsampling=anchoral: does not work on tagging" in done.err


def test_a_seed_set_in_words_of_sentences(al, tiny_tagging_run, tmp_path):
    done = al("run", *tiny_tagging_run, *SEEDED, "schedule.cycles=0", "evaluate_at=none")
    assert done.code == 0, done.err
    (only,) = lines(tmp_path / "outputs", "trajectories/*/ledger.jsonl")
    assert only["words"] > 60
