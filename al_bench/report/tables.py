"""Tables of the page: what stands in a cell and by what it is sorted, and a table for each question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from al_bench.analysis.comparisons import acquirers, ends, pair
from al_bench.analysis.queries import evenly, overlaps
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.spending import iteration, spent_by
from al_bench.analysis.statistics import Estimate, aulc, mean_interval, paired, penalty_matrix
from al_bench.analysis.stopping import CRITERIA
from al_bench.analysis.words import FEW, interval, number, percent, sentence, spans_of
from al_bench.costs import duration
from al_bench.report.figures.style import looks
from al_bench.report.svg import css_color

BUDGETS = 5  # columns at most
WHAT = ("data set", "method", "kind", "acquisition", "strategy", "subsampling", "successor", "pseudo-labels", "seeds",
        "labelled examples")  # fmt: skip
ENDED = ("at the end", "mean of the curve", "s per iteration", "time of all iterations and last successor")
STOPS = ("method", "criterion", "stops", "examples there", "saved", "score there", "against the last cycle")
ITERATIONS = ("selection", "s per iteration", "training", "scoring", "rest", "examples scored per query",
              "sub-words scored per s", "speed-up if scoring were free")  # fmt: skip
STOPS_CAPTION = """Means over the seeds that a criterion stops, of labelled examples; scores in %, differences in
points. A criterion that is not listed would have ended no run."""
ITERATIONS_CAPTION = """Means over the cycles that query, and over seeds; evaluation is timed apart. The last column is
Amdahl’s bound on what scoring fewer examples can bring."""
OVERLAP_CAPTION = (
    "Jaccard overlap of all that was queried with the same seed: 1 is the same examples, 0 none in common."
)
PENALTIES_CAPTION = """In which share of the budgets after the first query the method of the row beats that of the
column, by a paired t test at 5 % (Ash et al. 2020, who sum this over data sets), and the means of that. Nothing is
corrected for the many tests: one pair in forty differs by chance."""


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


def estimate(found: Estimate | None, digits: int = 1, *, strong: bool = False, sign: bool = False) -> Cell:
    if found is None or math.isnan(found.mean):
        return Cell("–", math.inf)
    return Cell(interval(found, digits, sign=sign), found.mean, strong)


def numeric_columns(table: Table) -> list[bool]:
    """Which columns are to be set to the right."""
    cells = range(len(table.heads))
    return [all(not isinstance(row[i].sort, str) for row in table.rows) for i in cells]


def what_was_run(settings: Sequence[Setting]) -> Table:
    rows = []
    for setting in settings:
        for method in setting.methods:
            labelled, about = setting.values(method, "labelled").mean(axis=0), method.about
            parts = (
                about[part]
                for part in ("acquisition", "strategy", "subsampling", "successor", "pseudo_labeling")
            )
            last = number(labelled.iloc[-1], 0)
            span = f"{number(labelled.iloc[0], 0)} to {last}" if len(labelled) > 1 else last
            rows.append(
                [
                    *map(word, (setting.title, method.label, method.arm)),
                    *(word("–" if pd.isna(part) or part == "none" else part) for part in parts),
                    amount(len(method.runs), spans_of(method.repeats)),
                    amount(labelled.iloc[-1], span),
                ]
            )
    return Table(WHAT, rows, "A method is a set of runs that differ by seeds only.")


def score_table(setting: Setting) -> Table:
    """Scores in percent at some budgets, area under the curve, and what was spent."""
    cycles, best, rows = shown_cycles(setting), clearly_best(setting), []
    heads = ["method", "seeds", *(budget_head(setting, cycle) for cycle in cycles), *ENDED]
    for method in setting.methods:
        scores, (_, final) = 100 * setting.scores(method), ends(setting, method)
        if final.empty:
            continue
        ended, runs = len(final), len(method.runs)
        one, total = iteration(setting, method), float(spent_by(setting, method).mean())
        rows.append(
            [
                named(setting, method, method.label),
                amount(ended, str(runs) if ended == runs else f"{ended} of {runs}"),
                *(estimate(_at(scores, method, cycle)) for cycle in cycles),
                estimate(mean_interval(final), strong=method is best),
                estimate(_area(setting, method, scores)),
                estimate(one.seconds if one is not None and method.selects else None),
                amount(total, duration(total)),
            ]
        )
    return Table(heads, rows, _caption(setting, best))


def _caption(setting: Setting, best: Method | None) -> str:
    score = "F1 of spans" if setting.metric == "f1" else sentence(setting.metric)
    text = f"{score} on the test split in %"
    if max(len(method.runs) for method in setting.methods) >= FEW:
        text += f", mean over seeds; from {FEW} seeds on ± half the width of its 95 % t interval"
    if best is not None:
        return f"{text}. Bold: better than every other method, by paired 95 % t intervals."
    if len(setting.methods) > 1:
        text += ". None is bold, because none is better than every other one by paired 95 % t intervals"
    return f"{text}."


def shown_cycles(setting: Setting) -> list[int]:
    """Budgets before the last one, evenly spaced; none where methods label by different schedules."""
    curves = [method for method in setting.methods if method.arm != "ceiling"]
    if len({method.parts["schedule"] for method in curves}) != 1:
        return []
    cycles = sorted(
        {c for method in curves for c in setting.scores(method).dropna(axis=1, how="all").columns}
    )
    return [cycles[i] for i in evenly(len(cycles), BUDGETS)][:-1]


def budget_head(setting: Setting, cycle: int) -> str:
    method = next(method for method in setting.methods if method.arm != "ceiling")
    unit = "words" if method.about.unit == "words" else "labelled"
    mean = max(
        setting.values(m, unit).mean(axis=0).get(cycle, 0.0) for m in setting.methods if m.arm != "ceiling"
    )
    return f"{number(mean, 0)} {'words' if unit == 'words' else 'labels'}"


def _at(scores: pd.DataFrame, method: Method, cycle: int) -> Estimate | None:
    there = scores[cycle].dropna() if cycle in scores.columns and method.arm != "ceiling" else []
    return mean_interval(there) if len(there) else None


def _area(setting: Setting, method: Method, scores: pd.DataFrame) -> Estimate | None:
    """Over repetitions that were evaluated at every cycle: fewer points make another mean."""
    at = setting.values(method, "words" if method.about.unit == "words" else "labelled")
    whole = scores.reindex(columns=at.columns).dropna()
    if whole.shape[1] < 2 or not len(whole):
        return None
    return mean_interval([aulc(at.loc[repeat], whole.loc[repeat]) for repeat in whole.index])


def clearly_best(setting: Setting) -> Method | None:
    """The method, ceilings aside, that beats every other one by its paired interval."""
    methods = [m for m in setting.methods if m.arm != "ceiling" and not ends(setting, m)[1].empty]
    if len(methods) < 2:
        return None
    best = max(methods, key=lambda method: ends(setting, method)[1].mean())
    for method in methods:
        found = pair(setting, best, method) if method is not best else None
        if method is not best and (found is None or not paired(found.a, found.b).difference.low > 0):
            return None
    return best


def penalty_table(setting: Setting) -> Table | None:
    """Who beats whom, of three or more methods on the same budgets with two seeds in common; else None."""
    methods = [m for m in setting.methods if m.arm != "ceiling" and not setting.scores(m).empty]
    if len(methods) < 3 or len({method.parts["schedule"] for method in methods}) > 1:
        return None
    scores = [setting.scores(method) for method in methods]
    # Before the first query all learn from the same seed set, most often in the same fit, and nobody can beat anybody.
    cycles = sorted({cycle for table in scores for cycle in table.columns} - {0})
    repeats = sorted({repeat for table in scores for repeat in table.index})
    arrays = [table.reindex(index=repeats, columns=cycles).to_numpy().T for table in scores]
    shares = penalty_matrix(np.stack(arrays))
    np.fill_diagonal(shares, np.nan)
    if np.isnan(shares).all():
        return None
    if not np.nanmax(shares):
        return Table((), [], "No method beats another at any budget, by paired t tests at 5 %.")
    rows = [
        [
            named(setting, method, f"{i + 1}. {method.label}"),
            *(amount(share, percent(share)) for share in shares[i]),
            *(amount(mean, percent(mean)) for mean in (_mean(shares[i]), _mean(shares[:, i]))),
        ]
        for i, method in enumerate(methods)
    ]
    numbers = [str(i + 1) for i in range(len(methods))]
    return Table(["who beats whom", *numbers, "beats", "is beaten"], rows, PENALTIES_CAPTION)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def stopping_table(setting: Setting, found: Sequence[tuple[Method, pd.DataFrame]]) -> Table:
    """found: methods, each with what `stopping.stops` gives for it"""
    rows = []
    for method, stops in found:
        for criterion in CRITERIA:
            mine = stops[stops.criterion == criterion.name]
            stopped = mine.dropna(subset="cycle")
            if not stopped.empty:
                share = amount(len(stopped) / len(mine), f"{len(stopped)} of {len(mine)}")
                start = [named(setting, method, method.label), word(criterion.name), share]
                rows.append([*start, *_there(stopped)])
    return Table(STOPS, rows, STOPS_CAPTION if rows else "No criterion would have ended any run.")


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


def iteration_table(setting: Setting) -> Table:
    """Mean seconds of an iteration by selection, what of it is scoring, and how fast that is."""
    found = [
        (method, one) for method in acquirers(setting) if (one := iteration(setting, method)) is not None
    ]
    rows = [
        [
            named(setting, method, method.selection),
            estimate(one.seconds),
            *(amount(share, percent(share)) for share in one.shares.values()),
            amount(one.scored, number(one.scored, 0)),
            amount(one.pace, number(one.pace, 0)),
            amount(one.bound, f"{number(one.bound, 2)}×"),
        ]
        for method, one in found
    ]
    return Table(ITERATIONS, rows, ITERATIONS_CAPTION)


def overlap_table(setting: Setting) -> Table:
    methods, found = overlaps(setting)
    rows = [
        [word(methods[i].selection), word(methods[j].selection), estimate(one, 2), amount(one.n, str(one.n))]
        for (i, j), one in found.items()
    ]
    return Table(("selection", "and", "overlap", "seeds"), rows, OVERLAP_CAPTION)
