"""Distance of a text from the labelled texts, in the input space of the fitted model's last layer.

Where labels are of words, so are embeddings, classes and distances.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator
from scipy.special import logsumexp

from al_bench.acquisition.strategies.protocol import by_view, part_by_part
from al_bench.acquisition.view import View
from al_bench.data.corpus import Labels
from al_bench.data.ragged import values_of
from al_bench.learners.predictions import Predictions

RIDGE = 1e-6  # share of the mean variance that every direction has at least
BLOCK = 4096  # embeddings at a time, in float64


@dataclass(frozen=True)
class Reference:
    """The labelled examples and no others: the fitted model's predictions of them, and their labels.

    All that follows from them is computed once for all parts of a pool.
    """

    predictions: Predictions
    labels: Labels

    @cached_property
    def classes(self) -> list[np.ndarray] | None:
        """(k, width) embeddings of each label that has some; None: training diverged."""
        assert self.predictions.embeddings is not None
        embeddings, labels = values_of(self.predictions.embeddings), self.predictions.surviving(self.labels)
        if not np.isfinite(embeddings).all():
            return None
        return [embeddings[labels == label] for label in np.unique(labels)]

    @cached_property
    def centroids(self) -> tuple[np.ndarray, np.ndarray]:
        """(c,) how many labelled embeddings each class has, and (c, width) their mean."""
        assert self.classes is not None
        sizes = np.array([len(rows) for rows in self.classes])
        return sizes, np.stack([rows.mean(axis=0, dtype=np.float64) for rows in self.classes])

    def scatters(self) -> Iterator[np.ndarray]:
        """(width, width) of each class, of which only one need be in memory."""
        assert self.classes is not None
        return map(scatter, self.classes, self.centroids[1])

    @cached_property
    def pooled(self) -> tuple[np.ndarray, float]:
        """(width, width) covariance within classes, and the mean of all squared coordinates."""
        sizes, centroids = self.centroids
        width = centroids.shape[1]
        covariance = sum(self.scatters(), np.zeros((width, width))) / sizes.sum()
        between = (np.square(centroids).sum(axis=1) * sizes).sum() / sizes.sum()
        return covariance, (np.trace(covariance) + between) / width

    @cached_property
    def space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(origin, whitening, whitened centroids) under the pooled covariance."""
        _, centroids = self.centroids
        whitening = _whitening(*self.pooled)
        middle = centroids.mean(axis=0)  # as the origin, it keeps the squares small
        return middle, whitening, (centroids - middle) @ whitening

    @cached_property
    def mixture(self) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """(centroids, whitenings, (c,) log of each component's share times its density at its centre)."""
        (sizes, centroids), (pooled, square) = self.centroids, self.pooled
        width = centroids.shape[1]
        whitenings = [
            _whitening((own + width * pooled) / (size + width), square)
            for own, size in zip(self.scatters(), sizes, strict=True)
        ]
        # Without the factor (2 pi)^(-width / 2), which all components have. Whitenings are triangular.
        peaks = np.array([np.log(np.diag(whitening)).sum() for whitening in whitenings])
        return centroids, whitenings, np.log(sizes / sizes.sum()) + peaks


@by_view(needs=("predictions", "embeddings"), source="Lee et al. 2018", cost="(n + m) width^2")
def mahalanobis(view: View, ids: np.ndarray, rng: Generator) -> np.ndarray:
    """Distance of the embedding from the nearest class centroid.

    (n,) `distances` from the labelled texts, or of words from the labelled words, aggregated by sentence.
    """
    reference = Reference(view.predictions(view.labelled), view.labels)
    return part_by_part(view, ids, lambda _, predictions: distances(predictions, reference))


@by_view(needs=("predictions", "embeddings"), source="Mukhoti et al. 2023", cost="(n classes + m) width^2")
def ddu(view: View, ids: np.ndarray, rng: Generator) -> np.ndarray:
    """Rarity of the embedding under a Gaussian for each class (DDU).

    (n,) `rarities` among the labelled texts, or of words among the labelled words, aggregated by sentence.
    """
    reference = Reference(view.predictions(view.labelled), view.labels)
    return part_by_part(view, ids, lambda _, predictions: rarities(predictions, reference))


def distances(predictions: Predictions, reference: Reference) -> np.ndarray:
    """(units,) min_c (x - m_c)' S^-1 (x - m_c) of the embedding x (Lee et al. 2018).

    m_c: the mean of the labelled embeddings of class c, for every class that has some
    S: the covariance within classes, pooled: sum_i (x_i - m_c(i)) (x_i - m_c(i))' / n, plus a ridge, since n
        texts differ in fewer than n directions. A pseudo-inverse would ignore the other directions, so that a text
        unlike all labelled ones would be near; with the ridge it is far.
    Where no class has two texts that differ, the distance is Euclidean.
    """

    def nearest(embeddings: np.ndarray) -> np.ndarray:
        middle, whitening, targets = reference.space
        points = (embeddings - middle) @ whitening
        nearest = (np.square(targets).sum(axis=1) - 2 * (points @ targets.T)).min(axis=1)
        return np.maximum(np.square(points).sum(axis=1) + nearest, 0.0)

    return _by_block(predictions, reference, nearest)


def rarities(predictions: Predictions, reference: Reference) -> np.ndarray:
    """(units,) negative log-density -log sum_c s_c N(x; m_c, S_c) of the embedding x (Mukhoti et al. 2023).

    s_c, m_c: share and mean of the labelled embeddings of class c
    S_c: its covariance, shrunk to the pooled one, and a ridge as in `distances`: (n_c S_c + width S) / (n_c + width),
        since a class of fewer texts than directions has no covariance of its own that could be inverted
    A constant is added, the log of a bound of the density, so that no score is negative: a sentence without words
    has 0, the least.
    """

    def rarity(embeddings: np.ndarray) -> np.ndarray:
        centroids, whitenings, peaks = reference.mixture
        squares = [
            np.square((embeddings - centre) @ whitening).sum(axis=1)
            for centre, whitening in zip(centroids, whitenings, strict=True)
        ]
        return np.maximum(logsumexp(peaks) - logsumexp(peaks[:, None] - np.stack(squares) / 2, axis=0), 0.0)

    return _by_block(predictions, reference, rarity)


def scatter(rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(width, width) float64 sum_i (x_i - m) (x_i - m)'."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), BLOCK):
        apart = rows[start : start + BLOCK] - centre
        total += apart.T @ apart
    return total


def _by_block(predictions: Predictions, reference: Reference, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(units,) scores of embeddings; all are NaN where the reference has diverged."""
    assert predictions.embeddings is not None
    embeddings = values_of(predictions.embeddings)
    scores = np.full(len(embeddings), np.nan)
    if reference.classes is not None:
        for start in range(0, len(scores), BLOCK):
            scores[start : start + BLOCK] = score(embeddings[start : start + BLOCK].astype(np.float64))
    return scores


def _whitening(covariance: np.ndarray, square: float) -> np.ndarray:
    """(width, width) triangular W with W W' = S^-1. square: mean of all squared coordinates"""
    width = len(covariance)
    variance = np.trace(covariance) / width
    # Less variance than float32 loses by rounding is none.
    if variance <= np.finfo(np.float32).eps ** 2 * square:
        return np.eye(width)
    return np.linalg.inv(np.linalg.cholesky(covariance + RIDGE * variance * np.eye(width))).T
