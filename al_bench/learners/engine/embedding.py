"""Corpora as a pretrained encoder sees them before any fit: a vector per text, or per word.

Computed once per (inputs, weights, precision), by however many learners and runs.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from filelock import FileLock
from torch.func import functional_call

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.inference import TOKEN_BUDGET

VERSION = 1  # raised when the vectors below change
# Parts of a model's config that no hidden state depends on; they differ between an encoder and the same with a head.
IMMATERIAL = {"id2label", "label2id", "problem_type", "architectures", "dtype", "transformers_version"}


class Embedder:
    """A pretrained encoder, and what it made of the corpora it was asked about.

    network: with or without a head, on the collator's device
    weights: the pretrained ones, by their names in `network`, whose own may have been fitted since
    cache: folder shared between runs, or None
    """

    def __init__(
        self,
        network: Any,
        weights: dict[str, torch.Tensor],
        collator: Collator,
        cache: Path | None,
    ) -> None:
        self._encoder, self._collator, self._cache = network.base_model, collator, cache
        prefix = "" if self._encoder is network else f"{network.base_model_prefix}."
        self._weights = {
            name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
        }
        self._digest: str | None = None
        self._seen: dict[tuple[int, str], tuple[Encoded, np.ndarray]] = {}

    def __call__(self, encoded: Encoded, precision: str) -> np.ndarray | Ragged:
        """Float32 vectors of all of `encoded`, not to be written to.

        Texts: (n, width) mean over a text's sub-words with the special ones, as sentence-transformers pools.
        Sentences: a row for each surviving word, the state of its first sub-word.
        """
        key = id(encoded), precision
        if (
            key not in self._seen
        ):  # the arrays are kept with their vectors, so that an id() cannot be used twice
            self._seen[key] = encoded, self._vectors(encoded, precision)
        vectors = self._seen[key][1]
        return vectors if encoded.firsts is None else Ragged(vectors, encoded.firsts.offsets)

    def _vectors(self, encoded: Encoded, precision: str) -> np.ndarray:
        rows = len(encoded) if encoded.firsts is None else len(encoded.firsts.values)
        shape = (rows, self._encoder.config.hidden_size)
        if self._cache is None:
            vectors = np.empty(shape, dtype=np.float32)
            self._embed(encoded, precision, vectors)
            return vectors
        path = self._cache / f"vectors-{self._key(encoded, precision)}.npy"
        if not path.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            # Unlike tokenising it takes minutes, so parallel jobs wait for the first instead of repeating it.
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    self._save(encoded, precision, shape, path)
        return np.asarray(np.load(path, mmap_mode="r"))

    def _save(self, encoded: Encoded, precision: str, shape: tuple[int, int], path: Path) -> None:
        """Under another name, then renamed: readers see all of it or nothing, whenever this is killed."""
        partial = path.with_suffix(".partial")
        vectors = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        self._embed(encoded, precision, vectors)
        vectors.flush()
        partial.rename(path)

    @torch.inference_mode()
    def _embed(self, encoded: Encoded, precision: str, vectors: np.ndarray) -> None:
        """Fill `vectors` in batches as `inference.predict` makes them."""
        self._encoder.eval()
        device = self._collator.device
        for batch in scoring_batches(encoded.tokens.lengths, TOKEN_BUDGET[device.type]):
            given = self._collator.inputs(encoded, batch)
            with autocast(device, precision):
                states = functional_call(self._encoder, self._weights, (), given).last_hidden_state.float()
            if encoded.firsts is None:
                rows, found = batch, _mean(states, given.get("attention_mask"))
            else:
                rows = encoded.firsts.positions(batch)
                found = states.flatten(0, 1)[self._collator.first_subwords(encoded, batch)]
            vectors[rows] = found.cpu().numpy()

    def _key(self, encoded: Encoded, precision: str) -> str:
        """All that the vectors depend on: the encoded inputs, the network, its weights, and the precision."""
        arrays = [encoded.tokens.values, encoded.tokens.offsets, encoded.types]
        if encoded.firsts is not None:
            arrays += [encoded.firsts.values, encoded.firsts.offsets]
        digest = hashlib.sha256(f"{self.digest} {precision}".encode())
        for array in arrays:
            digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:24]

    @property
    def digest(self) -> str:
        """Of the network and its weights, with the versions of what computes with them."""
        if self._digest is None:
            config = {k: v for k, v in self._encoder.config.to_diff_dict().items() if k not in IMMATERIAL}
            facts = [
                VERSION,
                torch.__version__,
                transformers.__version__,
                type(self._encoder).__name__,
                config,
            ]
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
            for name, tensor in sorted(self._weights.items()):
                if not name.startswith("pooler."):  # above the hidden states; some heads come without one
                    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                    digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
            self._digest = digest.hexdigest()
        return self._digest


def _mean(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, width) mean over the positions that are not padding."""
    if mask is None:
        return states.mean(dim=1)
    chosen = mask.unsqueeze(-1)
    return (states * chosen).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def of_every_word(vectors: np.ndarray | Ragged, encoded: Encoded, ids: np.ndarray) -> np.ndarray | Ragged:
    """Sentences: a row for every word of `encoded[ids]`, zeros where it did not survive; texts: as they are."""
    if not isinstance(vectors, Ragged):
        return vectors
    assert encoded.firsts is not None
    assert encoded.kept is not None
    assert encoded.lengths is not None
    offsets = offsets_of(encoded.lengths[ids])
    rows = np.zeros((offsets[-1], vectors.values.shape[1]), dtype=np.float32)
    rows[np.repeat(offsets[:-1], vectors.lengths) + encoded.kept[encoded.firsts.positions(ids)]] = (
        vectors.values
    )
    return Ragged(rows, offsets)
