"""What the loop and the successor ask of a learner."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from al_bench.data.corpus import Inputs, Labels
from al_bench.learners.predictions import Predictions


@dataclass(frozen=True)
class Unlabelled:
    """A split without its labels: all that a learner sees of the pool and of the test set.

    inputs: n texts, or n lists of words
    """

    inputs: Inputs

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class FitSeeds:
    """Chance in one fit: `model` for the new head and dropout, `order` for batches and the dev split."""

    model: int
    order: int
    cycle: int


@dataclass(frozen=True)
class FitCosts:
    steps: int
    epochs: int
    batch_size: int
    examples: int  # passed forward and backward, every epoch counted
    tokens: int  # sub-words of those, padding not counted


class Model(Protocol):
    """Fitted; valid until its learner fits again."""

    costs: FitCosts

    def predict(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False) -> Predictions:
        """Probabilities of `inputs[ids]`. exact: in float32 whatever the precision of the run."""
        ...


class Learner(Protocol):
    def prepare(self, inputs: Unlabelled) -> None:
        """Do what is done once per corpus (tokenise, embed), so that no later phase pays for it."""
        ...

    def fit(self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, seeds: FitSeeds) -> Model:
        """Train from the pretrained weights on `inputs[ids]` with `labels` (one per id), and on no more."""
        ...

    def synchronise(self) -> None:
        """Wait until the device has done all that was asked of it."""
        ...

    def peak_memory(self) -> int:
        """Largest number of bytes in use since the last call (on CPU: of the whole process, ever)."""
        ...
