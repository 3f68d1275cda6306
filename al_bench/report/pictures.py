"""All figures of a setting, with what to see in them; what cannot be drawn says why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import gains
from al_bench.analysis.statistics import FEW
from al_bench.report.costs import spent_by
from al_bench.report.figures import comparisons, costs, curves
from al_bench.report.texts import mean_lengths
from al_bench.report.wording import CAPTIONS

CROWDED = 8  # methods: more of them get several panels
UNTIMED = "nobody wrote down what it cost"
TEXTS = CAPTIONS["figures"]


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

    def add(
        self, kind: str, figure: Figure | str, number: int | None = None, *,
        panel: str = "", caption: str | None = None, more: str = "", **phrases: Any,
    ) -> None:  # fmt: skip
        """kind: of the captions; figure: or why there is none; number: of several; panel: added to the title"""
        title = TEXTS[kind]["title"].format(**phrases) + panel
        if isinstance(figure, str):
            self.omitted.append((title, figure))
            return
        caption = TEXTS[kind]["caption"].format(**phrases) if caption is None else caption
        name = kind if number is None else f"{kind}_{number}"
        self.drawn.append(Picture(name, title, caption + more, figure))


def pictures(setting: Setting, stopped: list[tuple[Method, pd.DataFrame]]) -> Pictures:
    """stopped: methods, each with what `stopping.stops` gives for it"""
    made, methods, selecting = Pictures(), setting.methods, len(setting.acquirers())
    arms, idle = {method.arm for method in methods}, _idle(setting)
    _curves(setting, made)

    first = TEXTS["seconds_by_phase"]["first"].format(most=costs.MOST, all=selecting)
    more = first if selecting > costs.MOST else ""
    made.add("seconds_by_phase", idle or costs.phase_seconds(setting), more=more)

    for number, panel, group in _numbered([m for m in methods if not setting.end(m)[1].empty]):
        rivals = [method for method in group if method.arm != "ceiling"]
        without = "" if any(len(spent_by(setting, method)) for method in rivals) else UNTIMED
        without = without if len(rivals) > 1 else "it takes two methods"
        figure = without or costs.score_against_seconds(setting, group)
        made.add("score_against_seconds", figure, number, panel=panel, few=FEW)

    points = gains(setting)
    enough = any(len({key[i] for key in points}) > 1 for i in (0, 1))
    without = "" if enough else "it takes two selections, or two successors, with a random run beside them"
    made.add("gains", without or comparisons.heat_map(points))

    lengths = mean_lengths(setting)
    more = (TEXTS["query_lengths"]["random"] if "random" in arms else "") + bands(methods)
    figure = curves.query_lengths(setting, lengths) if lengths else "no query is recorded"
    made.add("query_lengths", figure, more=more)

    for number, method in enumerate(m for m in methods if m.arm == "PLASM"):
        figure = curves.pseudo_labels(setting, method)
        made.add("pseudo_labels", figure, number, label=method.label, more=bands([method]))
    for number, (method, stops) in enumerate(stopped):
        without = "no criterion would have ended a run" if stops.cycle.isna().all() else ""
        figure = without or curves.stopping_points(setting, method, stops)
        made.add("stopping", figure, number, label=method.label)
    return made


def _curves(setting: Setting, made: Pictures) -> None:
    scored = [method for method in setting.methods if not setting.scores(method).empty]
    arms = {method.arm for method in scored}
    on_labels = TEXTS["curve_labels"]["paid" if "random" in arms else "alone"]
    on_seconds = TEXTS["curve_seconds"]["caption"]
    on_seconds += TEXTS["curve_seconds"]["random"] if "random" in arms else ""
    more = (TEXTS["thin"] if arms & {"ASM", "PLASM"} else "") + bands(scored)
    for axis, kind, caption, reason in (
        ("labelled", "curve_labels", on_labels, ""),
        ("words", "curve_words", on_labels, ""),
        ("seconds/cumulative", "curve_seconds", on_seconds, _idle(setting)),
    ):
        for number, panel, methods in _numbered(scored):
            several = any(setting.scores(method).shape[1] > 1 for method in methods)
            without = reason if several else "no method was evaluated at more than one budget"
            figure = without or curves.learning_curves(setting, axis, methods)
            made.add(kind, figure, number, panel=panel, caption=caption, more=more)


def bands(methods: Sequence[Method]) -> str:
    """What the shading is, where there is any."""
    shown = any(len(method.runs) >= FEW for method in methods)
    return str(CAPTIONS["bands"]).format(few=FEW) if shown else ""


def _idle(setting: Setting) -> str:
    """Why there are no seconds to show."""
    selecting = setting.acquirers()
    if not selecting:
        return "no model selects, so there is nothing to wait for"
    timed = any(setting.values(method, "seconds/iteration").size for method in selecting)
    return "" if timed else UNTIMED


def _numbered(methods: list[Method]) -> list[tuple[int | None, str, list[Method]]]:
    """(number, None of a single one; title; methods) of each panel."""
    return [(i if panel else None, panel, group) for i, (panel, group) in enumerate(_panels(methods).items())]


def _panels(methods: list[Method]) -> dict[str, list[Method]]:
    """By what to add to the title: a panel for each successor, then for each model that selects, where one is crowded.

    What has none of them, such as random examples, stands in every panel for comparison.
    """
    panels = {"": methods}
    for part, verb in (("successor", "is trained"), ("acquisition", "selects")):
        for title, group in list(panels.items()):
            names = [name for name in dict.fromkeys(m.about[part] for m in group) if name is not None]
            if len(group) > CROWDED and len(names) > 1:
                del panels[title]
                for name in names:
                    members = [m for m in group if m.about[part] in (name, None)]
                    panels[f"{title}{',' if title else ':'} {name} {verb}"] = members
    return panels
