"""Which methods are compared, by which test, in which family of tests, and what may be said or be bold.

A verdict obeys the p-value that is adjusted over its family: all contrasts that answer one question at one point of
the curve, in all settings that are analysed together. Tables mark with a star what the report puts into words.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.arms import settings as settings_of
from al_bench.analysis.measures import At, Measures, Paired, Sample
from al_bench.analysis.statistics import ALPHA, FEW, TESTS, Estimate, differences, holm, mean_interval, reachable, tost
from al_bench.analysis.store import Results

MARGIN = 0.5  # points of the headline metric: subsampling that differs by less counts as equivalent


@dataclass(frozen=True)
class Contrast:
    """A paired difference a - b and, once `in_family` knows it, what may be said of it.

    raw_p, p: as it is, and adjusted by Holm over its family of `tests`; nan where nothing is tested, with one pair
    verdict: more | less | open | unclear (p is small enough, but mean and median disagree) | untestable (so few pairs
        cannot reach the level in such a family) | few (seeds)
    """

    seeds: tuple[int, ...]
    a: np.ndarray
    b: np.ndarray
    difference: Estimate
    raw_p: float
    cycle: int | None = None
    p: float = math.nan
    tests: int = 0
    verdict: str = ""

    def equivalent(self, margin: float) -> bool:
        return self.difference.n >= FEW and tost(self.a, self.b, margin)[0] <= ALPHA


def contrast(pairs: Paired, test: str, scale: float = 1.0) -> Contrast:
    """Two arrays of pairs, not yet in a family. test: wilcoxon (exact signed-rank) | t"""
    a, b = (scale * array for array in pairs.arrays)
    difference = differences(a, b)
    p = TESTS[test](difference) if len(a) > 1 else math.nan
    return Contrast(pairs.seeds, a, b, mean_interval(difference), p, pairs.cycle)


def in_family(contrasts: Sequence[Contrast], test: str) -> list[Contrast]:
    """The contrasts with p-values adjusted over all of them, and the verdicts that these allow."""
    raw = [one.raw_p for one in contrasts]
    tests = sum(not math.isnan(p) for p in raw)
    family = zip(contrasts, holm(raw), strict=True)
    return [replace(one, p=p, tests=tests, verdict=_verdict(one, p, tests, test)) for one, p in family]


def _verdict(one: Contrast, p: float, tests: int, test: str) -> str:
    if one.difference.n < FEW:
        return "few"
    if test == "wilcoxon" and not reachable(one.difference.n, tests):
        return "untestable"
    if p > ALPHA:
        return "open"
    mean, median = one.difference.mean, float(np.median(one.a - one.b))
    if mean * median <= 0:
        return "unclear"
    return "more" if mean > 0 else "less"


def _alike(a: Method, b: Method, parts: Iterable[str]) -> bool:
    return all(a.parts[part] == b.parts[part] for part in parts)


def _same_successor(a: Method, b: Method) -> bool:
    """By name where one learns from pseudo-labels, which needs another training."""
    if a.role != b.role:
        return False
    if "PLASM" in (a.arm, b.arm):
        return bool(a.about.successor == b.about.successor)
    return a.role == "acquisition" or _alike(a, b, ("successor",))


def _first(setting: Setting, method: Method, arms: Iterable[str], parts: Iterable[str]) -> Method | None:
    """The first method of these arms with the same successor, precision and engine that agrees on these parts."""
    parts = (*parts, "precision", "engine")
    fits = (m for m in setting.methods if m.arm in arms and _alike(m, method, parts))
    return next((m for m in fits if _same_successor(m, method)), None)


# The same successor: on as many random examples, on what it selected for itself, and on everything.
random_of = partial(_first, arms=["random"], parts=["schedule", "seeds", "oracle", "relabel"])
unmismatched_of = partial(
    _first, arms=["no mismatch"], parts=["strategy", "subsampling", "rescore", "schedule", "seeds", "oracle", "relabel"]
)
ceiling_of = partial(_first, arms=["ceiling"], parts=["oracle"])


def unlabelled_of(setting: Setting, method: Method) -> Method | None:
    """The same selection and successor, without pseudo-labels."""
    same = (m for m in setting.methods if m.about.selection == method.about.selection)
    return next((m for m in same if m.arm in ("ASM", "no mismatch") and _same_successor(m, method)), None)


def unsubsampled_of(setting: Setting, method: Method) -> Method | None:
    """The same, with the whole pool scored in every cycle."""
    parts = [part for part in method.parts if part != "subsampling"]
    whole = (m for m in setting.methods if m.about.subsampling == "none" and _alike(m, method, parts))
    return next(whole, None)


# Whether a question is asked of a method, and against which other one.
Question = tuple[Callable[[Method], bool], Callable[[Setting, Method], Method | None]]
QUESTIONS: dict[str, Question] = {
    "selection": (lambda m: (m.selects and m.arm not in ("PLASM", "bracket")) or m.arm == "no model", random_of),
    "mismatch": (lambda m: m.arm == "ASM", unmismatched_of),
    "subsampling": (lambda m: m.selects and m.competes and m.about.subsampling != "none", unsubsampled_of),
    "pseudo": (lambda m: m.arm == "PLASM", unlabelled_of),
}


@dataclass(frozen=True)
class Answered:
    """A question's contrast: scores of `first` less those of `second`, in points."""

    setting: Setting
    first: Method
    second: Method
    contrast: Contrast


class Contrasts:
    """All contrasts of the settings that are analysed together, each family computed when first asked for."""

    @classmethod
    def of(cls, results: Results) -> "Contrasts":
        measures = Measures(results)
        return cls(measures, settings_of(measures))

    def __init__(self, measures: Measures, settings: Sequence[Setting]) -> None:
        self.measures, self.settings = measures, settings
        self.family = cache(self._family)

    def _family(self, question: str, at: At = "last", test: str = "wilcoxon") -> list[Answered]:
        asks, other_of = QUESTIONS[question]
        answered = []
        for setting in self.settings:
            for method in filter(asks, setting.methods):
                if (other := other_of(setting, method)) is None:
                    continue
                samples = [self.measures.sample(m.runs, setting.score(m), at) for m in (method, other)]
                pairs = self.measures.together(samples, setting.score(method), at)
                if pairs.seeds:
                    answered.append(Answered(setting, method, other, contrast(pairs, test, 100.0)))
        family = in_family([one.contrast for one in answered], test)
        return [replace(one, contrast=adjusted) for one, adjusted in zip(answered, family, strict=True)]

    def between(self, seeds: Sequence[int], methods: set[str], at: At, test: str) -> Contrast | None:
        """The contrast of two methods in the family of the question that it answers; None where it answers none.

        methods: their keys; seeds: whose values are compared: other seeds make it another contrast
        """
        for question in QUESTIONS:
            for one in self.family(question, at, test):
                keys = {one.first.about.method, one.second.about.method}
                if keys == methods and set(one.contrast.seeds) == set(seeds):
                    return one.contrast
        return None


@dataclass(frozen=True)
class Contest:
    """Which of several is best, and the p with which it is better than every other one.

    p: the largest of its paired tests against the others, adjusted by Holm over all contests on the page
    pairs: the fewest of these tests
    """

    best: str
    pairs: int
    p: float

    @property
    def bold(self) -> bool:
        return self.p <= ALPHA


def contest(
    rivals: Mapping[str, Sample], measures: Measures, metric: str, at: At, test: str, sign: int = 1
) -> Contest | None:
    """The best by its mean against each of the others, p = 1 where the pairs say otherwise; None without pairs.

    That it is better than all is claimed only where each test says so, which needs no correction for their number.
    sign: -1 where less is better
    """
    rivals = {name: sample for name, sample in rivals.items() if sample.values}
    if len(rivals) < 2:
        return None
    best = max(rivals, key=lambda name: sign * float(rivals[name].array.mean()))
    tests = []
    for name, sample in rivals.items():
        if name != best:
            pairs = measures.together([rivals[best], sample], metric, at)
            if len(pairs.seeds) < 2:
                return None
            one = contrast(pairs, test)
            ahead = sign * one.difference.mean > 0 and sign * np.median(one.a - one.b) > 0
            tests.append((len(pairs.seeds), one.raw_p if ahead else 1.0))
    return Contest(best, min(n for n, _ in tests), max(p for _, p in tests))


def adjusted(contests: Mapping[Any, Contest | None]) -> dict[Any, Contest]:
    """Those that there are, as one family."""
    known = {key: one for key, one in contests.items() if one is not None}
    stepped = holm([one.p for one in known.values()])
    return {key: replace(one, p=p) for (key, one), p in zip(known.items(), stepped, strict=True)}


def best_of(settings: Sequence[Setting]) -> dict[str, Method]:
    """By key of a setting, the method that is better than every other one that competes there; all are one family."""
    contests = {}
    for setting in settings:
        rivals = [m for m in setting.methods if m.competes]
        role = "successor" if any(m.role == "successor" for m in rivals) else "acquisition"
        metric = f"{role}/{setting.metric}"
        scores = {m.about.method: setting.measures.sample(m.runs, metric, "last") for m in rivals if m.role == role}
        contests[setting.key] = contest(scores, setting.measures, metric, "last", "wilcoxon")
    methods = {(setting.key, m.about.method): m for setting in settings for m in setting.methods}
    return {key: methods[key, one.best] for key, one in adjusted(contests).items() if one.bold}


def gains(setting: Setting) -> dict[tuple[str, str], Estimate]:
    """(selection, successor) -> points over the same successor trained on random examples."""
    answers = Contrasts(setting.measures, [setting]).family("selection")
    return {
        (one.first.selection, str(one.first.about.successor)): mean_interval(one.contrast.a - one.contrast.b)
        for one in answers
        if one.first.arm in ("ASM", "no mismatch")
    }
