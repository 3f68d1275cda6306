"""Methods side by side: seconds by phase and cycle, score against all that was spent, who should select for whom."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.statistics import FEW, Estimate, mean_interval
from al_bench.analysis.words import signed
from al_bench.report.figures.curves import level, score_label
from al_bench.report.figures.style import (
    GRID,
    INK,
    MUTED,
    PAPER,
    as_point,
    canvas,
    fitting,
    legend,
    looks,
    n_seeds,
    styled,
)

# What blocks an annotator, in the order of an iteration: name, phases, colour, hatch.
LOOKS = (
    ("train", ("train",), "#0072b2", ""),
    ("score the pool", ("predict",), "#e69f00", "////"),
    ("subsample, rank, score again", ("subsample", "select", "rescore"), "#cc79a7", "...."),
)
MOST = 6  # acquiring methods in one figure


@styled()
def phase_seconds(setting: Setting) -> Figure:
    """A row per selection: mean seconds of each cycle, stacked by phase; above, how many examples were scored."""
    methods = setting.acquirers()[:MOST]
    figure, rows = canvas(0.55 + 0.95 * len(methods), len(methods), sharex=True, sharey=True)
    highest = 1e-3
    for axes, method in zip(rows, methods, strict=True):
        scored = setting.values(method, "scored").mean(axis=0)
        bottom = pd.Series(0.0, index=scored.index)
        for _, phases, color, hatch in LOOKS:
            means = (setting.values(method, f"seconds/{phase}").mean(axis=0) for phase in phases)
            # A phase that a cycle does not have took none.
            seconds = sum(one.reindex(scored.index, fill_value=0) for one in means)
            style: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": PAPER, "linewidth": 0.3}
            bars = axes.bar(scored.index, seconds, bottom=bottom, **style)
            bottom = bottom + seconds
        many, counts = len(scored) > 8, [brief(count) if count else "–" for count in scored]
        axes.bar_label(bars, counts, padding=2, rotation=90 if many else 0, fontsize=6)
        highest = max(highest, bottom.max() * (1.34 if many else 1.24))
        axes.grid(axis="x", visible=False)
        axes.set_title(fitting(f"{method.selection} (n = {len(method.runs)})"), fontsize=7.5)
        axes.set_xticks(scored.index)
    rows[-1].set_ylim(0, highest)
    rows[-1].set_xlabel("cycle")
    figure.supylabel("seconds", fontsize=7.5)
    keys = {name: Patch(facecolor=color, hatch=hatch, edgecolor=PAPER) for name, _, color, hatch in LOOKS}
    legend(figure, keys)
    return figure


def brief(count: float) -> str:
    """1920 -> 1.92k"""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


@styled()
def score_against_cost(setting: Setting, costs: Mapping[Method, pd.Series], what: str, *, labels: bool) -> Figure:
    """A point per method with 95 % t intervals, from three runs on; the line joins what nothing beats in both.

    A bracket is a point, but never on the line.
    costs: by seed, of methods with an end (`Setting.end`); what: they are, on the axis
    labels: whether they are paid, too; else a ceiling is a level: its seconds are few, but its labels are all
    """
    figure, (axes,) = canvas(2.2, subplot_kw={"xlabel": what, "ylabel": score_label(setting)})
    keys: dict[str, Any] = {}
    points: list[tuple[float, float]] = []
    bounds: list[tuple[float, float]] = []
    for method, spent in costs.items():
        final = setting.end(method)[1]
        spent = spent[spent.index.isin(final.index)]
        look, name = looks(setting)[method.label], f"{method.label} (n = {len(final)})"
        if method.arm == "ceiling" and not labels:
            level(axes, final, look)
            keys[name] = look
        elif not spent.empty:
            final = final[spent.index]
            y, x = mean_interval(final), mean_interval(spent)
            axes.scatter(spent, final, s=7, color=look["color"], alpha=0.6, linewidths=0)
            errors: dict[str, Any] = {"xerr": x.mean - x.low, "yerr": y.mean - y.low} if x.n >= FEW else {}
            keys[name] = as_point(look) | {"linestyle": "none"}
            axes.errorbar(x.mean, y.mean, **errors, **keys[name], elinewidth=0.7, capsize=1.5)
            (bounds if method.bracket else points).append((x.mean, y.mean))
    front = pareto(points)
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=INK, linewidth=0.7, linestyle=":", zorder=1)
    shown = [x for x, _ in (*points, *bounds)]
    low, high = min(shown, default=0), max(shown, default=0)
    if low > 0 and high / low > 8:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.4g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(which="minor", color=GRID, linewidth=0.25)
    axes.tick_params(which="minor", color=MUTED)
    legend(figure, keys)
    return figure


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of (cost, score) that no other one undercuts at no lower score, by rising cost."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


@styled()
def heat_map(gains: dict[tuple[str, str], Estimate]) -> Figure:
    """Selection x successor: mean gain in points, with the half-width of its 95 % t interval.

    gains: by (selection, successor), over a random-trained successor
    """
    rows, columns = (list(dict.fromkeys(key[i] for key in gains)) for i in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    figure, (axes,) = canvas(0.9 + 0.36 * len(rows), subplot_kw={"xlabel": "successor", "ylabel": "selected by"})
    for (row, column), gain in gains.items():
        i, j = rows.index(row), columns.index(column)
        values[i, j] = gain.mean
        half = f"\n± {gain.mean - gain.low:.1f}" if gain.n >= FEW else f"\n(n = {gain.n})"
        # Cells are pale at the norm below, so their text is dark on any page.
        axes.text(j + 0.5, i + 0.5, f"{signed(gain.mean)}{half}", ha="center", va="center", color="#000000", fontsize=7)
    most = max(float(np.nanmax(np.abs(values))), 0.1)
    axes.pcolormesh(values, cmap="PuOr_r", norm=TwoSlopeNorm(0, -1.6 * most, 1.6 * most), edgecolor=PAPER)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [fill(row, 24) for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    counts = n_seeds([gain.n for gain in gains.values()])
    figure.suptitle(f"points over random examples ({counts})", fontsize=7.5, x=0.99, ha="right")
    return figure
