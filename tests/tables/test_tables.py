"""Tables: a golden one, what is bold and why, what is missing and how to fill it, and specs that are none."""

import csv
import re
import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from synthetic import contrasts_of, jobs, write_job, write_runs

from al_bench.analysis import suggest
from al_bench.analysis.measures import Measures
from al_bench.analysis.runs import columns_of
from al_bench.analysis.store import load
from al_bench.errors import UserError
from al_bench.tables.build import Table, build
from al_bench.tables.cells import Cell
from al_bench.tables.render import FORMATS, cell_text, letter, markdown
from al_bench.tables.specs import available, parse, read

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = sorted(available())
DATA = "dataset=trec6 strategy=least_confidence schedule.initial=100 schedule.step=100 schedule.cycles=3"
PAIR = f"{DATA} model@acquisition=minilm_l3 model@successor=minilm_l6"
SEEDS = "seed=1,2,3,4,5,6"


def table(folder: Path, spec: str, name: str = "mine") -> Table:
    return build(parse(yaml.safe_load(spec), name), contrasts_of(folder), "al-bench tables mine")


def shipped(folder: Path, name: str) -> Table:
    return build(read(available()[name]), contrasts_of(folder), f"al-bench tables {name}")


def cells(made: Table, row: int = 0) -> dict[str, Cell]:
    return dict(zip(made.heads, made.rows[row].cells, strict=True))


def commands(made: Table) -> list[str]:
    return [command for note in made.notes for command in re.findall("`(.*)`", note)]


# ------------------------------------------------------------------------------------------------ golden


def test_golden_markdown(al, monkeypatch):
    """Every character of a table of twelve tiny ledgers; `runs` was made by synthetic.py, cut to what tables read."""
    done = al("tables", "mismatch", GOLDEN)
    assert done.code == 0, done.err
    expected = (GOLDEN / "mismatch.md").read_text(encoding="utf-8")
    assert done.out.replace(str(GOLDEN), "GOLDEN") == expected


def test_golden_numbers_by_hand():
    """The same cells from the ledgers' lines, by SciPy alone."""
    results = load([GOLDEN])
    last = Measures(results).wide("successor/accuracy")[1] * 100
    arm = results.runs.arm
    by_seed = {name: last[arm == name].set_axis(results.runs.seed[arm == name]) for name in ("ASM", "no mismatch")}
    by_head = cells(shipped(GOLDEN, "mismatch"))
    for name, scores in by_seed.items():
        assert by_head[name].estimate.mean == pytest.approx(scores.mean())
        assert by_head[name].estimate.std == pytest.approx(scores.std(ddof=1))
    a, b = (by_seed[name].sort_index() for name in ("ASM", "no mismatch"))
    interval = stats.ttest_rel(a, b).confidence_interval()
    difference = by_head["ASM − no mismatch"]
    assert (difference.estimate.low, difference.estimate.high) == pytest.approx((interval.low, interval.high))
    assert difference.p == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue) == 0.03125


# --------------------------------------------------------------------------------------- bold, and stars


def arms(row) -> float:
    return {"ASM": -0.02, "no mismatch": 0.0, "random": -0.06}.get(row["arm"], -0.01)


THREE = (
    f"-m {DATA} model@acquisition=minilm_l3 model@successor=minilm_l6",
    f"-m {DATA} model@acquisition=minilm_l6 model@successor=minilm_l6",
    f"-m {DATA.replace('least_confidence', 'random')} model@successor=minilm_l6",
)


def test_the_best_is_bold_where_it_is_better(tmp_path):
    for command in THREE:
        write_runs(tmp_path, f"{command} {SEEDS}", arms)
    made = shipped(tmp_path, "mismatch")
    by_head = cells(made)
    assert [head for head, cell in by_head.items() if cell.bold] == ["no mismatch"]
    assert by_head["ASM − no mismatch"].marks == "*"
    assert by_head["ASM − no mismatch"].estimate.mean == pytest.approx(-2, abs=0.7)
    assert by_head["ASM"].seeds == (1, 2, 3, 4, 5, 6)
    assert (made.n, made.pooled) == (6, {})
    assert any(
        line.startswith("Bold: better than every other column that competes in its row, p ≤ 0.05 by the exact")
        for line in made.legend
    )


def test_five_seeds_cannot_be_tested_and_nobody_is_bold(tmp_path):
    for command in THREE:
        write_runs(tmp_path, f"{command} seed=1,2,3,4,5", arms)
    made = shipped(tmp_path, "mismatch")
    assert not any(cell.bold for cell in cells(made).values())
    assert cells(made)["ASM − no mismatch"].marks == "†"
    reason = "not testable, since 5 pairs cannot reach p ≤ 0.05; 6 could."
    assert f"† ASM − no mismatch: {reason}" in made.legend
    assert f"Nothing is bold: the best of a row against the others is {reason}" in made.legend
    # Under a test that five pairs can pass, stated as such, the same numbers are.
    spec = yaml.safe_load(available()["mismatch"].read_text(encoding="utf-8")) | {"test": "t"}
    made = build(parse(spec, "t"), contrasts_of(tmp_path), "")
    assert cells(made)["no mismatch"].bold
    assert cells(made)["ASM − no mismatch"].marks == "*"
    assert any("by the paired t test" in line for line in made.legend)


def test_rows_are_corrected_together(tmp_path):
    """Six pairs can be tested in one row, but not in two; all rows together can."""
    for command in THREE:
        write_runs(tmp_path, f"{command} {SEEDS} schedule.stratified=false dataset=trec6,ag_news", arms)
    made = shipped(tmp_path, "mismatch")
    assert len(made.rows) == 2
    assert {cells(made, row)["ASM − no mismatch"].marks for row in range(2)} == {"†"}
    assert (
        "† ASM − no mismatch: not testable, since 6 pairs cannot reach p ≤ 0.05 in 2 comparisons; 7 could."
        in made.legend
    )
    pooled = made.pooled["ASM − no mismatch"]
    assert (pooled.estimate.n, pooled.marks) == (12, "*")
    assert pooled.p == pytest.approx(2 / 2**12)


def test_nobody_is_bold_without_a_difference(tmp_path):
    for command in THREE:
        write_runs(tmp_path, f"{command} {SEEDS},7,8", noise=0.01)
    made = shipped(tmp_path, "mismatch")
    assert not any(cell.bold for cell in cells(made).values())
    assert any(
        line.startswith("Nothing is bold: nowhere is the best better than every other one") for line in made.legend
    )


def test_what_is_worse_on_the_common_seeds_is_not_bold(tmp_path):
    """Random is worse in each of the six pairs, but best on average, by two seeds that nobody else has."""

    def lucky(row) -> float:
        return arms(row) + (0.6 if row["seed"] > 6 else 0.0)

    write_runs(tmp_path, f"{THREE[0]} {SEEDS}", lucky)
    write_runs(tmp_path, f"{THREE[2]} {SEEDS},7,8", lucky)
    made = shipped(tmp_path, "mismatch")
    by_head = cells(made)
    assert by_head["random"].estimate.mean > by_head["ASM"].estimate.mean
    assert not any(cell.bold for cell in by_head.values())
    assert any(line.startswith("Nothing is bold: nowhere is the best better") for line in made.legend)


def test_one_lucky_seed_makes_nothing_bold(tmp_path):
    """Better on average, worse in eleven pairs of twelve: significant, but nobody can say which way; so no star either."""

    def lucky(row) -> float:
        return 0.0 if row["arm"] != "ASM" else (0.5 if row["seed"] == 12 else -0.02)

    seeds = "seed=" + ",".join(map(str, range(1, 13)))
    for command in THREE[:2]:
        write_runs(tmp_path, f"{command} {seeds}", lucky, noise=0.001)
    by_head = cells(shipped(tmp_path, "mismatch"))
    assert by_head["ASM − no mismatch"].p < 0.05
    assert by_head["ASM − no mismatch"].marks == ""
    assert by_head["ASM − no mismatch"].estimate.mean > 0
    assert not any(cell.bold for cell in by_head.values())


def test_less_is_better_for_seconds(tmp_path):
    for sub in ("none", "ups"):
        write_runs(tmp_path, f"-m {PAIR} {SEEDS} subsampling={sub} subsampling.refresh=[0]")
    spec = """
    title: x
    rows: [dataset]
    metric: seconds/iteration
    at: total
    columns: {whole: {where: {subsampling: none}}, ups: {where: {subsampling: ups}}}
    best: [whole, ups]
    """
    assert [cell.bold for cell in cells(table(tmp_path, spec)).values()] == [False, True]


# ---------------------------------------------------------------------------------------- known effects


def test_ups(tmp_path):
    """Equal scores are equivalent, and the seconds of two rounds of three shrink to 11 %."""
    for sub in ("none", "ups"):
        write_runs(tmp_path, f"-m {PAIR} {SEEDS} subsampling={sub} subsampling.refresh=[0]", noise=0.001)
    by_head = cells(shipped(tmp_path, "ups"))
    assert by_head["UPS − whole pool"].marks == " ≡"
    assert abs(by_head["UPS − whole pool"].estimate.mean) < 0.2
    # Labelled 100, 200, 300 of 2,000; 8 s + 0.01 s a label to train, 5 ms an example to predict.
    train = sum(8 + 0.01 * n for n in (100, 200, 300, 400))
    whole = train + 0.005 * (1900 + 1800 + 1700)
    ups = train + 0.005 * (1900 + int(1800 * 0.11) + int(1700 * 0.11))
    assert by_head["seconds of AL"].estimate.mean == pytest.approx(whole, rel=0.03)
    assert by_head["speed-up"].estimate.mean == pytest.approx(whole / ups, rel=0.03)
    rounds = cells(shipped(tmp_path, "iteration"))
    assert rounds["train"].estimate.mean == pytest.approx(10, rel=0.03)
    assert rounds["predict"].estimate.mean == pytest.approx(9, rel=0.03)
    assert rounds["one-off"].estimate.mean == pytest.approx(1.5, rel=0.03)
    assert rounds["bound"].estimate.mean == pytest.approx(19 / 10, rel=0.03)


def test_a_difference_beyond_the_margin_is_not_equivalent(tmp_path):
    for sub, effect in (("none", 0.0), ("ups", -0.02)):
        write_runs(
            tmp_path, f"-m {PAIR} {SEEDS} subsampling={sub} subsampling.refresh=[0]", lambda row, e=effect: e, 0.001
        )
    assert cells(shipped(tmp_path, "ups"))["UPS − whole pool"].marks == ""


def test_two_points_of_one_curve_are_compared(tmp_path):
    """The same runs and metric are the reference of each other only at the same budget."""
    for dataset in ("trec6", "ag_news"):
        write_runs(tmp_path, f"-m {PAIR} schedule.stratified=false dataset={dataset} {SEEDS}", noise=0.001)
    spec = """
    title: x
    rows: [dataset]
    pool: true
    columns:
      end: {}
      start: {at: 0}
      again: {}
      gain: {show: difference, of: [end, start]}
      factor: {show: ratio, of: [end, start]}
      nothing: {show: difference, of: [end, again]}
    """
    made = table(tmp_path, spec)
    by_head = cells(made)
    rise = 40 * (np.exp(-0.3) - np.exp(-1.2))  # from 100 to 400 labels
    assert by_head["gain"].estimate.mean == pytest.approx(rise, abs=0.2)
    assert by_head["factor"].estimate.mean > 1.1
    assert by_head["nothing"].word == "reference"
    assert list(made.pooled) == ["gain"]
    assert made.pooled["gain"].estimate.n == 12


def test_gap_closed_half(tmp_path):
    def effect(row):
        return {"ASM": -0.04, "PLASM": -0.02}.get(row["arm"], 0.0)

    for command in (*THREE[:2], f"{THREE[0]} pseudo_labeling=plasm model@pseudo_labeler=minilm_l6"):
        write_runs(tmp_path, f"{command} {SEEDS}", effect, noise=0.001)
    closed = cells(shipped(tmp_path, "mismatch"))["gap closed"]
    assert closed.estimate.mean == pytest.approx(50, abs=8)
    assert closed.estimate.low < closed.estimate.mean < closed.estimate.high
    assert cell_text(closed, 6).startswith(f"{closed.estimate.mean:.0f} % [")


def test_no_gap_to_close(tmp_path):
    for command in (*THREE[:2], f"{THREE[0]} pseudo_labeling=plasm model@pseudo_labeler=minilm_l6"):
        write_runs(tmp_path, f"{command} {SEEDS}")
    made = shipped(tmp_path, "mismatch")
    assert cells(made)["gap closed"].word == "no gap"
    assert any("there may be nothing to close" in line for line in made.legend)


def test_labels_to_a_share_of_the_ceiling(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} {SEEDS}", noise=1e-6)
    write_runs(tmp_path, f"-m {PAIR} {SEEDS} strategy=random schedule.initial=1.0 schedule.cycles=0", noise=1e-6)
    by_head = cells(shipped(tmp_path, "ceilings"))
    # The curve 0.9 - 0.4 exp(-6 n / 2000) at 100, 200, 300, 400, read linearly.
    budgets = np.array([100, 200, 300, 400])
    scores = 0.9 - 0.4 * np.exp(-6 * budgets / 2000)
    ceiling = 0.9 - 0.4 * np.exp(-6)
    assert by_head["ceiling"].estimate.mean == pytest.approx(100 * ceiling, abs=0.01)
    assert by_head["90 %"].word == "> 400 (0 of 6)"
    spec = available()["ceilings"].read_text(encoding="utf-8").replace("share: 0.9}", "share: 0.8}")
    needed = cells(table(tmp_path, spec))["90 %"].estimate.mean
    assert needed == pytest.approx(float(np.interp(0.8 * ceiling, scores, budgets)), abs=0.5)


# ---------------------------------------------------------------------------------------- what is missing


def test_missing_seeds_are_named_and_unfinished_runs_too(tmp_path):
    (first, *_) = write_runs(tmp_path, f"-m {PAIR} {SEEDS}")
    write_runs(tmp_path, f"-m {PAIR} seed=1,2,3 model@acquisition=minilm_l6")
    lines = (first / "ledger.jsonl").read_text().splitlines(keepends=True)
    (first / "ledger.jsonl").write_text("".join(lines[:2]))
    made = shipped(tmp_path, "mismatch")
    by_head = cells(made)
    asm, same = ([made.notes[i] for i in by_head[head].notes] for head in ("ASM", "no mismatch"))
    assert len(asm) == 1
    assert asm[0].startswith("seed 1 was interrupted with 2 of 4 cycles; `al-bench run ")
    assert asm[0].endswith(" seed=1`")
    assert by_head["ASM"].seeds == (2, 3, 4, 5, 6)
    assert len(same) == 1
    assert same[0].startswith(
        "trec6, minilm_l6, minilm_l3, least_confidence: seeds 4, 5, 6 are missing; `al-bench run -m "
    )
    assert same[0].endswith(" seed=4,5,6`")
    assert by_head["ASM − no mismatch"].seeds == (2, 3)
    assert "(n = 2)" in cell_text(by_head["ASM − no mismatch"], None)


@pytest.mark.parametrize("name", ["mismatch", "ups", "iteration", "ceilings", "efficiency", "subsampling"])
def test_the_printed_commands_fill_the_table(tmp_path, name):
    """From one arm with three seeds and another with one, what the notes say is run, until no note is left."""
    write_runs(tmp_path, f"-m {PAIR} seed=1,2,3 acquisition.training.epochs=3 output_dir=here")
    write_runs(tmp_path, f"-m {PAIR} seed=1 subsampling=ups subsampling.refresh=[0]")
    made = shipped(tmp_path, name)
    assert made.notes or name == "subsampling"
    for command in dict.fromkeys(commands(made)):
        write_runs(tmp_path, command.removeprefix("al-bench run "))
    filled = shipped(tmp_path, name)
    assert filled.notes == ()
    assert not any(cell.word == "–" for row in filled.rows for cell in row.cells)


@pytest.mark.parametrize(
    ("name", "experiment", "expected"),
    [("mismatch", "paper/conll2003/plasm", {"no mismatch", "ASM", "random"}), ("ups", "conll_distil_ups", {"ASM"})],
)
def test_what_an_experiment_chose_is_said_otherwise(tmp_path, name, experiment, expected):
    """The only run has pseudo-labels or a subsampling; what has neither is not to keep them."""
    write_job(tmp_path, f"+experiment={experiment} seed=1")
    made = shipped(tmp_path, name)
    rows = [columns_of(asdict(config)) for command in commands(made) for config in jobs(command)]
    assert {row["arm"] for row in rows} == expected
    assert {row["subsampling"] for row in rows} == {"none"}


def test_the_run_without_pseudo_labels_is_the_closest(tmp_path):
    """Missing is what is wanted, so the run that lacks it is like it: what only the other one has is not kept."""
    write_runs(tmp_path, f"{PAIR} seed=1 pseudo_labeling=plasm model@pseudo_labeler=minilm_l6 rescore=2")
    write_runs(tmp_path, f"{PAIR} seed=1")
    runs = contrasts_of(tmp_path).measures.runs
    command = suggest.filling(runs, {"dataset": "trec6", "successor": "minilm_l6", "arm": "random"}, [1])
    (random,) = jobs(command)
    assert (random.strategy.name, random.subsampling.name, random.pseudo_labeling.name) == ("random", "none", "none")
    assert "rescore" not in command


def test_a_model_is_chosen_as_the_runs_have_it(tmp_path):
    """Its name is the user's own, and no option of the group."""
    mine = "successor.path=. successor.sha256=null successor.name=mine"
    write_job(tmp_path, f"{PAIR} {mine} seed=1")
    composed = [config for command in commands(shipped(tmp_path, "mismatch")) for config in jobs(command)]
    assert {config.successor.path for config in composed} == {"."}
    (alone,) = {c.acquisition.path for c in composed if c.acquisition.name == "mine"}
    assert alone == "."


def test_the_labeller_is_that_of_the_other_runs(tmp_path):
    """Not the successor: its runs would be of another method, and mixed with those that are there."""
    plasm = f"{PAIR} pseudo_labeling=plasm"
    write_runs(tmp_path, f"-m {PAIR} seed=1,2,3")
    (note,) = {note for note in shipped(tmp_path, "mismatch").notes if "plasm" in note}
    assert note.endswith(" seed=1,2,3`, or with another labeller")
    assert {one.pseudo_labeler.name for one in jobs(re.findall("`(.*)`", note)[0])} == {"minilm_l6"}
    write_runs(tmp_path, f"-m {plasm} model@pseudo_labeler=minilm_l3 seed=1")
    (note,) = {note for note in shipped(tmp_path, "mismatch").notes if "plasm" in note}
    assert note.endswith(" seed=2,3`")
    assert {one.pseudo_labeler.name for one in jobs(re.findall("`(.*)`", note)[0])} == {"minilm_l3"}


def test_commands_for_filters(tmp_path):
    plasm = f"-m {PAIR} model@pseudo_labeler=minilm_l6"
    write_runs(tmp_path, f"{plasm} seed=1,2 pseudo_labeling=plasm")
    write_runs(tmp_path, f"{plasm} seed=1 pseudo_labeling=plasm_knn")
    for _ in range(2):  # what is unfiltered has a second seed only then
        for command in commands(shipped(tmp_path, "filters")):
            write_runs(tmp_path, command.removeprefix("al-bench run "))
    made = shipped(tmp_path, "filters")
    assert made.notes == ()
    assert [row.key[-2:] for row in made.rows] == [
        ("knn adaptive", "plasm_knn"), ("none", "plasm_unfiltered"), ("tracin adaptive", "plasm")
    ]  # fmt: skip
    assert cells(made, 1)["gain"].word == "reference"
    assert cells(made, 2)["dropped"].estimate.mean == pytest.approx(10, abs=0.1)
    assert cells(made, 2)["precision"].estimate.mean == pytest.approx(40)


def test_a_metric_that_nobody_has(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    made = table(tmp_path, "{title: x, rows: [dataset], metric: successor/accurcy, columns: {score: {}}}")
    assert (made.notes, cells(made)["score"].word) == ((), "–")
    assert "No run has successor/accurcy." in made.legend


def test_too_few_seeds_everywhere(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    assert (
        "Fewer than the 6 seeds expected: trec6, minilm_l6, minilm_l3, least_confidence: 2."
        in shipped(tmp_path, "mismatch").legend
    )


def test_expected_seeds_may_be_named(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    made = table(tmp_path, "{title: x, rows: [dataset], seeds: [2, 9], columns: {score: {}}}")
    (note,) = made.notes
    assert note.startswith("trec6: seed 9 is missing; `al-bench run ")
    assert shlex.split(commands(made)[0])[-1] == "seed=9"


def test_runs_that_differ_by_more_than_their_seed_are_not_averaged(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    write_runs(tmp_path, f"-m {PAIR} seed=3 successor.training.epochs=3 dataset.limit.train=500")
    made = table(
        tmp_path, "{title: x, rows: [dataset], columns: {score: {}, seconds: {metric: seconds/train, at: rounds}}}"
    )
    assert [cell.word for cell in cells(made).values()] == ["mixed", "mixed"]
    note = made.notes[0]
    assert note.startswith("these runs differ in dataset.limit.train, ")
    assert "successor.training.epochs" in note
    assert "narrow `where`" in note


def test_scoring_again_is_not_averaged_with_scoring_once(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2 rescore=0")
    write_runs(tmp_path, f"-m {PAIR} seed=3,4 rescore=2")
    columns = "{score: {}, seconds: {metric: seconds/train, at: rounds}}"
    made = table(tmp_path, f"{{title: x, rows: [dataset], columns: {columns}}}")
    assert [cell.word for cell in cells(made).values()] == ["mixed", "mixed"]
    assert made.notes[0].startswith("these runs differ in rescore (")
    made = table(tmp_path, f"{{title: x, rows: [dataset, rescore], columns: {columns}}}")
    assert [row.key for row in made.rows] == [("trec6", 0.0), ("trec6", 2.0)]
    assert [cell.seeds for row in made.rows for cell in row.cells] == [(1, 2), (1, 2), (3, 4), (3, 4)]


POINTS = """
title: x
rows: [dataset]
columns:
  end: {}
  area: {at: aulc}
  second: {at: 1}
  seconds: {metric: seconds/iteration, at: rounds}
"""


def test_the_legend_says_where_each_column_is_measured(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    _, *lines = table(tmp_path, POINTS).legend
    assert lines[:3] == [
        "area: values are areas under the learning curve, divided by its span.",
        "second: values at cycle 1.",
        "seconds: values are means over the cycles that query.",
    ]
    first, second, *_ = shipped(tmp_path, "efficiency").legend
    assert first.startswith("Values are areas under the learning curve")
    assert second == "at the end; ECE of who selects: values at the last budget."


def test_areas_over_different_cycles_are_not_averaged(tmp_path):
    """Where all were evaluated at the end, that is still one budget; areas are of those that most were evaluated at."""
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    write_runs(tmp_path, f"-m {PAIR} seed=3 evaluate_at=[1,3]")
    made = table(tmp_path, POINTS)
    by_head = cells(made)
    assert (by_head["end"].seeds, by_head["second"].seeds) == ((1, 2, 3), (1, 2, 3))
    assert by_head["area"].seeds == (1, 2)
    assert [made.notes[i] for i in by_head["area"].notes] == [
        "seed 3 has successor/accuracy at other cycles only (1, 3)"
    ]


def test_ends_at_different_cycles_are_not_averaged(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1,2")
    write_runs(tmp_path, f"-m {PAIR} seed=3 evaluate_at=[0,1]")
    made = table(tmp_path, POINTS)
    by_head = cells(made)
    assert (by_head["end"].seeds, by_head["second"].seeds) == ((1, 2), (1, 2, 3))
    note = "seed 3 has successor/accuracy at other cycles only (0, 1)"
    assert made.notes[by_head["end"].notes[0]] == note


def test_four_and_five_cycles_are_one_method(tmp_path):
    """At a budget that all have they are averaged, and the end is where most of them end."""
    write_runs(tmp_path, f"-m {PAIR} seed=1,2,3")
    write_runs(tmp_path, f"-m {PAIR} seed=4 schedule.cycles=4")
    by_head = cells(table(tmp_path, POINTS))
    assert {by_head[head].seeds for head in ("end", "area", "second", "seconds")} == {(1, 2, 3, 4)}


def test_rounds_are_of_complete_runs(tmp_path):
    """Training takes longer with every label, so that a run's first cycles are cheaper than all of them."""
    (first, *_) = write_runs(tmp_path, f"-m {PAIR} seed=1,2,3")
    lines = (first / "ledger.jsonl").read_text().splitlines(keepends=True)
    (first / "ledger.jsonl").write_text("".join(lines[:2]))
    made = table(tmp_path, POINTS)
    assert cells(made)["seconds"].seeds == (2, 3)
    assert made.notes[cells(made)["seconds"].notes[0]].startswith("seed 1 was interrupted with 2 of 4 cycles")


def test_a_trajectory_that_two_successors_share_counts_once(tmp_path):
    write_runs(tmp_path, f"-m {DATA} model@acquisition=minilm_l3 model@successor=minilm_l3,minilm_l6 seed=1,2,3")
    by_head = cells(shipped(tmp_path, "iteration"))
    assert by_head["train"].seeds == (1, 2, 3)


def test_runs_whose_other_seeds_differ_are_no_repeats(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1 seeds.order=1,2")
    made = table(tmp_path, "{title: x, rows: [dataset], columns: {score: {}}}")
    assert cells(made)["score"].word == "mixed"
    assert "seeds.order" in made.notes[0]


def test_budgets_that_differ_are_told(tmp_path):
    write_runs(tmp_path, f"-m {THREE[0]} seed=1,2")
    write_runs(tmp_path, f"-m {THREE[2]} seed=1,2 schedule.cycles=2")
    assert any(note.endswith("the budgets differ: ASM 400, random 300") for note in shipped(tmp_path, "mismatch").notes)


# ------------------------------------------------------------------------------------ shipped, all formats


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of all of the paper's experiments on AG News that differ by more than their models."""
    folder = tmp_path_factory.mktemp("matrix")
    for name in ("no_mismatch", "asm_distilbert", "plasm", "plasm_fixed_shares", "plasm_filters",
                 "plasm_threshold", "plasm_ups", "subsampling", "ups", "ups_grid"):  # fmt: skip
        write_runs(folder, f"+experiment=paper/ag_news/{name} seed=1,2")
    write_runs(folder, "+experiment=paper/ag_news/plasm pseudo_labeling=plasm_soft seed=1,2")
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_table_mixes_the_shipped_experiments(matrix, name):
    made = shipped(matrix, name)
    assert made.empty == (name == "money")  # none of them has a price
    assert not [cell for row in made.rows for cell in row.cells if cell.word == "mixed"]
    assert not [note for note in made.notes if "differ" in note]


def test_the_paper_s_own_choices_are_in_the_tables(matrix):
    """Of PLASM the one with the adaptive filter, of UPS the one that all experiments but the grid take."""
    made = shipped(matrix, "mismatch")
    there = {head for row in range(len(made.rows)) for head, cell in cells(made, row).items() if cell.estimate}
    assert {"PLASM", "PLASM − ASM"} <= there
    electra = next(row for row in shipped(matrix, "ups").rows if row.key[1] == "electra_base")
    assert [bool(cell.estimate) for cell in electra.cells] == [True] * 6
    rows = [row.key[-2:] for row in shipped(matrix, "filters").rows]
    assert {("tracin adaptive", "plasm"), ("tracin adaptive", "plasm_soft"), ("tracin 0.05", "plasm")} <= set(rows)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs for every shipped table."""
    folder = tmp_path_factory.mktemp("everything")
    for command in THREE:
        write_runs(folder, f"{command} seed=1,2,3", arms)
    write_runs(folder, f"-m {PAIR} seed=1,2,3 subsampling=naive subsampling.refresh=[0]")
    write_runs(
        folder,
        f"-m {PAIR} seed=1,2,3 subsampling=ups subsampling.refresh=[0] subsampling.gamma=0.1,0.2 subsampling.temperature=0.01,0.1",
    )
    write_runs(folder, f"-m {PAIR} seed=1,2,3 pseudo_labeling=plasm,plasm_unfiltered model@pseudo_labeler=minilm_l6")
    write_runs(folder, f"-m {PAIR} seed=1,2,3 strategy=random schedule.initial=1.0 schedule.cycles=0")
    write_runs(folder, f"-m {PAIR} seed=1,2,3 strategy.batch=bottom")
    for strategy in ("least_confidence", "random"):
        write_runs(folder, f"-m {PAIR} seed=1,2,3 strategy={strategy} oracle.price.example=0.1 price.hour=2")
    return folder


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_table_in_every_format(al, everything, tmp_path, name, kind):
    done = al("tables", name, everything, "--format", kind, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == f"{name}.{FORMATS[kind][1]}"
    text = path.read_text(encoding="utf-8")
    made = shipped(everything, name)
    assert not made.empty
    if kind == "markdown":
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(made.rows) + bool(made.pooled)
        assert {line.count(" | ") for line in lines} == {len(made.keys) + len(made.heads) - 1}
        assert f"Made by `al-bench tables {name} {everything}`" in text
    elif kind == "latex":
        assert text.count("{") == text.count("}")
        varying = sum(len(set(values)) > 1 for values in zip(*(row.key for row in made.rows), strict=True))
        assert text.endswith(f"Made by `al-bench tables {name} {everything}`.\n")
        printed = [line for line in text.splitlines() if line[:1] != "%" and "label{" not in line]
        assert not re.search(r"(?<!\\)_", "\n".join(printed))
        assert not re.search(r"(?<!\\)[&%](?=[^ ])", "\n".join(line for line in text.splitlines() if line[:1] != "%"))
        rows = text.partition("\\midrule")[2].partition("\\bottomrule")[0].replace("\\midrule", "").strip().splitlines()
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows if row.strip()} == {
            max(1, varying) + len(made.heads) - 1
        }
        title = text.partition("\\caption")[2].splitlines()[0].replace("\\_", "_")
        constant = zip(made.keys, made.rows[0].key, strict=True)
        assert sum(f"{name} {'--' if one is None else one}" in title for name, one in constant) >= (
            len(made.keys) - max(1, varying)
        )
        assert text.isascii()
    else:
        *lines, last = text.splitlines(keepends=True)
        assert last.endswith(f"Made by `al-bench tables {name} {everything}`.\n")
        rows = list(csv.DictReader(lines))
        assert len(rows) == len(made.rows) * len(made.heads) + len(made.pooled)
        for row, pooled in zip(rows[len(rows) - len(made.pooled) :], made.pooled.values(), strict=True):
            assert float(row["p"]) == pytest.approx(pooled.p, rel=1e-3)
            assert (row["marks"], row["seeds"]) == (pooled.marks.strip(), "")
        for row, cell in zip(rows, (cell for one in made.rows for cell in one.cells), strict=False):
            if cell.estimate:
                assert float(row["mean"]) == pytest.approx(cell.estimate.mean)


def test_grid_has_a_column_for_each_temperature(everything):
    made = shipped(everything, "grid")
    assert made.heads == ("T = 0.01", "T = 0.1", "whole pool")
    assert [row.key[-1] for row in made.rows] == [0.1, 0.2]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_spec_opens_with_its_command(name):
    first, second, *_ = available()[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert second == f"# al-bench tables {name}"


def test_long_names_are_broken_in_latex(tmp_path):
    """Where they vary from row to row; what all rows share is in the caption."""
    write_runs(
        tmp_path, f"-m {DATA} model@acquisition=distilbert_uncased,bert_base_uncased seed=1,2 model@successor=minilm_l6"
    )
    spec = "{title: x, rows: [dataset, acquisition, successor], columns: {score: {}}}"
    text = FORMATS["latex"][0](table(tmp_path, spec))
    assert r"\caption{x (dataset trec6, successor minilm\_l6)}" in text
    assert r"\shortstack[l]{distilbert\_ \\ uncased} & \shortstack[r]{" in text


def test_letters():
    assert [letter(i) for i in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_a_bar_in_a_name_breaks_no_table(tmp_path):
    write_runs(tmp_path, f"-m {PAIR} seed=1 dataset.name='a|b'")
    text = markdown(table(tmp_path, "{title: x, rows: [dataset], columns: {score: {}}}"))
    assert "| a\\|b" in text


# --------------------------------------------------------------------------------------- the command line


def test_all_tables_that_can_be_filled(al, tmp_path):
    write_runs(tmp_path / "outputs", f"-m {PAIR} seed=1,2")
    done = al("tables")
    assert done.code == 0, done.err
    assert "### Mismatch" in done.out
    assert "Filters" not in done.out
    assert "al-bench: note: no run for the table filters" in done.err


def test_damaged_runs_are_named(al, tmp_path):
    broken, _ = write_runs(tmp_path / "outputs", f"-m {PAIR} seed=1,2")
    (broken / "config.yaml").unlink()
    done = al("tables", "ups")
    assert done.code == 0
    assert done.err.startswith(f"al-bench: note: {broken}: config.yaml is missing; restore it, or delete ")


def test_output_that_cannot_be_written(al, tmp_path):
    write_runs(tmp_path / "outputs", f"-m {PAIR} seed=1,2")
    (tmp_path / "file").write_text("")
    done = al("tables", "ups", "--output", "file/here")
    assert done.code == 1
    assert done.err == "al-bench: --output=file/here: Not a directory; give a folder that can be written\n"


def test_own_tables(al, tmp_path):
    write_runs(tmp_path / "there", f"-m {PAIR} seed=1,2")
    spec = "# my scores\ntitle: Mine\nrows: [dataset]\ncolumns: {score: {}}\n"
    (tmp_path / "conf" / "tables").mkdir(parents=True)
    for path in (tmp_path / "own.yaml", tmp_path / "conf" / "tables" / "mine.yaml"):
        path.write_text(spec)
    assert "### Mine" in al("tables", "own.yaml", "there").out
    done = al("tables", "mine", "--config-dir", "conf", "--output-dir", "there")
    assert "Made by `al-bench tables mine --output-dir there --config-dir conf`" in done.out
    assert "mine         my scores" in al("ls", "tables", "--config-dir", "conf").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["upps"], "tables=upps: no such table and no such folder; choose among brackets, ceilings, "),
        (["nothing.yaml"], "nothing.yaml: No such file or directory; give the YAML file of a table"),
        ([], "outputs: no such folder; give output directories"),
        (["ups", "empty"], "empty: holds no run; `al-bench run` makes one"),
        (["--format", "html"], "argument --format: invalid choice: 'html'"),
    ],
)
def test_bad_commands_are_one_line(al, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    done = al("tables", *words)
    assert done.code != 0
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(f"al-bench: {message}")


GOOD = {"title": "x", "rows": ["dataset"], "columns": {"a": {}, "b": {"where": {"arm": "ASM"}}}}


def columns(**more: object) -> dict[str, object]:
    return {"columns": {"a": {}, "b": {}, "d": more}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrc": "x"}, "metrc: no such key; did you mean metric?"),
        ({"zzz": 1}, "zzz: no such key; the keys are at, best, columns, "),
        ({"title": 3}, "title=3: is of the wrong type; give text"),
        ({"rows": "dataset"}, "rows=dataset: is of the wrong type; give a list"),
        ({"seeds": "five"}, "seeds=five: is of the wrong type; give a whole number or a list or null"),
        ({"pool": 1}, "pool=1: is of the wrong type; give true or false"),
        ({"rows": ["data"]}, "rows or where=data: no such choice; choose among acquisition, acquisition_learner, "),
        ({"where": {"arms": "ASM"}}, "rows or where=arms: no such choice; "),
        ({"at": "end"}, "at=end: no such choice; choose among aulc, last, rounds, total"),
        ({"at": -1}, "at=-1: a cycle is 0 or above; give a cycle, or aulc, last, rounds, total"),
        ({"test": "z"}, "test=z: no such choice; choose among t, wilcoxon"),
        ({"columns": {"a": {"ignore": ["dataset"]}}}, "columns=a: all ignore a part of their row; let one ignore nothing"),
        ({"best": ["c"]}, "best=c: no such choice; choose among a, b"),
        ({"columns": []}, "columns=[]: is not a mapping of heads to columns; write HEAD: {where: {...}}"),
        ({"columns": {"a": 3}}, "columns.a.=3: is not a mapping; write KEY: VALUE lines"),
        (columns(shw="ratio"), "columns.d.shw: no such key; did you mean show?"),
        (columns(show="rato"), "columns.d.show=rato: no such choice; choose among at_money, difference, "),
        (columns(show="ratio", of=["a"]), "columns.d.of=['a']: does not fit show=ratio; give 2 heads"),
        (columns(show="ratio", of=["a", "c"]), "columns.d.of=c: no such choice; choose among a, b"),
        (columns(of=["a"]), "columns.d.of=['a']: does not fit show=value; give 0 heads"),
        (columns(show="equivalence", of=["a", "b"]), "columns.d.margin=null: an equivalence has one, above 0; set margin: 0.5"),
        (columns(margin=0.5), "columns.d.margin=0.5: an equivalence has one, above 0; set margin: 0.5"),
        (columns(show="labels_to", of=["a", "b"], share=2), "columns.d.share=2: labels_to has one, in (0, 1]; set share: 0.95"),
        (columns(ignore=["seed"]), "columns.d.ignore=seed: no such choice; choose among dataset"),
        (columns(spread="gam"), "columns.d=gam: no such choice; choose among acquisition, "),
        (columns(hide=True), "columns.d.hide=True: no column is made of it; leave the column out"),
        (columns(at="early"), "columns.d.at=early: no such choice; "),
        ({"rows": []}, "rows=[]: names no column; give one or more, such as rows: [dataset]"),
        ({"columns": {"a": {"where": 3}}}, "columns.a.where=3: is of the wrong type; give a mapping"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_one_clear_line(change, message):
    with pytest.raises(UserError) as caught:
        parse(GOOD | change, "mine")
    assert str(caught.value).startswith(f"table mine: {message}")
    assert "\n" not in str(caught.value)


def test_a_spec_that_is_none(tmp_path):
    for text, message in (
        ("- a\n", "table x: the file=['a']: is not a mapping; write KEY: VALUE lines"),
        ("", "table x: the file=null: is not a mapping"),
        ("rows: [dataset]\ncolumns: {a: {}}", "table x: title: is missing; set it"),
        ("a: [", f"{tmp_path / 'x.yaml'}: is no YAML: "),
        ("a: \x07", f"{tmp_path / 'x.yaml'}: is no YAML: "),
    ):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(UserError) as caught:
            read(tmp_path / "x.yaml")
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


def test_a_spec_in_another_encoding(tmp_path):
    (tmp_path / "x.yaml").write_bytes("title: größer".encode("latin-1"))
    with pytest.raises(UserError, match=r"x\.yaml: byte 10 is not UTF-8; save the file in UTF-8$"):
        read(tmp_path / "x.yaml")


def test_a_config_folder_that_is_none(al):
    """As `al-bench ls` and `al-bench run` say it."""
    done = al("tables", "--config-dir", "nowhere")
    expected = "al-bench: --config-dir=nowhere: no such folder; give the folder that holds your config groups"
    assert (done.code, done.out, done.err.strip()) == (1, "", expected)
