"""Who is labelled since when, and how uncertain everybody last looked."""

from dataclasses import dataclass, replace

import numpy as np

NEVER = -1


@dataclass(frozen=True)
class Pool:
    """The training split's state, by example id; methods return a new one.

    labelled_in: (n,) cycle in which the example's label became known, `NEVER` while it is in the pool
    scored_in: (n,) last query round that scored it, or `NEVER`
    score: (n,) float32 score of that round, NaN before the first
    """

    labelled_in: np.ndarray
    scored_in: np.ndarray
    score: np.ndarray

    @classmethod
    def unlabelled_of(cls, n: int) -> "Pool":
        never = np.full(n, NEVER, dtype=np.int32)
        return cls(never, never.copy(), np.full(n, np.nan, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.labelled_in)

    @property
    def labelled(self) -> np.ndarray:
        """Ids with a known label, rising."""
        return np.flatnonzero(self.labelled_in != NEVER)

    @property
    def unlabelled(self) -> np.ndarray:
        """Ids without one, rising."""
        return np.flatnonzero(self.labelled_in == NEVER)

    def label(self, ids: np.ndarray, cycle: int) -> "Pool":
        assert (self.labelled_in[ids] == NEVER).all(), "an example is labelled once"
        assert len(np.unique(ids)) == len(ids), "an example is queried once"
        labelled_in = self.labelled_in.copy()
        labelled_in[ids] = cycle
        return replace(self, labelled_in=labelled_in)

    def see(self, ids: np.ndarray, scores: np.ndarray, query_round: int) -> "Pool":
        """Remember the scores of a round; examples that were not scored keep their stale ones."""
        scored_in, score = self.scored_in.copy(), self.score.copy()
        scored_in[ids] = query_round
        score[ids] = scores
        return replace(self, scored_in=scored_in, score=score)
