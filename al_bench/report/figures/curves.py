"""What changes from cycle to cycle: scores, what pseudo-labels were worth, where one could have stopped, queries."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.statistics import FEW, mean_interval
from al_bench.analysis.stopping import CRITERIA
from al_bench.report.figures.style import (
    INK,
    MUTED,
    PAPER,
    Look,
    as_point,
    canvas,
    fitting,
    legend,
    looks,
    n_seeds,
    numbered,
    styled,
)

AXES = {
    "labelled": "labelled examples",
    "words": "labelled words",
    "seconds/cumulative": "seconds until the score was known",
    "money/total": "money until the score was known",
}
THIN: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.75, "marker": ""}
BASELINE: dict[str, Any] = {"color": INK, "linestyle": (0, (1, 3)), "linewidth": 0.8}


@styled()
def learning_curves(setting: Setting, axis: str, methods: Sequence[Method]) -> Figure:
    """Mean score of each method, all evaluated, with its 95 % t interval, from three runs on; axis: a key of `AXES`.

    A line across shows what has no place on the axis: a ceiling, but where its labels are paid, and, against seconds,
    what random is worth at its last budget, since it waits for no model. Models that selected for another one have a
    panel of their own below: they may be far weaker.
    """
    keys: dict[str, Any] = {}
    selectors = {m: 100 * setting.values(m, f"acquisition/{setting.metric}").mean(axis=0) for m in methods if mixed(m)}
    selectors = {method: scores for method, scores in selectors.items() if len(scores)}
    if selectors:
        figure, (axes, below) = canvas(3.3, 2, sharex=True, height_ratios=(2.2, 1))
    else:
        figure, (axes,) = canvas(2.35)
    figure.axes[-1].set_xlabel(axis_label(setting, axis))
    axes.set_ylabel(score_label(setting))
    for method in methods:
        scores, look = 100 * setting.scores(method), looks(setting)[method.label]
        x = setting.values(method, axis).mean(axis=0).reindex(scores.columns)
        if method in selectors:
            below.plot(x, selectors[method].reindex(x.index), **{**look, **THIN})
        free = axis == "seconds/cumulative" and not method.selects
        if free or (method.arm == "ceiling" and axis != "money/total"):
            level(axes, setting.end(method)[1], look)
        else:
            look = as_point(look)
            curve(axes, x, scores, look)
        keys[f"{method.label} ({n_seeds(scores.count())})"] = look
    if selectors:
        below.set_ylabel("selector (%)")
        keys["the model that selected, below"] = {"color": INK, **THIN}
        if not math.isnan(setting.baseline):
            below.axhline(setting.baseline, **BASELINE)
            keys["always the most frequent label"] = BASELINE
        _limit(below)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}".replace(",", "\u2009"))
    _limit(axes)
    legend(figure, keys)
    return figure


def axis_label(setting: Setting, axis: str) -> str:
    """Money with its currency, if it has one."""
    currency = {m.about.currency for m in setting.methods if m.about.currency} if axis == "money/total" else ()
    return f"{AXES[axis]}{f' ({next(iter(currency))})' if currency else ''}"


def mixed(method: Method) -> bool:
    """Whether the model that selected is not the one whose score counts."""
    return method.selects and method.role == "successor" and method.arm != "no mismatch"


def score_label(setting: Setting) -> str:
    return f"{score_name(setting)} on the test split (%)"


def score_name(setting: Setting) -> str:
    return "F1" if setting.metric == "f1" else setting.metric.replace("_", " ")


def curve(axes: Axes, x: pd.Series | pd.Index, scores: pd.DataFrame, look: Look) -> None:
    """Means by cycle with their t intervals, which are a band, or a line at a single budget."""
    estimates = [mean_interval(scores[cycle].dropna()) for cycle in scores.columns]
    edge, width = (look["color"], 1) if look["marker"] == "x" else (PAPER, 0.5)
    axes.plot(x, [e.mean for e in estimates], **look, markeredgecolor=edge, markeredgewidth=width, zorder=3)
    # Intervals of two runs, 13 standard errors wide, would hide all else.
    low, high = ([getattr(e, side) if e.n >= FEW else math.nan for e in estimates] for side in ("low", "high"))
    if len(estimates) > 1:
        axes.fill_between(x, low, high, color=look["color"], alpha=0.16, linewidth=0, zorder=2)
    else:
        axes.vlines(x, low, high, color=look["color"], alpha=0.5, linewidth=1, zorder=2)


def level(axes: Axes, scores: pd.Series, look: Look) -> None:
    one = mean_interval(scores)
    axes.axhline(one.mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.1, zorder=2)
    if one.n >= FEW:
        axes.axhspan(one.low, one.high, color=look["color"], alpha=0.1, linewidth=0, zorder=1)


def _limit(axes: Axes) -> None:
    """A little room around what is drawn, within what a score can be."""
    low, high = axes.dataLim.intervaly
    room = max(0.06 * (high - low), 0.5)
    if math.isfinite(room):  # something is drawn
        axes.set_ylim(max(low - room, -0.5), min(high + room, 100.5))


@styled()
def pseudo_labels(setting: Setting, method: Method) -> Figure:
    """The labeller on its dev split, its labels against gold, and what a filter left of them."""
    series = {
        "pseudo/quality": "labeller on its dev split",
        f"pseudo/{setting.metric}": "all pseudo-labels, against gold",
        f"pseudo/kept_{setting.metric}": "kept by the filter, against gold",
        f"successor/{setting.metric}": "successor on the test split",
    }
    figure, (axes,) = canvas(2.1, subplot_kw={"xlabel": AXES["labelled"], "ylabel": f"{score_name(setting)} (%)"})
    labelled = setting.values(method, "labelled").mean(axis=0)
    keys: dict[str, Any] = {}
    budgets = set()
    for number, (name, label) in enumerate(series.items()):
        values = 100 * setting.values(method, name)
        if values.empty:
            continue
        look = numbered(number)
        x = labelled.reindex(values.columns)
        budgets |= set(x)
        # Beside each other where each is a point.
        curve(axes, x * (0.985 + 0.01 * number) if len(x) == 1 else x, values, look)
        keys[f"{label} ({n_seeds(values.count())})"] = look
    if len(budgets) == 1:  # ticks beside it would be of nothing
        axes.set_xticks(list(budgets))
        axes.margins(x=0.5)
    _limit(axes)
    legend(figure, keys)
    return figure


@styled()
def stopping_points(setting: Setting, method: Method, stopped: pd.DataFrame) -> Figure:
    """The learning curve; below it a lane per criterion with a mark where each run would have stopped."""
    figure, (top, lanes) = canvas(3.2, 2, sharex=True, height_ratios=(1.45, 1))
    scores = 100 * setting.scores(method)
    labelled = setting.values(method, "labelled").mean(axis=0)
    curve(top, labelled.reindex(scores.columns), scores, looks(setting)[method.label])
    top.set_ylabel(score_label(setting))
    top.set_title(fitting(f"{method.label} ({n_seeds(scores.count())})"), fontsize=7.5)
    for lane, criterion in enumerate(CRITERIA):
        rows = stopped[stopped.criterion == criterion.name]
        ended = rows.dropna(subset="cycle")
        look = numbered(lane + 1)
        at = ended.labelled.value_counts()
        # As large as runs are many that stop at the same budget.
        lanes.scatter(at.index, np.full(len(at), lane), s=14 * at, marker=look["marker"], color=look["color"])
        for x, count in at.items():
            text = str(count) if count > 1 else ""
            lanes.annotate(text, (x, lane), (0, -9), textcoords="offset points", ha="center", fontsize=6)
        never = len(rows) - len(ended)
        if never:
            text = f"never in {never} of {len(rows)}"
            style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 6.5, "color": MUTED}
            over = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}  # the line of its lane
            lanes.text(1.0, lane, text, transform=lanes.get_yaxis_transform(), bbox=over, **style)
    names = [one.name.replace("n ", "n\n").replace("overall ", "overall\n") for one in CRITERIA]
    lanes.set_yticks(range(len(CRITERIA)), names)
    lanes.set_ylim(len(CRITERIA) - 0.4, -0.6)
    lanes.set_xlabel(AXES["labelled"])
    lanes.grid(axis="x")
    lanes.tick_params(axis="y", length=0)
    return figure


@styled()
def query_lengths(setting: Setting, lengths: Mapping[Method, pd.DataFrame]) -> Figure:
    """Mean words of a queried example by cycle; lengths: of each method, seed x cycle."""
    figure, (axes,) = canvas(2.0, subplot_kw={"xlabel": "query of cycle", "ylabel": "words per queried example"})
    keys = {}
    for method, values in lengths.items():
        look = looks(setting)[method.label]
        curve(axes, values.columns, values, look)
        keys[f"{method.selection} ({n_seeds(values.count())})"] = look
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    legend(figure, keys)
    return figure
