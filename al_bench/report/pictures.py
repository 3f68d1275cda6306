"""All figures of a setting, with what to see in them; what cannot be drawn says why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import gains
from al_bench.analysis.statistics import FEW
from al_bench.report.figures import comparisons, costs, curves
from al_bench.report.texts import mean_lengths

CROWDED = 8  # methods: more of them get several panels


@cache
def captions() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8"))
    return content


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
        self, kind: str, draw: Callable[[], Figure], without: str = "", *,
        name: str = "", panel: str = "", caption: str | None = None, more: str = "", **phrases: Any,
    ) -> None:  # fmt: skip
        """kind: of `captions`; without: why the figure cannot be, empty where it can; panel: added to the title"""
        texts = captions()["figures"][kind]
        title = texts["title"].format(**phrases) + panel
        if without:
            self.omitted.append((title, without))
            return
        caption = texts["caption"].format(**phrases) if caption is None else caption
        self.drawn.append(Picture(name or kind, title, caption + more, draw()))


def pictures(setting: Setting, stopped: list[tuple[Method, pd.DataFrame]]) -> Pictures:
    """stopped: methods, each with what `stopping.stops` gives for it"""
    made = Pictures()
    _curves(setting, made)
    _spending(setting, made)
    _selections(setting, made)
    for number, method in enumerate(m for m in setting.methods if m.arm == "PLASM"):
        draw = partial(curves.pseudo_labels, setting, method)
        made.add("pseudo_labels", draw, name=f"pseudo_labels_{number}", label=method.label, more=bands([method]))
    for number, (method, stops) in enumerate(stopped):
        without = "no criterion would have ended a run" if stops.cycle.isna().all() else ""
        draw = partial(curves.stopping_points, setting, method, stops)
        made.add("stopping", draw, without, name=f"stopping_{number}", label=method.label)
    return made


def bands(methods: Sequence[Method]) -> str:
    """What the shading is, where there is any."""
    shown = any(len(method.runs) >= FEW for method in methods)
    return captions()["bands"].format(few=FEW) if shown else ""


def _curves(setting: Setting, made: Pictures) -> None:
    scored = [method for method in setting.methods if not setting.scores(method).empty]
    arms, texts = {method.arm for method in scored}, captions()["figures"]
    on_labels = texts["curve_labels"]["paid" if "random" in arms else "alone"]
    on_seconds = texts["curve_seconds"]["caption"] + (texts["curve_seconds"]["random"] if "random" in arms else "")
    more = (texts["thin"] if arms & {"ASM", "PLASM"} else "") + bands(scored)
    for axis, kind, caption, reason in (
        ("labelled", "curve_labels", on_labels, ""),
        ("words", "curve_words", on_labels, ""),
        ("seconds/cumulative", "curve_seconds", on_seconds, _idle(setting)),
    ):
        for number, (panel, methods) in enumerate(_panels(scored).items()):
            several = any(setting.scores(method).shape[1] > 1 for method in methods)
            without = reason if several else "no method was evaluated at more than one budget"
            draw = partial(curves.learning_curves, setting, axis, methods)
            name = f"{kind}_{number}" if panel else kind
            made.add(kind, draw, without, name=name, panel=panel, caption=caption, more=more)


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
            names = [name for name in dict.fromkeys(m.about[part] for m in group) if name is not None]
            if len(group) > CROWDED and len(names) > 1:
                del panels[title]
                for name in names:
                    members = [m for m in group if m.about[part] in (name, None)]
                    panels[f"{title}{',' if title else ':'} {name} {verb}"] = members
    return panels


def _spending(setting: Setting, made: Pictures) -> None:
    selecting = len(setting.acquirers())
    first = captions()["figures"]["seconds_by_phase"]["first"].format(most=costs.MOST, all=selecting)
    draw = partial(costs.phase_seconds, setting)
    made.add("seconds_by_phase", draw, _idle(setting), more=first if selecting > costs.MOST else "")
    scored = [method for method in setting.methods if not setting.end(method)[1].empty]
    for number, (panel, methods) in enumerate(_panels(scored).items()):
        several = sum(method.arm != "ceiling" for method in methods) > 1
        kind = "score_against_seconds"
        draw = partial(costs.score_against_seconds, setting, methods)
        without = "" if several else "it takes two methods"
        made.add(kind, draw, without, name=f"{kind}_{number}" if panel else kind, panel=panel, few=FEW)


def _selections(setting: Setting, made: Pictures) -> None:
    points = gains(setting)
    enough = any(len({key[i] for key in points}) > 1 for i in (0, 1))
    without = "" if enough else "it takes two selections, or two successors, with a random run beside them"
    made.add("gains", partial(comparisons.heat_map, points), without)
    lengths = mean_lengths(setting)
    has_random = any(method.arm == "random" for method in setting.methods)
    more = (captions()["figures"]["query_lengths"]["random"] if has_random else "") + bands(setting.methods)
    known = any(not np.isnan(values).all() for values in lengths.values())
    draw = partial(comparisons.query_lengths, setting, lengths)
    made.add("query_lengths", draw, "" if known else "no query is recorded", more=more)
