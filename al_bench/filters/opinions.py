"""The filters that are shipped: which labels look wrong.

A filter gives every example a suspicion, higher = dropped first. Some filters also contradict labels. The suspicion
of a sentence is the mean over its words.
"""

import numpy as np

from al_bench.acquisition.aggregates import aggregated
from al_bench.acquisition.strategies.uncertainty import least_confidence, mnlp
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.filters.protocol import Chain, Suspicion
from al_bench.learners.predictions import Predictions


def confidence(chain: Chain) -> Suspicion:
    """what the labeller is least sure of"""
    return Suspicion(chain.doubt)


def verifier(chain: Chain) -> Suspicion:
    """what a second model, trained on gold alone, finds least probable"""
    return of_verifier(chain.verdict, chain.labels)


def knn(chain: Chain, *, neighbours: int = 10) -> Suspicion:
    """what the nearest gold examples contradict most"""
    trusted, questioned = chain.vectors
    return of_neighbours(trusted, chain.trusted_labels, questioned, chain.labels, chain.classes, neighbours)


def tracin(chain: Chain) -> Suspicion:
    """what influences its own prediction most"""
    return Suspicion(chain.influence)


def aum(chain: Chain) -> Suspicion:
    """what has the smallest area under the margin while the successor trains on it"""
    return Suspicion(-chain.margins)


def of_confidence(predictions: Predictions) -> np.ndarray:
    """(n,) 1 - the labeller's confidence: 1 - max p of a text, MNLP of a sentence (Tsvigun et al. 2022)."""
    score = mnlp if isinstance(predictions.probs, Ragged) else least_confidence
    return score(predictions, np.random.default_rng(0), "mean")


def of_verifier(predictions: Predictions, labels: Labels) -> Suspicion:
    """1 - the pseudo-label's probability by a second model, trained on gold alone (VERIPS, Rauch et al. 2023)."""
    probs, own = values_of(predictions.probs), predictions.surviving(labels)
    doubt = 1.0 - probs[np.arange(len(own)), own]
    return _of_examples(predictions.probs, doubt, probs.argmax(axis=1) != own)


def of_neighbours(
    gold: np.ndarray | Ragged, gold_labels: Labels, pseudo: np.ndarray | Ragged, labels: Labels, classes: int, k: int
) -> Suspicion:
    """1 - the share of the k nearest gold examples (tagging: words) that have the same label.

    Neighbourhood agreement in an embedding space, after HAST (Schroeder and Heyer 2024), by cosine. Only gold labels
    vote, so that the cost is labelled x pool and no pseudo-label confirms another.

    gold: (m, width) vectors; pseudo: (n, width) of the pseudo-labelled, of sentences a row per word; labels: theirs
    """
    from sklearn.neighbors import NearestNeighbors

    from al_bench.learners.engine.regression import unit_rows

    known, vectors = unit_rows(values_of(gold)), unit_rows(values_of(pseudo))
    index = NearestNeighbors(n_neighbors=min(k, len(known)), algorithm="brute", metric="euclidean")
    near = index.fit(known).kneighbors(vectors, return_distance=False)
    votes, rows = np.zeros((len(vectors), classes)), np.arange(len(vectors))
    np.add.at(votes, (rows[:, None], values_of(gold_labels)[near]), 1.0 / near.shape[1])
    own = votes[rows, values_of(labels)]
    return _of_examples(labels, 1.0 - own, votes.max(axis=1) > own + 1e-9)


def _of_examples(rows: Labels, score: np.ndarray, contradicts: np.ndarray) -> Suspicion:
    """Of texts as it is; of a sentence the mean over its words, contradicted if any of them is."""
    return Suspicion(aggregated(like(rows, score), "mean"), aggregated(like(rows, contradicts), "max") > 0)
