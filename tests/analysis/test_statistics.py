"""Statistics against SciPy, against numbers worked by hand, and on simulated experiments with known truths."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from al_bench.analysis.statistics import (
    ALPHA,
    Censored,
    aulc,
    censored_median,
    differences,
    gap_closed,
    holm,
    jaccard,
    labels_to_reach,
    mean_interval,
    paired_t,
    pairs_needed,
    penalty_matrix,
    reachable,
    signed_rank,
    smallest_p,
    speed_up,
    tost,
)

# Of 1,000 experiments, 5 % is within 0.05 +- 0.02 but for one time in 260 (2.9 standard errors).
EXPERIMENTS, TOLERANCE = 1000, 0.02


# ------------------------------------------------------------------------------------------ against SciPy


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_t_interval(n, alpha):
    sample = np.random.default_rng(n).normal(90, 2, n)
    estimate = mean_interval(sample, alpha=alpha)
    expected = stats.ttest_1samp(sample, 0).confidence_interval(1 - alpha)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.mean, estimate.std, estimate.n) == pytest.approx((sample.mean(), sample.std(ddof=1), n))


def test_one_run_has_no_interval():
    one = mean_interval([0.9])
    assert (one.mean, one.n) == (0.9, 1)
    assert all(math.isnan(value) for value in (one.std, one.low, one.high))


@pytest.mark.parametrize("n", range(2, 16))
def test_exact_wilcoxon(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
    difference = differences(a, b)
    assert signed_rank(difference) == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue)
    assert paired_t(difference) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert mean_interval(difference).mean == pytest.approx(np.mean(a - b))


def by_enumeration(difference: np.ndarray) -> float:
    """The two-sided p of the signed-rank test over all sign flips of what is not zero, ties sharing their ranks."""
    ranks = stats.rankdata(np.abs(difference[difference != 0]))
    middle = ranks.sum() / 2
    seen = abs(ranks[difference[difference != 0] > 0].sum() - middle)
    sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return float(np.mean([abs(one - middle) >= seen - 1e-9 for one in sums]))


@pytest.mark.parametrize("difference", [[1, 1, 2, -1, 3, 4], [0, 1, 2, 3, 4, 5, 6], [0, 0, 1, -1, 2, 2, 2, 5]])
def test_wilcoxon_with_ties_and_zeros_is_exact_too(difference):
    d = np.array(difference, dtype=float)
    assert signed_rank(differences(d, np.zeros(len(d)))) == pytest.approx(by_enumeration(d))
    assert signed_rank(differences(d, np.zeros(len(d)))) == pytest.approx(stats.wilcoxon(d).pvalue)


def test_ties_are_not_broken_by_floating_point():
    """0.90 - 0.88, 0.92 - 0.90 and 0.94 - 0.92 are the same difference."""
    a, b = np.array([0.90, 0.92, 0.94, 0.5]), np.array([0.88, 0.90, 0.92, 0.6])
    assert len(set(a - b)) == 3
    assert signed_rank(differences(a, b)) == pytest.approx(by_enumeration(np.array([2.0, 2, 2, -10])))


def test_equal_arms():
    same = differences([0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    assert (signed_rank(same), paired_t(same), mean_interval(same).mean) == (1.0, 1.0, 0.0)
    shifted = differences([1.9, 1.8, 1.7], [0.9, 0.8, 0.7])
    assert paired_t(shifted) == 0.0
    assert mean_interval(shifted).low == mean_interval(shifted).high == pytest.approx(1.0)


def equivalent(a, b, margin) -> bool:
    return tost(a, b, margin)[0] <= ALPHA


def test_tost_is_two_one_sided_t_tests():
    rng = np.random.default_rng(3)
    a = rng.normal(90, 1, 8)
    b = a + rng.normal(0.1, 0.3, 8)
    p, difference = tost(a, b, 0.5)
    above = stats.ttest_1samp(a - b, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(a - b, 0.5, alternative="less").pvalue
    assert p == pytest.approx(max(above, below))
    # Equivalent is the same as: the 90 % interval lies within the margin.
    interval = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    for margin in np.linspace(0.05, 1, 40):
        assert equivalent(a, b, margin) == (-margin <= interval.low and interval.high <= margin)


def test_tost_without_scatter_or_with_one_pair():
    assert equivalent([0.5, 0.6], [0.5, 0.6], 0.01)
    assert not equivalent([1.5, 1.6], [0.5, 0.6], 0.01)
    assert not equivalent([0.5], [0.5], 0.01)


# ------------------------------------------------------------------------------------------------ by hand


def test_aulc():
    # Trapezoids 100 x 0.6 and 200 x 0.75, over 300 labels.
    assert aulc([100, 200, 400], [0.5, 0.7, 0.8]) == pytest.approx((100 * 0.6 + 200 * 0.75) / 300)
    assert aulc([100, 400], [0.7, 0.7]) == pytest.approx(0.7)
    assert math.isnan(aulc([100], [0.5]))


def exactly(value):
    return Censored(pytest.approx(value), pytest.approx(value))


def test_labels_to_reach():
    labels, scores = [100, 200, 400], [0.5, 0.7, 0.8]
    assert labels_to_reach(labels, scores, 0.6) == exactly(150)
    assert labels_to_reach(labels, scores, 0.75) == exactly(300)
    assert labels_to_reach(labels, scores, 0.8) == exactly(400)
    # The first time counts, though the curve falls below again.
    assert labels_to_reach([1, 2, 3, 4], [0.1, 0.5, 0.3, 0.6], 0.5) == exactly(2)


def test_labels_that_are_only_bounded():
    """A curve that starts at the target or above needs its first budget or fewer; one that stays below, more than its last."""
    labels, scores = [800, 1200, 4000], [0.5, 0.7, 0.8]
    assert labels_to_reach(labels, scores, 0.4) == Censored(0, 800)
    assert labels_to_reach(labels, scores, 0.5) == Censored(0, 800)
    assert labels_to_reach(labels, scores, 0.81) == Censored(4000, math.inf)
    assert not labels_to_reach(labels, scores, 0.81).exact


def test_the_median_of_censored_values():
    few, many = Censored(0, 800), Censored(4000, math.inf)
    known = [Censored(n, n) for n in (1000, 1100, 1200)]
    assert censored_median([few, *known, many]) == Censored(1100, 1100)
    assert censored_median([few, few, few, known[0]]) == Censored(0, 800)
    assert censored_median([few, few, many]) == Censored(0, 800)
    assert censored_median([many, many, few]) == many
    assert censored_median([few, known[0], known[1], many]) == Censored(1050, 1050)
    assert censored_median([few, few, known[0], known[1]]) == Censored(500, 900)


@given(st.lists(st.floats(1, 100), min_size=1, max_size=9), st.floats(1, 50), st.floats(51, 100))
def test_the_bounds_hold_the_median(values, low, high):
    censored = [
        Censored(0, low) if v <= low else Censored(high, math.inf) if v > high else Censored(v, v) for v in values
    ]
    bounds = censored_median(censored)
    assert bounds.low <= np.median(values) + 1e-9
    assert np.median(values) <= bounds.high + 1e-9


def test_speed_up():
    random = ([100, 200, 400], [0.5, 0.6, 0.7])
    method = ([100, 200, 400], [0.5, 0.7, 0.8])
    assert speed_up(random, method, 0.7) == exactly(400 / 200)
    assert speed_up(random, method, 0.6) == exactly(200 / 150)
    assert speed_up(method, random, 0.7) == exactly(0.5)
    assert speed_up(random, method, 0.75) == Censored(pytest.approx(400 / 300), math.inf), "random never gets there"
    assert speed_up(random, ([100, 200], [0.65, 0.7]), 0.6) == Censored(2.0, math.inf), "it may have crossed 0.6 early"
    assert speed_up(random, ([100, 200], [0.5, 0.6]), 0.7) == Censored(0.0, 2.0), "it may never cross 0.7"


def test_holm():
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 and 0.04 raised to the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p):
    adjusted = holm(p)
    assert all(raw <= one <= min(1.0, raw * len(p)) + 1e-12 for raw, one in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@pytest.mark.parametrize("n", range(2, 12))
def test_smallest_p_is_that_of_pairs_which_all_agree(n):
    assert smallest_p(n) == pytest.approx(stats.wilcoxon(np.arange(1.0, n + 1), method="exact").pvalue)


def test_what_can_be_tested():
    assert smallest_p(5) == 0.0625
    assert not reachable(5)
    assert reachable(6)
    assert not reachable(6, comparisons=2)
    assert [pairs_needed(m) for m in (1, 2, 4, 8, 10)] == [6, 7, 8, 9, 9]
    for comparisons in range(1, 40):
        needed = pairs_needed(comparisons)
        assert reachable(needed, comparisons)
        assert not reachable(needed - 1, comparisons)


def test_jaccard():
    assert jaccard([1, 2, 3], [2, 3, 4]) == 0.5
    assert jaccard([1], [2]) == 0.0
    assert jaccard([], []) == 1.0


def test_penalty_matrix():
    """Two settings: a beats b in one by a paired t test (9.8 against a critical 2.776), in the other nobody does."""
    better = np.array([1.0, 1.2, 0.8, 1.1, 0.9])
    b = np.array([[50.0, 51, 52, 53, 54], [60.0, 61, 62, 63, 64]])
    a = b + np.array([better, [1.0, -1, 1, -1, 0.1]])
    matrix = penalty_matrix(np.stack([a, b]))
    assert matrix.tolist() == [[0.0, 0.5], [0.0, 0.0]]
    b[0, 0] = math.nan  # a seed less
    assert penalty_matrix(np.stack([a, b]))[0, 1] == 0.5
    a[:, 1:] = math.nan  # nothing left to pair
    assert math.isnan(penalty_matrix(np.stack([a, b]))[0, 1])


def test_gap_closed():
    asm, no_mismatch = np.array([80.0, 81, 82]), np.array([84.0, 85.2, 85.9])
    gap, share = gap_closed(no_mismatch, asm, asm + 2)
    assert gap.mean == pytest.approx((4 + 4.2 + 3.9) / 3)
    # Where only the gap varies, its interval is that of the ratio, upside down.
    assert share.mean == pytest.approx(2 / gap.mean)
    assert (share.low, share.high) == pytest.approx((2 / gap.high, 2 / gap.low))


def test_the_interval_of_a_gap_is_fiellers():
    """At its ends the paired t test of PLASM - ASM against that share of the gap gives p = 0.05."""
    rng = np.random.default_rng(0)
    asm, no_mismatch, plasm = (rng.normal(mean, 1, 6) for mean in (80, 84, 82))
    _, closed = gap_closed(no_mismatch, asm, plasm)
    for share in (closed.low, closed.high):
        p = stats.ttest_1samp((plasm - asm) - share * (no_mismatch - asm), 0.0).pvalue
        assert p == pytest.approx(0.05)
    assert closed.low < closed.mean < closed.high


@pytest.mark.parametrize("seeds", [3, 6])
def test_the_interval_of_a_gap_covers_with_few_seeds(seeds):
    rng = np.random.default_rng(0)
    arms = rng.normal(0, 0.5, (EXPERIMENTS, 3, seeds)) + np.array([4.0, 0.0, 2.0])[None, :, None]
    shares = [gap_closed(*one)[1] for one in arms]
    covered = [share.low <= 0.5 <= share.high for share in shares if share is not None]
    assert len(covered) > 0.9 * EXPERIMENTS
    assert np.mean(covered) == pytest.approx(0.95, abs=TOLERANCE)


def test_gap_that_may_be_none_is_not_closed():
    asm, no_mismatch = np.array([80.0, 81, 82]), np.array([84.0, 80.5, 81.9])
    gap, share = gap_closed(no_mismatch, asm, asm + 2)
    assert gap.low < 0
    assert share is None
    _, worse = gap_closed(asm, asm + np.array([4.0, 4.2, 3.9]), asm)
    assert worse is None, "a gap to the other side is none to close"


# --------------------------------------------------------------------------------------------- simulations


def experiments(effect: float, pairs: int = 10, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores of two arms that share their seeds' luck; scatter of a difference: 0.42 points."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(90, 1, (EXPERIMENTS, pairs))
    a, b = (luck + rng.normal(0, 0.3, luck.shape) for _ in range(2))
    return list(zip(a + effect, b, strict=True))


@pytest.fixture(scope="module")
def without_effect() -> list[np.ndarray]:
    return [differences(a, b) for a, b in experiments(0.0)]


def test_false_positives_of_the_paired_tests(without_effect):
    # With 10 pairs the exact test rejects at 0.0488, the most below 0.05 that its steps allow.
    assert np.mean([signed_rank(one) <= 0.05 for one in without_effect]) == pytest.approx(0.0488, abs=TOLERANCE)
    assert np.mean([paired_t(one) <= 0.05 for one in without_effect]) == pytest.approx(0.05, abs=TOLERANCE)
    intervals = [mean_interval(one) for one in without_effect]
    covered = [one.low <= 0 <= one.high for one in intervals]
    assert np.mean(covered) == pytest.approx(0.95, abs=TOLERANCE)


def test_an_effect_is_detected():
    with_effect = [differences(a, b) for a, b in experiments(0.6)]
    assert np.mean([signed_rank(one) <= 0.05 for one in with_effect]) > 0.95
    assert np.mean([one.mean() for one in with_effect]) == pytest.approx(0.6, abs=0.02)


def test_false_positives_of_tost():
    """Arms that differ by exactly the margin are called equivalent once in twenty, those that differ more less often."""
    at_margin = [equivalent(a, b, 0.6) for a, b in experiments(0.6)]
    assert np.mean(at_margin) == pytest.approx(0.05, abs=TOLERANCE)
    beyond = [equivalent(a, b, 0.6) for a, b in experiments(0.9)]
    assert np.mean(beyond) < 0.01
    equal = [equivalent(a, b, 0.6) for a, b in experiments(0.0)]
    assert np.mean(equal) > 0.95


def test_false_positives_in_a_column_after_holm(without_effect):
    """Four rows without any difference: some star in one column of twenty at most."""
    p = np.array([signed_rank(one) for one in without_effect]).reshape(-1, 4)
    some = np.mean([min(holm(row.tolist())) <= 0.05 for row in p])
    assert some <= 0.05 + 2 * TOLERANCE  # 250 columns only: twice the standard error


def test_false_positives_of_the_best_against_the_next():
    """To pick the two arms by their means first does not make the test reject more often."""
    rng = np.random.default_rng(1)
    rejected = []
    for arms in rng.normal(90, 0.3, (EXPERIMENTS, 4, 10)):
        best, second = np.argsort(-arms.mean(axis=1))[:2]
        rejected.append(signed_rank(differences(arms[best], arms[second])) <= 0.05)
    assert np.mean(rejected) <= 0.05 + TOLERANCE
