"""Texts that the model says something else of than of their labelled neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.special import entr

from al_bench.acquisition.strategies.protocol import by_view, part_by_part
from al_bench.acquisition.strategies.uncertainty import TINY
from al_bench.acquisition.view import View
from al_bench.config.schema import at_least
from al_bench.data.ragged import values_of
from al_bench.learners.predictions import Predictions, finite


@dataclass
class Neighbourhood:
    """neighbours: labelled texts that each candidate is compared with, or all where there are fewer"""

    neighbours: int = at_least(1, "the paper uses 10", 10)


@by_view(
    params=Neighbourhood,
    needs=("predictions", "embeddings"),
    tasks=("classification",),
    source="Margatina et al. 2021",
    cost="n m width",
)
def cal(view: View, ids: np.ndarray, rng: Generator, *, neighbours: int) -> np.ndarray:
    """Divergence of the prediction from those of the nearest labelled texts (CAL).

    (n,) mean of KL(p_l || p) over the candidate's nearest labelled texts l, by Euclidean distance of the fitted
    model's embeddings (Margatina et al. 2021).
    """
    from sklearn.neighbors import NearestNeighbors  # heavy

    probs = values_of(view.predictions(view.labelled).probs).astype(np.float64)
    search = NearestNeighbors(n_neighbors=min(neighbours, len(probs)), algorithm="brute")
    search.fit(view.embeddings(view.labelled))

    def contrasts(_: np.ndarray, predictions: Predictions) -> np.ndarray:
        nearest = search.kneighbors(finite(predictions.embeddings), return_distance=False)
        return divergences(probs[nearest], values_of(predictions.probs))

    return part_by_part(view, ids, contrasts)


def divergences(neighbours: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(n,) mean_l KL(p_l || p) in nats, of (n, neighbours, classes) p_l and (n, classes) p."""
    logs = np.log(np.maximum(probs.astype(np.float64), TINY))
    mean = -entr(neighbours).sum(axis=2).mean(axis=1) - (neighbours.mean(axis=1) * logs).sum(axis=1)
    return np.maximum(mean, 0.0)  # it is less than 0 by rounding alone
