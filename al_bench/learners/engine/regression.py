"""Multinomial logistic regression on fixed vectors; numpy and scikit-learn only."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.predictions import finite

MAX_STEPS = 1000  # hundreds are usual; more change next to nothing
BLOCK = 8192  # rows copied at once
# Relative to the liveliest feature: a feature under it is constant but for rounding, and dividing by its spread
# would blow that up to the size of all others. (MiniLM has such features, of 1e-8 and 1e-32.)
LIVELY = 1e-6
LEAST = 1e-6  # a label with a smaller probability in a soft target is left out


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """(n, width) of length one, but for zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Scaling:
    """mean, spread: (width,) float32; spread is the standard deviation, 1 for a feature without any."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, changed: Callable[[np.ndarray], np.ndarray] = np.asarray) -> "Scaling":
        """vectors: (n, width), perhaps on disk; never copied as a whole. changed: what rows of them become first"""
        n, width = vectors.shape
        total, squares = np.zeros(width), np.zeros(width)
        for start in range(0, n, BLOCK):
            total += changed(vectors[start : start + BLOCK]).sum(axis=0, dtype=np.float64)
        mean = (total / max(n, 1)).astype(np.float32)
        for start in range(0, n, BLOCK):
            squares += np.square(changed(vectors[start : start + BLOCK]) - mean).sum(axis=0, dtype=np.float64)
        spread = np.sqrt(squares / max(n, 1)).astype(np.float32)
        spread[spread <= LIVELY * spread.max(initial=0.0)] = 1.0
        return cls(mean, spread)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.spread


@dataclass(frozen=True)
class Head:
    """A fitted linear layer over standardised features.

    weight: (labels, width) float32; bias: (labels,) float32, -inf for a label that no example had
    steps: of the solver
    """

    weight: np.ndarray
    bias: np.ndarray
    steps: int = 0

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(units, labels)"""
        return x @ self.weight.T + self.bias


def fit_head(x: np.ndarray, target: np.ndarray, weights: np.ndarray | None, labels: int, strength: float) -> Head:
    """Minimise |W|^2 / 2 + strength * sum_i weights_i * cross-entropy_i, as scikit-learn does (the bias is free).

    x: (units, width) float32, in which the solver computes too: float64 takes twice as long to the same F1
    target: (units,) label numbers, or (units, labels) distributions; weights: (units,), None: all 1
    strength: scikit-learn's C

    A distribution becomes a weighted row per label that has any probability, which is the same loss; the rows
    take memory. Of two labels the second has a weight vector and the first has 0, as in scikit-learn.
    """
    if target.ndim == 2:
        unit, label = np.nonzero(target > LEAST)
        mass = target[unit, label]
        x, target, weights = x[unit], label, mass if weights is None else mass * weights[unit]
    finite(x)  # else the solver raises an error of its own
    present = np.unique(target)
    weight = np.zeros((labels, x.shape[1]), dtype=np.float32)
    # Without any example every label is as good as another.
    bias = np.full(labels, -np.inf if len(present) else 0.0, dtype=np.float32)
    bias[present] = 0.0
    if len(present) < 2:
        return Head(weight, bias)
    model = LogisticRegression(C=strength, max_iter=MAX_STEPS)
    with warnings.catch_warnings():
        # A solution that is still improving is a model all the same, and its steps are in the ledger.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, target, sample_weight=weights)
    fitted = present[1:] if len(present) == 2 else present
    weight[fitted], bias[fitted] = model.coef_, model.intercept_
    return Head(weight, bias, int(model.n_iter_.max()))


def gradient_norms(x: np.ndarray, residual: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(n,) |gradient in weight and bias|^2 of each example's mean cross-entropy over its units; 0 without any.

    x: (units, width); residual: (units, labels) p - y; lengths: (n,) units of each example

    The gradient of m units is sum_i r_i (x_i, 1)^T / m, so its squared norm is
    sum_ij (r_i . r_j) (x_i . x_j + 1) / m^2. Examples of one length are computed together.
    """
    units = Ragged(np.arange(len(x)), offsets_of(lengths))
    norms = np.zeros(len(lengths))
    for m in np.unique(lengths[lengths > 0]):
        these = np.flatnonzero(lengths == m)
        rows, errors = (
            part[units.positions(these)].reshape(len(these), m, -1).astype(np.float64) for part in (x, residual)
        )
        inner, outer = rows @ rows.transpose(0, 2, 1), errors @ errors.transpose(0, 2, 1)
        norms[these] = ((inner + 1.0) * outer).sum(axis=(1, 2)) / m**2
    return norms
