"""How much each sub-word of a text surprises a pretrained masked language model, before any fit."""

from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional as F

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError, reject
from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.loading import load_network
from al_bench.learners.engine.weights import Source
from al_bench.seeds import stream

SHARE = 0.15  # of sub-words that are looked at (Yuan et al. 2020), as in BERT's pretraining
SMALLER = 8  # times smaller than other batches, since a position has an output for every sub-word there is


class LanguageModel:
    """The encoder with the head that it was pretrained with, all layers of it, in memory once it is needed.

    collator: of the same tokenizer, on the device that computes
    Raises `UserError` where the checkpoint has no such head.
    """

    def __init__(self, source: Source, collator: Collator) -> None:
        with source.reading():
            config: Any = transformers.AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
            if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
                raise no_head(source)
            network, head, pretrained = load_network(source, config, "language model")
        if head != pretrained:
            raise no_head(source)
        self._network, self._collator = network.to(collator.device).eval(), collator
        self._losses: dict[tuple[Encoded, str], np.ndarray] = {}

    def losses(self, encoded: Encoded, precision: str) -> Ragged:
        """Float32 cross-entropy of each sub-word, in a text that is not masked. Computed at the first call."""
        if (encoded, precision) not in self._losses:
            self._losses[encoded, precision] = self._computed(encoded, precision)
        return Ragged(self._losses[encoded, precision], encoded.tokens.offsets)

    @torch.inference_mode()
    def _computed(self, encoded: Encoded, precision: str) -> np.ndarray:
        device, losses = self._collator.device, np.empty(len(encoded.tokens.values), dtype=np.float32)
        for batch in scoring_batches(encoded.tokens.lengths, TOKEN_BUDGET[device.type] // SMALLER):
            inputs = self._collator.inputs(encoded, batch)
            with autocast(device, precision):
                logits = self._network(**inputs).logits
            of_all = F.cross_entropy(logits.flatten(0, 1).float(), inputs["input_ids"].flatten(), reduction="none")
            mask = inputs.get("attention_mask")
            of_texts = of_all if mask is None else of_all[mask.flatten().bool()]
            losses[encoded.tokens.positions(batch)] = of_texts.cpu().numpy()
        return losses


def no_head(source: Source) -> UserError:
    broken = "its checkpoint has no masked language model, which surprisal needs"
    return reject(
        source.role, source.name, broken, "choose one that has, such as distilbert_uncased, or another strategy"
    )


def surprisal(losses: Ragged, tokens: Ragged, special: list[int], ids: np.ndarray, seed: int, width: int) -> np.ndarray:
    """(n, width) float32: a text's losses at a random 15 % of its sub-words, 0 at the others (Yuan et al. 2020).

    losses, tokens: of a whole corpus; special: sub-words that are never looked at, such as separators
    """
    drawn = stream(seed, "surprisal").random(len(tokens.values)) < SHARE
    looked_at = np.where(drawn & ~np.isin(tokens.values, special), losses.values, 0)
    positions, lengths = tokens.positions(ids), tokens.lengths[ids]
    rows = np.zeros((len(ids), width), dtype=np.float32)
    columns = positions - np.repeat(tokens.offsets[ids], lengths)
    rows[np.repeat(np.arange(len(ids)), lengths), columns] = looked_at[positions]
    return rows
