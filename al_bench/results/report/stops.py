"""The table of stopping criteria: where each would have ended a method's runs, and what that would have cost."""

import pandas as pd

from al_bench.results.figures.style import looks
from al_bench.results.report.svg import css_color
from al_bench.results.report.table import Cell, Table, amount, estimate, word
from al_bench.results.settings import Method, Setting
from al_bench.results.statistics import mean_interval
from al_bench.results.stopping import CRITERIA
from al_bench.results.words import number, percent


def stopping_table(setting: Setting, found: list[tuple[Method, pd.DataFrame]]) -> Table:
    """found: methods, each with what `stopping.stops` gives for it"""
    heads = [
        "method",
        "criterion",
        "stops",
        "examples there",
        "saved",
        "score there",
        "against the last cycle",
    ]
    colors, rows = looks(setting), []
    for method, stops in found:
        for criterion in CRITERIA:
            mine = stops[stops.criterion == criterion.name]
            stopped = mine.dropna(subset="cycle")
            if not stopped.empty:
                name = word(method.label, css_color(colors[method.label].color))
                share = amount(len(stopped) / len(mine), f"{len(stopped)} of {len(mine)}")
                rows.append([name, word(criterion.name), share, *_there(stopped)])
    if not rows:
        return Table([], [], "No criterion would have ended any run.")
    caption = (
        "Means over the seeds that a criterion stops, of labelled examples, in the last cycle at the latest; "
    )
    caption += (
        "scores in %, differences in points. Where a criterion is not listed it would have ended no run."
    )
    return Table(heads, rows, caption)


def _there(stopped: pd.DataFrame) -> list[Cell]:
    labels, saved = stopped.labelled.mean(), 1 - (stopped.labelled / stopped.all_labelled).mean()
    known = stopped.dropna(subset=["score", "last"])
    there = mean_interval(100 * known.score) if len(known) else None
    against = mean_interval(100 * (known.score - known["last"])) if len(known) else None
    return [
        amount(labels, number(labels, 0)),
        amount(saved, percent(saved)),
        estimate(there),
        estimate(against, sign=True),
    ]
