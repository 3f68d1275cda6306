"""Predictions of a model, as numpy arrays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged, joined, like, offsets_of, values_of
from al_bench.errors import UserError

DIVERGED = "are not finite because training diverged"


class NotFinite(UserError):
    """A model gave outputs that are no numbers."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities of n examples, in the order of the ids that were given.

    probs: (n, classes) float32; tagging: `Ragged` with values (words, tags), a row for each word that
        survived tokenisation and truncation
    kept: tagging: which word of its sentence each row of `probs.values` is
    lengths: tagging: (n,) words of each sentence, with those that did not survive
    tokens: sub-words that went through the model, padding not counted
    embeddings: (n, width) float32 inputs of the last layer; tagging: `Ragged`, a row for each surviving word; None
        unless asked for
    decoded: (rows of `probs`,) labels that a model decides for where these are not each row's most probable ones, such
        as the best path of a whole sentence
    """

    probs: np.ndarray | Ragged
    kept: np.ndarray | None = None
    lengths: np.ndarray | None = None
    tokens: int = 0
    embeddings: np.ndarray | Ragged | None = None
    decoded: np.ndarray | None = None

    @classmethod
    def blank(cls, n: int) -> "Predictions":
        """For strategies that need no model."""
        return cls(np.empty((n, 0), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.probs)

    def distributions(self) -> np.ndarray | Ragged:
        """(n, classes); tagging: a row for every word, all of it on tag 0 ("O" of spans) where the word
        did not survive.
        """
        if isinstance(self.probs, np.ndarray):
            return self.probs
        assert self.lengths is not None
        offsets = offsets_of(self.lengths)
        rows = np.zeros((offsets[-1], self.probs.values.shape[1]), dtype=np.float32)
        rows[:, 0] = 1.0
        rows[self.places()] = self.probs.values
        return Ragged(rows, offsets)

    def labels(self) -> Labels:
        """Of each example or word the decoded label, or the most probable one; a word that did not survive has tag 0,
        "O" of spans.
        """
        decided = values_of(self.probs).argmax(axis=1) if self.decoded is None else self.decoded
        if self.lengths is None:
            return decided
        labels = np.zeros(self.lengths.sum(), dtype=np.int64)
        labels[self.places()] = decided
        return Ragged(labels, offsets_of(self.lengths))

    def surviving(self, labels: Labels) -> np.ndarray:
        """(units,) of the labels of all examples or words those whose probabilities are here."""
        return values_of(labels) if isinstance(self.probs, np.ndarray) else values_of(labels)[self.places()]

    def places(self) -> np.ndarray:
        """Tagging: where each surviving word stands among all words of all sentences."""
        assert isinstance(self.probs, Ragged)
        assert self.lengths is not None
        return np.repeat(offsets_of(self.lengths)[:-1], self.probs.lengths) + self.kept


# Of some examples at a time: (their positions, predictions).
Parts = Iterator[tuple[np.ndarray, Predictions]]


def finite(rows: np.ndarray | Ragged | None) -> np.ndarray:
    """The values of outputs. Raises `NotFinite` where some are not, so that nothing is made of them."""
    assert rows is not None, "they are needed, so that predictions hold them"
    values = values_of(rows)
    if not np.isfinite(values).all():
        raise NotFinite(f"a fitted model's outputs {DIVERGED}")
    return values


def assembled(parts: Iterable[tuple[np.ndarray, Predictions]]) -> Predictions:
    """The predictions of all examples from parts that each hold some positions; together they hold all.

    Raises `NotFinite`.
    """
    positions, pieces = zip(*parts, strict=True)
    order = np.argsort(np.concatenate(positions))
    tokens = sum(p.tokens for p in pieces)
    probs = joined([p.probs for p in pieces])
    finite(probs)
    embeddings = [p.embeddings for p in pieces if p.embeddings is not None]  # of all or of none
    states = joined(embeddings)[order] if embeddings else None
    if states is not None:
        finite(states)
    choices = [p.decoded for p in pieces if p.decoded is not None]  # of all or of none
    decoded = values_of(like(probs, np.concatenate(choices))[order]) if choices else None
    if isinstance(probs, Ragged):
        kept = Ragged(np.concatenate([p.kept for p in pieces]), probs.offsets)
        lengths = np.concatenate([p.lengths for p in pieces])
        return Predictions(probs[order], kept[order].values, lengths[order], tokens, states, decoded)
    return Predictions(probs[order], tokens=tokens, embeddings=states, decoded=decoded)
