"""One fit: a lean loop over encoded arrays."""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from al_bench.config import TrainingConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Watch
from al_bench.learners.engine.batching import small_data_rule, training_batches
from al_bench.learners.engine.collation import Collator, word_labels
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.seeds import number, stream


@dataclass(frozen=True)
class Examples:
    """Labelled examples.

    ids: into `encoded`; labels: one (or a row of tags) for each: numbers, or distributions over all labels
    weights: (n,) of each example's loss, 1 on average; None: all alike
    """

    encoded: Encoded
    ids: np.ndarray
    labels: Labels
    weights: np.ndarray | None = None

    def part(self, positions: np.ndarray) -> "Examples":
        weights = None if self.weights is None else self.weights[positions]
        return Examples(self.encoded, self.ids[positions], self.labels[positions], weights)


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the network.

    dev_score: the best one, None without a dev split
    checkpoints: weights at the end of the last epochs that were asked for, oldest first
    margins: (n,) mean over epochs of each example's margin, where asked for
    """

    costs: FitCosts
    dev_score: float | None = None
    checkpoints: tuple[dict[str, torch.Tensor], ...] = ()
    margins: np.ndarray | None = None


def train(
    network: torch.nn.Module,
    examples: Examples,
    collator: Collator,
    settings: TrainingConfig,
    precision: str,
    seeds: FitSeeds,
    dev_score: Callable[[], float] | None = None,
    watch: Watch = UNWATCHED,
) -> Trained:
    """Train in place with AdamW, linear decay after warm-up, clipping, and the small-data rule.

    dev_score: where given, it is asked after every epoch; the epochs are doubled, training stops after
    `patience` epochs without a better score, and the best weights are restored.
    """
    s = _Settings(settings, len(examples.ids), early=dev_score is not None)
    lengths = examples.encoded.tokens.lengths[examples.ids]
    optimizer = _optimizer(network, s.learning_rate, s.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, s.factor)
    best, best_weights, waited, steps, epochs = -np.inf, None, 0, 0, 0
    checkpoints: deque[dict[str, torch.Tensor]] = deque(maxlen=watch.checkpoints)
    margins = _Margins(len(examples.ids)) if watch.margins else None
    with torch.random.fork_rng(_cuda_devices(collator.device)):
        torch.manual_seed(number(seeds.model, "dropout", seeds.cycle))
        rng = stream(seeds.order, "order", seeds.cycle)
        while epochs < s.epochs and waited < s.patience:
            network.train()
            for batch in training_batches(lengths, s.batch_size, rng):
                part = examples.part(batch)
                with autocast(collator.device, precision):
                    logits, target = outputs(network, part, collator)
                batch_loss(logits, target, part).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), s.clip, foreach=True)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                steps += 1
                if margins is not None:
                    margins.see(logits.detach(), target, part, batch)
            epochs += 1
            if watch.checkpoints:
                checkpoints.append({name: w.detach().clone() for name, w in network.state_dict().items()})
            if dev_score is None:
                continue
            score = dev_score()
            if score > best:
                best, best_weights, waited = score, copy.deepcopy(network.state_dict()), 0
            else:
                waited += 1
    if best_weights is not None:
        network.load_state_dict(best_weights)
    costs = FitCosts(steps, epochs, s.batch_size, epochs * len(examples.ids), epochs * int(lengths.sum()))
    return Trained(
        costs,
        None if dev_score is None else float(best),
        tuple(checkpoints),
        None if margins is None else margins.mean(),
    )


def outputs(
    network: torch.nn.Module, examples: Examples, collator: Collator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 logits (units, labels) and targets of a batch's units: its texts, or its surviving words.

    A target is a label number, or a distribution over the labels where the examples have those.
    """
    logits = network(**collator.inputs(examples.encoded, examples.ids)).logits.float()
    gold = examples.labels
    if isinstance(gold, Ragged):
        logits = logits.flatten(0, 1)[collator.first_subwords(examples.encoded, examples.ids)]
        gold = word_labels(examples.encoded, examples.ids, gold)
    return logits, torch.from_numpy(gold).to(collator.device)


def batch_loss(logits: torch.Tensor, target: torch.Tensor, examples: Examples) -> torch.Tensor:
    """Mean cross-entropy over the batch's units (0 where none survived), each times its example's weight."""
    if examples.weights is None:
        return F.cross_entropy(logits, target, reduction="sum") / max(len(target), 1)
    weights = torch.from_numpy(examples.weights[units(examples)]).to(logits)
    return (F.cross_entropy(logits, target, reduction="none") * weights).sum() / max(len(target), 1)


def units(examples: Examples) -> np.ndarray:
    """Which example each unit belongs to."""
    if not isinstance(examples.labels, Ragged):
        return np.arange(len(examples.ids))
    assert examples.encoded.firsts is not None
    return np.repeat(np.arange(len(examples.ids)), examples.encoded.firsts.lengths[examples.ids])


class _Margins:
    """How far each example's label was ahead of the best other one, in logits, while it was trained on.

    Its mean over the epochs is the area under the margin (Pleiss et al. 2020); of a sentence: its words' mean.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: list[tuple[torch.Tensor, np.ndarray, np.ndarray]] = []

    def see(self, logits: torch.Tensor, target: torch.Tensor, batch: Examples, positions: np.ndarray) -> None:
        label = (target if target.dim() == 1 else target.argmax(dim=1)).unsqueeze(1)
        own = logits.gather(1, label).squeeze(1)
        other = logits.scatter(1, label, -torch.inf).amax(dim=1)
        self._seen.append((own - other, units(batch), positions))

    def mean(self) -> np.ndarray:
        """(n,) over all that was seen; 0 for a sentence of which no word survived."""
        total, count = np.zeros(self._n), np.zeros(self._n)
        for margins, owners, positions in self._seen:
            total += np.bincount(positions[owners], weights=margins.cpu().numpy(), minlength=self._n)
            count += np.bincount(positions[owners], minlength=self._n)
        return total / np.maximum(count, 1)


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
