"""Candidate pools near the labelled examples: brute force, worked examples, and what every candidate pool owes."""

import tracemalloc

import numpy as np
import pytest
from fixed import FixedView, of_examples
from scipy.spatial.distance import cdist

from al_bench.acquisition.neighbourhoods import spread
from al_bench.acquisition.subsampling import CANDIDATE_POOLS, propose
from al_bench.config.schema import SubsamplingConfig

NEAR = ["seals", "anchoral"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def part(name: str, view: FixedView, seed: int = 0, budget: int = 1, **params: int) -> np.ndarray:
    settings = SubsamplingConfig(name, params=CANDIDATE_POOLS[name].typed(params, "subsampling.params"), refresh=[])
    return propose(settings, 1, view, of_examples(budget, len(view.vectors)), rng(seed)).ids


def some(n: int = 120, labelled: int = 9, seed: int = 1) -> FixedView:
    return FixedView(rng(seed).normal(size=(n, 5)), np.sort(rng(seed + 1).permutation(n)[:labelled]), np.arange(9) % 3)


@pytest.mark.parametrize("k", [1, 3, 20, 500])
def test_seals_is_the_union_of_neighbourhoods(k):
    view = some()
    similarity = 1 - cdist(view.vectors[view.labelled], view.vectors[view.pool], "cosine")
    expected = {int(view.pool[j]) for row in similarity for j in np.argsort(-row)[:k]}
    assert set(part("seals", view, neighbours=k)) == expected
    assert set(view.looks) == {"pretrained"}


def test_anchoral_by_hand():
    """One anchor a class, on the axes; similarities are cosines of the angles to them."""
    angles = np.radians([0, 90, 5, 10, 20, 45, 84, 60])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]) * rng(1).uniform(1, 9, (8, 1))
    view = FixedView(vectors, np.array([0, 1]), np.array([0, 1]))
    assert part("anchoral", view, neighbours=2, size=10).tolist() == [2, 3, 6, 7], "two of each"
    assert part("anchoral", view, neighbours=2, size=3).tolist() == [2, 3, 6], "60 degrees is the least similar"
    # Of all six, by the mean of cos a and sin a: 45 degrees is the first.
    assert part("anchoral", view, neighbours=6, size=1).tolist() == [5]


def test_anchoral_like_brute_force():
    """With all labelled examples as anchors nothing is drawn."""
    view = some()
    similarity = 1 - cdist(view.vectors[view.labelled], view.vectors[view.pool], "cosine")
    seen: dict[int, list[float]] = {}
    for row in similarity:
        for j in np.argsort(-row)[:15]:
            seen.setdefault(int(view.pool[j]), []).append(row[j])
    expected = sorted(seen, key=lambda i: -np.mean(seen[i]))[:25]
    assert part("anchoral", view, anchors=9, neighbours=15, size=25).tolist() == sorted(expected)


def test_anchors_are_of_every_class_however_rare():
    """A class of one labelled example among a hundred of another still has its neighbourhood in the part."""
    vectors = np.concatenate([rng(1).normal([10, 0, 0], 0.1, (190, 3)), rng(2).normal([0, 10, 0], 0.1, (10, 3))])
    labelled = np.append(np.arange(100), 199)
    view = FixedView(vectors, labelled, np.append(np.zeros(100, dtype=int), 7))
    assert set(range(190, 199)) <= set(part("anchoral", view, anchors=2, neighbours=9, size=30))


def test_anchors_are_spread():
    """k-means++ takes one of each of three tight groups; a small group is taken whole, copies once."""
    vectors = np.repeat(10 * np.eye(3), 20, axis=0) + 0.01 * rng(1).normal(size=(60, 3))
    members = np.arange(60)
    assert all(sorted(spread(members, vectors, 3, rng(seed)) // 20) == [0, 1, 2] for seed in range(20))
    assert spread(members[:2], vectors, 3, rng()).tolist() == [0, 1]
    assert len(spread(members, np.ones((60, 3)), 3, rng())) <= 3


@pytest.mark.parametrize("name", NEAR)
def test_a_part_is_rising_of_the_pool_and_a_function_of_its_stream(name):
    view = some()
    ids = part(name, view, seed=1)
    assert (np.diff(ids) > 0).all()
    assert set(ids) <= set(view.pool)
    assert part(name, view, seed=1).tolist() == ids.tolist()


@pytest.mark.parametrize("name", NEAR)
def test_equal_texts_are_not_taken_in_the_order_of_the_corpus(name):
    view = FixedView(np.ones((300, 2)), np.array([0, 1]), np.array([0, 1]))
    ids = np.concatenate([part(name, view, seed, neighbours=3) for seed in range(40)])
    assert abs(ids.mean() - 150) < 4 * 86.6 / np.sqrt(40 * 3)


@pytest.mark.parametrize("name", NEAR)
def test_a_part_that_cannot_fill_the_query_is_extended(name):
    view = some()
    assert len(part(name, view, neighbours=1, budget=50)) == 50
    assert part(name, view, neighbours=1, budget=500).tolist() == view.pool.tolist()


def test_anchoral_is_extended_by_what_is_most_similar():
    view = some()
    few, more = (part("anchoral", view, anchors=9, neighbours=15, size=5, budget=b) for b in (5, 20))
    assert set(few) < set(more) == set(part("anchoral", view, anchors=9, neighbours=15, size=20))


@pytest.mark.parametrize("name", NEAR)
def test_memory_is_linear(name):
    """10,000 vectors of 768 are 31 MB."""
    vectors = rng(1).normal(size=(10_000, 768)).astype(np.float32)
    view = FixedView(vectors, np.arange(200), np.arange(200) % 4)
    tracemalloc.start()
    part(name, view)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * vectors.nbytes
