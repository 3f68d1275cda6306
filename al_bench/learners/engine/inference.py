"""Predictions of many examples, and samples of them: sorted by length, in batches of a token budget."""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.dropout import Masks
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.loading import last_layer
from al_bench.learners.predictions import Parts, Predictions

log = logging.getLogger(__name__)
# Sub-words in a batch, padding included: what fits the caches of a CPU, and what fills a GPU.
TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}
PART = 64  # batches whose predictions are handed over together: bounds what is in memory

T = TypeVar("T")


def parts(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Parts:
    """As `Model.parts`, longest first."""
    head = last_layer(forward.network_of(exact), forward.classes) if embeddings else None
    if not len(ids):
        probs = np.empty((0, forward.classes), dtype=np.float32)
        states = None if head is None else np.empty((0, head.in_features), dtype=np.float32)
        yield np.arange(0), as_predictions(encoded, ids, probs, states)

    @torch.inference_mode()
    def begin(group: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, Predictions]]:
        outputs = [_outputs(forward, encoded, ids[batch], exact, head, decide=True) for batch in group]
        positions = np.concatenate(group)
        probs = _to_host([logits.softmax(dim=-1) for logits, _, _ in outputs])
        states = _to_host([states.float() for _, _, inputs in outputs for states in inputs]) if head else None
        chosen = [labels for _, labels, _ in outputs if labels is not None]  # of all batches or of none
        labels = _to_host(chosen) if chosen else None
        return lambda: (
            positions,
            as_predictions(encoded, ids[positions], probs(), states and states(), labels and labels()),
        )

    yield from _pipelined(_batches(forward, encoded, ids, exact), PART, begin)


def samples(
    forward: Forward, encoded: Encoded, ids: np.ndarray, draws: int, masks: Masks, *, exact: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
    """As `Model.samples`, longest first: a pass per draw."""

    def sampled(positions: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray | Ragged, int]:
        predictions = as_predictions(encoded, ids[positions], probs)
        return positions, predictions.probs, predictions.tokens

    if not len(ids):
        yield sampled(np.arange(0), np.empty((0, draws, forward.classes), dtype=np.float32))

    @torch.inference_mode()
    def begin(group: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, np.ndarray | Ragged, int]]:
        drawn = []
        for draw in range(draws):
            with masks.applied(draw):
                logits = [_outputs(forward, encoded, ids[batch], exact)[0] for batch in group]
            drawn.append(_to_host([of_batch.softmax(dim=-1) for of_batch in logits]))
        return lambda: sampled(np.concatenate(group), np.stack([probs() for probs in drawn], axis=1))

    yield from _pipelined(_batches(forward, encoded, ids, exact), max(1, PART // draws), begin)


def _batches(forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool) -> Iterator[np.ndarray]:
    budget = TOKEN_BUDGET[forward.collator.device.type]
    return scoring_batches(encoded.tokens.lengths[ids], budget, packed=forward.packs and not exact)


def _pipelined(
    batches: Iterator[np.ndarray], size: int, begin: Callable[[list[np.ndarray]], Callable[[], T]]
) -> Iterator[T]:
    """A part for each `size` batches. A GPU computes the next part while the caller handles this one.

    begin: start computing a part; the result waits for the device and gives the part
    """
    pending = None
    while group := list(islice(batches, size)):
        begun = begin(group)
        if pending is not None:
            yield pending()
        pending = begun
    if pending is not None:
        yield pending()


def _outputs(
    forward: Forward,
    encoded: Encoded,
    ids: np.ndarray,
    exact: bool,
    head: torch.nn.Module | None = None,
    *,
    decide: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor]]:
    """(logits, labels, inputs of the head) of a batch, or of its halves where the device has too little memory for it.

    labels: as of `Forward.decided`, where asked for; one input for each row of the logits, none without a head
    """
    inputs: list[torch.Tensor] = []
    hook: Any = nullcontext()
    if head is not None:
        hook = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        with hook:
            if decide:
                logits, labels = forward.decided(encoded, ids, exact)
            else:
                logits, labels = forward.logits(encoded, ids, exact), None
        return logits, labels, [_rows(forward, encoded, ids, exact, states) for states in inputs]
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    log.warning("not enough memory for %d texts at a time: scoring half as many", len(ids))
    middle = len(ids) // 2
    halves = [_outputs(forward, encoded, part, exact, head, decide=decide) for part in (ids[:middle], ids[middle:])]
    chosen = [labels for _, labels, _ in halves if labels is not None]
    states = [states for _, _, inputs in halves for states in inputs]
    return torch.cat([logits for logits, _, _ in halves]), torch.cat(chosen) if chosen else None, states


def _rows(forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool, states: torch.Tensor) -> torch.Tensor:
    """(units, width) of what the head saw: of texts a row for each, of sentences a row for each position."""
    if encoded.firsts is None:
        return states
    rows = states.flatten(0, 1)
    # Packed, the head sees the words alone.
    return rows if forward.packs and not exact else rows[forward.collator.first_subwords(encoded, ids)]


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
    encoded: Encoded,
    ids: np.ndarray,
    probs: np.ndarray,
    embeddings: np.ndarray | None = None,
    decoded: np.ndarray | None = None,
) -> Predictions:
    """Of `encoded[ids]`. probs: (texts or surviving words, classes); embeddings: (texts or surviving words, width)

    decoded: (texts or surviving words,)
    """
    tokens = int(encoded.tokens.lengths[ids].sum())
    if encoded.firsts is None:
        return Predictions(probs, tokens=tokens, embeddings=embeddings, decoded=decoded)
    assert encoded.kept is not None
    assert encoded.lengths is not None
    kept, offsets = encoded.kept[encoded.firsts.positions(ids)], offsets_of(encoded.firsts.lengths[ids])
    states = None if embeddings is None else Ragged(embeddings, offsets)
    return Predictions(Ragged(probs, offsets), kept, encoded.lengths[ids], tokens, states, decoded)
