"""What iterations cost: seconds by phase and cycle, and score against all that was spent."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from al_bench.results.comparisons import acquirers, ends
from al_bench.results.figures.curves import level, score_label
from al_bench.results.figures.style import (
    GRID,
    INK,
    MUTED,
    PAPER,
    canvas,
    legend_below,
    looks,
    styled,
    with_n,
)
from al_bench.results.settings import Method, Setting
from al_bench.results.statistics import mean_interval
from al_bench.results.words import FEW

# What blocks an annotator, in the order of an iteration; the last three take next to nothing, most often.
PHASES = {
    "train": ("train", ("seconds/train",), "#0072b2", ""),
    "predict": ("score the pool", ("seconds/predict",), "#e69f00", "////"),
    "rest": (
        "subsample, rank, select",
        ("seconds/subsample", "seconds/score", "seconds/select"),
        "#cc79a7",
        "....",
    ),
}
MOST = 6  # acquiring methods in one figure


def phase_seconds(setting: Setting) -> Figure:
    """A row per selection: mean seconds of each cycle, stacked by phase; above, how many examples were scored."""
    methods = acquirers(setting)[:MOST]
    with styled():
        figure, rows = canvas(0.55 + 0.95 * len(methods), len(methods), sharex=True, sharey=True)
        for axes, method in zip(rows, methods, strict=True):
            seconds, bottom = phase_means(setting, method), 0.0
            for phase, (_, _, color, hatch) in PHASES.items():
                style: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": PAPER, "linewidth": 0.3}
                axes.bar(seconds.index, seconds[phase], bottom=bottom, **style)
                bottom = bottom + seconds[phase]
            scored = setting.values(method, "scored").mean(axis=0)
            many = len(scored) > 8
            for cycle, top in seconds.sum(axis=1).items():
                axes.annotate(
                    brief(scored[cycle]) if scored[cycle] else "–",
                    (cycle, top),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    rotation=90 if many else 0,
                    fontsize=6,
                )
            axes.margins(y=0.34 if many else 0.24)
            axes.grid(axis="x", visible=False)
            axes.set_title(f"{method.selection} (n = {len(method.runs)})", fontsize=7.5)
            axes.set_xticks(scored.index)
        rows[-1].set_xlabel("cycle")
        figure.supylabel("seconds", fontsize=7.5)
        handles = [
            Patch(facecolor=color, hatch=hatch, edgecolor=PAPER) for _, _, color, hatch in PHASES.values()
        ]
        legend_below(figure, handles, [name for name, *_ in PHASES.values()])
    return figure


def phase_means(setting: Setting, method: Method) -> pd.DataFrame:
    """Mean seconds, cycle x phase of `PHASES`; a phase that a cycle does not have took none."""
    cycles = setting.values(method, "scored").columns
    means = {
        phase: sum(
            setting.values(method, name).mean(axis=0).reindex(cycles, fill_value=0.0) for name in names
        )
        for phase, (_, names, _, _) in PHASES.items()
    }
    return pd.DataFrame(means)


def brief(count: float) -> str:
    """1920 -> 1.9k"""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def spent_by(setting: Setting, method: Method) -> pd.Series:
    """Seconds by repeat up to the last cycle: of all iterations, and of the successor that was trained there."""
    cycle, scores = ends(setting, method)
    if cycle is None:
        return pd.Series(dtype=float)
    seconds = setting.values(method, "seconds/iteration").reindex(scores.index)
    successor = setting.values(method, "seconds/successor_total").reindex(scores.index)
    # A successor that is the acquisition model costs no fit of its own.
    last = successor.get(cycle, pd.Series(0.0, scores.index)).fillna(0.0)
    return seconds.loc[:, :cycle].sum(axis=1) + last


def score_against_seconds(setting: Setting) -> Figure:
    """A point per method with 95 % t intervals, from three runs on; the line joins what nothing beats in both.

    A ceiling is a level: its seconds are few, but its labels are all.
    """
    with styled():
        figure, (axes,) = canvas(2.2)
        points, handles, names = [], [], []
        for method in setting.methods:
            (_, final), seconds = ends(setting, method), spent_by(setting, method)
            if final.empty:
                continue
            look = looks(setting)[method.label]
            if method.arm == "ceiling":
                level(axes, final, look)
                handles.append(Line2D([], [], color=look.color, linestyle=look.dash))
                names.append(with_n(method))
                continue
            y, x = mean_interval(final), mean_interval(seconds)
            axes.scatter(seconds, final, s=5, color=look.color, alpha=0.35, linewidths=0)
            errors: dict[str, Any] = {"xerr": x.mean - x.low, "yerr": y.mean - y.low} if x.n >= FEW else {}
            style: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": "none"}
            axes.errorbar(x.mean, y.mean, **errors, **style, elinewidth=0.7, capsize=1.5)
            points.append((x.mean, y.mean))
            handles.append(Line2D([], [], **style))
            names.append(with_n(method))
        front = pareto(points)
        if len(front) > 1:
            axes.plot(*zip(*front, strict=True), color=INK, linewidth=0.7, linestyle=":", zorder=1)
        low, high = min(x for x, _ in points), max(x for x, _ in points)
        if low > 0 and high / low > 8:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.4g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(which="minor", color=GRID, linewidth=0.25)
        axes.set_xlabel("seconds of all iterations and of the last successor")
        axes.set_ylabel(score_label(setting))
        axes.tick_params(which="minor", color=MUTED)
        legend_below(figure, handles, names)
    return figure


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of (cost, score) that no other one undercuts at no lower score, by rising cost."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front
