"""Rows of encoded arrays -> padded tensors; pure, nothing is padded in place."""

from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged
from al_bench.learners.engine.encoding import Encoded

IGNORED = -100  # torch's cross-entropy passes over this label


class Collator:
    """Pads on the tokenizer's side with the tokenizer's ids."""

    def __init__(self, pad_id: int, pad_type: int, left: bool, device: torch.device) -> None:
        self.pad_id, self.pad_type, self.left, self.device = pad_id, pad_type, left, device

    @classmethod
    def of(cls, tokenizer: Any, device: torch.device) -> "Collator":
        left = tokenizer.padding_side == "left"
        return cls(tokenizer.pad_token_id, tokenizer.pad_token_type_id, left, device)

    def inputs(self, encoded: Encoded, ids: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask (none where nothing is padded) and token_type_ids, (batch, longest)."""
        lengths = encoded.tokens.lengths[ids]
        shape = (len(ids), int(lengths.max()))
        cells = self._cells(lengths, shape[1])
        sources = encoded.tokens.positions(ids)
        arrays = {"input_ids": self._filled(shape, self.pad_id, cells, encoded.tokens.values[sources])}
        if lengths.min() < shape[1]:
            arrays["attention_mask"] = self._filled(shape, 0, cells, np.ones(len(sources)))
        if encoded.types is not None:
            arrays["token_type_ids"] = self._filled(shape, self.pad_type, cells, encoded.types[sources])
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}

    def first_subwords(self, encoded: Encoded, ids: np.ndarray) -> torch.Tensor:
        """Where the first sub-word of each surviving word stands in the flattened (batch x longest) grid."""
        assert encoded.firsts is not None
        lengths = encoded.tokens.lengths[ids]
        starts = np.arange(len(ids)) * lengths.max()
        if self.left:
            starts = starts + lengths.max() - lengths
        words = encoded.firsts[ids]
        return torch.from_numpy(words.values + np.repeat(starts, words.lengths)).to(self.device)

    def _cells(self, lengths: np.ndarray, longest: int) -> np.ndarray:
        columns = np.arange(longest)
        if self.left:
            return columns >= (longest - lengths)[:, None]
        return columns < lengths[:, None]

    @staticmethod
    def _filled(shape: tuple[int, int], pad: int, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
        grid = np.full(shape, pad, dtype=np.int64)
        grid[cells] = values
        return grid


def word_labels(encoded: Encoded, ids: np.ndarray, labels: Ragged) -> np.ndarray:
    """Gold tags of the surviving words of `ids`, row after row; labels: one row per id."""
    assert encoded.firsts is not None
    assert encoded.kept is not None
    kept = encoded.kept[encoded.firsts.positions(ids)]
    rows = np.repeat(labels.offsets[:-1], encoded.firsts.lengths[ids])
    return labels.values[rows + kept]
