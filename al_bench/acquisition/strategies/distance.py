"""Distance of a text from the labelled texts, in the input space of the fitted model's last layer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.strategies.protocol import by_view
from al_bench.acquisition.view import View
from al_bench.data.corpus import Labels
from al_bench.learners.predictions import Predictions

RIDGE = 1e-6  # share of the mean variance that every direction has at least
BLOCK = 4096  # candidates at a time, in float64


@dataclass(frozen=True)
class Reference:
    """The labelled examples and no others: the fitted model's predictions of them, and their labels."""

    predictions: Predictions
    labels: Labels

    @cached_property
    def space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(origin, whitening, whitened centroids), computed once for all parts of a pool; None: training diverged."""
        assert isinstance(self.predictions.embeddings, np.ndarray)
        assert isinstance(self.labels, np.ndarray)
        embeddings = self.predictions.embeddings.astype(np.float64)
        if not np.isfinite(embeddings).all():
            return None
        classes, members = np.unique(self.labels, return_inverse=True)
        centroids = np.stack([embeddings[members == c].mean(axis=0) for c in range(len(classes))])
        whitening = _whitening(embeddings, centroids[members])
        middle = centroids.mean(axis=0)  # as the origin, it keeps the squares small
        return middle, whitening, (centroids - middle) @ whitening


@by_view(
    needs=("predictions", "embeddings"),
    tasks=("classification",),
    summary="distance of the embedding from the nearest class centroid",
    source="Lee et al. 2018",
    cost="n",
)
def mahalanobis(view: View, ids: np.ndarray, rng: Generator) -> np.ndarray:
    """(n,) `distances` of candidates from the labelled texts, part by part."""
    reference, scores = Reference(view.predictions(view.labelled), view.labels), np.empty(len(ids))
    for places, predictions in view.parts(ids):
        scores[places] = distances(predictions, reference)
    return scores


def distances(predictions: Predictions, reference: Reference) -> np.ndarray:
    """(n,) min_c (x - m_c)' S^-1 (x - m_c) of the embedding x (Lee et al. 2018).

    m_c: the mean of the labelled embeddings of class c, for every class that has some
    S: the covariance within classes, pooled: sum_i (x_i - m_c(i)) (x_i - m_c(i))' / n, plus a ridge, since n
        texts differ in fewer than n directions. A pseudo-inverse would ignore the other directions, so that a text
        unlike all labelled ones would be near; with the ridge it is far.
    Where no class has two texts that differ, the distance is Euclidean.
    """
    assert isinstance(predictions.embeddings, np.ndarray)
    if reference.space is None:
        return np.full(len(predictions), np.nan)
    middle, whitening, targets = reference.space
    scores = np.empty(len(predictions))
    for start in range(0, len(scores), BLOCK):
        rows = slice(start, start + BLOCK)
        points = (predictions.embeddings[rows] - middle) @ whitening
        nearest = (np.square(targets).sum(axis=1) - 2 * (points @ targets.T)).min(axis=1)
        scores[rows] = np.maximum(np.square(points).sum(axis=1) + nearest, 0.0)
    return scores


def _whitening(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(width, width) W with W W' = S^-1, of n embeddings and the centroid of each."""
    n, width = embeddings.shape
    covariance = (embeddings - centroids).T @ (embeddings - centroids) / n
    variance = np.trace(covariance) / width
    # Less variance than float32 loses by rounding is none.
    if variance <= np.finfo(np.float32).eps ** 2 * np.square(embeddings).mean():
        return np.eye(width)
    return np.linalg.inv(np.linalg.cholesky(covariance + RIDGE * variance * np.eye(width))).T
