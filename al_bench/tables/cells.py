"""What one cell of a table says: a number with its interval, or a word in its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from al_bench.analysis.samples import Measures, Sample
from al_bench.analysis.statistics import (
    Estimate,
    gap_closed,
    geometric,
    labels_to_reach,
    mean_interval,
    paired,
    speed_up,
    tost,
)
from al_bench.tables.rows import Source
from al_bench.tables.specs import Column

SHARES = ("acquisition/", "successor/", "pseudo/")
COUNTS = ("pseudo/examples", "pseudo/kept")
ERRORS = ("ece", "wrong")


@dataclass(frozen=True)
class Unit:
    """How a metric is shown: times `scale`, then `suffix`; decimals: None means three digits."""

    scale: float = 1.0
    suffix: str = ""
    decimals: int | None = None
    lower_is_better: bool = False


@dataclass(frozen=True)
class Cell:
    """
    show: what kind of column it is in
    estimate: in the unit shown; None where `word` stands instead
    seeds: whose runs it is of
    p: of a difference, after Holm's correction once the table is whole; of an equivalence, as it is
    marks: signs behind the number; notes: which of the table's notes are about it, counted from 0
    """

    show: str
    unit: Unit
    estimate: Estimate | None = None
    seeds: tuple[int, ...] = ()
    word: str = ""
    p: float | None = None
    marks: str = ""
    bold: bool = False
    notes: tuple[int, ...] = ()


RATIO = Unit(suffix="×", decimals=2)
PERCENT = Unit(scale=100.0, suffix=" %", decimals=0)
BUDGET = Unit(decimals=0, lower_is_better=True)
MISSING = "–"
REFERENCE = "reference"  # what the other rows are compared with


def unit_of(metric: str) -> Unit:
    if metric.startswith("seconds/"):
        return Unit(suffix=" s", lower_is_better=True)
    if metric == "amdahl":
        return RATIO
    if metric.startswith(SHARES) and metric not in COUNTS:
        return Unit(100.0, decimals=2, lower_is_better=metric.endswith(ERRORS))
    return Unit(decimals=0, lower_is_better=metric.startswith("cost/"))


def value(source: Source) -> Cell:
    sample, unit = source.sample, unit_of(source.metric)
    if not sample.values:
        return Cell("value", unit, word="mixed" if sample.unlike or sample.staggered else MISSING)
    numbers = unit.scale * np.array(list(sample.values.values()))
    return Cell("value", unit, mean_interval(numbers), tuple(sample.values))


def derived(column: Column, sources: Sequence[Source], measures: Measures, test: str) -> Cell:
    """A cell made of others, from the seeds that they have in common; test: wilcoxon | t."""
    show, unit, first = column.show, unit_of(sources[0].metric), sources[0].sample
    if any(not source.sample.values for source in sources):
        return Cell(show, unit, word=MISSING)
    if sources[0].same_as(sources[1]):
        return Cell(show, unit, word=REFERENCE)
    if show == "labels_to":
        assert column.share is not None
        target = column.share * float(np.mean(list(sources[1].sample.values.values())))
        curves = [measures.curve(run, sources[0].metric) for run in first.runs.values()]
        needed = [labels_to_reach(labels, scores, target) for labels, scores in curves]
        return replace(_reached(needed, BUDGET), show=show, seeds=tuple(first.runs))
    seeds = common([source.sample for source in sources])
    if not seeds:
        return Cell(show, unit, word="no common seed")
    if show == "speed_up":
        both = [[measures.curve(one.sample.runs[seed], one.metric) for one in sources] for seed in seeds]
        factors = [speed_up(random, method, random[1][-1]) for random, method in both]
        return replace(_reached(factors, RATIO), show=show, seeds=seeds)
    arms = [unit.scale * values_of(source.sample, seeds) for source in sources]
    return replace(compared(column, unit, arms, test), show=show, seeds=seeds)


def common(samples: Sequence[Sample]) -> tuple[int, ...]:
    """The seeds that all have."""
    return tuple(seed for seed in samples[0].values if all(seed in other.values for other in samples))


def values_of(sample: Sample, seeds: Sequence[int]) -> np.ndarray:
    return np.array([sample.values[seed] for seed in seeds])


def compared(column: Column, unit: Unit, arms: Sequence[np.ndarray], test: str) -> Cell:
    """A cell of pairs: arms are (n,) arrays in the unit shown, one value a seed."""
    n = len(arms[0])
    match column.show:
        case "difference":
            found = paired(arms[0], arms[1])
            p = found.t if test == "t" else found.wilcoxon
            return Cell("", unit, found.difference, p=p if n > 1 else None)
        case "equivalence":
            assert column.margin is not None
            same = tost(arms[0], arms[1], column.margin)
            marks = " ≡" if same.equivalent else ""
            return Cell("", unit, same.difference, p=same.p if n > 1 else None, marks=marks)
        case "ratio" if any((arm <= 0).any() for arm in arms):
            return Cell("", RATIO, word=MISSING)
        case "ratio":
            return Cell("", RATIO, geometric(arms[0] / arms[1]))
        case _:
            share = gap_closed(*arms).share
            if share is None:
                return Cell("", PERCENT, word="no gap")
            mean, low, high = (PERCENT.scale * end for end in (share.mean, share.low, share.high))
            return Cell("", PERCENT, Estimate(mean, np.nan, low, high, n))


def _reached(found: Sequence[float | None], unit: Unit) -> Cell:
    """Of the seeds that reach what is to be reached; how many, where some do not."""
    reached = np.array([one for one in found if one is not None])
    if not len(reached):
        return Cell("", unit, word=f"0 of {len(found)}")
    estimate = geometric(reached) if unit is RATIO else mean_interval(reached)
    marks = "" if len(reached) == len(found) else f" ({len(reached)} of {len(found)})"
    return Cell("", unit, estimate, marks=marks)
