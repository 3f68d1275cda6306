"""Candidate pools of what is near the labelled examples, by the pretrained encoder's vectors.

Neighbours are found anew in every round, in time that is linear in the pool and in the labelled examples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.candidates import Preference, candidate_pool
from al_bench.acquisition.geometry import directions, nearest
from al_bench.acquisition.view import View
from al_bench.config.schema import at_least


@dataclass
class Seals:
    neighbours: int = at_least(1, "the paper uses 100", 100)  # of each labelled example


@candidate_pool(needs=("pretrained",), params=Seals, source="Coleman et al. 2022", cost="n m width")
def seals(view: View, rng: Generator, *, neighbours: int) -> Preference:
    """The nearest unlabelled neighbours of each labelled example, by cosine; the others follow in random order.

    Coleman et al., "Similarity Search for Efficient Active Learning and Search of Rare Concepts" (AAAI 2022).
    """
    ids = rng.permutation(view.pool)
    near, _ = nearest(vectors_of(view, ids), vectors_of(view, view.labelled), neighbours)
    drawn = np.zeros(len(ids), dtype=bool)
    drawn[near] = True
    return Preference(ids, drawn)


@dataclass
class AnchorAl:
    anchors: int = at_least(1, "the paper uses 10", 10)  # of each class
    neighbours: int = at_least(1, "the paper uses 50", 50)  # of each anchor
    size: int = at_least(1, "the paper uses 1000", 1000)  # of the part, at most


@candidate_pool(
    needs=("pretrained",),
    params=AnchorAl,
    tasks=("classification",),
    source="Lesci and Vlachos 2024",
    cost="n anchors width",
)
def anchoral(view: View, rng: Generator, *, anchors: int, neighbours: int, size: int) -> Preference:
    """The neighbours of anchors, which k-means++ draws among the labelled examples of each class.

    Of all neighbours, those with the highest cosine similarity, a mean over the anchors whose neighbours they are:
    Lesci and Vlachos, "AnchorAL: Computationally Efficient Active Learning for Large and Imbalanced Datasets" (NAACL
    2024).
    """
    assert isinstance(view.labels, np.ndarray)
    ids, known = rng.permutation(view.pool), vectors_of(view, view.labelled)
    groups = [np.flatnonzero(view.labels == label) for label in np.unique(view.labels)]
    chosen = np.concatenate([spread(members, known, anchors, rng) for members in groups])
    near, distances = nearest(vectors_of(view, ids), known[chosen], neighbours)
    similarity = 1 - np.square(distances) / 2  # of vectors of length 1
    times, total = (np.bincount(near.ravel(), w, len(ids)) for w in (None, similarity.ravel()))
    order = np.argsort(-np.where(times > 0, total / np.maximum(times, 1), -np.inf), kind="stable")
    return Preference(ids[order], np.arange(len(ids)) < min(size, int((times > 0).sum())))


def spread(members: np.ndarray, vectors: np.ndarray, k: int, rng: Generator) -> np.ndarray:
    """At most k of the members, drawn by k-means++ (Arthur and Vassilvitskii 2007): far from each other."""
    from sklearn.cluster import kmeans_plusplus

    if len(members) <= k:
        return members
    _, places = kmeans_plusplus(vectors[members], k, random_state=int(rng.integers(2**31)))
    return members[np.unique(places)]


def vectors_of(view: View, ids: np.ndarray) -> np.ndarray:
    """(n, width) directions of the pretrained encoder's vectors."""
    return directions(view.embeddings(ids, of="pretrained"))
