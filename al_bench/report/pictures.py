"""All figures of a setting, with what to see in them; what cannot be drawn says why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import gains
from al_bench.analysis.statistics import FEW
from al_bench.report.costs import paid_by, spent_by
from al_bench.report.figures import comparisons, curves
from al_bench.report.figures.curves import axis_label
from al_bench.report.texts import mean_lengths
from al_bench.report.wording import CAPTIONS

CROWDED = 8  # methods: more of them get several panels
UNTIMED = "nobody wrote down what it cost"
SECONDS = "seconds of all iterations and of the last successor"
TEXTS = CAPTIONS["figures"]


@dataclass(frozen=True)
class Picture:
    """name: of a file, and unique in a setting; caption: what to see in it"""

    name: str
    title: str
    caption: str
    figure: Any  # a Figure, or in words why the runs have nothing for it


def picture(
    kind: str, figure: Figure | str, number: int | None = None, panel: str = "", more: str = "", **phrases: Any
) -> Picture:
    """kind: of the captions; number: of several; panel: added to the title; more: to the caption"""
    name = kind if number is None else f"{kind}_{number}"
    title = TEXTS[kind]["title"].format(**phrases) + panel
    caption = (TEXTS[kind].get("caption", "") + more).format(few=FEW, **phrases)
    return Picture(name, title, caption, figure)


def pictures(setting: Setting, stopped: list[tuple[Method, pd.DataFrame]]) -> Iterator[Picture]:
    """In the order of the page; stopped: methods, each with what `stopping.stops` gives for it"""
    methods, selecting = setting.methods, len(setting.acquirers())
    yield from _curves(setting)

    figure = _idle(setting) or comparisons.phase_seconds(setting)
    more = TEXTS["seconds_by_phase"]["first"] if selecting > comparisons.MOST else ""
    yield picture("seconds_by_phase", figure, more=more, most=comparisons.MOST, all=selecting)

    yield from _final_scores(setting)

    points = gains(setting)
    enough = any(len({key[i] for key in points}) > 1 for i in (0, 1))
    without = "" if enough else "it takes two selections, or two successors, with a random run beside them"
    yield picture("gains", without or comparisons.heat_map(points))

    lengths = mean_lengths(setting)
    random = TEXTS["query_lengths"]["random"] if any(method.arm == "random" for method in methods) else ""
    figure = curves.query_lengths(setting, lengths) if lengths else "no query is recorded"
    yield picture("query_lengths", figure, more=random + bands(methods))

    for number, method in enumerate(m for m in methods if m.arm == "PLASM"):
        figure = curves.pseudo_labels(setting, method)
        yield picture("pseudo_labels", figure, number, more=bands([method]), label=method.label)
    for number, (method, stops) in enumerate(stopped):
        without = "no criterion would have ended a run" if stops.cycle.isna().all() else ""
        figure = without or curves.stopping_points(setting, method, stops)
        yield picture("stopping", figure, number, label=method.label)


def _curves(setting: Setting) -> Iterator[Picture]:
    scored = [method for method in setting.methods if not setting.scores(method).empty]
    arms = {method.arm for method in scored}
    on_labels = TEXTS["curve_labels"]["paid" if "random" in arms else "alone"]
    on_seconds = TEXTS["curve_seconds"]["random"] if "random" in arms else ""
    thin = TEXTS["thin"] if arms & {"ASM", "PLASM"} else ""
    paid = [method for method in scored if method.about.priced]
    for axis, kind, more, reason, shown in (
        ("labelled", "curve_labels", on_labels, "", scored),
        ("words", "curve_words", on_labels, "", scored),
        ("seconds/cumulative", "curve_seconds", on_seconds, _idle(setting), scored),
        ("money/total", "curve_money", "", _currencies(setting), paid),
    ):
        for number, (panel, methods) in enumerate(_panels(shown).items() if shown else ()):
            several = any(setting.scores(method).shape[1] > 1 for method in methods)
            without = reason if several else "no method was evaluated at more than one budget"
            figure = without or curves.learning_curves(setting, axis, methods)
            yield picture(kind, figure, number if panel else None, panel, more + thin + bands(shown))


def _final_scores(setting: Setting) -> Iterator[Picture]:
    """Against seconds and, where prices are known, against money."""
    ended = [method for method in setting.methods if not setting.end(method)[1].empty]
    bounds = TEXTS["bounds"] if any(method.bracket for method in ended) else ""
    for number, (panel, group) in enumerate(_panels(ended).items()):
        spent = {method: spent_by(setting, method) for method in group}
        rivals = [method for method in group if method.arm != "ceiling"]
        without = "" if any(len(spent[method]) for method in rivals) else UNTIMED
        without = without if len(rivals) > 1 else "it takes two methods"
        figure = without or comparisons.score_against_cost(setting, spent, SECONDS, labels=False)
        yield picture("score_against_seconds", figure, number if panel else None, panel, bounds)
    paid = [method for method in ended if method.about.priced]
    for number, (panel, group) in enumerate(_panels(paid).items() if paid else ()):
        money = {method: paid_by(setting, method) for method in group}
        without = _currencies(setting) or ("" if len(group) > 1 else "it takes two methods")
        axis = axis_label(setting, "money/total")
        figure = without or comparisons.score_against_cost(setting, money, axis, labels=True)
        yield picture("score_against_money", figure, number if panel else None, panel, bounds)


def _currencies(setting: Setting) -> str:
    """Why money cannot be compared, if so."""
    names = sorted({method.about.currency or "none named" for method in setting.methods if method.about.priced})
    return f"prices are in several currencies ({', '.join(names)})" if names[1:] else ""


def bands(methods: Sequence[Method]) -> str:
    """What the shading is, where there is any."""
    return str(CAPTIONS["bands"]) if any(len(method.runs) >= FEW for method in methods) else ""


def _idle(setting: Setting) -> str:
    """Why there are no seconds to show."""
    selecting = setting.acquirers()
    if not selecting:
        return "no model selects, so there is nothing to wait for"
    timed = any(setting.values(method, "seconds/iteration").size for method in selecting)
    return "" if timed else UNTIMED


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
