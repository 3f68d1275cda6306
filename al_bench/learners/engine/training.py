"""One fit: a lean loop over encoded arrays."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from al_bench.config import TrainingConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitCosts, FitSeeds
from al_bench.learners.engine.batching import small_data_rule, training_batches
from al_bench.learners.engine.collation import Collator, word_labels
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.seeds import number, stream


@dataclass(frozen=True)
class Examples:
    """Labelled examples: ids into `encoded`, and a label (or a row of tags) for each."""

    encoded: Encoded
    ids: np.ndarray
    labels: Labels

    def part(self, positions: np.ndarray) -> "Examples":
        return Examples(self.encoded, self.ids[positions], self.labels[positions])


def train(
    network: torch.nn.Module,
    examples: Examples,
    collator: Collator,
    settings: TrainingConfig,
    precision: str,
    seeds: FitSeeds,
    dev_score: Callable[[], float] | None = None,
) -> FitCosts:
    """Train in place with AdamW, linear decay after warm-up, clipping, and the small-data rule.

    dev_score: where given, it is asked after every epoch; the epochs are doubled, training stops after
    `patience` epochs without a better score, and the best weights are restored.
    """
    s = _Settings(settings, len(examples.ids), early=dev_score is not None)
    lengths = examples.encoded.tokens.lengths[examples.ids]
    optimizer = _optimizer(network, s.learning_rate, s.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, s.factor)
    best, best_weights, waited, steps, epochs = -np.inf, None, 0, 0, 0
    with torch.random.fork_rng(_cuda_devices(collator.device)):
        torch.manual_seed(number(seeds.model, "dropout", seeds.cycle))
        rng = stream(seeds.order, "order", seeds.cycle)
        while epochs < s.epochs and waited < s.patience:
            network.train()
            for batch in training_batches(lengths, s.batch_size, rng):
                with autocast(collator.device, precision):
                    loss = batch_loss(network, examples.part(batch), collator)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), s.clip, foreach=True)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                steps += 1
            epochs += 1
            if dev_score is None:
                continue
            score = dev_score()
            if score > best:
                best, best_weights, waited = score, copy.deepcopy(network.state_dict()), 0
            else:
                waited += 1
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return FitCosts(steps, epochs, s.batch_size, epochs * len(examples.ids), epochs * int(lengths.sum()))


def batch_loss(network: torch.nn.Module, examples: Examples, collator: Collator) -> torch.Tensor:
    """Mean cross-entropy over the batch's texts, or over its surviving words (0 where none survived)."""
    logits = network(**collator.inputs(examples.encoded, examples.ids)).logits.float()
    if isinstance(examples.labels, Ragged):
        logits = logits.flatten(0, 1)[collator.first_subwords(examples.encoded, examples.ids)]
        gold = word_labels(examples.encoded, examples.ids, examples.labels)
    else:
        gold = examples.labels
    target = torch.from_numpy(gold).to(collator.device)
    return F.cross_entropy(logits, target, reduction="sum") / max(len(gold), 1)


class _Settings:
    """The resolved numbers of one fit."""

    def __init__(self, settings: TrainingConfig, n: int, early: bool) -> None:
        values = dict(vars(settings))
        assert None not in values.values(), "training settings are resolved"
        self.learning_rate: float = values["learning_rate"]
        self.weight_decay: float = values["weight_decay"]
        self.clip: float = values["clip"]
        self.patience: int = values["patience"]
        epochs: int = values["epochs"] * (2 if early else 1)
        self.batch_size, raised = small_data_rule(
            n, values["batch_size"], values["min_batch_size"], epochs, values["min_steps"]
        )
        self.epochs = epochs if early else raised
        self._steps = self.epochs * -(-n // self.batch_size)
        self._warmup = max(1, round(values["warmup"] * self._steps))

    def factor(self, step: int) -> float:
        """Of the learning rate at a step, counted from 0: up linearly, then down to 0."""
        if step < self._warmup:
            return (step + 1) / self._warmup
        return max(0.0, (self._steps - step) / max(1, self._steps - self._warmup))


def _optimizer(network: torch.nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Biases and norms do not decay, as in BERT's own fine-tuning."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
