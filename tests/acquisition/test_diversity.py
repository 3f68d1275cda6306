"""Batches that cover the pool, and those that weigh uncertainty with it: brute force, worked examples, and shapes."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from fixed import FixedView, of_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, cosine
from scipy.stats import entropy

from al_bench.acquisition.selection import Budget
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.diversity import farthest_first
from al_bench.config.schema import StrategyConfig

COVERING = ["coreset", "coreset_pretrained", "embedding_kmeans", "alps"]
LOOKS = {"coreset": "fitted", "coreset_pretrained": "pretrained", "embedding_kmeans": "pretrained", "alps": "surprisal"}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def chosen(name: str, view: FixedView, budget: Budget | int, seed: int = 0, ids=None, **params) -> np.ndarray:
    """The order of the strategy, over the pool or the given candidates."""
    strategy = STRATEGIES[name]
    config = StrategyConfig(name, params=strategy.typed(params, "strategy.params"))
    budget = of_examples(budget, len(view.vectors)) if isinstance(budget, int) else budget
    return strategy.select(view, view.pool if ids is None else ids, budget, rng(seed), config).order


# ---------------------------------------------------------------------------------------------- k-center


def greedy(points: np.ndarray, centres: np.ndarray, k: int) -> list[int]:
    """The definition, over all pairs."""
    taken: list[int] = []
    for _ in range(k):
        covers = np.concatenate([centres, points[taken]])
        left = [i for i in range(len(points)) if i not in taken]
        taken.append(max(left, key=lambda i: cdist(points[[i]], covers).min()))
    return taken


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 25), m=st.integers(1, 6), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_farthest_first_like_brute_force(n, m, width, seed):
    points = rng(seed).normal(size=(n, width)).astype(np.float32)
    centres = rng(seed + 1000).normal(size=(m, width)).astype(np.float32)
    assert list(farthest_first(points, centres, rng())) == greedy(points.astype(float), centres.astype(float), n)


def test_farthest_first_by_hand_on_a_line():
    """From 0, 9 is the farthest; then 4, which is 4 from 0, where 6 is only 3 from 9."""
    points, centres = np.array([[2.0], [4], [6], [9]]), np.array([[0.0]])
    assert [float(points[i, 0]) for i in list(farthest_first(points, centres, rng()))[:2]] == [9, 4]


def test_no_cover_has_less_than_half_its_radius():
    """Gonzalez (1985), with no centre given: by trying all covers."""
    points = rng(4).normal(size=(12, 2))
    pairs = cdist(points, points)
    greedy_radius = pairs[:, list(farthest_first(points, points[:0], rng()))[:3]].min(axis=1).max()
    best = min(pairs[:, list(cover)].min(axis=1).max() for cover in combinations(range(12), 3))
    assert best <= greedy_radius <= 2 * best


def test_equally_far_ones_come_in_random_order():
    """Corners of a simplex are all alike, seen from its middle; so is everything where there is no centre."""
    points, middle = np.eye(8), np.full((1, 8), 1 / 8)
    for centres in (middle, middle[:0]):
        orders = [list(farthest_first(points, centres, rng(seed))) for seed in range(100)]
        assert all(sorted(order) == list(range(8)) for order in orders)
        assert {order[0] for order in orders} == set(range(8))
    assert list(farthest_first(points, middle, rng(1))) == orders_of(points, middle, 1)


def orders_of(points: np.ndarray, centres: np.ndarray, seed: int) -> list[int]:
    return list(farthest_first(points, centres, rng(seed)))


def test_copies_of_what_is_labelled_come_last_although_far_from_the_origin():
    """Rounding must not make a copy look farther than a neighbour."""
    points = (1000 + rng(5).normal(size=(40, 16))).astype(np.float32)
    order = list(farthest_first(np.concatenate([points[:20], points]), points[:20], rng()))
    assert set(order[:20]) == set(range(40, 60))


@pytest.mark.parametrize("name", ["coreset", "coreset_pretrained"])
def test_coreset_starts_from_the_labelled(name):
    vectors = np.array([[0, 0], [1, 0], [0, 1], [9, 9], [5, 5.0]])
    view = FixedView(vectors, np.array([0]), np.array([0]))
    assert chosen(name, view, 2).tolist() == [3, 4]
    assert chosen(name, FixedView(vectors, np.array([3]), np.array([0])), 2)[0] == 0
    assert set(view.looks) == {LOOKS[name]}


# ----------------------------------------------------------------------------------------------- k-means


@pytest.mark.parametrize("name", ["embedding_kmeans", "alps"])
def test_one_of_each_direction(name):
    """Five directions with texts of any length around them, of which the first two are right on it."""
    directions = np.repeat(np.eye(5), 8, axis=0)
    noise = rng(1).normal(size=directions.shape)
    noise *= 0.1 / np.linalg.norm(noise, axis=1, keepdims=True)
    noise[::8] = 0
    noise[1::2] = -noise[::2]  # in pairs, so that the middle stays where it was
    view = FixedView((directions + noise) * rng(2).uniform(0.5, 20, (40, 1)))
    order = chosen(name, view, 5)
    assert sorted((order[:5] // 8).tolist()) == [0, 1, 2, 3, 4]
    assert set(order[:5] % 8) <= {0, 1}, "those without noise, at the centre"
    assert sorted((order[5:10] // 8).tolist()) == [0, 1, 2, 3, 4], "the second of each follows"
    assert sorted(order.tolist()) == list(range(40))
    assert set(view.looks) == {LOOKS[name]}


def test_large_clusters_come_first():
    """Where the budget in words buys fewer than there are clusters."""
    vectors = np.repeat(np.eye(3), [2, 10, 5], axis=0)
    order = chosen("embedding_kmeans", FixedView(vectors + 0.01 * rng(1).normal(size=vectors.shape)), 3)
    assert [int(np.digitize(i, [2, 12])) for i in order[:3]] == [1, 2, 0]


# ------------------------------------------------------------------------------- what all of these owe


@pytest.mark.parametrize("name", [*COVERING, "cluster_margin"])
@pytest.mark.parametrize("unit", ["examples", "words"])
def test_an_order_buys_the_budget_and_depends_on_its_stream_alone(name, unit):
    n = 90
    costs = np.ones(n, dtype=int) if unit == "examples" else rng(9).integers(1, 12, n)
    vectors, labelled = rng(1).normal(size=(n, 6)), rng(2).permutation(n)[:10]
    probs = rng(3).dirichlet(np.ones(3), n)
    view = FixedView(vectors, np.sort(labelled), np.arange(10) % 3, probs)
    for amount in (1, 17, 10_000):
        budget = Budget(amount, unit, costs)
        order = chosen(name, view, budget, seed=1)
        assert len(np.unique(order)) == len(order)
        assert not set(order) & set(labelled)
        assert budget.is_spent(order) or len(order) == 80
        assert chosen(name, view, budget, seed=1).tolist() == order.tolist()
    ids = view.pool[::3]
    assert set(chosen(name, view, 5, ids=ids)) <= set(ids)


@pytest.mark.parametrize("name", [*COVERING, "cluster_margin"])
def test_equal_texts_are_not_taken_in_the_order_of_the_corpus(name):
    view = FixedView(np.ones((200, 3)), np.array([0]), np.array([0]), np.full((200, 2), 0.5))
    firsts = np.array([chosen(name, view, 4, seed)[:4] for seed in range(30)])
    assert abs(firsts.mean() - 100) < 4 * 57.7 / np.sqrt(firsts.size)
    assert len({tuple(row) for row in firsts.tolist()}) > 25


@pytest.mark.parametrize("name", [*COVERING, "cluster_margin"])
def test_the_last_candidate(name):
    view = FixedView(np.eye(3), np.array([0, 2]), np.array([0, 1]), np.full((3, 2), 0.5))
    assert chosen(name, view, 4).tolist() == [1]


@pytest.mark.parametrize("name", [*COVERING, "cluster_margin", "information_density"])
def test_memory_is_linear_in_the_pool(name):
    """10,000 vectors of 768 are 31 MB; 10,000 x 10,000 numbers would be 400 MB even in bytes of 4."""
    n = 10_000
    vectors = rng(1).normal(size=(n, 768)).astype(np.float32)
    view = FixedView(vectors, np.arange(50), np.zeros(50), np.full((n, 3), 1 / 3))
    tracemalloc.start()
    chosen(name, view, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * vectors.nbytes


# ------------------------------------------------------------------------------------------ cluster-margin


def margins(gaps: np.ndarray) -> np.ndarray:
    """(n, 2) probabilities whose two largest differ by the gaps."""
    return np.column_stack([(1 + gaps) / 2, (1 - gaps) / 2])


def test_cluster_margin_takes_turns_among_the_smallest_margins():
    """Groups of 6, 3 and 1 among the 10 smallest margins, and far away a group with large ones."""
    groups = np.repeat([0, 1, 2, 3], [6, 3, 1, 10])
    vectors = 10 * np.eye(4)[groups] + 0.01 * rng(1).normal(size=(20, 4))
    view = FixedView(vectors, probs=margins(np.where(groups == 3, 0.9, 0.1) + np.linspace(0, 0.05, 20)))
    order = chosen("cluster_margin", view, of_examples(3, 20), shortlist=4)  # 12 of 20, of which 2 are of group 3
    assert (np.sort(order) == np.arange(20)).all()
    order = chosen("cluster_margin", FixedView(vectors[:10], probs=view.probs[:10]), 3, shortlist=4)
    assert groups[order[:3]].tolist() == [2, 1, 0], "small groups first"
    assert groups[order[3:7]].tolist() == [1, 0, 1, 0]
    assert len({tuple(chosen("cluster_margin", view, 3, seed)[:3]) for seed in range(20)}) > 5, "members at random"


@pytest.mark.parametrize("shortlist", [1, 2, 5])
def test_only_the_shortlist_is_queried(shortlist):
    gaps = rng(2).permutation(100) / 100
    view = FixedView(rng(1).normal(size=(100, 3)), probs=margins(gaps))
    order = chosen("cluster_margin", view, 10, shortlist=shortlist)
    assert set(order[: 10 * shortlist]) == set(np.argsort(gaps)[: 10 * shortlist])
    assert order[10 * shortlist :].tolist() == np.argsort(gaps)[10 * shortlist :].tolist(), "the others by margin"


# ------------------------------------------------------------------------------------- information density


def scores(view: FixedView, ids: np.ndarray, **params) -> np.ndarray:
    strategy = STRATEGIES["information_density"]
    config = StrategyConfig("information_density", params=strategy.typed(params, "strategy.params"))
    return strategy.score(view, ids, rng(), config)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_information_density_like_all_pairs(beta):
    vectors, probs = 1 + rng(1).normal(size=(40, 5)), rng(2).dirichlet(np.ones(3), 40)
    view = FixedView(vectors, np.arange(5), np.zeros(5), probs)
    ids = rng(3).permutation(view.pool)[:20]
    similarity = [np.mean([1 - cosine(vectors[i], vectors[j]) for j in view.pool]) for i in ids]
    expected = entropy(probs[ids], axis=1) * np.maximum(similarity, 0) ** beta
    assert scores(view, ids, beta=beta) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_information_density_by_hand():
    """In the pool (1, 0), (1, 0) and (0, 1): mean similarities 2/3, 2/3 and 1/3; the labelled one does not count."""
    view = FixedView(
        np.array([[3, 0], [1, 0], [0, 2], [-9, 0.0]]), np.array([3]), np.array([0]), margins(np.array([0.5, 0, 0, 1]))
    )
    got = scores(view, np.array([0, 1, 2]), uncertainty="breaking_ties", beta=2.0)
    assert got == pytest.approx([0.5 * 4 / 9, 4 / 9, 1 / 9], rel=1e-6)


def test_the_opposite_of_the_pool_has_no_density():
    view = FixedView(np.array([[1.0, 0]] * 5 + [[-1, 0]]), probs=np.full((6, 2), 0.5))
    assert scores(view, np.arange(6), beta=0.5)[5] == 0
