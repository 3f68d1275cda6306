"""Probabilities of many examples: sorted by length, in batches of a token budget, no padding beyond that."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import UserError
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.predictions import Predictions

# Sub-words in a batch, padding included: what fits the caches of a CPU, and what fills a GPU.
TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}


@torch.inference_mode()
def predict(
    network: torch.nn.Module,
    encoded: Encoded,
    ids: np.ndarray,
    classes: int,
    collator: Collator,
    precision: str,
    *,
    embeddings: bool = False,
) -> Predictions:
    """Probabilities of `encoded[ids]` in the order of `ids`; tagging: of every surviving word.

    embeddings: with the inputs of the network's last layer (classification)
    """
    network.eval()
    lengths = encoded.tokens.lengths[ids]
    words = None if encoded.firsts is None else encoded.firsts[ids]
    assert words is None or not embeddings, "embeddings are of texts"
    rows = len(ids) if words is None else len(words.values)
    probs = np.empty((rows, classes), dtype=np.float32)
    head = last_layer(network, classes) if embeddings else None
    seen = None if head is None else np.empty((rows, head.in_features), dtype=np.float32)
    for batch in scoring_batches(lengths, TOKEN_BUDGET[collator.device.type]):
        with autocast(collator.device, precision), inputs_of(head) as given:
            logits = network(**collator.inputs(encoded, ids[batch])).logits
        if seen is not None:
            seen[batch] = given[0].float().cpu().numpy()
        if words is not None:
            logits = logits.flatten(0, 1)[collator.first_subwords(encoded, ids[batch])]
        rows_of_batch = batch if words is None else words.positions(batch)
        probs[rows_of_batch] = logits.float().softmax(dim=-1).cpu().numpy()
    return as_predictions(encoded, ids, probs, seen)


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


def last_layer(network: torch.nn.Module, classes: int) -> torch.nn.Linear:
    """What makes the logits of a text: the classifier, or the projection that ends a head of several layers."""
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear) and m.out_features == classes]
    if not layers:
        raise UserError(
            f"{type(network).__name__} has no linear layer that ends in {classes} classes, "
            "so there are no embeddings of its texts; choose a strategy that needs probabilities only"
        )
    return layers[-1]


@contextmanager
def inputs_of(module: torch.nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """A list that fills with what the module is called on; stays empty for None."""
    given: list[torch.Tensor] = []
    if module is None:
        yield given
        return
    hook = module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        yield given
    finally:
        hook.remove()
