"""Tables of the page: what stands in a cell and by what it is sorted, and a table for each question."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.measures import Sample
from al_bench.analysis.statistics import FEW, mean_interval, penalty_matrix
from al_bench.analysis.stopping import CRITERIA
from al_bench.analysis.words import interval, number, percent, sentence, spans_of
from al_bench.costs import duration
from al_bench.report.figures.costs import spent_by
from al_bench.report.figures.style import looks
from al_bench.report.pictures import captions
from al_bench.report.svg import css_color
from al_bench.report.texts import evenly, overlaps

BUDGETS = 5  # columns at most
WHAT = ("data set", "method", "kind", "acquisition", "strategy", "subsampling", "successor", "pseudo-labels", "seeds",
        "labelled examples")  # fmt: skip
ENDED = ("at the end", "mean of the curve", "s per iteration", "time of all iterations and last successor")
STOPS = (
    "method",
    "criterion",
    "stop set",
    "stops",
    "examples there",
    "saved",
    "score there",
    "against the last cycle",
)
# By head: a metric over the cycles that query, and how it is written.
ITERATIONS = {
    "s per iteration": "seconds/iteration", "training": "seconds/train", "scoring": "seconds/predict",
    "one-off s": "seconds/one_off", "examples scored per query": "scored",
    "sub-words scored per s": "cost/scored_tokens",
    "speed-up if scoring were free": "amdahl",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """sort: a number, or text where the cell holds words; key: a colour before it, as in the figures"""

    text: str
    sort: float | str
    strong: bool = False
    key: str = ""


@dataclass(frozen=True)
class Table:
    """heads: of the columns; caption: what is in it, and how to read it"""

    heads: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""


def word(text: object, key: str = "") -> Cell:
    return Cell(str(text), str(text).lower(), key=key)


def named(setting: Setting, method: Method, text: str) -> Cell:
    """After the colour that the method has in the figures."""
    return word(text, css_color(looks(setting)[method.label].color))


def amount(value: float, text: str) -> Cell:
    """A number as it is written; what is missing is a dash, and sorts last."""
    return Cell("–", math.inf) if math.isnan(value) else Cell(text, value)


def estimate(
    values: Sample | np.ndarray, digits: int = 1, *, scale: float = 1.0, strong: bool = False, **more: Any
) -> Cell:
    """Mean and half the width of the interval, of values times `scale`."""
    array = values.array if isinstance(values, Sample) else values
    if not len(array):
        return Cell("–", math.inf)
    mean = mean_interval(scale * array)
    return Cell(interval(mean, digits, **more), mean.mean, strong)


def numeric_columns(table: Table) -> list[bool]:
    """Which columns are to be set to the right."""
    cells = range(len(table.heads))
    return [all(not isinstance(row[i].sort, str) for row in table.rows) for i in cells]


def what_was_run(settings: Sequence[Setting]) -> Table:
    rows = []
    for setting in settings:
        for method in setting.methods:
            labelled, about = setting.values(method, "labelled").mean(axis=0), method.about
            parts = about[["acquisition", "strategy", "subsampling", "successor", "pseudo_labeling"]]
            last = number(labelled.iloc[-1], 0)
            span = f"{number(labelled.iloc[0], 0)} to {last}" if len(labelled) > 1 else last
            cells = [*map(word, (setting.title, method.label, method.arm))]
            cells += [word("–" if part in (None, "none") else part) for part in parts]
            cells += [
                amount(len(method.runs), spans_of(list(map(str, method.seeds)))),
                amount(labelled.iloc[-1], span),
            ]
            rows.append(cells)
    return Table(WHAT, rows, captions()["tables"]["what"])


def score_table(setting: Setting, best: Method | None) -> Table:
    """Scores in percent at some budgets, area under the curve, and what was spent. best: the one that is bold"""
    measures, cycles, rows = setting.measures, shown_cycles(setting), []
    heads = ["method", "seeds", *(budget_head(setting, cycle) for cycle in cycles), *ENDED]
    for method in setting.methods:
        score, final = setting.score(method), setting.end(method)[1]
        if final.empty:
            continue
        ended, runs, total = len(final), len(method.runs), float(spent_by(setting, method).mean())
        at_cycles = [measures.sample(method.runs, score, cycle) for cycle in cycles]
        iteration = setting.iterations(method, {"": "seconds/iteration"})[""] if method.selects else np.empty(0)
        rows.append([
            named(setting, method, method.label),
            amount(ended, str(runs) if ended == runs else f"{ended} of {runs}"),
            *(estimate(at if method.arm != "ceiling" else np.empty(0), scale=100) for at in at_cycles),
            estimate(final.to_numpy(), strong=method is best),
            estimate(measures.sample(method.runs, score, "aulc"), scale=100),
            estimate(iteration),
            amount(total, duration(total)),
        ])  # fmt: skip
    return Table(heads, rows, _caption(setting, best))


def _caption(setting: Setting, best: Method | None) -> str:
    texts = captions()["tables"]
    intervals = texts["intervals"].format(few=FEW) if any(len(m.runs) >= FEW for m in setting.methods) else ""
    score = "F1 of spans" if setting.metric == "f1" else sentence(setting.metric)
    bold = texts["bold"] if best else texts["not_bold"] if len(setting.methods) > 1 else ""
    return str(texts["scores"].format(score=score, intervals=intervals, bold=bold)).removesuffix(" .")


def shown_cycles(setting: Setting) -> list[int]:
    """Budgets before the last one, evenly spaced; none where methods label by different schedules."""
    curves = [method for method in setting.methods if method.arm != "ceiling"]
    if len({method.parts["schedule"] for method in curves}) != 1:
        return []
    cycles = sorted({c for method in curves for c in setting.scores(method).columns})
    return [cycles[i] for i in evenly(len(cycles), BUDGETS)][:-1]


def budget_head(setting: Setting, cycle: int) -> str:
    methods = [method for method in setting.methods if method.arm != "ceiling"]
    unit = "words" if methods[0].about.unit == "words" else "labelled"
    mean = max(setting.values(m, unit).mean(axis=0).get(cycle, 0.0) for m in methods)
    return f"{number(mean, 0)} {'words' if unit == 'words' else 'labels'}"


def penalty_table(setting: Setting) -> Table | None:
    """Who beats whom, of three or more methods on the same budgets with two seeds in common; else None."""
    methods = [m for m in setting.methods if m.arm != "ceiling" and not setting.scores(m).empty]
    if len(methods) < 3 or len({method.parts["schedule"] for method in methods}) > 1:
        return None
    scores = [setting.scores(method) for method in methods]
    # Before the first query all learn from the same seed set, most often in the same fit, and nobody can beat anybody.
    cycles = sorted({cycle for table in scores for cycle in table.columns} - {0})
    seeds = sorted({seed for table in scores for seed in table.index})
    arrays = [table.reindex(index=seeds, columns=cycles).to_numpy().T for table in scores]
    shares = penalty_matrix(np.stack(arrays))
    np.fill_diagonal(shares, np.nan)
    if np.isnan(shares).all():
        return None
    if not np.nanmax(shares):
        return Table((), [], captions()["tables"]["no_penalties"])

    def mean(values: np.ndarray) -> float:
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else math.nan

    rows = [
        [
            named(setting, method, f"{i + 1}. {method.label}"),
            *(amount(share, percent(share)) for share in (*shares[i], mean(shares[i]), mean(shares[:, i]))),
        ]
        for i, method in enumerate(methods)
    ]
    numbers = [str(i + 1) for i in range(len(methods))]
    return Table(["who beats whom", *numbers, "beats", "is beaten"], rows, captions()["tables"]["penalties"])


def stopping_table(setting: Setting, stopped: Sequence[tuple[Method, pd.DataFrame]]) -> Table:
    """stopped: methods, each with what `stopping.stops` gives for it"""
    rows = []
    for method, stops in stopped:
        for criterion in CRITERIA:
            of_all = stops[stops.criterion == criterion.name]
            ended = of_all.dropna(subset="cycle")
            if ended.empty:
                continue
            labels, saved = ended.labelled.mean(), 1 - (ended.labelled / ended.all_labelled).mean()
            known = ended.dropna(subset=["score", "last"])
            rows.append([
                named(setting, method, method.label),
                word(criterion.name),
                word(" and ".join(sorted(set(ended.split))) or "–"),
                amount(len(ended) / len(of_all), f"{len(ended)} of {len(of_all)}"),
                amount(labels, number(labels, 0)),
                amount(saved, percent(saved)),
                estimate(known.score.to_numpy(), scale=100),
                estimate((known.score - known["last"]).to_numpy(), scale=100, sign=True),
            ])  # fmt: skip
    return Table(STOPS, rows, captions()["tables"]["stops" if rows else "no_stops"])


def iteration_table(setting: Setting) -> Table:
    """Mean seconds of an iteration by selection, what of it is scoring, and how fast that is."""
    rows = []
    for method in setting.acquirers():
        samples = setting.iterations(method, ITERATIONS)
        if len(samples["s per iteration"]) and samples["s per iteration"].mean() > 0:
            rows.append([named(setting, method, method.selection), *_iteration_cells(samples)])
    return Table(("selection", *ITERATIONS), rows, captions()["tables"]["iterations"])


def _iteration_cells(samples: Mapping[str, np.ndarray]) -> list[Cell]:
    means = {head: float(values.mean()) if len(values) else math.nan for head, values in samples.items()}
    whole, scoring = means["s per iteration"], means["scoring"]
    shares = [means[head] / whole for head in ("training", "scoring")]
    pace = means["sub-words scored per s"] / scoring if scoring else math.nan
    return [
        estimate(samples["s per iteration"]),
        *(amount(share, percent(share)) for share in shares),
        estimate(samples["one-off s"]),
        *(amount(value, number(value, 0)) for value in (means["examples scored per query"], pace)),
        amount(means["speed-up if scoring were free"], f"{number(means['speed-up if scoring were free'], 2)}×"),
    ]


def overlap_table(setting: Setting) -> Table:
    methods, shares = overlaps(setting)
    rows = [
        [*map(word, (methods[i].selection, methods[j].selection)), estimate(one, 2), amount(len(one), str(len(one)))]
        for (i, j), one in shares.items()
    ]
    return Table(("selection", "and", "overlap", "seeds"), rows, captions()["tables"]["overlap"])
