"""Strategies that look at gold labels: no annotator could run them."""

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.strategies.protocol import by_view, part_by_part
from al_bench.acquisition.strategies.uncertainty import TINY
from al_bench.acquisition.view import View
from al_bench.data.corpus import Labels
from al_bench.data.ragged import values_of
from al_bench.learners.predictions import Predictions


@by_view(needs=("predictions", "gold"), bracket=True)
def gold_loss(view: View, ids: np.ndarray, rng: Generator) -> np.ndarray:
    """Loss of the gold label: a bracket, which no annotator could run.

    (n,) `losses` of texts, or of words, aggregated by sentence.
    """
    return part_by_part(view, ids, lambda some, predictions: losses(predictions, view.gold(some)))


def losses(predictions: Predictions, gold: Labels) -> np.ndarray:
    """(units,) cross-entropy -log p_y of the gold labels y."""
    labels, probs = predictions.surviving(gold), values_of(predictions.probs)
    return -np.log(np.maximum(probs[np.arange(len(labels)), labels].astype(np.float64), TINY))
