"""Learning curves against what was labelled or spent; pseudo-labels and what they were worth."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from al_bench.results.figures.style import (
    INK,
    PAPER,
    Look,
    canvas,
    legend_below,
    looks,
    n_seeds,
    numbered,
    styled,
)
from al_bench.results.settings import Method, Setting
from al_bench.results.statistics import Estimate, mean_interval
from al_bench.results.words import FEW

AXES = {
    "labelled": "labelled examples",
    "words": "labelled words",
    "seconds/cumulative": "seconds spent in iterations",
}
THIN: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.75, "marker": ""}


def learning_curves(setting: Setting, axis: str, successor: str | None = None) -> Figure:
    """Mean score of each method with its 95 % t interval, from three runs on; axis: a key of `AXES`.

    A line across shows what has no place on the axis: a ceiling, and, against seconds, what random is worth at its
    last budget, since it waits for no model.

    successor: the methods that train this one, None: all
    """
    methods = [m for m in setting.methods if successor in (None, m.about.successor)]
    with styled():
        figure, (axes,) = canvas(2.35)
        handles, names, shown = [], [], []
        for method in methods:
            scores = 100 * setting.scores(method).dropna(axis=1, how="all")
            if scores.empty:
                continue
            look = looks(setting)[method.label]
            x = _means(setting.values(method, axis)).reindex(scores.columns)
            if method.arm == "ceiling" or (axis == "seconds/cumulative" and not method.selects):
                level(axes, scores.iloc[:, -1].dropna(), look)
            else:
                curve(axes, x, scores, look)
                _acquisition(axes, setting, method, x, look)
            shown.append(scores.to_numpy())
            handles.append(Line2D([], [], color=look.color, marker=look.marker, linestyle=look.dash))
            names.append(f"{method.label} ({n_seeds(scores.count())})")
        if any(method.arm in ("ASM", "PLASM") for method in methods):
            handles.append(Line2D([], [], color=INK, **THIN))
            names.append("acquisition model, where it is another")
        axes.set_xlabel(AXES[axis])
        axes.set_ylabel(score_label(setting))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009"))
        _limit(axes, shown)
        legend_below(figure, handles, names)
    return figure


def score_label(setting: Setting) -> str:
    return f"{'F1' if setting.metric == 'f1' else setting.metric} on the test split (%)"


def _means(values: pd.DataFrame) -> pd.Series:
    return values.mean(axis=0)


def curve(axes: Axes, x: pd.Series, scores: pd.DataFrame, look: Look) -> None:
    found = [mean_interval(scores[cycle].dropna()) for cycle in scores.columns]
    axes.plot(
        x,
        [e.mean for e in found],
        color=look.color,
        linestyle=look.dash,
        marker=look.marker,
        markeredgecolor=PAPER if look.marker != "x" else look.color,
        markeredgewidth=0.5 if look.marker != "x" else 1,
        zorder=3,
    )
    band(axes, x, found, look.color)


def band(axes: Axes, x: Any, found: Sequence[Estimate], color: str) -> None:
    """The t intervals; those of two runs, 13 standard errors wide, would hide all else."""
    low, high = ([getattr(e, side) if e.n >= FEW else math.nan for e in found] for side in ("low", "high"))
    axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0, zorder=2)


def level(axes: Axes, scores: pd.Series, look: Look) -> None:
    found = mean_interval(scores)
    axes.axhline(found.mean, color=look.color, linestyle=look.dash, linewidth=1.1, zorder=2)
    if found.n >= FEW:
        axes.axhspan(found.low, found.high, color=look.color, alpha=0.1, linewidth=0, zorder=1)


def _acquisition(axes: Axes, setting: Setting, method: Method, x: pd.Series, look: Look) -> None:
    """The model that selected, as a thin line, where another one's score is drawn."""
    if method.role == "acquisition" or method.about.arm == "no mismatch":
        return
    scores = 100 * setting.values(method, f"acquisition/{setting.metric}")
    if not scores.empty:
        mean = _means(scores).reindex(x.index)
        axes.plot(x, mean, color=look.color, linestyle=look.dash, zorder=2, **THIN)


def _limit(axes: Axes, shown: list[np.ndarray]) -> None:
    """By the scores of single runs: an interval of two runs, or a first acquisition model, may be far outside."""
    if not shown:
        return
    low = min(float(np.nanmin(scores)) for scores in shown)
    high = max(float(np.nanmax(scores)) for scores in shown)
    room = max(high - low, 1.0)
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    bottom = min(low, max(float(np.nanmin(drawn)), low - room)) - 0.06 * room
    top = max(high, min(float(np.nanmax(drawn)), high + room)) + 0.06 * room
    axes.set_ylim(max(bottom, 0.0), min(top, 100.5))


def pseudo_labels(setting: Setting, method: Method) -> Figure:
    """What the labeller thought of itself, what its labels were worth, and what a filter left of them."""
    metric = setting.metric
    series = {
        "pseudo/quality": "labeller on its dev split",
        f"pseudo/{metric}": "all pseudo-labels, against gold",
        f"pseudo/kept_{metric}": "kept by the filter, against gold",
        f"successor/{metric}": "successor on the test split",
    }
    with styled():
        figure, (axes,) = canvas(2.1)
        labelled = _means(setting.values(method, "labelled"))
        shown, handles, names = [], [], []
        for number, (name, label) in enumerate(series.items()):
            values = 100 * setting.values(method, name).dropna(axis=1, how="all")
            if values.empty:
                continue
            look = numbered(number)
            curve(axes, labelled.reindex(values.columns), values, look)
            shown.append(values.to_numpy())
            handles.append(Line2D([], [], color=look.color, marker=look.marker, linestyle=look.dash))
            names.append(label)
        axes.set_xlabel(AXES["labelled"])
        axes.set_ylabel(f"{metric if metric != 'f1' else 'F1'} (%)")
        _limit(axes, shown)
        legend_below(figure, handles, names)
    return figure
