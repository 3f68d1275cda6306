"""What repeated runs allow one to say: pure functions of arrays.

Scores are in any unit, and so are the differences; labels are counts of examples or of words. A pair is two runs
with the same seed. `ALPHA` is the error that a test may make, 1 - ALPHA the coverage of an interval.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import stats

ALPHA = 0.05
FEW = 3  # values: the t interval of two is 13 standard errors wide
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A mean with its t interval; std is of the sample (n - 1). With n = 1 there is neither: nan."""

    mean: float
    std: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Censored:
    """A number that is known to lie between two bounds, exactly where they are equal; high may be infinite."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        return self.low == self.high


def mean_interval(values: Values, *, alpha: float = ALPHA) -> Estimate:
    """Mean of (n,) independent values, with Student's interval on n - 1 degrees of freedom."""
    sample = np.asarray(values, dtype=float)
    n, mean = len(sample), float(np.mean(sample))
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n)
    std = float(np.std(sample, ddof=1))
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * std / math.sqrt(n)
    return Estimate(mean, std, mean - half, mean + half, n)


def geometric(ratios: Values) -> Estimate:
    """The geometric mean with its t interval on the scale of logarithms, where 1/x is as far from 1 as x."""
    logs = mean_interval(np.log(np.asarray(ratios, dtype=float)))
    mean, low, high = (float(np.exp(end)) for end in (logs.mean, logs.low, logs.high))
    return Estimate(mean, math.nan, low, high, logs.n)


def aulc(labels: Values, scores: Values) -> float:
    """Area under a learning curve by trapezoids, divided by the span of labels: a mean score, in its unit.

    labels: (n,) strictly rising; scores: (n,). One point has no area: nan
    """
    x, y = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    assert (np.diff(x) > 0).all(), "labels rise"
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else math.nan


def labels_to_reach(labels: Values, scores: Values, target: float) -> Censored:
    """Labels at which the curve first reaches the target, linearly between budgets.

    labels: (n,) rising; scores: (n,). A curve that starts at the target or above needs its first budget or fewer; one
    that never reaches it needs more than its last.
    """
    x, y = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    reached = np.flatnonzero(y >= target)
    if not len(reached):
        return Censored(float(x[-1]), math.inf)
    at = int(reached[0])
    if at == 0:
        return Censored(0.0, float(x[0]))
    share = (target - y[at - 1]) / (y[at] - y[at - 1])
    needed = float(x[at - 1] + share * (x[at] - x[at - 1]))
    return Censored(needed, needed)


def speed_up(random: tuple[Values, Values], method: tuple[Values, Values], target: float) -> Censored:
    """Labels that random needs for the target score, divided by those that the method needs.

    random, method: (labels, scores) of a curve
    """
    of_random, of_method = (labels_to_reach(*curve, target) for curve in (random, method))
    high = of_random.high / of_method.low if of_method.low else math.inf
    return Censored(of_random.low / of_method.high, high)


def at_equal_cost(a: tuple[Values, Values], b: tuple[Values, Values]) -> tuple[float, float] | None:
    """The scores of two curves (costs, scores) at the highest cost that both have, linearly between two points.

    None where no cost is within both: nothing is said of a curve before its first point, or behind its last one.
    costs: not falling; of several points at one cost the last one counts
    """
    curves = []
    for costs, scores in (np.asarray(curve, dtype=float) for curve in (a, b)):
        last = np.append(np.diff(costs) > 0, True)[: len(costs)]
        curves.append((costs[last], scores[last]))
    if not all(len(costs) for costs, _ in curves):
        return None
    cost = min(costs[-1] for costs, _ in curves)
    if cost < max(costs[0] for costs, _ in curves):
        return None
    first, second = (float(np.interp(cost, *curve)) for curve in curves)
    return first, second


def censored_median(values: Sequence[Censored]) -> Censored:
    """Between which bounds the sample's median lies: exact where the values in the middle are.

    A mean would need every value; leaving the censored ones out would bias it towards those that are known.
    """
    low, high = (sorted(getattr(value, end) for value in values) for end in ("low", "high"))
    middle = (len(values) - 1) // 2, len(values) // 2
    return Censored(*((ends[middle[0]] + ends[middle[1]]) / 2 for ends in (low, high)))


def differences(a: Values, b: Values) -> np.ndarray:
    """a - b of (n,) pairs, rounded, because 0.90 - 0.88 and 0.92 - 0.90 are one difference, and ties count."""
    return np.round(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), 12)


def signed_rank(difference: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's test that (n,) differences are none.

    It is `scipy.stats.wilcoxon` with its defaults: zero differences are dropped, equal ones share their ranks; exact
    for up to 50 pairs, with zeros or equal ones for up to 13 (all sign flips), else by the normal approximation.
    Pairs that are all equal give 1.
    """
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def paired_t(difference: np.ndarray) -> float:
    """Two-sided p of the t test that (n,) differences are none, which is what their interval shows; nan with n = 1."""
    if len(difference) < 2:
        return math.nan
    if np.ptp(difference) == 0:  # no scatter: t is infinite, or there is nothing at all
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


TESTS = {"wilcoxon": signed_rank, "t": paired_t}


def smallest_p(pairs: int) -> float:
    """The least two-sided p that the signed-rank test can give: all pairs differ in one direction, 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - pairs))


def reachable(pairs: int, comparisons: int = 1) -> bool:
    """Whether the signed-rank test could reach the level, the smallest p of so many under Holm's correction."""
    return comparisons * smallest_p(pairs) <= ALPHA


def pairs_needed(comparisons: int = 1) -> int:
    """The fewest pairs with which so many comparisons are testable: 6 for one at 0.05."""
    return 1 + math.ceil(math.log2(comparisons / ALPHA) - 1e-9)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of (m,) tests: reject where they are at most alpha (Holm 1979). nan, of no test, stays nan."""
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")  # nan comes last
    stepped = raw[order] * (np.count_nonzero(~np.isnan(raw)) - np.arange(len(raw)))
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted.tolist()


def tost(a: Values, b: Values, margin: float) -> tuple[float, Estimate]:
    """p that the mean of a - b over (n,) pairs is beyond +- margin, and a - b with its 90 % interval.

    The larger p of two one-sided t tests (Schuirmann 1987): up to `ALPHA`, the arms are equivalent.
    margin: in the unit of the scores, chosen before looking at them
    """
    assert margin > 0, "an equivalence needs room"
    difference = differences(a, b)
    interval = mean_interval(difference, alpha=2 * ALPHA)
    if interval.n < 2:
        p = math.nan
    elif np.ptp(difference) == 0:
        p = 0.0 if abs(interval.mean) < margin else 1.0
    else:
        above = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(difference, margin, alternative="less").pvalue
        p = float(max(above, below))
    return p, interval


def penalty_matrix(scores: np.ndarray, *, alpha: float = ALPHA) -> np.ndarray:
    """(methods, methods): in which share of settings the row's method beats the column's, by a paired t test.

    Ash et al. (ICLR 2020), figure 3; a setting is a data set at a budget. The t test is theirs: with the usual five
    seeds a signed-rank test could never tell methods apart.

    scores: (methods, settings, seeds), higher is better; nan: not run. A setting counts for two methods where they
        have two seeds or more in common; nan where none does
    """
    matrix = np.zeros((len(scores), len(scores)))
    for i, j in permutations(range(len(scores)), 2):
        both = np.isfinite(scores[i]) & np.isfinite(scores[j])
        counts = np.flatnonzero(np.count_nonzero(both, axis=1) >= 2)
        pairs = [differences(scores[i, k][both[k]], scores[j, k][both[k]]) for k in counts]
        beaten = [one.mean() > 0 and paired_t(one) <= alpha for one in pairs]
        matrix[i, j] = np.mean(beaten) if beaten else math.nan
    return matrix


def gap_closed(no_mismatch: Values, asm: Values, plasm: Values) -> tuple[Estimate, Estimate | None]:
    """The gap, no mismatch - ASM, and (PLASM - ASM) / gap of the means over (n,) seeds, with Fieller's interval.

    A ratio needs something to divide by: where the paired t interval of the gap is not wholly above 0, there may be
    none, and the share of it that is closed is undefined: None. Where it is above 0, Fieller's interval
    (1954), the shares s for which a paired t test does not tell PLASM - ASM from s times the gap, is bounded. It
    covers the truth as often as it says with 3 seeds, too, where a bootstrap over seeds does in 3 of 4 cases.
    """
    whole, closed = differences(no_mismatch, asm), differences(plasm, asm)
    gap = mean_interval(whole)
    if not gap.low > 0:
        return gap, None
    t = float(stats.t.ppf(1 - ALPHA / 2, gap.n - 1))
    (aa, ab), (_, bb) = t**2 * np.cov(closed, whole) / gap.n
    # The roots of (closed - s gap)^2 = t^2 var(closed - s gap), of means.
    square, middle, rest = gap.mean**2 - bb, closed.mean() * gap.mean - ab, closed.mean() ** 2 - aa
    half = math.sqrt(max(middle**2 - square * rest, 0.0))
    share = float(closed.mean() / gap.mean)
    ends = float((middle - half) / square), float((middle + half) / square)
    return gap, Estimate(share, math.nan, *ends, gap.n)


def jaccard(a: Iterable[int], b: Iterable[int]) -> float:
    """Overlap of two sets of ids: those in both, of those in either. Two empty sets are the same set."""
    one, other = set(a), set(b)
    return len(one & other) / len(one | other) if one | other else 1.0
