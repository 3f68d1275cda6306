"""What a network says of many examples: sorted by length, in batches of a token budget."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

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
    if not len(ids):
        probs = np.empty((0, forward.classes), dtype=np.float32)
        width = last_layer(forward.network, forward.classes).in_features if embeddings else 0
        seen = np.empty((0, width), dtype=np.float32) if embeddings else None
        return as_predictions(encoded, ids, probs, seen)
    every = list(parts(forward, encoded, ids, exact=exact, embeddings=embeddings))
    return assembled(every)


def parts(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Iterator[Part]:
    """Some of the examples at a time, longest first: (positions in `ids`, predictions of `encoded[ids[positions]]`).

    On a GPU the next part is being computed while its predecessor is looked at.

    exact: in float32 whatever the precision; embeddings: with the inputs of the last layer (classification)
    """
    assert encoded.firsts is None or not embeddings, "embeddings are of texts"
    budget = TOKEN_BUDGET[forward.collator.device.type]
    lengths = encoded.tokens.lengths[ids]
    batches = packed_batches if forward.packs(exact) else scoring_batches
    underway: _Underway | None = None
    for group in grouped(batches(lengths, budget), PART):
        begun = _begin(forward, encoded, ids, group, exact, embeddings)
        if underway is not None:
            yield underway.finish(encoded, ids)
        underway = begun
    if underway is not None:
        yield underway.finish(encoded, ids)


@torch.inference_mode()
def _begin(
    forward: Forward,
    encoded: Encoded,
    ids: np.ndarray,
    group: list[np.ndarray],
    exact: bool,
    embeddings: bool,
) -> "_Underway":
    network = forward.network if exact else forward.working_network
    head = last_layer(network, forward.classes) if embeddings else None
    said = [_said(forward, encoded, ids[batch], exact, head) for batch in group]
    probs = [logits.softmax(dim=-1) for logits, _ in said]
    seen = [states.float() for _, inputs in said for states in inputs]
    return _Underway(np.concatenate(group), _sent(probs), _sent(seen) if embeddings else None)


def _said(
    forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool, head: torch.nn.Module | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(logits, inputs of the head) of a batch, or of its halves where the device has too little memory for it."""
    try:
        with inputs_of(head) as given:
            return forward.logits(encoded, ids, exact), given
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    log.warning("not enough memory for %d texts at a time: scoring half as many", len(ids))
    middle = len(ids) // 2
    halves = [_said(forward, encoded, part, exact, head) for part in (ids[:middle], ids[middle:])]
    return torch.cat([logits for logits, _ in halves]), [states for _, inputs in halves for states in inputs]


@dataclass
class _Underway:
    """A part that the device may still be at work on. probs, embeddings: with what tells when they are there"""

    positions: np.ndarray
    probs: "_Sent"
    embeddings: "_Sent | None"

    def finish(self, encoded: Encoded, ids: np.ndarray) -> Part:
        seen = None if self.embeddings is None else self.embeddings.get()
        return self.positions, as_predictions(encoded, ids[self.positions], self.probs.get(), seen)


@dataclass
class _Sent:
    values: torch.Tensor
    arrived: torch.cuda.Event | None

    def get(self) -> np.ndarray:
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.values.cpu().numpy()


def _sent(found: list[torch.Tensor]) -> _Sent:
    """On its way to the host, which does not wait for it."""
    values = torch.cat(found)
    if not values.is_cuda:
        return _Sent(values, None)
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return _Sent(host, arrived)


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
