"""Figures draw for whatever runs there are, without a warning, in the width of a paper's column."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made import write_ledger
from matplotlib.figure import Figure
from sweeps import SWEEP, varied
from synthetic import settings_of, write_runs

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import gains
from al_bench.analysis.stopping import stops as found_stops
from al_bench.analysis.words import signed
from al_bench.ledger.store import save_array
from al_bench.ledger.trajectory import array_path
from al_bench.report.costs import spent_by
from al_bench.report.figures import comparisons, curves, style
from al_bench.report.figures.style import COLORS, inline
from al_bench.report.pictures import Picture, pictures
from al_bench.report.pictures import _panels as panels


def setting_of(folder: Path, *commands: str) -> Setting:
    for command in commands:
        write_runs(folder, command)
    (setting,) = settings_of(folder)
    return setting


def made_of(setting: Setting) -> tuple[list[Picture], dict[str, str]]:
    """What is drawn, and by title why the rest is not."""
    made = list(pictures(setting, []))
    drawn = [one for one in made if isinstance(one.figure, Figure)]
    return drawn, {one.title: one.figure for one in made if one not in drawn}


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([varied("seed=1")], id="one run"),
        pytest.param([varied("seed=1,2"), varied("strategy=random", "seed=1")], id="two seeds"),
        pytest.param([varied("schedule.cycles=15")], id="16 cycles"),
        pytest.param([varied("evaluate_at=none")], id="no successor"),
        pytest.param([varied("strategy=random", "seed=1")], id="random alone"),
        pytest.param(
            [varied("dataset=conll2003", "strategy=mnlp", "schedule.unit=words", "schedule.initial=1000")], id="words"
        ),
    ],
)
def test_all_figures_draw(tmp_path, commands):
    draw_all(setting_of(tmp_path, *commands), tmp_path)


def test_all_arms_draw(rivals, tmp_path):
    draw_all(setting_of(rivals), tmp_path)


def draw_all(setting: Setting, tmp_path: Path) -> None:
    drawn, omitted = made_of(setting)
    for picture in drawn:
        for kind in ("png", "svg"):
            style.save(picture.figure, tmp_path / f"{picture.name}.{kind}")
        assert picture.figure.get_size_inches()[0] == style.WIDTH
        assert picture.caption.endswith(".")
    assert len({picture.name for picture in drawn}) == len(drawn)
    assert all(omitted.values())


def test_what_cannot_be_drawn_says_why(tmp_path):
    _, reasons = made_of(setting_of(tmp_path, varied("seed=1")))
    assert "two selections, or two successors" in reasons["Who should select for whom?"]
    assert "two methods" in reasons["Final score against seconds"]


def test_a_panel_of_ceilings_is_omitted(tmp_path):
    """Many methods get a panel for each successor, and of one of these there is a ceiling alone."""
    ceiling = ("strategy=random", "schedule.initial=1.0", "schedule.cycles=0", "seed=1")
    many = varied("strategy=least_confidence,entropy,breaking_ties", "seed=1")
    setting = setting_of(
        tmp_path,
        f"{many} model@acquisition=minilm_l3,minilm_l6,mpnet_base",
        varied("strategy=random", "seed=1"),
        varied(*ceiling, "model@successor=mpnet_base"),
    )
    made, omitted = made_of(setting)
    drawn = [picture.title for picture in made]
    alone, compared = (f": {name} is trained" for name in ("mpnet_base", "minilm_l6"))
    for title, reason in (
        ("Final score against seconds", "it takes two methods"),
        ("Score against labelled examples", "no method was evaluated at more than one budget"),
    ):
        assert omitted[title + alone] == reason
        assert any(one.startswith(title + compared) for one in drawn)


def test_many_methods_get_several_panels(rivals):
    """By successor, then by who selects; random is in each, to compare with."""
    about = settings_of(rivals)[0].methods[1].about

    def method(acquisition: str | None, successor: str, strategy: str) -> Method:
        row = about.copy()
        row[["acquisition", "successor", "strategy"]] = acquisition, successor, strategy
        return Method("", "", ("", ""), row, {}, pd.DataFrame())

    few = [method("a", "s", strategy) for strategy in "123"]
    assert panels(few) == {"": few}
    more = [method(who, "s", strategy) for who in "ab" for strategy in "12345"]
    random, other = method(None, "s", "random"), method("a", "t", "1")
    found = panels([*more, random, other])
    assert found == {
        ": t is trained": [other],
        ": s is trained, a selects": [*more[:5], random],
        ": s is trained, b selects": [*more[5:], random],
    }


def test_lines_are_where_the_means_are(rivals):
    setting = setting_of(rivals)
    figure = curves.learning_curves(setting, "labelled", setting.methods)
    axes, below = figure.axes
    shown = {
        tuple(np.round(line.get_ydata(), 9)): list(line.get_xdata())
        for line in axes.lines
        if line.get_linewidth() > 1 and len(set(line.get_ydata())) > 1
    }
    expected = {}
    for method in setting.methods[1:]:
        means = 100 * setting.scores(method).mean(axis=0).dropna()
        expected[tuple(np.round(means, 9))] = [100 * (cycle + 1) for cycle in means.index]
    assert shown == expected
    assert axes.get_ylabel() == "accuracy on the test split (%)"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        *(f"{m.label} (n = 3)" for m in setting.methods),
        "the model that selected, below",
        "always the most frequent label",
    ]
    assert {line.get_ydata()[0] for line in below.lines} >= {25.0}, "the baseline"


def test_random_waits_for_nothing(rivals):
    """Against seconds, random is a level, its last score; so is a ceiling."""
    setting = setting_of(rivals)
    axes, _ = curves.learning_curves(setting, "seconds/cumulative", setting.methods).axes
    levels = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    expected = [100 * setting.scores(method).iloc[:, -1].mean() for method in (setting.methods[0], setting.methods[-1])]
    assert levels == pytest.approx(expected)


def test_one_run_that_is_ahead_is_not_what_random_is_worth(tmp_path):
    """The level is that of the budget which most of its runs reached, as in sentences and tables."""
    setting = setting_of(
        tmp_path,
        varied("seed=1"),
        varied("strategy=random", "seed=1,2", "schedule.cycles=2"),
        varied("strategy=random", "seed=3"),
    )
    random = next(method for method in setting.methods if method.arm == "random")
    axes, _ = curves.learning_curves(setting, "seconds/cumulative", setting.methods).axes
    (level,) = (line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1)
    assert level == pytest.approx(100 * setting.scores(random)[2].mean())


def test_bars_are_seconds(rivals):
    setting = setting_of(rivals)
    figure = comparisons.phase_seconds(setting)
    tops = {}
    for bar in figure.axes[0].patches:
        cycle = round(bar.get_x() + bar.get_width() / 2)
        tops[cycle] = max(tops.get(cycle, 0), bar.get_y() + bar.get_height())
    expected = setting.values(setting.acquirers()[0], "seconds/iteration").mean(axis=0)
    assert tops == pytest.approx(expected.to_dict())
    assert "1.9k" in {text.get_text() for text in figure.axes[0].texts}


@pytest.mark.parametrize(("count", "expected"), [(12, "12"), (1920, "1.92k"), (13500, "13.5k"), (2.5e6, "2.5M")])
def test_brief(count, expected):
    assert comparisons.brief(count) == expected


def test_a_ceiling_is_a_level_beside_what_was_spent(rivals):
    """Its labels are all: it would beat everything at the price of one fit."""
    setting = setting_of(rivals)
    spent = {method: spent_by(setting, method) for method in setting.methods}
    (axes,) = comparisons.score_against_cost(setting, spent, "seconds", labels=False).axes
    levels = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert levels == pytest.approx([100 * setting.scores(setting.methods[0])[0].mean()])
    (axes,) = comparisons.score_against_cost(setting, spent, "money", labels=True).axes  # where these are paid
    assert not [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]


def test_pareto():
    assert comparisons.pareto([(2, 5), (1, 3), (3, 4), (2, 4), (4, 6)]) == [(1, 3), (2, 5), (4, 6)]


def test_heat_map_says_its_numbers(rivals):
    setting = setting_of(rivals)
    found = gains(setting)
    shown = [text.get_text() for text in comparisons.heat_map(found).axes[0].texts]
    assert [text.split("\n")[0] for text in shown] == [signed(gain.mean) for gain in found.values()]


def test_stops_are_drawn_where_they_are(tmp_path):
    setting = setting_of(tmp_path, SWEEP)
    method = setting.methods[0]
    rng = np.random.default_rng(0)
    predictions = rng.integers(0, 6, 100).astype(np.int16)
    for folder in method.trajectories:
        (folder / "stop").mkdir(parents=True)
        lines = [{"cycle": cycle, "labelled": 100, "seeded": [], "queried": [], "query": {}} for cycle in range(4)]
        lines[0]["stop_set"] = {"split": "dev", "examples": 100, "ids": list(range(100))}
        for cycle, line in enumerate(lines):
            line["stop_sha256"] = save_array(array_path(folder, "stop", cycle), predictions)
        write_ledger(folder / "ledger.jsonl", lines)
    figure = curves.stopping_points(setting, method, found_stops(setting, method))
    assert isinstance(figure, Figure)
    # All three seeds: classification change in cycle 1 (200 labels), kappa and delta F in cycle 3.
    marks = [points.get_offsets().tolist() for points in figure.axes[1].collections]
    assert marks[:3] == [[[400, 0]], [[400, 1]], [[200, 2]]]
    assert "never in 3 of 3" in {text.get_text() for text in figure.axes[1].texts}


def test_the_same_figure_is_the_same_svg(rivals, tmp_path):
    setting = setting_of(rivals)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        style.save(curves.learning_curves(setting, "labelled", setting.methods), tmp_path / name / "curve.svg")
    assert (tmp_path / "a/curve.svg").read_bytes() == (tmp_path / "b/curve.svg").read_bytes()


def test_looks_differ_without_colour(rivals):
    setting = setting_of(rivals)
    chosen = style.looks(setting)
    assert len({(look["marker"], json.dumps(look["linestyle"])) for look in chosen.values()}) == len(setting.methods)


def test_inline_takes_the_pages_colours(rivals):
    setting = setting_of(rivals)
    for picture in made_of(setting)[0]:
        text = inline(picture.figure, picture.name, 'a "quoted" <description>')
        assert not any(color in text for color in COLORS)
        assert "http" not in text
        assert "font-family" not in text
        assert 'aria-label="a &quot;quoted&quot; &lt;description&gt;"' in text
        assert text.startswith("<svg ")
        assert text.rstrip().endswith("</svg>")
