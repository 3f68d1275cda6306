"""A view of vectors and probabilities made by hand: no learner, no pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from al_bench.acquisition.selection import Budget
from al_bench.learners.predictions import Predictions


@dataclass
class FixedView:
    """vectors: (n, width), pretrained and fitted alike, and what surprises; labelled: ids; labels: of these"""

    vectors: np.ndarray
    labelled: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    probs: np.ndarray | None = None
    aggregate: str = "mean"
    looks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vectors = self.vectors.astype(np.float32)
        self.vectors.setflags(write=False)

    @property
    def pool(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.vectors)), self.labelled)

    def embeddings(self, ids: np.ndarray, of: str = "fitted") -> np.ndarray:
        self.looks.append(of)
        return self.vectors[ids]

    def surprisal(self, ids: np.ndarray) -> np.ndarray:
        self.looks.append("surprisal")
        return self.vectors[ids]

    def predictions(self, ids: np.ndarray) -> Predictions:
        assert self.probs is not None
        return Predictions(self.probs[ids].astype(np.float32), embeddings=self.vectors[ids])

    def parts(self, ids: np.ndarray) -> Iterator[tuple[np.ndarray, Predictions]]:
        """The later half first: nobody may rely on the order."""
        half = len(ids) // 2
        for places in (np.arange(half, len(ids)), np.arange(half)):
            yield places, self.predictions(ids[places])


def of_examples(amount: int, n: int) -> Budget:
    return Budget(amount, "examples", np.ones(n, dtype=np.int64))
