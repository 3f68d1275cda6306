"""Uncertainty with a look at the other candidates: uncertain ones that differ, or that are like many others."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.geometry import BLOCK, directions, in_turns, kmeans
from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.strategies.protocol import Selection, by_view, selecting
from al_bench.acquisition.strategies.uncertainty import breaking_ties, entropy, least_confidence
from al_bench.acquisition.view import View
from al_bench.config.schema import at_least, one_of

UNCERTAINTY = {"entropy": entropy, "least_confidence": least_confidence, "breaking_ties": breaking_ties}


@dataclass
class ClusterMargin:
    shortlist: int = at_least(1, "10 is usual", 10)  # times the query: the smallest margins, which it comes from


@selecting(
    needs=("predictions", "embeddings"),
    params=ClusterMargin,
    summary="smallest margins, taken in turns from clusters of the fitted model's embeddings",
    source="Citovsky et al. 2021",
    cost="n + b²",
)
def cluster_margin(view: View, candidates: np.ndarray, budget: Budget, rng: Generator, *, shortlist: int) -> Selection:
    """In turns one of each cluster of the candidates with the smallest margins, small clusters first.

    Citovsky et al., "Batch Active Learning at Scale" (NeurIPS 2021) cluster the whole pool once, by linkage, which is
    quadratic in it. Here the shortlist is clustered in each round, by k-means, into as many clusters as the budget
    buys examples. Of a cluster, members come in random order, as there. Of a sentence, its words' margins, aggregated.
    """
    margins = breaking_ties(view.predictions(candidates), rng, view.aggregate)
    order = ranked(np.arange(len(candidates)), margins, rng)
    size = budget.examples(candidates)
    lowest, others = np.split(order, [shortlist * size])
    clusters, _ = kmeans(view.embeddings(candidates)[lowest], size, rng)
    turns = in_turns(clusters, rng.random(len(lowest)), np.bincount(clusters))
    return Selection(candidates[np.concatenate([lowest[turns], others])])


@dataclass
class Density:
    uncertainty: str = one_of(*UNCERTAINTY)
    beta: float = at_least(0, "1 weighs density like uncertainty", 1.0)  # exponent of the density


@by_view(
    needs=("predictions", "pretrained"),
    params=Density,
    summary="uncertainty times the mean similarity to the pool, by the pretrained encoder",
    source="Settles and Craven 2008",
    cost="n",
)
def information_density(view: View, ids: np.ndarray, rng: Generator, *, uncertainty: str, beta: float) -> np.ndarray:
    """(n,) uncertainty x density^beta; density: the mean cosine similarity to the pool of the pretrained vectors.

    Settles and Craven, "An Analysis of Active Learning Strategies for Sequence Labeling Tasks" (EMNLP 2008). A
    negative density counts as 0. Of a sentence, its words' uncertainty, aggregated, and their mean vector.
    """
    scores = np.empty(len(ids))
    for places, predictions in view.parts(ids):
        scores[places] = UNCERTAINTY[uncertainty](predictions, rng, view.aggregate)
    return scores * np.maximum(density(view, ids), 0.0) ** beta


def density(view: View, ids: np.ndarray) -> np.ndarray:
    """(n,) float64 mean cosine similarity of the ids to the pool, themselves included.

    Linear in the pool: the mean of products with unit vectors is the product with their mean.
    """
    middle = sum(unit.sum(axis=0, dtype=np.float64) for unit in _directions(view, view.pool)) / len(view.pool)
    return np.concatenate([unit @ middle for unit in _directions(view, ids)])


def _directions(view: View, ids: np.ndarray) -> Iterator[np.ndarray]:
    """Some (k, width) at a time."""
    for start in range(0, len(ids), BLOCK):
        yield directions(view.embeddings(ids[start : start + BLOCK], of="pretrained"))
