"""Who is in the sub-pool, and how likely: against the formula, at the paper's size and settings."""

from typing import Any

import numpy as np
import pytest

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import Budget
from al_bench.acquisition.subsampling import propose
from al_bench.acquisition.view import View
from al_bench.config.schema import SubsamplingConfig

PAPER = SubsamplingConfig("ups", gamma=0.1, temperature=0.01, refresh=[0])
AG_NEWS = 118_800  # unlabelled after the seed set


def expected_share(gamma: float, temperature: float) -> float:
    """Of a large pool: the integral of the probability to be kept over ranks."""
    t = max(temperature, 1e-8)
    return gamma + t * (1.0 - float(np.exp(-(1.0 - gamma) / t)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scored(scores: np.ndarray) -> Pool:
    return Pool.unlabelled_of(len(scores)).remember(np.arange(len(scores)), scores.astype(np.float32))


def candidates(pool: Pool, settings: SubsamplingConfig, query_round: int, budget: Budget, seed: int):
    """(ids, how many of them are an extension); candidate pools without needs look at no corpus."""
    view: Any = View(None, pool, None, frozenset())  # type: ignore[arg-type]
    proposed = propose(settings, query_round, view, budget, rng(seed))
    return proposed.ids, proposed.extended


def drawn(pool: Pool, settings: SubsamplingConfig, seed: int = 0, budget: float = 1, query_round: int = 1):
    costs = np.ones(len(pool.score), dtype=int)
    return candidates(pool, settings, query_round, Budget(budget, "examples", costs), seed)


def kept(settings: SubsamplingConfig, n: int, draws: int) -> np.ndarray:
    """(draws, n) whether the example of that rank was kept."""
    order = rng(9).permutation(n)
    scores = np.empty(n)
    scores[order] = np.arange(n, 0, -1)  # order[r] has rank r
    pool = scored(scores)
    table = np.zeros((draws, n), dtype=bool)
    for i in range(draws):
        table[i, drawn(pool, settings, seed=i)[0]] = True
    return table[:, order]


# --------------------------------------------------------------------------------------------------- ups


def test_share_at_the_size_and_settings_of_the_paper():
    assert expected_share(0.1, 0.01) == pytest.approx(0.11, abs=1e-9)
    pool = scored(rng(1).random(AG_NEWS))
    shares = [len(drawn(pool, PAPER, seed)[0]) / AG_NEWS for seed in range(5)]
    assert shares == pytest.approx([0.11] * 5, abs=0.001)


@pytest.mark.parametrize(("gamma", "temperature"), [(0.0, 0.05), (0.1, 0.3), (0.5, 0.01), (0.9, 1.0), (1.0, 0.1)])
def test_expected_share_is_what_is_drawn(gamma, temperature):
    settings = SubsamplingConfig("ups", gamma, temperature, [])
    share = len(drawn(scored(rng(1).random(100_000)), settings)[0]) / 100_000
    assert share == pytest.approx(expected_share(gamma, temperature), abs=0.007)


def test_expected_share_without_temperature_is_gamma():
    assert expected_share(0.25, 0.0) == pytest.approx(0.25, abs=1e-6)
    pool = scored(np.arange(100.0))
    ids = drawn(pool, SubsamplingConfig("ups", 0.25, 0.0, []))[0]
    assert ids.tolist() == list(range(74, 100)), "ranks 0 to 25 of 100, of which 25 is at r = gamma"


def test_keep_probability_at_every_rank():
    n, draws = 200, 2000
    settings = SubsamplingConfig("ups", 0.1, 0.2, [])
    frequency = kept(settings, n, draws).mean(axis=0)
    rank = np.arange(n) / n
    p = np.exp(-np.maximum(0, rank - 0.1) / 0.2)
    assert (frequency[:21] == 1).all(), "the most uncertain gamma n, and the one at r = gamma, are always in"
    error = np.abs(frequency - p) / np.sqrt(np.maximum(p * (1 - p), 1e-3) / draws)
    assert error.max() < 4.5
    assert np.sqrt((error[21:] ** 2).mean()) == pytest.approx(1, abs=0.2)


def test_examples_are_kept_independently():
    """The size of the draw varies as a sum of coins does, and neighbours know nothing of each other."""
    n, draws = 200, 2000
    table = kept(SubsamplingConfig("ups", 0.1, 0.2, []), n, draws)
    p = np.exp(-np.maximum(0, np.arange(n) / n - 0.1) / 0.2)
    assert table.sum(axis=1).var() == pytest.approx((p * (1 - p)).sum(), rel=0.15)
    coins = table[:, 22:140].astype(float)
    together = np.corrcoef(coins, rowvar=False)
    assert np.abs(np.diag(together, k=1)).mean() < 1.2 * np.sqrt(2 / np.pi / draws)


def test_rank_is_among_the_unlabelled():
    """Labelled examples hold scores too, but take no place in the ranking."""
    pool = scored(np.arange(100.0)).label(np.arange(50, 100))
    ids = drawn(pool, SubsamplingConfig("ups", 0.2, 0.0, []))[0]
    assert ids.tolist() == list(range(39, 50))


@pytest.mark.parametrize("name", ["ups", "naive"])
def test_the_last_score_counts_not_the_first(name):
    settings = SubsamplingConfig(name, 0.1, 0.0, [])
    pool = scored(np.arange(100.0)).remember(np.array([3, 4]), np.array([500.0, 600.0]))
    assert {3, 4} <= set(drawn(pool, settings)[0])


# --------------------------------------------------------------------------------------- naive and random


def test_naive_is_the_exact_top():
    scores = rng(3).random(500)
    ids = drawn(scored(scores), SubsamplingConfig("naive", 0.1, refresh=[]))[0]
    assert ids.tolist() == sorted(np.argsort(-scores)[:50].tolist())
    assert len(drawn(scored(scores), SubsamplingConfig("naive", 7, refresh=[]))[0]) == 7


@pytest.mark.parametrize("name", ["naive", "random"])
@pytest.mark.parametrize(("gamma", "size"), [(0.07, 7), (0.1, 10), (13, 13), (1.0, 100), (500, 100)])
def test_gamma_is_a_share_or_a_count(name, gamma, size):
    assert len(drawn(scored(np.arange(100.0)), SubsamplingConfig(name, gamma, refresh=[]))[0]) == size


def test_random_is_uniform_whatever_the_scores():
    pool = scored(np.arange(100.0)).label(np.arange(20))
    settings = SubsamplingConfig("random", 0.25, refresh=[])
    counts = np.zeros(100)
    for seed in range(2000):
        ids = drawn(pool, settings, seed)[0]
        assert len(ids) == 20
        counts[ids] += 1
    assert counts[:20].sum() == 0
    assert np.abs(counts[20:] - 500).max() < 4.5 * np.sqrt(2000 * 0.25 * 0.75)


# ------------------------------------------------------------------------------------- rules common to all


@pytest.mark.parametrize("name", ["none", "random", "naive", "ups"])
def test_the_whole_pool_where_it_is_asked_for(name):
    settings = SubsamplingConfig(name, 0.1, 0.01, refresh=[0, 4])
    pool = scored(np.arange(50.0)).label(np.array([3, 30]))
    for query_round in (0, 1, 4, 5):
        everyone = drawn(pool, settings, query_round=query_round)[0].tolist() == pool.unlabelled.tolist()
        assert everyone == (name == "none" or query_round in (0, 4))


@pytest.mark.parametrize("name", ["naive", "ups"])
def test_never_scored_examples_come_first(name):
    ids = np.arange(90)
    pool = Pool.unlabelled_of(100).remember(ids, np.linspace(0, 1, 90))
    assert set(range(90, 100)) <= set(drawn(pool, SubsamplingConfig(name, 0.1, 0.0, []))[0])


@pytest.mark.parametrize("name", ["naive", "ups"])
def test_before_any_score_the_draw_is_not_the_head_of_the_corpus(name):
    ids = drawn(Pool.unlabelled_of(10_000), SubsamplingConfig(name, 0.1, 0.0, []), seed=4)[0]
    assert abs(ids.mean() - 5000) < 4 * 2887 / np.sqrt(1000)


@pytest.mark.parametrize("name", ["random", "naive", "ups"])
def test_a_draw_is_rising_and_a_function_of_its_stream(name):
    pool, settings = scored(rng(1).random(400)), SubsamplingConfig(name, 0.2, 0.1, [])
    ids = drawn(pool, settings, seed=1)[0]
    assert (np.diff(ids) > 0).all()
    assert drawn(pool, settings, seed=1)[0].tolist() == ids.tolist()
    assert (drawn(pool, settings, seed=2)[0].tolist() == ids.tolist()) == (name == "naive")


@pytest.mark.parametrize("name", ["naive", "ups"])
def test_too_small_a_draw_is_extended_by_rank(name):
    ids, extended = drawn(scored(np.arange(100.0)), SubsamplingConfig(name, 0.1, 0.0, []), budget=30)
    assert ids.tolist() == list(range(70, 100))
    assert extended == 30 - (10 if name == "naive" else 11)


@pytest.mark.parametrize("name", ["random", "naive", "ups"])
def test_a_draw_that_fills_the_query_is_left_alone(name):
    settings = SubsamplingConfig(name, 0.3, 1e-9, [])
    ids, extended = drawn(scored(np.arange(100.0)), settings, budget=30)
    assert extended == 0
    assert len(ids) == (31 if name == "ups" else 30)


@pytest.mark.parametrize("name", ["random", "naive", "ups"])
@pytest.mark.parametrize("budget", [0.5, 9, 10, 11, 60, 1e9])
def test_a_draw_can_always_pay_for_a_query_in_words(name, budget):
    words = rng(2).integers(1, 8, 100)
    pool = scored(np.arange(100.0))
    ids, extended = candidates(pool, SubsamplingConfig(name, 0.02, 0.0, []), 1, Budget(budget, "words", words), 1)
    assert words[ids].sum() > budget or len(ids) == 100
    if extended and len(ids) < 100:
        assert words[ids].sum() - budget <= 7, "and is no longer than it need be"


def test_an_extension_is_needed_where_the_words_just_reach_the_target():
    """A query goes on until its words exceed the target, so reaching it is not enough."""
    pool = scored(np.arange(10.0))
    settings = SubsamplingConfig("naive", 2, refresh=[])
    ids, extended = candidates(pool, settings, 1, Budget(10, "words", np.full(10, 5)), 0)
    assert (ids.tolist(), extended) == ([7, 8, 9], 1)
    ids, extended = candidates(pool, settings, 1, Budget(9, "words", np.full(10, 5)), 0)
    assert (ids.tolist(), extended) == ([8, 9], 0)


@pytest.mark.parametrize("name", ["none", "random", "naive", "ups"])
def test_an_empty_pool(name):
    pool = Pool.unlabelled_of(3).label(np.arange(3))
    assert len(drawn(pool, SubsamplingConfig(name, 0.1, 0.01, []), budget=5)[0]) == 0
