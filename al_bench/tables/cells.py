"""What one cell of a table shows: a number with its interval, or a word in its place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from al_bench.analysis import statistics
from al_bench.analysis.contrasts import Contrast, Contrasts, contrast, in_family
from al_bench.analysis.measures import Measures, Paired, Sample
from al_bench.analysis.statistics import Censored, Estimate, mean_interval
from al_bench.analysis.words import number
from al_bench.data.metrics import is_shipped
from al_bench.learners.metrics import lower_is_better
from al_bench.tables.specs import Column, Spec

SHARES = ("acquisition/", "successor/", "baseline/", "pseudo/", "oracle/")
COUNTS = ("baseline/examples", "pseudo/examples", "pseudo/kept", "oracle/asked", "oracle/answered")
ERRORS = ("ece", "wrong", "abstained")
Key = tuple[Any, ...]  # a row's values of the spec's row columns; None: its runs do not use the thing
STAR, UNTESTABLE = "*", "†"
MISSING = "–"
REFERENCE = "reference"  # what the other rows are compared with


@dataclass(frozen=True)
class Unit:
    """How a metric is shown: times `scale`, then `suffix`; decimals: None means three digits.

    lower_is_better: None where nobody knows, so that none is the best
    """

    scale: float = 1.0
    suffix: str = ""
    decimals: int | None = None
    lower_is_better: bool | None = False


RATIO = Unit(suffix="×", decimals=2)
PERCENT = Unit(scale=100.0, suffix=" %", decimals=0)
BUDGET = Unit(decimals=0)
BRACKET = "‡"
AT_MONEY = ("at_money", "gain_at_money")


@dataclass(frozen=True)
class Source:
    """A column of values in one row: a cell, and what other columns are made of.

    metric: as in MLflow; at: where on the curve; wanted: the columns of the runs that belong here
    """

    sample: Sample
    metric: str
    at: str | int
    wanted: Mapping[str, Any]

    @property
    def paid(self) -> bool:
        return self.metric.startswith("money/")

    def same_as(self, other: "Source") -> bool:
        """Whether both are the same numbers, so that nothing is compared."""
        return (self.sample.runs, self.metric, self.at) == (other.sample.runs, other.metric, other.at)


@dataclass(frozen=True)
class Layout:
    """
    columns: by head, those spread out that a spec only describes
    competing: heads of those of which the best is bold
    keys: of the rows, in order; sources: of each row, its columns of values by head
    """

    spec: Spec
    measures: Measures
    columns: dict[str, Column]
    competing: list[str]
    keys: list[Key]
    sources: list[dict[str, Source]]

    def has_bracket(self, row: int, head: str) -> bool:
        """Whether a cell is of, or made of, runs that are no way to select."""
        runs = [run for source in self.parts(head)[row] for run in source.sample.runs.values()]
        return bool(self.measures.runs.bracket[runs].any())

    def parts(self, head: str) -> list[list[Source]]:
        """By row, what a column shows or is made of."""
        return [[sources[one] for one in self.columns[head].of or [head]] for sources in self.sources]


@dataclass(frozen=True)
class Cell:
    """
    show: what kind of column it is in
    estimate: in the unit shown; None where `word` stands instead
    seeds: whose runs it is of
    p: of a difference, adjusted over its family of `tests`; of an equivalence, as it is; else nan
    marks: signs behind the number; notes: which of the table's notes are about it, counted from 0
    untested: of a difference, before it is tested in its family
    """

    show: str
    unit: Unit
    estimate: Estimate | None = None
    seeds: tuple[int, ...] = ()
    word: str = ""
    p: float = math.nan
    tests: int = 0
    marks: str = ""
    bold: bool = False
    notes: tuple[int, ...] = ()
    untested: Contrast | None = field(default=None, compare=False, repr=False)


def unit_of(metric: str) -> Unit:
    if metric.startswith("seconds/"):
        return Unit(suffix=" s", lower_is_better=True)
    if metric.startswith("money/"):
        return Unit(decimals=2, lower_is_better=True)
    if metric == "amdahl":
        return RATIO
    role, _, name = metric.partition("/")
    if role in ("acquisition", "successor") and not is_shipped(name):
        return Unit(lower_is_better=lower_is_better(name))
    if metric.startswith(SHARES) and metric not in COUNTS:
        return Unit(100.0, decimals=2, lower_is_better=metric.endswith(ERRORS))
    return Unit(decimals=0, lower_is_better=metric.startswith("cost/"))


def filled(layout: Layout, head: str, contrasts: Contrasts) -> list[Cell]:
    """A column of cells; p-values are over all of its differences that belong to no question's family.

    What has a bracket in it is marked, and not tested.
    """
    column, test = layout.columns[head], layout.spec.test
    cells = [_cell(column, sources, contrasts, test) for sources in layout.parts(head)]
    cells = [_as_bound(cell) if layout.has_bracket(row, head) else cell for row, cell in enumerate(cells)]
    return _tested_together(cells, test)


def _as_bound(cell: Cell) -> Cell:
    return replace(cell, p=math.nan, tests=0, marks=BRACKET if cell.estimate else "", untested=None)


def _cell(column: Column, sources: Sequence[Source], contrasts: Contrasts, test: str) -> Cell:
    """Of a value, or made of others from the seeds that they have in common."""
    measures, first, show = contrasts.measures, sources[0], column.show
    unit, seeds = unit_of(first.metric), tuple(first.sample.values)
    if any(not source.sample.values for source in sources):
        return Cell(show, unit, word="mixed" if show == "value" and first.sample.unlike else MISSING)
    if show == "value":
        return Cell(show, unit, mean_interval(unit.scale * first.sample.array), seeds)
    if first.same_as(sources[1]):
        return Cell(show, unit, word=REFERENCE)
    if show == "labels_to":
        assert column.share is not None
        target = column.share * float(sources[1].sample.array.mean())
        curves = [measures.curve(run, first.metric) for run in first.sample.runs.values()]
        return _of_censored(show, BUDGET, [statistics.labels_to_reach(*curve, target) for curve in curves], seeds)
    if show in AT_MONEY:
        return _at_money(column, sources, measures, test)
    pairs = paired_values(sources, measures)
    if not pairs.seeds:
        alone = any(set(seeds) & set(source.sample.values) for source in sources[1:])
        return Cell(show, unit, word="other machines" if alone and unit.suffix == " s" else "no common seed")
    if show == "speed_up":
        curves_of = [[measures.curve(one.sample.runs[s], one.metric) for one in sources] for s in pairs.seeds]
        factors = [statistics.speed_up(random, method, random[1][-1]) for random, method in curves_of]
        return _of_censored(show, RATIO, factors, pairs.seeds)
    cell = _compared(column, unit, pairs, test)
    family = _question(pairs, sources, contrasts, test) if show == "difference" else None
    return _tested(cell, family, test) if family else cell


def _at_money(column: Column, sources: Sequence[Source], measures: Measures, test: str) -> Cell:
    """Scores at the most money that the two runs of a seed both spend, in one currency."""
    unit, show, shared = unit_of(sources[0].metric), column.show, {}
    for seed in sources[0].sample.values:
        runs = [one.sample.runs[seed] for one in sources if seed in one.sample.runs]
        curves = [measures.money_curve(run, one.metric) for run, one in zip(runs, sources, strict=False)]
        if len(runs) == 2 and len({measures.currency(run) for run in runs}) == 1:
            shared[seed] = statistics.at_equal_cost(*curves)
    known = {seed: pair for seed, pair in shared.items() if pair is not None}
    if not known:
        return Cell(show, unit, word="no common money" if shared else MISSING)
    a, b = (np.array(side) for side in zip(*known.values(), strict=True))
    if show == "at_money":
        return Cell(show, unit, mean_interval(unit.scale * a), tuple(known))
    one = contrast(Paired(tuple(known), (a, b)), test, unit.scale)
    return Cell(show, unit, one.difference, tuple(known), untested=one)


def paired_values(sources: Sequence[Source], measures: Measures) -> Paired:
    first, samples = sources[0], [one.sample for one in sources]
    if all((one.metric, one.at) == (first.metric, first.at) for one in sources):
        return measures.together(samples, first.metric, first.at)
    seeds = tuple(s for s in first.sample.values if all(s in one.values for one in samples))
    return Paired(seeds, tuple(one.of(seeds) for one in samples))


def _compared(column: Column, unit: Unit, pairs: Paired, test: str) -> Cell:
    """A cell of paired values. A difference keeps its contrast: it has no p-value before its family is known."""
    show, arrays = column.show, [unit.scale * array for array in pairs.arrays]
    if show == "gap_closed":
        _, share = statistics.gap_closed(*arrays)
        if share is None:
            return Cell(show, PERCENT, word="no gap", seeds=pairs.seeds)
        mean, low, high = (PERCENT.scale * end for end in (share.mean, share.low, share.high))
        return Cell(show, PERCENT, Estimate(mean, math.nan, low, high, share.n), pairs.seeds)
    if show == "ratio":
        if any((array <= 0).any() for array in arrays):
            return Cell(show, RATIO, word=MISSING, seeds=pairs.seeds)
        return Cell(show, RATIO, statistics.geometric(arrays[0] / arrays[1]), pairs.seeds)
    one = contrast(pairs, test, unit.scale)
    if show == "difference":
        return Cell(show, unit, one.difference, pairs.seeds, untested=one)
    assert column.margin is not None
    (p, within), marks = statistics.tost(one.a, one.b, column.margin), " ≡" if one.equivalent(column.margin) else ""
    return Cell(show, unit, within, pairs.seeds, p=p, marks=marks)


def _of_censored(show: str, unit: Unit, values: Sequence[Censored], seeds: tuple[int, ...]) -> Cell:
    """A mean where every seed's number is known; else the median, or its bound, and how many are known."""
    known = [one.low for one in values if one.exact]
    if len(known) == len(values):
        return Cell(show, unit, statistics.geometric(known) if unit is RATIO else mean_interval(known), seeds)
    middle = statistics.censored_median(values)
    low, high = (number(end, unit.decimals or 0) for end in (middle.low, middle.high))
    if middle.exact:
        word = f"median {low}"
    elif middle.low > 0:
        word = f"{low} to {high}" if np.isfinite(middle.high) else f"> {low}"
    else:
        word = f"≤ {high}" if np.isfinite(middle.high) else "unknown"
    return Cell(show, unit, word=f"{word}{unit.suffix} ({len(known)} of {len(values)})", seeds=seeds)


def _question(pairs: Paired, sources: Sequence[Source], contrasts: Contrasts, test: str) -> Contrast | None:
    """The contrast that answers one of the report's questions, where a difference is one."""
    first, second = sources
    if not first.metric.startswith("successor/") or second.at != first.at:
        return None
    methods = contrasts.measures.runs.method
    keys = [set(methods[list(source.sample.runs.values())]) for source in sources]
    return contrasts.between(pairs.seeds, set.union(*keys), first.at, test) if list(map(len, keys)) == [1, 1] else None


def _tested(cell: Cell, one: Contrast, test: str) -> Cell:
    """A difference with the p-value of its family, and the mark that the report would put into words."""
    if np.isnan(one.p):
        return replace(cell, untested=None)
    hopeless = test == "wilcoxon" and one.verdict in ("untestable", "few")
    marks = STAR if one.verdict in ("more", "less") else UNTESTABLE if hopeless else ""
    return replace(cell, p=one.p, tests=one.tests, marks=marks, untested=None)


def _tested_together(cells: Sequence[Cell], test: str) -> list[Cell]:
    """The cells, those untested as one family."""
    family = iter(in_family([cell.untested for cell in cells if cell.untested], test))
    return [_tested(cell, next(family), test) if cell.untested else cell for cell in cells]


def pooled(layout: Layout, grid: Mapping[str, Sequence[Cell]]) -> dict[str, Cell]:
    """By head, what the pairs of all rows say together; its seeds are none, since each stands there once a row."""
    made: dict[str, Cell] = {}
    for head, column in layout.columns.items():
        if column.show in ("difference", "equivalence"):
            rows = [
                sources
                for row, sources in enumerate(layout.parts(head))
                if not (sources[0].same_as(sources[1]) or layout.has_bracket(row, head))
            ]
            pairs = [one for one in (paired_values(row, layout.measures) for row in rows) if one.seeds]
            if len(pairs) > 1:
                arrays = tuple(np.concatenate(side) for side in zip(*(one.arrays for one in pairs), strict=True))
                made[head] = _compared(column, grid[head][0].unit, Paired((), arrays), layout.spec.test)
    return dict(zip(made, _tested_together(list(made.values()), layout.spec.test), strict=True))
