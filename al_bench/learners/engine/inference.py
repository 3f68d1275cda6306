"""Predictions of many examples: sorted by length, in batches of a token budget."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.loading import last_layer
from al_bench.learners.predictions import Parts, Predictions

log = logging.getLogger(__name__)
# Sub-words in a batch, padding included: what fits the caches of a CPU, and what fills a GPU.
TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}
PART = 64  # batches whose predictions are handed over together: bounds what is in memory


def parts(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Parts:
    """As `Model.parts`, longest first. A GPU computes the next part while the caller handles this one."""
    assert encoded.firsts is None or not embeddings, "embeddings are of texts"
    head = last_layer(forward.network_of(exact), forward.classes) if embeddings else None
    if not len(ids):
        probs = np.empty((0, forward.classes), dtype=np.float32)
        states = None if head is None else np.empty((0, head.in_features), dtype=np.float32)
        yield np.arange(0), as_predictions(encoded, ids, probs, states)
    budget = TOKEN_BUDGET[forward.collator.device.type]
    batches = scoring_batches(encoded.tokens.lengths[ids], budget, packed=forward.packs and not exact)

    @torch.inference_mode()
    def begin(group: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, Predictions]]:
        """Start computing a part; the result waits for the device and gives the part."""
        outputs = [_outputs(forward, encoded, ids[batch], exact, head) for batch in group]
        positions = np.concatenate(group)
        probs = _to_host([logits.softmax(dim=-1) for logits, _ in outputs])
        states = _to_host([states.float() for _, inputs in outputs for states in inputs]) if head else None
        return lambda: (positions, as_predictions(encoded, ids[positions], probs(), states and states()))

    pending = None
    while group := list(islice(batches, PART)):
        begun = begin(group)
        if pending is not None:
            yield pending()
        pending = begun
    if pending is not None:
        yield pending()


def _outputs(
    forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool, head: torch.nn.Module | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(logits, inputs of the head) of a batch, or of its halves where the device has too little memory for it."""
    inputs: list[torch.Tensor] = []
    hook: Any = nullcontext()
    if head is not None:
        hook = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        with hook:
            return forward.logits(encoded, ids, exact), inputs
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    log.warning("not enough memory for %d texts at a time: scoring half as many", len(ids))
    middle = len(ids) // 2
    halves = [_outputs(forward, encoded, part, exact, head) for part in (ids[:middle], ids[middle:])]
    return torch.cat([logits for logits, _ in halves]), [states for _, inputs in halves for states in inputs]


def _to_host(tensors: list[torch.Tensor]) -> Callable[[], np.ndarray]:
    """Start a transfer, for which the host does not wait; the result waits and gives the array."""
    values = torch.cat(tensors)
    if not values.is_cuda:
        return lambda: values.cpu().numpy()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> np.ndarray:
        arrived.synchronize()
        return host.numpy()

    return wait


def as_predictions(
    encoded: Encoded, ids: np.ndarray, probs: np.ndarray, embeddings: np.ndarray | None = None
) -> Predictions:
    """Of `encoded[ids]`. probs: (texts or surviving words, classes)"""
    tokens = int(encoded.tokens.lengths[ids].sum())
    if encoded.firsts is None:
        return Predictions(probs, tokens=tokens, embeddings=embeddings)
    assert encoded.kept is not None
    assert encoded.lengths is not None
    kept = encoded.kept[encoded.firsts.positions(ids)]
    words = Ragged(probs, offsets_of(encoded.firsts.lengths[ids]))
    return Predictions(words, kept, encoded.lengths[ids], tokens)
