"""Embeddings of a corpus by a pretrained encoder, before any fit: a vector per text, or per word.

They are computed once per (inputs, weights, pooling, precision) and shared by all learners and runs.
"""

import hashlib
import json
import time
from functools import cached_property
from typing import Any

import numpy as np
import torch
import transformers
from torch.func import functional_call

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Arrays, Cache
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast, hardware
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.inference import passed
from al_bench.learners.engine.loading import positions
from al_bench.learners.engine.optimizations import EXACT, LONGEST, probe_texts, rejection, rough_bound, row_error
from al_bench.learners.engine.packing import packed
from al_bench.learners.engine.weights import IMMATERIAL

VERSION = 4  # raised when the files below change
MEAN, FIRST, LAST = "mean", "first", "last"  # of a text's sub-words, special ones included


class Embedder:
    """Embeds each corpus once.

    width: of the vectors
    cache: of the vectors, shared between runs, or None
    """

    width: int

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._vectors: dict[tuple[Encoded, str], tuple[np.ndarray | Ragged, float]] = {}

    def __call__(self, encoded: Encoded, precision: str) -> tuple[np.ndarray | Ragged, float]:
        """Float32 vectors of all of `encoded`, read-only, and the seconds they took in this process or another.

        Texts: (n, width). Sentences: a row for each surviving word.
        """
        if (encoded, precision) not in self._vectors:
            vectors, seconds = self._computed(encoded, precision)
            rows = vectors if encoded.firsts is None else Ragged(vectors, encoded.firsts.offsets)
            self._vectors[encoded, precision] = rows, seconds
        return self._vectors[encoded, precision]

    def _computed(self, encoded: Encoded, precision: str) -> tuple[np.ndarray, float]:
        """(vectors, seconds), computed unless the cache has them."""

        def compute() -> Arrays:
            rows = len(encoded) if encoded.firsts is None else len(encoded.firsts.values)
            vectors = np.zeros((rows, self.width), dtype=np.float32)
            start = time.perf_counter()
            self._embed(encoded, precision, vectors)
            return {"vectors": vectors, "seconds": np.asarray(time.perf_counter() - start)}

        arrays = self._cache(f"vectors-{self._key(encoded, precision)}", compute) if self._cache else compute()
        return np.asarray(arrays["vectors"]), float(arrays["seconds"])

    def _embed(self, encoded: Encoded, precision: str, vectors: np.ndarray) -> None:
        """Fill `vectors`, which are zeros."""
        raise NotImplementedError

    @cached_property
    def digest(self) -> str:
        """A hash of all that vectors depend on, but for inputs and precision, and that their seconds do."""
        raise NotImplementedError

    def _key(self, encoded: Encoded, precision: str) -> str:
        """A hash of all that the vectors depend on: the encoded inputs, the embedder, and the precision."""
        arrays = [encoded.tokens.values, encoded.tokens.offsets, encoded.types]
        if encoded.firsts is not None:
            arrays += [encoded.firsts.values, encoded.firsts.offsets]
        digest = hashlib.sha256(f"{self.digest} {precision}".encode())
        for array in arrays:
            digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:24]


class NetworkEmbedder(Embedder):
    """Texts: the mean over a text's sub-words and special tokens, or the state of its first or last one, as
    sentence-transformers pools; zeros where a text has none. Words: the state of the first sub-word.

    network: with or without a head, on the collator's device
    weights: the pretrained ones by their names in `network`, whose own weights a fit may have changed since
    pooling: of texts, `MEAN`, `FIRST` or `LAST`
    packs: whether batches are packed where the network passes the check
    """

    def __init__(
        self,
        network: Any,
        weights: dict[str, torch.Tensor],
        collator: Collator,
        cache: Cache | None,
        pooling: str = MEAN,
        packs: bool = False,
    ) -> None:
        super().__init__(cache)
        self._encoder, self._collator, self._pooling, self._packs = network.base_model, collator, pooling, packs
        prefix = "" if self._encoder is network else f"{network.base_model_prefix}."
        self._weights = {
            name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
        }
        self.width = self._encoder.config.hidden_size

    def _embed(self, encoded: Encoded, precision: str, vectors: np.ndarray) -> None:
        self._encoder.eval()
        pack = self._packs and self._can_pack(precision)
        ids = np.flatnonzero(encoded.tokens.lengths)

        def compute(batch: np.ndarray) -> list[torch.Tensor]:
            return [self._rows(encoded, ids[batch], precision, pack)]

        for batch, (rows,) in passed(encoded.tokens.lengths[ids], self._collator.device, compute, pack):
            texts = ids[batch]
            vectors[texts if encoded.firsts is None else encoded.firsts.positions(texts)] = rows

    def _rows(self, encoded: Encoded, ids: np.ndarray, precision: str, pack: bool) -> torch.Tensor:
        """(texts or surviving words, width) float32 of texts that are sorted by length."""
        collator = self._collator
        with autocast(collator.device, precision):
            if pack:
                inputs, boundaries = collator.packed(encoded, ids)
                with packed(self._encoder, slice(None), texts=False):
                    states = self._states({**inputs, "boundaries": boundaries})
            else:
                inputs = collator.inputs(encoded, ids)
                states = self._states(inputs)
        lengths = encoded.tokens.lengths[ids]
        if encoded.firsts is not None:
            looked_at = encoded.firsts[ids]
        elif self._pooling == MEAN:
            if pack:
                counts = torch.from_numpy(lengths).to(states.device)
                return torch.segment_reduce(states[0], "mean", lengths=counts)
            return _mean(states, inputs.get("attention_mask"))
        else:
            places = lengths - 1 if self._pooling == LAST else np.zeros_like(lengths)
            looked_at = Ragged(places, np.arange(len(ids) + 1))
        return states.flatten(0, 1)[collator.cells(looked_at, lengths, packed=pack)]

    def _states(self, inputs: dict[str, Any]) -> torch.Tensor:
        states: torch.Tensor = functional_call(self._encoder, self._weights, (), inputs).last_hidden_state
        return states.float()

    def _can_pack(self, precision: str) -> bool:
        """Whether packed states of random texts are those of padded ones in float32, but for rounding."""
        vocabulary = self._encoder.get_input_embeddings().num_embeddings
        longest = min(LONGEST, positions(self._encoder) or LONGEST)
        texts = probe_texts(vocabulary, self._collator.pad_id, True, longest)

        @torch.inference_mode()
        def error(precision: str, pack: bool) -> float:
            rows, expected = (
                self._rows(texts, np.arange(len(texts)), *how).cpu().numpy()
                for how in ((precision, pack), ("float32", False))
            )
            return row_error(rows, expected)

        if rejection(lambda: error("float32", True), EXACT):
            return False
        bound = EXACT if precision == "float32" else rough_bound(error(precision, False))
        return rejection(lambda: error(precision, True), bound) is None

    @cached_property
    def digest(self) -> str:
        """Of the network, its weights, the pooling, and the libraries and the kind of device that compute with them."""
        # An encoder with a head and one without differ in what is immaterial.
        config = {k: v for k, v in self._encoder.config.to_diff_dict().items() if k not in IMMATERIAL}
        facts = [VERSION, torch.__version__, transformers.__version__, type(self._encoder).__name__]
        # The seconds that are cached with the vectors hold for one kind of device.
        here = hardware(self._collator.device)
        facts += [config, here.get("gpu", self._collator.device.type), here["threads"], self._pooling, self._packs]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self._weights.items()):
            if not name.startswith("pooler."):  # no hidden state depends on it, and some heads have none
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                # As bytes: numpy has no bfloat16.
                digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _mean(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, width) mean over the positions that are not padding."""
    if mask is None:
        return states.mean(dim=1)
    mask = mask.unsqueeze(-1)
    return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
