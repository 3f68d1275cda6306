"""Rows of encoded corpora -> the inputs of a network, padded or packed.

Corpora lie on the network's device where they fit, and batches are gathered there: only the ids of a batch cross
from the host.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.loading import first_position

SHARE = 0.25  # of the device's free memory that one corpus may take


@dataclass(frozen=True)
class Rows:
    """Rows of different lengths, one after the other.

    values: (total, ...) on the device that gathers; offsets: (rows + 1,) int64, there too
    """

    values: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def of(cls, ragged: Ragged, device: torch.device) -> "Rows":
        return cls(tensor(ragged.values, device), tensor(ragged.offsets, device))

    def flat(self, ids: torch.Tensor, total: int) -> torch.Tensor:
        """(total,) positions of the values of some rows, row after row; total: their number."""
        starts, lengths = self.offsets[ids], self.offsets[ids + 1] - self.offsets[ids]
        shift = starts - (lengths.cumsum(0) - lengths)
        return torch.arange(total, device=ids.device) + shift.repeat_interleave(lengths, output_size=total)

    def grid(self, ids: torch.Tensor, longest: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """((rows, longest) positions of values, (rows, longest) bool whether there is one); left: padded on the left"""
        starts, lengths = self.offsets[ids], self.offsets[ids + 1] - self.offsets[ids]
        columns = torch.arange(longest, device=ids.device).unsqueeze(0)
        if left:
            columns = columns - (longest - lengths).unsqueeze(1)
        filled = (columns >= 0) & (columns < lengths.unsqueeze(1))
        return torch.where(filled, starts.unsqueeze(1) + columns, 0), filled


@dataclass(frozen=True)
class Store:
    """An `Encoded` corpus.

    tokens: sub-words; types: the segment of each, or None where all are 0; firsts: as in `Encoded`
    """

    tokens: Rows
    types: torch.Tensor | None
    firsts: Rows | None

    @classmethod
    def of(cls, encoded: Encoded, device: torch.device) -> "Store":
        firsts = None if encoded.firsts is None else encoded.firsts.values
        arrays = (encoded.tokens.values, encoded.types, firsts)
        size = sum(array.nbytes for array in arrays if array is not None) + 16 * len(encoded)
        if device.type == "cuda" and size > SHARE * torch.cuda.mem_get_info(device)[0]:
            device = torch.device("cpu")
        return cls(
            Rows.of(encoded.tokens, device),
            None if encoded.types is None else tensor(encoded.types, device),
            None if encoded.firsts is None else Rows.of(encoded.firsts, device),
        )

    @property
    def device(self) -> torch.device:
        return self.tokens.values.device


@dataclass(frozen=True)
class Boundaries:
    """Where the texts of a packed batch begin and end.

    runs: (texts, length) of each stretch of texts of equal length
    offsets: (texts + 1,) int32 on the device; longest: sub-words of the longest text
    """

    runs: tuple[tuple[int, int], ...]
    offsets: torch.Tensor
    longest: int


class Collator:
    """Gathers batches. Pads on the tokenizer's side with the tokenizer's ids.

    first_position: the number of a text's first position, 0 unless the network starts elsewhere
    """

    def __init__(
        self, pad_id: int, pad_type: int, left: bool, device: torch.device, first_position: int = 0
    ) -> None:
        self.pad_id, self.pad_type, self.left, self.device = pad_id, pad_type, left, device
        self.first_position = first_position
        self._stores: dict[int, tuple[Encoded, Store]] = {}

    @classmethod
    def of(cls, tokenizer: Any, network: Any, device: torch.device) -> "Collator":
        left = tokenizer.padding_side == "left"
        pad_id, pad_type = tokenizer.pad_token_id, tokenizer.pad_token_type_id
        return cls(pad_id, pad_type, left, device, first_position(network))

    def store(self, encoded: Encoded) -> Store:
        """The encoded corpus is kept too, so that its id() is not used again."""
        if id(encoded) not in self._stores:
            self._stores[id(encoded)] = encoded, Store.of(encoded, self.device)
        return self._stores[id(encoded)][1]

    def inputs(self, encoded: Encoded, ids: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask (none where nothing is padded) and token_type_ids, (batch, longest)."""
        lengths = encoded.tokens.lengths[ids]
        longest = int(lengths.max())
        inputs, filled = self.grid(encoded, ids, longest)
        if lengths.min() < longest:
            inputs["attention_mask"] = filled.long()
        return inputs

    def grid(
        self, encoded: Encoded, ids: np.ndarray, longest: int
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """(input_ids and token_type_ids, bool where a cell is no padding), each (batch, longest)."""
        store = self.store(encoded)
        source, filled = store.tokens.grid(self._rows(ids, store), longest, self.left)
        inputs = {"input_ids": torch.where(filled, store.tokens.values[source], self.pad_id)}
        if store.types is not None:
            inputs["token_type_ids"] = torch.where(filled, store.types[source], self.pad_type)
        return {name: self._long(values) for name, values in inputs.items()}, filled.to(self.device)

    def packed(self, encoded: Encoded, ids: np.ndarray) -> tuple[dict[str, torch.Tensor], Boundaries]:
        """input_ids, position_ids and token_type_ids, (1, all sub-words of the batch), without padding.

        ids: sorted by length, so that there are few runs
        """
        store, lengths = self.store(encoded), encoded.tokens.lengths[ids]
        total = int(lengths.sum())
        rows = self._rows(ids, store)
        source = store.tokens.flat(rows, total)
        offsets = torch.zeros(len(ids) + 1, dtype=torch.int64, device=store.device)
        torch.cumsum(store.tokens.offsets[rows + 1] - store.tokens.offsets[rows], 0, out=offsets[1:])
        begins = offsets[:-1].repeat_interleave(offsets.diff(), output_size=total)
        positions = torch.arange(total, device=store.device) - begins + self.first_position
        inputs = {"input_ids": store.tokens.values[source], "position_ids": positions}
        if store.types is not None:
            inputs["token_type_ids"] = store.types[source]
        changes = np.flatnonzero(np.diff(lengths)) + 1
        runs = [(len(run), int(run[0])) for run in np.split(lengths, changes)]
        boundaries = Boundaries(tuple(runs), offsets.int().to(self.device), int(lengths.max()))
        return {name: self._long(values).unsqueeze(0) for name, values in inputs.items()}, boundaries

    def first_subwords(self, encoded: Encoded, ids: np.ndarray, *, packed: bool = False) -> torch.Tensor:
        """Positions of the first sub-word of each surviving word in the flattened (batch x longest) grid.

        packed: in the flat sequence of a packed batch instead
        """
        assert encoded.firsts is not None
        lengths, words = encoded.tokens.lengths[ids], encoded.firsts.lengths[ids]
        if packed:
            starts = np.cumsum(lengths) - lengths
        else:
            starts = np.arange(len(ids)) * lengths.max()
            if self.left:
                starts = starts + lengths.max() - lengths
        store = self.store(encoded)
        assert store.firsts is not None
        within = store.firsts.values[store.firsts.flat(self._rows(ids, store), int(words.sum()))]
        return to_device(np.repeat(starts, words), self.device) + within.to(self.device)

    def _rows(self, ids: np.ndarray, store: Store) -> torch.Tensor:
        return to_device(np.asarray(ids, dtype=np.int64), store.device)

    def _long(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.device).long()


def word_labels(encoded: Encoded, ids: np.ndarray, labels: Ragged) -> np.ndarray:
    """Gold tags of the surviving words of `ids`, row after row; labels: one row per id."""
    assert encoded.firsts is not None
    assert encoded.kept is not None
    kept = encoded.kept[encoded.firsts.positions(ids)]
    rows = np.repeat(labels.offsets[:-1], encoded.firsts.lengths[ids])
    return labels.values[rows + kept]


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Start a transfer to the device, for which the host does not wait."""
    values = torch.from_numpy(np.ascontiguousarray(array))
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def tensor(array: Any, device: torch.device) -> torch.Tensor:
    """Read-only: on a CPU it shares the memory of the array."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
