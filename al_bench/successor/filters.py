"""Which pseudo-labelled examples look wrong: pure functions of what models said, and what a filter drops.

A filter gives every example a suspicion, higher = dropped first, and may also say outright whose label it
contradicts. Of a sentence, a suspicion is the mean over its words.
"""

from dataclasses import dataclass

import numpy as np

from al_bench.acquisition.strategies.uncertainty import least_confidence, mnlp
from al_bench.config.schema import FilterConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.predictions import Predictions


@dataclass(frozen=True)
class Suspicion:
    """score: (n,) float; contradicts: (n,) bool, None where the filter has no verdict of its own."""

    score: np.ndarray
    contradicts: np.ndarray | None = None


def of_confidence(said: Predictions) -> np.ndarray:
    """(n,) 1 - the labeller's confidence: 1 - max p of a text, MNLP of a sentence (Tsvigun et al. 2022)."""
    score = mnlp if isinstance(said.probs, Ragged) else least_confidence
    return score(said, np.random.default_rng(0), "mean")


def of_verifier(said: Predictions, labels: Labels) -> Suspicion:
    """A second model, trained on gold alone, gives the pseudo-label little probability (VERIPS, Rauch et al. 2023)."""
    if not isinstance(said.probs, Ragged):
        assert isinstance(labels, np.ndarray)
        own = said.probs[np.arange(len(labels)), labels]
        return Suspicion(1.0 - own, said.probs.argmax(axis=1) != labels)
    assert isinstance(labels, Ragged)
    assert said.kept is not None
    kept = labels.values[np.repeat(labels.offsets[:-1], said.probs.lengths) + said.kept]
    probs = said.probs.values
    own = probs[np.arange(len(kept)), kept]
    return _of_words(1.0 - own, probs.argmax(axis=1) != kept, said.probs.offsets)


def of_neighbours(
    gold: np.ndarray | Ragged,
    gold_labels: Labels,
    asked: np.ndarray | Ragged,
    labels: Labels,
    classes: int,
    k: int,
) -> Suspicion:
    """Few of the k nearest gold examples (tagging: words) have the same label.

    Neighbourhood agreement in an embedding space, after HAST (Schroeder and Heyer 2024), by cosine; the vote is
    of gold labels only, so that the cost is labelled x pool and no pseudo-label confirms another.

    gold: (m, width), asked: (n, width) vectors, of sentences a row per word; labels: of the asked
    """
    if isinstance(gold, Ragged):
        assert isinstance(gold_labels, Ragged)
        assert isinstance(asked, Ragged)
        assert isinstance(labels, Ragged)
        words = of_neighbours(gold.values, gold_labels.values, asked.values, labels.values, classes, k)
        assert words.contradicts is not None
        return _of_words(words.score, words.contradicts, labels.offsets)
    from sklearn.neighbors import NearestNeighbors

    assert isinstance(gold_labels, np.ndarray)
    assert isinstance(asked, np.ndarray)
    assert isinstance(labels, np.ndarray)
    index = NearestNeighbors(n_neighbors=min(k, len(gold)), algorithm="brute", metric="euclidean")
    near = index.fit(_unit(gold)).kneighbors(_unit(asked), return_distance=False)
    votes = np.zeros((len(asked), classes))
    np.add.at(votes, (np.arange(len(asked))[:, None], gold_labels[near]), 1.0 / near.shape[1])
    own = votes[np.arange(len(asked)), labels]
    return Suspicion(1.0 - own, votes.max(axis=1) > own + 1e-9)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _of_words(scores: np.ndarray, contradicted: np.ndarray, offsets: np.ndarray) -> Suspicion:
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    total = np.bincount(rows, weights=scores, minlength=len(lengths))
    any_word = np.bincount(rows, weights=contradicted, minlength=len(lengths)) > 0
    return Suspicion(total / np.maximum(lengths, 1), any_word)


def dropped(
    chosen: FilterConfig, suspicion: Suspicion, kept: np.ndarray, quality: float | None
) -> np.ndarray:
    """(n,) bool: whom the filter drops of those that are still kept.

    kept: (n,) bool; quality: the labeller's dev score, None where there was no dev split
    """
    if chosen.threshold is not None:
        return kept & (1.0 - suspicion.score <= chosen.threshold)
    if chosen.drop == "disagreement":
        assert suspicion.contradicts is not None, "a rule of the config"
        return kept & suspicion.contradicts
    count = to_drop(chosen.drop, len(kept), int(np.count_nonzero(~kept)), quality)
    gone = np.zeros(len(kept), dtype=bool)
    candidates = np.flatnonzero(kept)
    worst = np.argsort(-suspicion.score[candidates], kind="stable")[:count]
    gone[candidates[worst]] = True
    return gone


def to_drop(drop: float | str, n: int, gone: int, quality: float | None) -> int:
    """How many examples: a share of all n; adaptive: the labeller's errors by its dev score, less those gone."""
    if drop != "adaptive":
        return round(float(drop) * n)
    return 0 if quality is None else max(0, round((1.0 - quality) * n) - gone)
