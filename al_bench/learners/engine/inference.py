"""Predictions of many examples: sorted by length, in batches of a token budget."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.batching import grouped, packed_batches, scoring_batches
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.heads import inputs_of, last_layer
from al_bench.learners.predictions import Predictions, assembled

log = logging.getLogger(__name__)
# Sub-words in a batch, padding included: what fits the caches of a CPU, and what fills a GPU.
TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}
PART = 64  # batches whose predictions are handed over together: bounds what is in memory

Part = tuple[np.ndarray, Predictions]


def predict(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Predictions:
    """Of `encoded[ids]`, in the order of `ids`."""
    if len(ids):
        return assembled(list(parts(forward, encoded, ids, exact=exact, embeddings=embeddings)))
    probs = np.empty((0, forward.classes), dtype=np.float32)
    width = last_layer(forward.network, forward.classes).in_features if embeddings else 0
    return as_predictions(encoded, ids, probs, np.empty((0, width), dtype=np.float32) if embeddings else None)


def parts(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Iterator[Part]:
    """Some of the examples at a time, longest first: (positions in `ids`, predictions of `encoded[ids[positions]]`).

    A GPU computes the next part while the caller handles this one.

    exact: in float32 whatever the precision; embeddings: with the inputs of the last layer (classification)
    """
    assert encoded.firsts is None or not embeddings, "embeddings are of texts"
    budget = TOKEN_BUDGET[forward.collator.device.type]
    batches = packed_batches if forward.packs and not exact else scoring_batches
    pending: Callable[[], Part] | None = None
    for group in grouped(batches(encoded.tokens.lengths[ids], budget), PART):
        begun = _begin(forward, encoded, ids, group, exact, embeddings)
        if pending is not None:
            yield pending()
        pending = begun
    if pending is not None:
        yield pending()


@torch.inference_mode()
def _begin(
    forward: Forward,
    encoded: Encoded,
    ids: np.ndarray,
    group: list[np.ndarray],
    exact: bool,
    embeddings: bool,
) -> Callable[[], Part]:
    """Start computing a part; the result waits for the device and gives the part."""
    network = forward.network if exact else forward.working_network
    head = last_layer(network, forward.classes) if embeddings else None
    outputs = [_outputs(forward, encoded, ids[batch], exact, head) for batch in group]
    positions = np.concatenate(group)
    probs = _to_host([logits.softmax(dim=-1) for logits, _ in outputs])
    states = _to_host([states.float() for _, inputs in outputs for states in inputs]) if embeddings else None
    return lambda: (positions, as_predictions(encoded, ids[positions], probs(), states and states()))


def _outputs(
    forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool, head: torch.nn.Module | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(logits, inputs of the head) of a batch, or of its halves where the device has too little memory for it."""
    try:
        with inputs_of(head) as inputs:
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
