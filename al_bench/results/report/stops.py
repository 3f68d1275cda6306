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
    if all(stops.cycle.isna().all() for _, stops in found):
        return Table([], [], "No criterion would have ended any run.")
    heads = ["method", "criterion", "stops", "labels there", "saved", "score there", "against the last cycle"]
    colors, rows = looks(setting), []
    for method, stops in found:
        for criterion in CRITERIA:
            mine = stops[stops.criterion == criterion.name]
            stopped = mine.dropna(subset="cycle")
            # Stopping in the last cycle saves nothing, but it is a stop.
            start = [
                word(method.label, css_color(colors[method.label].color)),
                word(criterion.name),
                amount(len(stopped) / max(len(mine), 1), f"{len(stopped)} of {len(mine)}"),
            ]
            rows.append([*start, *_there(stopped)])
    return Table(
        heads, rows, "Means over the seeds that a criterion stops; scores in %, differences in points."
    )


def _there(stopped: pd.DataFrame) -> list[Cell]:
    if stopped.empty:
        return [Cell("–", float("inf"))] * 4
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
