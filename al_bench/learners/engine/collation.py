"""Rows of encoded corpora -> what a network is called on, padded or packed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.loading import first_position
from al_bench.learners.engine.store import Store, sent


@dataclass
class Work:
    """What was made for the network so far. cells: sub-words with padding, so cells / tokens is its factor."""

    batches: int = 0
    tokens: int = 0
    cells: int = 0


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
        self.work = Work()
        self._stores: dict[int, tuple[Encoded, Store]] = {}

    @classmethod
    def of(cls, tokenizer: Any, network: Any, device: torch.device) -> "Collator":
        left = tokenizer.padding_side == "left"
        pad_id, pad_type = tokenizer.pad_token_id, tokenizer.pad_token_type_id
        return cls(pad_id, pad_type, left, device, first_position(network))

    def store(self, encoded: Encoded) -> Store:
        """Kept with what it was made of, so that an id() cannot be used twice."""
        if id(encoded) not in self._stores:
            self._stores[id(encoded)] = encoded, Store.of(encoded, self.device)
        return self._stores[id(encoded)][1]

    def inputs(self, encoded: Encoded, ids: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask (none where nothing is padded) and token_type_ids, (batch, longest)."""
        lengths = encoded.tokens.lengths[ids]
        longest = int(lengths.max())
        made, filled = self.grid(encoded, ids, longest)
        if lengths.min() < longest:
            made["attention_mask"] = filled.long()
        return made

    def grid(
        self, encoded: Encoded, ids: np.ndarray, longest: int
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """(input_ids and token_type_ids, where they are no padding), each (batch, longest)."""
        store = self.store(encoded)
        source, filled = store.tokens.grid(self._rows(ids, store), longest, self.left)
        made = {"input_ids": torch.where(filled, store.tokens.values[source], self.pad_id)}
        if store.types is not None:
            made["token_type_ids"] = torch.where(filled, store.types[source], self.pad_type)
        self._count(encoded, ids, len(ids) * longest)
        return {name: self._long(found) for name, found in made.items()}, filled.to(self.device)

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
        made = {"input_ids": store.tokens.values[source], "position_ids": positions}
        if store.types is not None:
            made["token_type_ids"] = store.types[source]
        changes = np.flatnonzero(np.diff(lengths)) + 1
        runs = [(len(run), int(run[0])) for run in np.split(lengths, changes)]
        boundaries = Boundaries(tuple(runs), offsets.int().to(self.device), int(lengths.max()))
        self._count(encoded, ids, total)
        return {name: self._long(found).unsqueeze(0) for name, found in made.items()}, boundaries

    def first_subwords(self, encoded: Encoded, ids: np.ndarray, *, packed: bool = False) -> torch.Tensor:
        """Where the first sub-word of each surviving word stands in the flattened (batch x longest) grid.

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
        return sent(np.repeat(starts, words), self.device) + within.to(self.device)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Inside, nothing adds to the work."""
        before, self.work = self.work, Work()
        try:
            yield
        finally:
            self.work = before

    def _rows(self, ids: np.ndarray, store: Store) -> torch.Tensor:
        return sent(np.asarray(ids, dtype=np.int64), store.device)

    def _long(self, found: torch.Tensor) -> torch.Tensor:
        return found.to(self.device).long()

    def _count(self, encoded: Encoded, ids: np.ndarray, cells: int) -> None:
        self.work.batches += 1
        self.work.tokens += int(encoded.tokens.lengths[ids].sum())
        self.work.cells += cells


def word_labels(encoded: Encoded, ids: np.ndarray, labels: Ragged) -> np.ndarray:
    """Gold tags of the surviving words of `ids`, row after row; labels: one row per id."""
    assert encoded.firsts is not None
    assert encoded.kept is not None
    kept = encoded.kept[encoded.firsts.positions(ids)]
    rows = np.repeat(labels.offsets[:-1], encoded.firsts.lengths[ids])
    return labels.values[rows + kept]
