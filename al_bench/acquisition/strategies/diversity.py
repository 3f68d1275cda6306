"""Batches that cover the pool, whatever the model is sure of."""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.geometry import directions, in_turns, kmeans
from al_bench.acquisition.selection import Budget
from al_bench.acquisition.strategies.protocol import Selection, selecting
from al_bench.acquisition.view import View


@selecting(
    needs=("embeddings",),
    summary="k-center: the farthest from all labelled examples, by the fitted model's embeddings",
    source="Sener and Savarese 2018",
    cost="n (m + b)",
)
def coreset(view: View, candidates: np.ndarray, budget: Budget, rng: Generator) -> Selection:
    """`k_center` by the inputs of the fitted model's last layer."""
    return k_center(view, candidates, budget, rng, "fitted")


@selecting(
    needs=("pretrained",),
    summary="k-center by the pretrained encoder's embeddings; fits no acquisition model",
    source="Sener and Savarese 2018",
    cost="n (m + b)",
)
def coreset_pretrained(view: View, candidates: np.ndarray, budget: Budget, rng: Generator) -> Selection:
    """`k_center` by the vectors of the pretrained encoder."""
    return k_center(view, candidates, budget, rng, "pretrained")


@selecting(
    needs=("pretrained",),
    summary="nearest to each centre of k-means on the pretrained encoder's embeddings; fits no acquisition model",
    source="Yuan et al. 2020",
    cost="n b",
)
def embedding_kmeans(view: View, candidates: np.ndarray, budget: Budget, rng: Generator) -> Selection:
    """`central` by the directions of the pretrained encoder's vectors: BERT-KM of Yuan et al. (2020)."""
    ids = rng.permutation(candidates)
    return Selection(central(ids, directions(view.embeddings(ids, of="pretrained")), budget, rng))


@selecting(
    needs=("surprisal",),
    summary="nearest to each centre of k-means on a masked language model's losses; fits no acquisition model",
    source="Yuan et al. 2020",
    cost="n b",
)
def alps(view: View, candidates: np.ndarray, budget: Budget, rng: Generator) -> Selection:
    """`central` by the directions of (n, length) losses of 15 % of a text's sub-words, 0 elsewhere.

    Yuan et al., "Cold-start Active Learning through Self-supervised Language Modeling" (EMNLP 2020).
    """
    ids = rng.permutation(candidates)
    return Selection(central(ids, directions(view.surprisal(ids)), budget, rng))


def k_center(view: View, candidates: np.ndarray, budget: Budget, rng: Generator, of: str) -> Selection:
    """Candidates by `farthest_first`, until they use up the budget.

    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach" (ICLR 2018).
    """
    points, centres = view.embeddings(candidates, of), view.embeddings(view.labelled, of)
    order: list[int] = []
    for place in farthest_first(points, centres, rng):
        order.append(candidates[place])
        if budget.is_spent(np.array(order)):
            break
    return Selection(np.array(order, dtype=np.int64))


def farthest_first(points: np.ndarray, centres: np.ndarray, rng: Generator) -> Iterator[int]:
    """Positions of points, each the farthest from its nearest centre, and then a centre itself.

    No other cover of as many centres has less than half their radius (Gonzalez 1985).
    Equally far ones come in random order, as does the first where there is no centre.
    """
    from sklearn.metrics import pairwise_distances_argmin_min

    distances = np.full(len(points), np.inf)
    if len(centres) and len(points):
        distances = np.square(pairwise_distances_argmin_min(points, centres)[1], dtype=np.float64)
    points = points - points.mean(axis=0)  # small squares lose less to rounding
    squares = np.einsum("ij,ij->i", points, points)
    for _ in range(len(points)):
        ties = np.flatnonzero(distances == distances.max())
        place = int(ties[rng.integers(len(ties))])
        yield place
        to_it = np.maximum(squares - 2 * (points @ points[place]) + squares[place], 0.0)
        distances = np.minimum(distances, to_it)
        distances[place] = -np.inf


def central(ids: np.ndarray, points: np.ndarray, budget: Budget, rng: Generator) -> np.ndarray:
    """All ids: of each cluster the nearest to the centre, largest clusters first, then each second nearest, and so on.

    points: (n, width) of the ids, in as many clusters as the budget buys examples
    """
    clusters, distances = kmeans(points, budget.examples(ids), rng)
    return ids[in_turns(clusters, distances, -np.bincount(clusters))]
