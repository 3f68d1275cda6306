"""Query strategies: what to ask next."""

import numpy as np

from al_bench.acquisition.aggregates import aggregated
from al_bench.acquisition.strategies.protocol import by_score
from al_bench.data.ragged import like, values_of
from al_bench.learners.predictions import Predictions


@by_score
def doubtful(predictions: Predictions, rng: np.random.Generator, aggregate: str, *, power: float = 2.0) -> np.ndarray:
    """1 - probability of the likeliest label, raised to a power"""
    doubt = (1.0 - values_of(predictions.probs).max(axis=1)) ** power
    return aggregated(like(predictions.probs, doubt), aggregate)
