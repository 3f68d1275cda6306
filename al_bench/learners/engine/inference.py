"""Probabilities of many examples: sorted by length, in batches of a token budget, no padding beyond that."""

import numpy as np
import torch

from al_bench.data.ragged import Ragged
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
) -> Predictions:
    """Probabilities of `encoded[ids]` in the order of `ids`; tagging: of every surviving word."""
    network.eval()
    lengths = encoded.tokens.lengths[ids]
    words = None if encoded.firsts is None else encoded.firsts[ids]
    rows = len(ids) if words is None else len(words.values)
    probs = np.empty((rows, classes), dtype=np.float32)
    for batch in scoring_batches(lengths, TOKEN_BUDGET[collator.device.type]):
        with autocast(collator.device, precision):
            logits = network(**collator.inputs(encoded, ids[batch])).logits
        if words is not None:
            logits = logits.flatten(0, 1)[collator.first_subwords(encoded, ids[batch])]
        rows_of_batch = batch if words is None else words.positions(batch)
        probs[rows_of_batch] = logits.float().softmax(dim=-1).cpu().numpy()
    tokens = int(lengths.sum())
    if words is None:
        return Predictions(probs, tokens=tokens)
    assert encoded.firsts is not None
    assert encoded.kept is not None
    assert encoded.lengths is not None
    kept = encoded.kept[encoded.firsts.positions(ids)]
    return Predictions(Ragged(probs, words.offsets), kept, encoded.lengths[ids], tokens)
