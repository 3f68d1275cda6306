"""Which examples are labelled, and the last score of every example."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Pool:
    """The training split's state, by example id; methods return a new one.

    is_labelled: (n,) bool
    score: (n,) float32 score of the last query round that scored the example, NaN before the first
    """

    is_labelled: np.ndarray
    score: np.ndarray

    @classmethod
    def unlabelled_of(cls, n: int) -> "Pool":
        return cls(np.zeros(n, dtype=bool), np.full(n, np.nan, dtype=np.float32))

    @property
    def labelled(self) -> np.ndarray:
        """Ids with a known label, rising."""
        return np.flatnonzero(self.is_labelled)

    @property
    def unlabelled(self) -> np.ndarray:
        """Ids without one, rising."""
        return np.flatnonzero(~self.is_labelled)

    def label(self, ids: np.ndarray) -> "Pool":
        assert not self.is_labelled[ids].any(), "an example is labelled once"
        assert len(np.unique(ids)) == len(ids), "an example is queried once"
        is_labelled = self.is_labelled.copy()
        is_labelled[ids] = True
        return replace(self, is_labelled=is_labelled)

    def remember(self, ids: np.ndarray, scores: np.ndarray) -> "Pool":
        """With the scores of a query round; examples that were not scored keep their stale ones."""
        score = self.score.copy()
        score[ids] = scores
        return replace(self, score=score)
