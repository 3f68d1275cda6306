"""All figures of a setting, with what to see in them; what cannot be drawn says why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import gains
from al_bench.analysis.statistics import FEW
from al_bench.report.figures import comparisons, costs, curves
from al_bench.report.texts import mean_lengths

CROWDED = 8  # methods: more of them get several panels


@dataclass(frozen=True)
class Picture:
    """name: of a file, and unique in a setting; caption: what to see in it"""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass
class Pictures:
    """omitted: (title, reason) of figures that the runs have nothing for"""

    drawn: list[Picture] = field(default_factory=list)
    omitted: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, title: str, caption: str, draw: Callable[[], Figure], without: str = "") -> None:
        """without: why the figure cannot be, empty where it can"""
        if without:
            self.omitted.append((title, without))
        else:
            self.drawn.append(Picture(name, title, caption, draw()))


def pictures(setting: Setting, stopped: list[tuple[Method, pd.DataFrame]]) -> Pictures:
    """stopped: methods, each with what `stopping.stops` gives for it"""
    made = Pictures()
    _curves(setting, made)
    _spending(setting, made)
    _selections(setting, made)
    for number, method in enumerate(m for m in setting.methods if m.arm == "PLASM"):
        made.add(
            f"pseudo_labels_{number}",
            f"What pseudo-labels are worth: {method.label}",
            "Where the labeller’s own estimate lies above the truth, an adaptive filter drops too little. "
            "What the filter is good for is the gap between kept and all pseudo-labels." + bands([method]),
            partial(curves.pseudo_labels, setting, method),
        )
    for number, (method, stops) in enumerate(stopped):
        made.add(
            f"stopping_{number}",
            f"When one could have stopped: {method.label}",
            "A mark is a budget at which a criterion would have ended runs; a number under it counts them. The further "
            "left at an unchanged score, the more labels it saves; left of the rise, it stops too early.",
            partial(curves.stopping_points, setting, method, stops),
            "no criterion would have ended a run" if stops.cycle.isna().all() else "",
        )
    return made


def bands(methods: Sequence[Method]) -> str:
    """What the shading is, where there is any."""
    shown = any(len(method.runs) >= FEW for method in methods)
    return f" Bands are 95 % t intervals over seeds, drawn from {FEW} seeds on." if shown else ""


def _curves(setting: Setting, made: Pictures) -> None:
    scored = [method for method in setting.methods if not setting.scores(method).empty]
    arms = {method.arm for method in scored}
    selected = ""
    if arms & {"ASM", "PLASM"}:
        selected = " Thin lines are the models that selected; where they are far off, they leave the panel."
    on_labels = "Where a curve lies above random’s, selecting paid off."
    if "random" not in arms:
        on_labels = "Without a random run beside it, a curve does not tell whether selecting paid off."
    on_seconds = (
        "Seconds passed until the score was known: what is done once for the pool, the iterations before, and the "
        "training of the cycle’s own model."
    )
    if "random" in arms:
        on_seconds += " Random waits for none; the dashed line is what it is worth at its end."
    on_labels, on_seconds = (f"{text}{selected}{bands(scored)}" for text in (on_labels, on_seconds))
    for axis, name, title, caption, reason in (
        ("labelled", "labels", "Score against labelled examples", on_labels, ""),
        ("words", "words", "Score against labelled words", on_labels, ""),
        ("seconds/cumulative", "seconds", "Score against seconds", on_seconds, _idle(setting)),
    ):
        for number, (panel, methods) in enumerate(_panels(scored).items()):
            several = any(setting.scores(method).shape[1] > 1 for method in methods)
            without = reason if several else "no method was evaluated at more than one budget"
            draw = partial(curves.learning_curves, setting, axis, methods)
            made.add(f"curve_{name}" + (f"_{number}" if panel else ""), title + panel, caption, draw, without)


def _idle(setting: Setting) -> str:
    """Why there are no seconds to show."""
    selecting = setting.acquirers()
    if not selecting:
        return "no model selects, so there is nothing to wait for"
    timed = any(setting.values(method, "seconds/iteration").size for method in selecting)
    return "" if timed else "nobody wrote down what it cost"


def _panels(methods: list[Method]) -> dict[str, list[Method]]:
    """By what to add to the title: a panel for each successor, then for each model that selects, where one is crowded.

    What has none of them, such as random examples, stands in every panel for comparison.
    """
    panels = {"": methods}
    for part, verb in (("successor", "is trained"), ("acquisition", "selects")):
        for title, group in list(panels.items()):
            names = [name for name in dict.fromkeys(m.about[part] for m in group) if pd.notna(name)]
            if len(group) > CROWDED and len(names) > 1:
                del panels[title]
                for name in names:
                    members = [m for m in group if m.about[part] == name or pd.isna(m.about[part])]
                    panels[f"{title}{',' if title else ':'} {name} {verb}"] = members
    return panels


def _spending(setting: Setting, made: Pictures) -> None:
    selecting = setting.acquirers()
    more = f" The first {costs.MOST} of {len(selecting)} selections." if len(selecting) > costs.MOST else ""
    made.add(
        "seconds_by_phase",
        "Seconds of each cycle",
        "Above a bar stands the number of examples that were scored. Only the hatched part shrinks when fewer are; the "
        f"last cycle queries nobody.{more}",
        partial(costs.phase_seconds, setting),
        _idle(setting),
    )
    scored = [method for method in setting.methods if not setting.end(method)[1].empty]
    for number, (panel, methods) in enumerate(_panels(scored).items()):
        several = sum(method.arm != "ceiling" for method in methods) > 1
        made.add(
            "score_against_seconds" + (f"_{number}" if panel else ""),
            f"Final score against seconds{panel}",
            "Up and to the left is better. The dotted line joins the methods that no other one here beats in both; "
            f"small dots are single seeds, bars 95 % t intervals, from {FEW} seeds on.",
            partial(costs.score_against_seconds, setting, methods),
            "" if several else "it takes two methods",
        )


def _selections(setting: Setting, made: Pictures) -> None:
    points = gains(setting)
    selections, successors = {selection for selection, _ in points}, {successor for _, successor in points}
    enough = len(selections) > 1 or len(successors) > 1
    made.add(
        "gains",
        "Who should select for whom?",
        "Points over the same successor trained on as many random examples, at the last budget, ± half the width of "
        "the paired 95 % t interval. A row that is good everywhere selects data that are worth something to any model.",
        partial(comparisons.heat_map, points),
        "" if enough else "it takes two selections, or two successors, with a random run beside them",
    )
    lengths = mean_lengths(setting)
    has_random = any(method.arm == "random" for method in setting.methods)
    mean = " Random shows the mean of the pool." if has_random else ""
    known = any(not np.isnan(values).all() for values in lengths.values())
    made.add(
        "query_lengths",
        "Length of what is queried",
        "A strategy that sums doubt over words asks for long texts, which cost more to label than a count of examples "
        f"tells.{mean}{bands(setting.methods)}",
        partial(comparisons.query_lengths, setting, lengths),
        "" if known else "no query is recorded",
    )
