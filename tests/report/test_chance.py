"""A selector at chance is named while it runs, under the run's table, and on the page; old ledgers know no baseline."""

from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import varied
from synthetic import write_runs

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import load
from al_bench.report.answers import answers
from al_bench.report.figures.curves import learning_curves
from al_bench.report.tables import score_table


def with_scores(folder: Path, *scores: float) -> Contrasts:
    """The acquisition model's accuracy by cycle, the same in every run; none: as the runs have it."""
    results = load([folder])
    cycles = results.cycles.copy()
    for cycle, score in enumerate(scores):
        cycles.loc[(cycles.metric == "acquisition/accuracy") & (cycles.cycle == cycle), "value"] = score
    return Contrasts.of(replace(results, cycles=cycles))


def about_chance(contrasts: Contrasts) -> list[str]:
    (setting,) = contrasts.settings
    texts = [one.text for one in answers(setting, contrasts) if one.topic == "chance"]
    return [text.replace("\u00a0", " ").replace("`", "") for text in texts]


def test_the_page_counts_the_queries(tmp_path):
    """The baseline is 0.25 of 500 examples, so chance ends at 0.282; the last of the four cycles queries nobody."""
    write_runs(tmp_path, varied("seed=1,2"))
    assert about_chance(with_scores(tmp_path)) == []
    (text,) = about_chance(with_scores(tmp_path, 0.20, 0.28, 0.29, 0.10))
    assert text == (
        "minilm_l3 selects by least_confidence, but in 4 of 6 queries (2 seeds) it was at chance: its accuracy was not "
        "clearly above the 25.0 % of always predicting the most frequent label. At the first query it had 20.0 %, at "
        "the last one 29.0 %."
    )


def test_the_scores_stand_beside_each_other(tmp_path):
    write_runs(tmp_path, varied("seed=1"))
    made = score_table(with_scores(tmp_path, 0.3, 0.4, 0.5, 0.6).settings[0], None)
    at = list(made.heads).index("at the end")
    assert list(made.heads)[at + 1] == "selector there"
    method, constant = made.rows
    assert method[at + 1].text == "60.0"
    assert (constant[0].text, constant[at].text) == ("always the most frequent label", "25.0")
    assert {cell.text for i, cell in enumerate(constant) if i not in (0, at)} == {"–"}


def test_runs_without_a_baseline_say_nothing_of_it(tmp_path):
    """As al-bench wrote them before it knew one."""
    write_runs(tmp_path, varied("seed=1,2"))
    results = load([tmp_path])
    contrasts = Contrasts.of(
        replace(results, cycles=results.cycles[~results.cycles.metric.str.startswith("baseline/")])
    )
    assert about_chance(contrasts) == []
    (setting,) = contrasts.settings
    assert [row[0].text for row in score_table(setting, None).rows] == ["least_confidence"]
    figure = learning_curves(setting, "labelled", setting.methods)
    assert "always the most frequent label" not in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def short_run(tiny_run) -> list[str]:
    return [*tiny_run, "schedule.cycles=2", "training.epochs=1"]


def test_a_run_says_so(al, short_run):
    """A model that does not learn: half of the test split is of either class."""
    done = al("run", *short_run, "acquisition.training.learning_rate=1e-9", "acquisition.training.epochs=1")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    blind = [line for line in lines if line.startswith("cycle ") and "(at chance)  successor" in line]
    assert len(blind) == 3
    assert "Always predicting the most frequent label has accuracy 0.5000." in done.out
    (note,) = [line for line in lines if line.startswith("note: the acquisition model")]
    assert note == (
        "note: the acquisition model selected at chance in 2 of 2 cycles, the last of them cycle 1: its accuracy is not clearly above "
        "that of always predicting one label"
    )


def test_a_selector_that_learned_is_not_accused(al, tiny_run):
    done = al("run", *tiny_run, "schedule.initial=80", "schedule.cycles=1", "training.epochs=12")
    assert done.code == 0, done.err
    assert "at chance" not in done.out
    assert "Always predicting the most frequent label has accuracy 0.5000." in done.out
