"""Rows of different lengths in one flat array: tags, probabilities per word, sub-words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`.

    values: (total, ...); offsets: (rows + 1,) int64, rising, from 0 to total.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Any], dtype: Any = np.int64) -> "Ragged":
        """From a list of rows, each a sequence of numbers."""
        flat = [value for row in rows for value in row]
        return cls(np.asarray(flat, dtype=dtype), offsets_of([len(row) for row in rows]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(rows,). Cached: computed anew for every batch, it would make a pass over n rows cost n squared."""
        return np.diff(self.offsets)

    def row(self, i: int) -> np.ndarray:
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def rows(self) -> list[np.ndarray]:
        return np.split(self.values, self.offsets[1:-1]) if len(self) else []

    def __getitem__(self, ids: np.ndarray) -> "Ragged":
        """The given rows, in the given order."""
        return Ragged(self.values[self.positions(ids)], offsets_of(self.lengths[ids]))

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Positions in `values` of the values of the given rows, row after row."""
        lengths = self.lengths[ids]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.offsets[:-1][ids], lengths) + within


def values_of(rows: np.ndarray | Ragged) -> np.ndarray:
    """The values of all rows; an array as it is."""
    return rows.values if isinstance(rows, Ragged) else rows


def like(rows: np.ndarray | Ragged, values: np.ndarray) -> np.ndarray | Ragged:
    """Other values in the same rows."""
    return Ragged(values, rows.offsets) if isinstance(rows, Ragged) else values


def joined(parts: Sequence[np.ndarray | Ragged]) -> np.ndarray | Ragged:
    """Their rows, one part after the other; all parts are of one kind."""
    values = np.concatenate([values_of(part) for part in parts])
    lengths = [part.lengths for part in parts if isinstance(part, Ragged)]
    return Ragged(values, offsets_of(np.concatenate(lengths))) if lengths else values


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """(rows,) lengths -> (rows + 1,) offsets."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
