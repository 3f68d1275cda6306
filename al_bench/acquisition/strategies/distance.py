"""How far a text lies from what is labelled, in the space that the fitted model's last layer sees."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from al_bench.acquisition.strategies.uncertainty import Aggregate
from al_bench.data.corpus import Labels
from al_bench.learners.predictions import Predictions

RIDGE = 1e-6  # share of the mean variance that every direction has at least
BLOCK = 4096  # candidates at a time, in float64


@dataclass(frozen=True)
class Known:
    """The labelled examples and no others: what the fitted model says of them, and their labels, in one order."""

    predictions: Predictions
    labels: Labels

    @cached_property
    def space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(origin, whitening, whitened centroids), computed once for all parts of a pool; None: training diverged."""
        assert self.predictions.embeddings is not None
        assert isinstance(self.labels, np.ndarray)
        seen = self.predictions.embeddings.astype(np.float64)
        if not np.isfinite(seen).all():
            return None
        classes, members = np.unique(self.labels, return_inverse=True)
        centroids = np.stack([seen[members == c].mean(axis=0) for c in range(len(classes))])
        whitening = _whitening(seen, centroids[members])
        middle = centroids.mean(axis=0)  # as the origin, it keeps the squares small
        return middle, whitening, (centroids - middle) @ whitening


def mahalanobis(
    predictions: Predictions, rng: np.random.Generator, aggregate: Aggregate, *, known: Known
) -> np.ndarray:
    """min_c (x - m_c)' S^-1 (x - m_c) of the embedding x (Lee et al. 2018).

    m_c: the mean of the labelled embeddings of class c, for every class that has some
    S: the covariance within classes, pooled: sum_i (x_i - m_c(i)) (x_i - m_c(i))' / n, plus a ridge, since n
        texts differ in fewer than n directions. A pseudo-inverse would overlook the others, and take a text
        that is unlike all before it for a near one; with the ridge it is far.
    Where no class has two texts that differ, the distance is Euclidean.
    """
    assert predictions.embeddings is not None
    if known.space is None:
        return np.full(len(predictions), np.nan)
    middle, whitening, targets = known.space
    scores = np.empty(len(predictions))
    for start in range(0, len(scores), BLOCK):
        rows = slice(start, start + BLOCK)
        points = (predictions.embeddings[rows] - middle) @ whitening
        nearest = (np.square(targets).sum(axis=1) - 2 * (points @ targets.T)).min(axis=1)
        scores[rows] = np.maximum(np.square(points).sum(axis=1) + nearest, 0.0)
    return scores


def _whitening(seen: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(width, width) W with W W' = S^-1, of n embeddings and the centroid of each."""
    n, width = seen.shape
    covariance = (seen - centroids).T @ (seen - centroids) / n
    variance = np.trace(covariance) / width
    if variance <= np.finfo(np.float32).eps ** 2 * np.square(seen).mean():  # float32 rounds as much away
        return np.eye(width)
    return np.linalg.inv(np.linalg.cholesky(covariance + RIDGE * variance * np.eye(width))).T
