"""A dataset in memory: numbered examples with gold labels, task and label names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from al_bench.data.ragged import Ragged, like, values_of
from al_bench.data.tags import kind_of

Inputs = Sequence[str] | Sequence[Sequence[str]]
# A class number or a row of tag numbers per example. Training labels may also be distributions over the label names,
# in a last axis.
Labels = np.ndarray | Ragged
SHOWN = 8  # labels that the summary of a corpus counts one by one


@dataclass(frozen=True)
class Split:
    """Examples in source order. An example's id is its position here, throughout a run.

    inputs: n texts (classification) or n lists of words (tagging)
    labels: (n,) class numbers, or `Ragged` tag numbers, one per word
    answers: n answers of another annotator by name, as the source has them, where it has a column of them
    """

    inputs: Inputs
    labels: Labels
    answers: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def words(self) -> np.ndarray:
        """(n,) number of words of each example (whitespace-separated in texts)."""
        lengths = [len(item.split() if isinstance(item, str) else item) for item in self.inputs]
        return np.array(lengths, dtype=np.int64)

    def take(self, ids: np.ndarray) -> "Split":
        answers = None if self.answers is None else [self.answers[i] for i in ids]
        return Split([self.inputs[i] for i in ids], self.labels[ids], answers)


@dataclass(frozen=True)
class Corpus:
    """label_names: class names, IOB2 tag names with "O" first, or plain tags; a label is a position in it.

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
    def kind(self) -> str:
        """The task, or `PLAIN_TAGGING`."""
        return kind_of(self.task, self.label_names)

    def counts(self, labels: Labels) -> dict[str, int]:
        """How often each label is there, or each entity type, by its first words."""
        numbers = np.bincount(values_of(labels), minlength=len(self.label_names)).tolist()
        named = dict(zip(self.label_names, numbers, strict=True))
        if self.kind == "tagging":
            return {tag[2:]: count for tag, count in named.items() if tag.startswith("B-")}
        return named

    @property
    def summary(self) -> str:
        """One line for the user."""
        counts = self.counts(self.train.labels)
        labels = {"tagging": "entity types", "classification": "classes"}.get(self.kind, "tags")
        labels = labels if len(counts) > 1 else labels.removesuffix("s")  # there are two classes at least
        words = int(self.train.words.sum())
        dev = "" if self.dev is None else f"{len(self.dev):,} dev, "
        sizes = f"{len(self.train):,} train ({words:,} words), {dev}{len(self.test):,} test"
        often = sorted(counts.items(), key=lambda item: -item[1])
        named = [f"{name}: {count:,}" for name, count in often[:SHOWN]]
        rest = [f"{len(often) - SHOWN:,} others from {often[SHOWN][1]:,} to {often[-1][1]:,}"] if often[SHOWN:] else []
        return f"{self.name}: {sizes}, {len(counts)} {labels} ({', '.join(named + rest)} in train)"


def likeliest(labels: Labels) -> Labels:
    """Label numbers; of distributions, those of the largest probability."""
    values = values_of(labels)
    return labels if values.ndim == 1 else like(labels, values.argmax(axis=1))
