"""Predictions of many examples, and samples of them: sorted by length, in batches of a token budget."""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

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


def parts(
    forward: Forward, encoded: Encoded, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
) -> Parts:
    """As `Model.parts`, longest first."""
    head = last_layer(forward.network_of(exact), forward.classes) if embeddings else None
    if not len(ids):
        probs = np.empty((0, forward.classes), dtype=np.float32)
        states = None if head is None else np.empty((0, head.in_features), dtype=np.float32)
        yield np.arange(0), as_predictions(encoded, ids, probs, states)

    def compute(batch: np.ndarray) -> list[torch.Tensor]:
        logits, labels, inputs = _outputs(forward, encoded, ids[batch], exact, head, decide=True)
        decoded = [] if labels is None else [labels]  # of all batches or of none
        return [logits.softmax(dim=-1), *(states.float() for states in inputs), *decoded]

    packed = forward.packs and not exact
    for positions, (probs, *others) in passed(encoded.tokens.lengths[ids], forward.collator.device, compute, packed):
        states = others.pop(0) if head is not None else None
        yield positions, as_predictions(encoded, ids[positions], probs, states, *others)


def samples(
    forward: Forward, encoded: Encoded, ids: np.ndarray, draws: int, masks: Masks, *, exact: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
    """As `Model.samples`, longest first: a pass per draw."""

    def sampled(positions: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray | Ragged, int]:
        predictions = as_predictions(encoded, ids[positions], probs)
        return positions, predictions.probs, predictions.tokens

    if not len(ids):
        yield sampled(np.arange(0), np.empty((0, draws, forward.classes), dtype=np.float32))

    def compute(batch: np.ndarray) -> list[torch.Tensor]:
        probs = []
        for draw in range(draws):
            with masks.applied(draw):
                probs.append(_outputs(forward, encoded, ids[batch], exact)[0].softmax(dim=-1))
        return [torch.stack(probs, dim=1)]

    lengths, packed = encoded.tokens.lengths[ids], forward.packs and not exact
    for positions, (probs,) in passed(lengths, forward.collator.device, compute, packed, max(1, PART // draws)):
        yield sampled(positions, probs)


def passed(
    lengths: np.ndarray,
    device: torch.device,
    compute: Callable[[np.ndarray], list[torch.Tensor]],
    packed: bool = False,
    size: int = PART,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """What is computed of texts, some at a time and longest first: (their positions, arrays).

    lengths: (n,) sub-words of the texts
    compute: positions of a batch -> tensors, whose rows are of the texts in this order
    packed: whether it pads nothing; size: batches that are handed over together

    A GPU computes the next ones while the caller handles these.
    """

    @torch.inference_mode()
    def begin(group: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, list[np.ndarray]]]:
        outputs = [_in_memory(compute, batch) for batch in group]
        arrays = [_to_host(list(tensors)) for tensors in zip(*outputs, strict=True)]
        return lambda: (np.concatenate(group), [array() for array in arrays])

    batches = scoring_batches(lengths, TOKEN_BUDGET[device.type], packed)
    pending = None
    while group := list(islice(batches, size)):
        begun = begin(group)
        if pending is not None:
            yield pending()
        pending = begun
    if pending is not None:
        yield pending()


def _in_memory(compute: Callable[[np.ndarray], list[torch.Tensor]], batch: np.ndarray) -> list[torch.Tensor]:
    """What is computed of a batch, or of its halves where the device has too little memory for it."""
    try:
        return compute(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    log.warning("not enough memory for %d texts at a time: computing half as many", len(batch))
    halves = [_in_memory(compute, half) for half in np.array_split(batch, 2)]
    return [torch.cat(tensors) for tensors in zip(*halves, strict=True)]


def _outputs(
    forward: Forward,
    encoded: Encoded,
    ids: np.ndarray,
    exact: bool,
    head: torch.nn.Module | None = None,
    *,
    decide: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor]]:
    """(logits, labels, inputs of the head) of a batch.

    labels: as of `Forward.decided`, where asked for
    inputs: one, with a row for each row of the logits; none without a head
    """
    inputs: list[torch.Tensor] = []
    hook: Any = nullcontext()
    if head is not None:
        hook = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with hook:
        if decide:
            logits, labels = forward.decided(encoded, ids, exact)
        else:
            logits, labels = forward.logits(encoded, ids, exact), None
    return logits, labels, [_rows(forward, encoded, ids, exact, states) for states in inputs]


def _rows(forward: Forward, encoded: Encoded, ids: np.ndarray, exact: bool, states: torch.Tensor) -> torch.Tensor:
    """(units, width) of what the head saw: of texts a row for each, of sentences a row for each position."""
    if encoded.firsts is None:
        if states.dim() == 2:
            return states
        # The head of a decoder sees every sub-word, and the logits are those of a text's last one.
        return states[torch.arange(len(ids)), forward.collator.last_subwords(encoded, ids)]
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
