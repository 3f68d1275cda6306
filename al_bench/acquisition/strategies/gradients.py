"""Gradients of the last layer, in closed form.

The gradient of the cross-entropy of label y in the weights and the bias of the last layer is the outer product of
p - e_y and (h, 1): p are the probabilities, e_y is 1 at y and 0 elsewhere, h are the inputs of the layer. Its length is
|p - e_y| |(h, 1)|, and products of gradients factor in the same way: no array of (n, classes x width) is needed.
"""

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.selection import Budget
from al_bench.acquisition.strategies.protocol import Selection, by_view, part_by_part, selecting
from al_bench.acquisition.view import View
from al_bench.data.ragged import values_of
from al_bench.learners.predictions import Predictions


@by_view(needs=("predictions", "embeddings"), source="Settles et al. 2008", cost="n")
def egl(view: View, ids: np.ndarray, rng: Generator) -> np.ndarray:
    """Expected length of the last layer's gradient (EGL).

    (n,) `expected_lengths` of texts, or of words, aggregated by sentence.
    """
    return part_by_part(view, ids, lambda _, predictions: expected_lengths(predictions))


def expected_lengths(predictions: Predictions) -> np.ndarray:
    """(units,) sum_y p_y |p - e_y| |(h, 1)|, in weights and bias of the last layer (Settles et al. 2008)."""
    assert predictions.embeddings is not None
    p, h = values_of(predictions.probs).astype(np.float64), values_of(predictions.embeddings)
    residuals = np.sqrt(np.maximum(np.square(p).sum(axis=1, keepdims=True) - 2 * p + 1, 0.0))  # (units, classes)
    return (p * residuals).sum(axis=1) * np.sqrt(squares(h) + 1)


@selecting(
    needs=("predictions", "embeddings"),
    tasks=("classification",),
    source="Ash et al. 2020",
    cost="n b (width + classes)",
)
def badge(view: View, candidates: np.ndarray, budget: Budget, rng: Generator) -> Selection:
    """Gradient embeddings, drawn far from each other (BADGE).

    The seeding of k-means++ (Arthur and Vassilvitskii 2007): the first text is any, each further one is drawn with
    probability proportional to its squared distance from the nearest one before. The distance is that of the
    gradients (p - e_y) h' in the weights of the last layer, for the likeliest label y (Ash et al. 2020), so that
    uncertain texts (long gradients) that differ (in direction) are drawn.
    """
    residuals, inputs = values_of(view.predictions(candidates).probs).astype(np.float64), view.embeddings(candidates)
    residuals[np.arange(len(residuals)), residuals.argmax(axis=1)] -= 1
    lengths = squares(residuals) * squares(inputs)
    places, nearest = [int(rng.integers(len(candidates)))], np.full(len(candidates), np.inf)
    while True:
        nearest = np.minimum(nearest, distances(residuals, inputs, lengths, places[-1]))
        if budget.is_spent(candidates[places]) or not nearest.any():  # the rest are copies of those
            return Selection(budget.completed(candidates[places], candidates, rng))
        places.append(int(rng.choice(len(candidates), p=nearest / nearest.sum())))


def distances(residuals: np.ndarray, inputs: np.ndarray, lengths: np.ndarray, place: int) -> np.ndarray:
    """(n,) |a_i h_i' - a_j h_j'|^2 = l_i + l_j - 2 (a_i . a_j)(h_i . h_j), where j is `place`.

    residuals: (n, classes) a; inputs: (n, width) h; lengths: (n,) l = |a|^2 |h|^2
    """
    products = (residuals @ residuals[place]) * (inputs @ inputs[place])
    distances = np.maximum(lengths + lengths[place] - 2 * products, 0.0)
    distances[place] = 0.0
    return distances


def squares(rows: np.ndarray) -> np.ndarray:
    """(n,) float64 |x|^2 of each row, without an array of all squares."""
    return np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
