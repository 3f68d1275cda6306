"""Neighbours and clusters against brute force and hand examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from al_bench.acquisition.geometry import directions, in_turns, kmeans, nearest


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def blobs(groups: int, each: int, seed: int = 0) -> np.ndarray:
    """Points close to the corners of a simplex, group after group."""
    corners = 10 * np.repeat(np.eye(groups), each, axis=0)
    return (corners + 0.1 * rng(seed).normal(size=corners.shape)).astype(np.float32)


def test_directions_have_length_1_and_zero_stays():
    vectors = np.array([[3, 4], [0, 0], [-2, 0]], dtype=np.float32)
    vectors.setflags(write=False)
    assert directions(vectors) == pytest.approx(np.array([[0.6, 0.8], [0, 0], [-1, 0]]))
    assert directions(vectors).dtype == np.float32


@pytest.mark.parametrize(("n", "m", "k"), [(50, 7, 5), (300, 1, 1), (4, 3, 10), (0, 3, 2), (5, 0, 2)])
def test_nearest_are_those_of_all_pairs(n, m, k):
    points, queries = rng(1).normal(size=(n, 6)).astype(np.float32), rng(2).normal(size=(m, 6)).astype(np.float32)
    positions, distances = nearest(points, queries, k)
    pairs = cdist(queries, points)
    assert positions.tolist() == np.argsort(pairs, axis=1)[:, :k].tolist()
    assert distances == pytest.approx(np.sort(pairs, axis=1)[:, :k], abs=1e-5)


def test_kmeans_finds_groups_that_are_apart():
    points = blobs(4, 30)
    clusters, distances = kmeans(points, 4, rng())
    assert len({tuple(np.unique(part)) for part in np.split(clusters, 4)}) == 4
    assert all(len(np.unique(part)) == 1 for part in np.split(clusters, 4))
    assert distances.max() < 1


def test_kmeans_is_a_function_of_its_stream():
    points = rng(3).normal(size=(500, 5)).astype(np.float32)
    points.setflags(write=False)
    one, again, other = (kmeans(points, 20, rng(seed))[0] for seed in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()


def test_fewer_points_than_clusters():
    clusters, distances = kmeans(np.ones((5, 2), dtype=np.float32), 9, rng())
    assert (len(np.unique(clusters)), distances.max()) == (1, 0)


def test_groups_take_turns_by_hand():
    groups, priority = np.array([0, 0, 1, 2, 2, 2]), np.array([2, 1, 0, 3, 1, 2])
    assert in_turns(groups, priority, np.array([1, 2, 0])).tolist() == [4, 1, 2, 5, 0, 3]
    assert in_turns(groups, priority, np.array([2, 1, 0])).tolist() == [4, 2, 1, 5, 0, 3]


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.integers(0, 4), max_size=20), seed=st.integers(0, 9))
def test_groups_take_turns_as_queues_do(groups, seed):
    """The definition: until nobody is left, each group in its turn sends the first of its queue."""
    priority, turns = rng(seed).random(len(groups)), rng(seed + 1).permutation(5)
    queues = {g: sorted((i for i, h in enumerate(groups) if h == g), key=lambda i: priority[i]) for g in range(5)}
    expected = []
    while any(queues.values()):
        expected += [queues[g].pop(0) for g in np.argsort(turns) if queues[g]]
    assert in_turns(np.array(groups, dtype=int), priority, turns).tolist() == expected
