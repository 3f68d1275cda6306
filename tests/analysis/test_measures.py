"""Where a curve ends, and seconds that are of one machine only."""

import numpy as np
import pandas as pd
import pytest
from made import write_ledger
from sweeps import SWEEP, varied
from synthetic import contrasts_of, write_runs

from al_bench.analysis.measures import end_of
from al_bench.analysis.runs import ARMS
from al_bench.ledger.ledger import Ledger, read_json, write_json
from al_bench.report.answers import answers
from al_bench.report.costs import iterations
from al_bench.report.tables import iteration_table
from al_bench.tables.build import build
from al_bench.tables.specs import available, parse, read

SEEDS = "seed=1,2,3"


def moved(folders, host: str) -> None:
    """The runs, as another machine would have left them."""
    for folder in folders:
        path = folder / "provenance.json"
        write_json(path, {**read_json(path), "host": host})


def computed_on(folder, cycles: int, **machines) -> None:
    """The first cycles, as taken over from another machine."""
    path = folder / "costs.jsonl"
    lines = Ledger(path).read()
    for line in lines[:cycles]:
        line["machines"] = machines
    write_ledger(path, lines)


@pytest.mark.parametrize(
    ("lengths", "end"), [([4, 4, 4], 3), ([4, 4, 1], 3), ([5, 4, 4], 3), ([5, 3], 2), ([1], 0), ([0, 0], None)]
)
def test_the_end_is_where_two_thirds_are(lengths, end):
    rows = [[1.0] * n + [np.nan] * (5 - n) for n in lengths]
    assert end_of(pd.DataFrame(rows)) == end


def test_seconds_are_of_the_machine_that_most_runs_were_on(tmp_path):
    folders = write_runs(tmp_path, SWEEP)
    moved(folders[:1], "another")
    contrasts = contrasts_of(tmp_path)
    (setting,) = contrasts.settings
    (method,) = setting.methods
    sample = setting.measures.sample(method.runs, "seconds/iteration", "rounds")
    assert sample.seeds == (1, 2, 3)
    assert list(sample.values) == [2, 3]
    assert list(setting.measures.sample(method.runs, "successor/accuracy", "last").values) == [1, 2, 3]
    made = build(read(available()["iteration"]), contrasts, "")
    assert "seconds of seeds 1 are of another machine (another) and left out" in made.notes


def test_no_saving_is_claimed_between_two_machines(tmp_path):
    """UPS on one host and the whole pool on another: their seconds are not compared, their scores are."""
    write_runs(tmp_path, varied(SEEDS))
    moved(write_runs(tmp_path, varied("subsampling=ups", "subsampling.refresh=[0]", SEEDS)), "another")
    contrasts = contrasts_of(tmp_path)
    (answer,) = [a for a in answers(contrasts.settings[0], contrasts) if a.topic == "subsampling"]
    assert "timed on different machines" in answer.text
    assert "saves" not in answer.text.replace("what that saves is not known", "")
    assert answer.contrast.difference.n == 3
    row = build(read(available()["ups"]), contrasts, "").rows[0]
    assert row.cells[-1].word == "other machines"
    assert row.cells[2].estimate.n == 3


def test_a_cycle_keeps_the_machine_that_computed_it(tmp_path):
    """A run that takes over two cycles is of two machines, which no run of one machine is compared with."""
    folders = write_runs(tmp_path, SWEEP)
    elsewhere = {"processor": "Xeon", "device": "cpu", "threads": 2, "precision": "float32", "engine": "fast"}
    computed_on(folders[0], 2, acquisition=elsewhere)
    contrasts = contrasts_of(tmp_path)
    (method,) = contrasts.settings[0].methods
    measures = contrasts.measures
    assert list(measures.sample(method.runs, "seconds/iteration", "total").values) == [2, 3]
    assert list(measures.sample(method.runs, "seconds/iteration", 3).values) == [1, 2, 3]
    assert list(measures.sample(method.runs, "seconds/successor_total", "last").values) == [1, 2, 3]
    cycles = measures.results.cycles
    of_first = cycles[(cycles.metric == "seconds/train") & (cycles.run == folders[0].name)].machine.tolist()
    assert of_first == ["Xeon, cpu, 2 threads, float32, fast"] * 2 + ["made"] * 2


def test_the_resolved_precision_is_part_of_a_method(tmp_path):
    """A float32 run and two bfloat16 runs, all asked for as `auto`, are no three seeds of one method."""
    for folder, precision in zip(write_runs(tmp_path, SWEEP), ("float32", "bfloat16", "bfloat16"), strict=True):
        record = read_json(folder / "identity.json")
        record["fingerprints"]["precision"] = precision
        write_json(folder / "identity.json", record)
    contrasts = contrasts_of(tmp_path)
    assert sorted(m.seeds for m in contrasts.settings[0].methods) == [(1,), (2, 3)]
    made = build(parse({"title": "x", "rows": ["dataset"], "columns": {"score": {}}}, "x"), contrasts, "")
    assert made.rows[0].cells[0].word == "mixed"
    assert "fingerprints.precision" in made.notes[0]


def test_a_query_is_not_charged_to_the_score_before_it(tmp_path):
    """What passed until a score: one-off work, the iterations before, and the cycle's own training."""
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    lines = Ledger(folder / "costs.jsonl").read()
    lines[0]["seconds"]["prepare"] = 100.0
    write_ledger(folder / "costs.jsonl", lines)
    contrasts = contrasts_of(tmp_path)
    (setting,) = contrasts.settings
    until = setting.values(setting.methods[0], "seconds/cumulative").iloc[0]
    parts = [line["seconds"] for line in lines]
    queries = [sum(s.get(name, 0.0) for name in ("subsample", "predict", "select")) for s in parts]
    trained = np.cumsum([s["train"] for s in parts])
    assert until.tolist() == pytest.approx([100 + trained[c] + sum(queries[:c]) for c in range(4)])
    assert setting.iterations(setting.methods[0], "seconds/one_off").tolist() == [100.0]


def test_what_is_done_once_for_each_of_two_models_is_added_up(tmp_path):
    """And the trained parameters are a mean over the cycles that query, of which the last is none."""
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    lines = Ledger(folder / "costs.jsonl").read()
    for line, parameters in zip(lines, (0, 0, 600, 600), strict=True):
        line["trained_parameters"] = parameters
    for cycle, seconds in ((0, 100.0), (2, 40.0)):
        lines[cycle]["seconds"]["prepare"] = seconds
    write_ledger(folder / "costs.jsonl", lines)
    (setting,) = contrasts_of(tmp_path).settings
    ((_, samples, means),) = iterations(setting)
    assert samples["once"].tolist() == [140.0]
    assert means["parameters"] == 200
    (row,) = (dict(zip(table.heads, row, strict=True)) for table in [iteration_table(setting)] for row in table.rows)
    assert (row["one-off s"].text, row["parameters trained"].text) == ("140.0", "200")


def test_the_bound_is_of_scoring_the_pool_alone(tmp_path):
    """Scoring the top again is no part of it: fewer candidates leave that as it is."""
    (folder,) = write_runs(tmp_path, varied("seed=1", "rescore=2"))
    lines = Ledger(folder / "costs.jsonl").read()
    for line in lines[:-1]:
        line["seconds"] = {"train": 10.0, "predict": 10.0, "rescore": 20.0, "select": 0.0, "subsample": 0.0}
    write_ledger(folder / "costs.jsonl", lines)
    (setting,) = contrasts_of(tmp_path).settings
    assert setting.iterations(setting.methods[0], "amdahl").tolist() == pytest.approx([40 / 30])


def test_every_arm_has_its_place(rivals):
    for setting in contrasts_of(rivals).settings:
        assert {method.arm for method in setting.methods} <= set(ARMS)
