"""Which examples were asked for and which are labelled, with what, and the last score of every example."""

from dataclasses import dataclass, replace

import numpy as np

from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged, like, values_of

ABSTAINED = -1  # in place of a label


@dataclass(frozen=True)
class Pool:
    """The training split's state, by example id; methods return a new one.

    is_asked: (n,) bool; is_labelled: (n,) bool, those of them that the oracle answered and that models may learn from
    is_revised: (n,) bool, those whose first label was found suspicious
    score: (n,) float32 score of the last query round that scored the example, NaN before the first
    answers: in the form of the corpus's labels, the oracle's of labelled examples, else `ABSTAINED`
    """

    is_asked: np.ndarray
    is_labelled: np.ndarray
    is_revised: np.ndarray
    score: np.ndarray
    answers: Labels

    @classmethod
    def unlabelled_of(cls, n: int, labels: Labels | None = None) -> "Pool":
        """labels: of the corpus, for their form; one per example where that does not matter"""
        rows = np.empty(n) if labels is None else labels
        nobody = np.zeros(n, dtype=bool)
        answers = like(rows, np.full(len(values_of(rows)), ABSTAINED, dtype=np.int64))
        return cls(nobody, nobody, nobody, np.full(n, np.nan, dtype=np.float32), answers)

    @property
    def labelled(self) -> np.ndarray:
        """Ids with a known label, rising."""
        return np.flatnonzero(self.is_labelled)

    @property
    def unlabelled(self) -> np.ndarray:
        """Ids that nobody was asked for, rising: what can be queried."""
        return np.flatnonzero(~self.is_asked)

    def label(self, ids: np.ndarray) -> "Pool":
        """All of them labelled, with whatever."""
        return self.ask(ids, np.zeros(len(values_of(self.answers[ids])), dtype=np.int64))

    def ask(self, ids: np.ndarray, labels: np.ndarray) -> "Pool":
        """With the oracle's answers.

        labels: of each of the ids or, one after another, of each of their words; `ABSTAINED` where there is no answer
        """
        assert not self.is_asked[ids].any(), "an example is queried once"
        assert len(np.unique(ids)) == len(ids), "an example is queried once"
        is_asked = self.is_asked.copy()
        is_asked[ids] = True
        return replace(self, is_asked=is_asked)._answered(ids, labels)

    def revise(self, ids: np.ndarray, labels: np.ndarray) -> "Pool":
        """With other labels, as of `ask`, in place of suspicious ones; `ABSTAINED` drops the example."""
        is_revised = self.is_revised.copy()
        is_revised[ids] = True
        return replace(self, is_revised=is_revised)._answered(ids, labels)

    def _answered(self, ids: np.ndarray, labels: np.ndarray) -> "Pool":
        values, is_labelled = values_of(self.answers).copy(), self.is_labelled.copy()
        values[self.answers.positions(ids) if isinstance(self.answers, Ragged) else ids] = labels
        is_labelled[ids] = is_answered(self.answers[ids], labels)
        return replace(self, is_labelled=is_labelled, answers=like(self.answers, values))

    def remember(self, ids: np.ndarray, scores: np.ndarray) -> "Pool":
        """With the scores of a query round; examples that were not scored keep their stale ones."""
        score = self.score.copy()
        score[ids] = scores
        return replace(self, score=score)


def is_answered(rows: Labels, labels: np.ndarray) -> np.ndarray:
    """(k,) bool; labels: of each row or of each of its values; an abstention is one of the whole row"""
    return (labels if not isinstance(rows, Ragged) else labels[rows.offsets[:-1]]) != ABSTAINED
