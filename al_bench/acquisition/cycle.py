"""The record of one cycle: what was decided in it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from al_bench.acquisition.pool import Pool
from al_bench.data.corpus import Corpus

NO_IDS = np.empty(0, dtype=np.int64)
NO_SCORES = np.empty(0, dtype=np.float32)
NO_LABELS = np.empty(0, dtype=np.int16)


@dataclass(frozen=True)
class Cycle:
    """What one cycle decided.

    labelled, words: number of examples, and of words in them, that the cycle's model was fitted on
    metrics: of the acquisition model on the test split; None where no model is fitted
    seed_set: ids that the oracle is asked for before the first cycle (cycle 0 only)
    seed_labels, query_labels: int16 answers for the seed set and for the query, as of `Annotator.label`
    seed_answers, answers: both in numbers, see `annotation.accounted`
    revised: ids, rising, whose labels were found suspicious before the fit; revised_labels: int16, what they have now
    second_answers: where these were asked for again, the answers in numbers
    stop_set: which examples stopping criteria look at (cycle 0 only); None where no model is fitted
    stop_labels: int16 label that the model gives each of these, or each of their words
    queried: ids in the order of the query, whose labels the next cycle has; empty in a run's last cycle
    scored: ids of the candidates, rising; scores: their scores, float32
    extended: how many candidates were added to the drawn sub-pool because it could not fill the query
    query: the query in numbers, see `describe`
    """

    number: int
    labelled: int
    words: int
    metrics: dict[str, float] | None
    seed_set: np.ndarray = field(default_factory=lambda: NO_IDS)
    seed_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    seed_answers: dict[str, int] = field(default_factory=dict)
    revised: np.ndarray = field(default_factory=lambda: NO_IDS)
    revised_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    second_answers: dict[str, int] = field(default_factory=dict)
    stop_set: dict[str, Any] | None = None
    stop_labels: np.ndarray | None = None
    queried: np.ndarray = field(default_factory=lambda: NO_IDS)
    query_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    answers: dict[str, int] = field(default_factory=dict)
    scored: np.ndarray = field(default_factory=lambda: NO_IDS)
    scores: np.ndarray = field(default_factory=lambda: NO_SCORES)
    extended: int = 0
    query: dict[str, Any] = field(default_factory=dict)

    def begun(self, pool: Pool) -> Pool:
        """The pool as the cycle's model sees it, from the pool as the cycle before left it."""
        return pool.ask(self.seed_set, self.seed_labels).revise(self.revised, self.revised_labels)

    def ended(self, pool: Pool) -> Pool:
        """The pool after the cycle's query, from the pool as its model saw it."""
        return pool.remember(self.scored, self.scores).ask(self.queried, self.query_labels)


def describe(corpus: Corpus, queried: np.ndarray, scores: np.ndarray | None = None) -> dict[str, Any]:
    """A query in numbers: examples, words, length, scores, and labels (tagging: entities)."""
    words, gold = corpus.train.words[queried], corpus.train.labels[queried]
    summary = {"examples": len(queried), "words": int(words.sum()), "mean_words": float(words.mean())}
    if scores is not None:
        summary |= {f"{name}_score": float(getattr(scores, name)()) for name in ("min", "mean", "max")}
    return {**summary, "labels": corpus.counts(gold)}
