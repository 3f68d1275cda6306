"""Encoded corpora as tensors, on the model's device where they fit; batches are gathered there.

Only which examples a batch has crosses from the host, a few bytes for each.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged
from al_bench.learners.engine.encoding import Encoded

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
        """(total,) where the values of the given rows lie, row after row; total: how many these are."""
        starts, lengths = self.offsets[ids], self.offsets[ids + 1] - self.offsets[ids]
        shift = starts - (lengths.cumsum(0) - lengths)
        return torch.arange(total, device=ids.device) + shift.repeat_interleave(lengths, output_size=total)

    def grid(self, ids: torch.Tensor, longest: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """((rows, longest) where each value lies, (rows, longest) bool whether there is one).

        left: whether the rows end, instead of start, together
        """
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


def sent(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """On its way to the device, which the host does not wait for."""
    found = torch.from_numpy(np.ascontiguousarray(array))
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found.to(device)


def tensor(array: Any, device: torch.device) -> torch.Tensor:
    """Of the array's own memory where the device is the host: not to be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
