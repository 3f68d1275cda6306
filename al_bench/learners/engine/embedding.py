"""Embeddings of a corpus by a pretrained encoder, before any fit: a vector per text, or per word.

They are computed once per (inputs, weights, precision) and shared by all learners and runs.
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
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast, hardware
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.weights import IMMATERIAL

VERSION = 3  # raised when the files below change


class Embedder:
    """Embeds each corpus once.

    network: with or without a head, on the collator's device
    weights: the pretrained ones by their names in `network`, whose own weights a fit may have changed since
    cache: of the vectors, shared between runs, or None
    """

    def __init__(self, network: Any, weights: dict[str, torch.Tensor], collator: Collator, cache: Cache | None) -> None:
        self._encoder, self._collator, self._cache = network.base_model, collator, cache
        prefix = "" if self._encoder is network else f"{network.base_model_prefix}."
        self._weights = {
            name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
        }
        self._vectors: dict[tuple[Encoded, str], tuple[np.ndarray | Ragged, float]] = {}

    def __call__(self, encoded: Encoded, precision: str) -> tuple[np.ndarray | Ragged, float]:
        """Float32 vectors of all of `encoded`, read-only, and the seconds they took in this process or another.

        Texts: (n, width) mean over a text's sub-words and special tokens, as sentence-transformers pools.
        Sentences: a row for each surviving word, the state of its first sub-word.
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
            vectors = np.empty((rows, self._encoder.config.hidden_size), dtype=np.float32)
            start = time.perf_counter()
            self._embed(encoded, precision, vectors)
            return {"vectors": vectors, "seconds": np.asarray(time.perf_counter() - start)}

        arrays = self._cache(f"vectors-{self._key(encoded, precision)}", compute) if self._cache else compute()
        return np.asarray(arrays["vectors"]), float(arrays["seconds"])

    @torch.inference_mode()
    def _embed(self, encoded: Encoded, precision: str, vectors: np.ndarray) -> None:
        """Fill `vectors`, in the batches of `inference.parts`."""
        self._encoder.eval()
        device = self._collator.device
        for batch in scoring_batches(encoded.tokens.lengths, TOKEN_BUDGET[device.type]):
            inputs = self._collator.inputs(encoded, batch)
            with autocast(device, precision):
                states = functional_call(self._encoder, self._weights, (), inputs).last_hidden_state.float()
            if encoded.firsts is None:
                vectors[batch] = _mean(states, inputs.get("attention_mask")).cpu().numpy()
            else:
                firsts = states.flatten(0, 1)[self._collator.first_subwords(encoded, batch)]
                vectors[encoded.firsts.positions(batch)] = firsts.cpu().numpy()

    def _key(self, encoded: Encoded, precision: str) -> str:
        """A hash of all that the vectors depend on: the encoded inputs, network, weights, and precision."""
        arrays = [encoded.tokens.values, encoded.tokens.offsets, encoded.types]
        if encoded.firsts is not None:
            arrays += [encoded.firsts.values, encoded.firsts.offsets]
        digest = hashlib.sha256(f"{self.digest} {precision}".encode())
        for array in arrays:
            digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:24]

    @cached_property
    def digest(self) -> str:
        """A hash of the network, its weights, and the libraries and the kind of device that compute with them."""
        # An encoder with a head and one without differ in what is immaterial.
        config = {k: v for k, v in self._encoder.config.to_diff_dict().items() if k not in IMMATERIAL}
        facts = [VERSION, torch.__version__, transformers.__version__, type(self._encoder).__name__]
        # The seconds that are cached with the vectors hold for one kind of device.
        here = hardware(self._collator.device)
        facts += [config, here.get("gpu", self._collator.device.type), here["threads"]]
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
