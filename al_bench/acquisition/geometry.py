"""Vectors of examples: their directions, neighbours and clusters, by scikit-learn. Nothing is quadratic in the pool.

Equal vectors are taken in the order of their rows: callers shuffle these, so that no order of the corpus shows.
"""

import numpy as np
from numpy.random import Generator

BLOCK = 4096  # rows whose differences are in memory together


def directions(vectors: np.ndarray) -> np.ndarray:
    """(n, width) float32 vectors of length 1; a vector of zeros stays."""
    from sklearn.preprocessing import normalize

    return normalize(vectors.astype(np.float32, copy=False))


def nearest(points: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) positions of the k points nearest to each of m queries, nearest first, and their distances.

    Fewer than k where there are fewer points. Memory is linear in both, time in their product.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(points))
    if not k or not len(queries):
        return np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k))
    distances, positions = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors(queries)
    return positions, distances


def kmeans(points: np.ndarray, k: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n,) cluster of each point, by k-means on batches (Sculley 2010), and its squared distance from the centre.

    At most k clusters: fewer where fewer points differ.
    """
    from sklearn.cluster import MiniBatchKMeans  # k-means on all points sums in an order that threads decide
    from sklearn.utils import gen_batches

    model = MiniBatchKMeans(min(k, len(points)), n_init=1, random_state=int(rng.integers(2**31))).fit(points)
    distances = np.empty(len(points))
    for rows in gen_batches(len(points), BLOCK):
        distances[rows] = np.square(points[rows] - model.cluster_centers_[model.labels_[rows]]).sum(axis=1)
    return model.labels_, distances


def in_turns(groups: np.ndarray, priority: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(n,) positions in an order in which groups take turns: one member of each, then the next of each, and so on.

    groups: (n,) number of each position's group; priority: (n,) of members, the least comes first
    turns: by group, its place in each turn
    """
    members = np.lexsort((priority, groups))
    _, begins, sizes = np.unique(groups[members], return_index=True, return_counts=True)
    turn = np.arange(len(members)) - np.repeat(begins, sizes)
    return members[np.lexsort((turns[groups[members]], turn))]
