"""Rows of encoded corpora -> the inputs of a network, padded or packed.

Corpora lie on the network's device where they fit, and batches are gathered there: only the ids of a batch, and the
positions of its words, cross from the host.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.loading import first_position, is_causal

SHARE = 0.25  # of the device's free memory that one corpus may take


class Store:
    """An `Encoded` corpus on the device that gathers.

    values: sub-words, one text after another; offsets: (texts + 1,) int64
    types: the segment of each sub-word, or None where all are 0
    """

    def __init__(self, encoded: Encoded, device: torch.device) -> None:
        arrays = (encoded.tokens.values, encoded.tokens.offsets, encoded.types)
        size = sum(array.nbytes for array in arrays if array is not None)
        if device.type == "cuda" and size > SHARE * torch.cuda.mem_get_info(device)[0]:
            device = torch.device("cpu")
        self.values, self.offsets = _tensor(encoded.tokens.values, device), _tensor(encoded.tokens.offsets, device)
        self.types = None if encoded.types is None else _tensor(encoded.types, device)
        self.device = self.values.device


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
    """Gathers batches. Pads with the tokenizer's ids, on the side where no output depends on it.

    That is the end, whatever side the tokenizer is set to: many encoders number positions from the first column on,
    and no sub-word of a decoder sees what comes after it. But a head that looks at the last column (XLNet's) needs a
    token there.

    causal: whether it is a decoder that computes
    """

    def __init__(self, tokenizer: Any, network: Any, device: torch.device) -> None:
        self.pad_id, self.pad_type = tokenizer.pad_token_id, tokenizer.pad_token_type_id
        self.left, self.device = getattr(getattr(network, "config", None), "summary_type", None) == "last", device
        self.first_position, self.causal = first_position(network), is_causal(network)
        self._stores: dict[Encoded, Store] = {}

    def store(self, encoded: Encoded) -> Store:
        if encoded not in self._stores:
            self._stores[encoded] = Store(encoded, self.device)
        return self._stores[encoded]

    def inputs(self, encoded: Encoded, ids: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask (none where nothing is padded) and token_type_ids, (batch, longest)."""
        lengths = encoded.tokens.lengths[ids]
        longest = int(lengths.max())
        inputs, filled = self.grid(encoded, ids, longest)
        if lengths.min() < longest:
            inputs["attention_mask"] = filled.long()
        return inputs

    def grid(self, encoded: Encoded, ids: np.ndarray, longest: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """(input_ids and token_type_ids, bool where a cell is no padding), each (batch, longest)."""
        store = self.store(encoded)
        starts, lengths = self._rows(store, ids)
        columns = torch.arange(longest, device=store.device).unsqueeze(0)
        if self.left:
            columns = columns - (longest - lengths).unsqueeze(1)
        filled = (columns >= 0) & (columns < lengths.unsqueeze(1))
        source = torch.where(filled, starts.unsqueeze(1) + columns, 0)
        inputs = {"input_ids": torch.where(filled, store.values[source], self.pad_id)}
        if store.types is not None:
            inputs["token_type_ids"] = torch.where(filled, store.types[source], self.pad_type)
        return {name: self._long(values) for name, values in inputs.items()}, filled.to(self.device)

    def packed(self, encoded: Encoded, ids: np.ndarray) -> tuple[dict[str, torch.Tensor], Boundaries]:
        """input_ids, position_ids and token_type_ids, (1, all sub-words of the batch), without padding.

        ids: sorted by length, so that there are few runs
        """
        store, lengths = self.store(encoded), encoded.tokens.lengths[ids]
        ends = offsets_of(lengths)
        starts, counts = self._rows(store, ids)
        offsets = to_device(ends, store.device)
        begins, shifts = (rows.repeat_interleave(counts, output_size=int(ends[-1])) for rows in (offsets[:-1], starts))
        positions = torch.arange(int(ends[-1]), device=store.device) - begins
        inputs = {"input_ids": store.values[shifts + positions], "position_ids": positions + self.first_position}
        if store.types is not None:
            inputs["token_type_ids"] = store.types[shifts + positions]
        runs = np.split(lengths, np.flatnonzero(np.diff(lengths)) + 1)
        boundaries = Boundaries(
            tuple((len(run), int(run[0])) for run in runs), offsets.int().to(self.device), int(lengths.max())
        )
        return {name: self._long(values).unsqueeze(0) for name, values in inputs.items()}, boundaries

    def first_subwords(
        self, encoded: Encoded, ids: np.ndarray, longest: int | None = None, *, packed: bool = False
    ) -> torch.Tensor:
        """Positions of the first sub-word of each surviving word in the flattened (batch x longest) grid.

        longest: None: of the batch; packed: in the flat sequence of a packed batch instead
        """
        assert encoded.firsts is not None
        return self.cells(encoded.firsts[ids], encoded.tokens.lengths[ids], longest, packed=packed)

    def cells(
        self, places: Ragged, lengths: np.ndarray, longest: int | None = None, *, packed: bool = False
    ) -> torch.Tensor:
        """As `first_subwords`, of sub-words by their places in each text of a batch; lengths: of the texts"""
        if packed:
            starts = np.cumsum(lengths) - lengths
        else:
            longest = longest or int(lengths.max())
            starts = np.arange(len(lengths)) * longest + (longest - lengths if self.left else 0)
        return to_device(np.repeat(starts, places.lengths) + places.values, self.device)

    def last_subwords(self, encoded: Encoded, ids: np.ndarray) -> torch.Tensor:
        """Position in each text of its last sub-word that is no padding token, as heads of decoders look for it."""
        tokens = encoded.tokens[ids]
        columns = np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], tokens.lengths)
        last = np.maximum.reduceat(np.where(tokens.values == self.pad_id, 0, columns), tokens.offsets[:-1])
        return to_device(last, self.device)

    def _rows(self, store: Store, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(where each text starts in the store's values, its sub-words)"""
        rows = to_device(np.asarray(ids, dtype=np.int64), store.device)
        starts = store.offsets[rows]
        return starts, store.offsets[rows + 1] - starts

    def _long(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.device).long()


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Start a transfer to the device, for which the host does not wait."""
    values = torch.from_numpy(np.ascontiguousarray(array))
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Read-only: on a CPU it shares the memory of the array."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array)).to(device)
