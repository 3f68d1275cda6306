"""A dataset in memory: numbered examples with gold labels, task and label names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from al_bench.data.ragged import Ragged, like, values_of

Inputs = Sequence[str] | Sequence[Sequence[str]]
# A class number or a row of tag numbers per example. Training labels may also be distributions over the label names,
# in a last axis.
Labels = np.ndarray | Ragged


@dataclass(frozen=True)
class Split:
    """Examples in source order. An example's id is its position here, throughout a run.

    inputs: n texts (classification) or n lists of words (tagging)
    labels: (n,) class numbers, or `Ragged` IOB2 tag numbers, one per word
    """

    inputs: Inputs
    labels: Labels

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def words(self) -> np.ndarray:
        """(n,) number of words of each example (whitespace-separated in texts)."""
        lengths = [len(item.split() if isinstance(item, str) else item) for item in self.inputs]
        return np.array(lengths, dtype=np.int64)

    def take(self, ids: np.ndarray) -> "Split":
        return Split([self.inputs[i] for i in ids], self.labels[ids])


@dataclass(frozen=True)
class Corpus:
    """label_names: class names, or IOB2 tag names with "O" first; a label is a position in it.

    notes: decisions of the loader that the user should know (a cut test split, converted tags, ...).
    fingerprint: hex digest over the task, the label names and every example of every split.
    """

    name: str
    task: str
    label_names: tuple[str, ...]
    train: Split
    test: Split
    dev: Split | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def summary(self) -> str:
        """One line for the user."""
        types = sum(name.startswith("B-") for name in self.label_names)
        kinds = f"{types} entity types" if self.task == "tagging" else f"{len(self.label_names)} classes"
        words = int(self.train.words.sum())
        return f"{self.name}: {len(self.train):,} train ({words:,} words), {len(self.test):,} test, {kinds}"


def likeliest(labels: Labels) -> Labels:
    """Label numbers; of distributions, those of the largest probability."""
    values = values_of(labels)
    return labels if values.ndim == 1 else like(labels, values.argmax(axis=1))
