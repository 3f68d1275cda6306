"""Uncertainty scores: pure functions of probabilities.

Classification scores a text by its class distribution. Tagging scores each word by its tag distribution and
aggregates over the words of a sentence; a sentence of which no word survived scores 0, the least.
"""

from collections.abc import Callable

import numpy as np

from al_bench.acquisition.aggregates import aggregated
from al_bench.data.ragged import like, values_of
from al_bench.learners.predictions import Predictions

TINY = np.finfo(np.float64).tiny


def uniform(predictions: Predictions, rng: np.random.Generator, aggregate: str) -> np.ndarray:
    """A random order: no candidate is preferred."""
    return rng.random(len(predictions))


def least_confidence(predictions: Predictions, rng: np.random.Generator, aggregate: str) -> np.ndarray:
    """1 - max_c p_c (Lewis and Gale 1994)."""
    return _each(predictions, lambda p: 1.0 - p.max(axis=1), aggregate)


def entropy(predictions: Predictions, rng: np.random.Generator, aggregate: str) -> np.ndarray:
    """-sum_c p_c log p_c in nats, with 0 log 0 = 0 (Shannon 1948)."""
    return _each(predictions, lambda p: -(p * np.log(np.maximum(p, TINY))).sum(axis=1), aggregate)


def breaking_ties(predictions: Predictions, rng: np.random.Generator, aggregate: str) -> np.ndarray:
    """1 - (p_1 - p_2), the gap of the two largest probabilities (Scheffer et al. 2001; Luo et al. 2005)."""
    return _each(predictions, lambda p: 1.0 + np.subtract(*np.partition(p, -2, axis=1)[:, -2:].T), aggregate)


def mnlp(predictions: Predictions, rng: np.random.Generator, aggregate: str) -> np.ndarray:
    """-(1/L) sum_t log max_c p_{t,c} over the L surviving words of a sentence (Shen et al. 2018)."""
    return _each(predictions, lambda p: -np.log(np.maximum(p.max(axis=1), TINY)), "mean")


def _each(predictions: Predictions, score: Callable[[np.ndarray], np.ndarray], aggregate: str) -> np.ndarray:
    """Score rows of probabilities in float64 and, where rows are words, aggregate them by sentence."""
    return aggregated(like(predictions.probs, score(values_of(predictions.probs).astype(np.float64))), aggregate)
