"""One fit: epochs of gradient steps over encoded arrays."""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from al_bench.config.schema import TrainingConfig
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Watch
from al_bench.learners.engine.batching import small_data_rule, training_batches
from al_bench.learners.engine.stepping import Examples, Stepper, units
from al_bench.seeds import number, stream


@dataclass(frozen=True)
class Trained:
    """What a fit yields beside the network's weights.

    dev_score: the best one, None without a dev split
    checkpoints: weights at the end of the last epochs, oldest first; margins: (n,); both as `Watch` asks
    """

    costs: FitCosts
    dev_score: float | None = None
    checkpoints: tuple[dict[str, torch.Tensor], ...] = ()
    margins: np.ndarray | None = None


def train(
    stepper: Stepper,
    examples: Examples,
    settings: TrainingConfig,
    seeds: FitSeeds,
    dev_score: Callable[[], float] | None = None,
    watch: Watch = UNWATCHED,
) -> Trained:
    """Train in place with AdamW, linear decay after warm-up, clipping, and the small-data rule.

    dev_score: called after every epoch; the epochs are doubled, training stops after `patience` epochs without a
        better score, and the best weights are restored. None: no early stopping
    """
    forward = stepper.forward
    network = forward.network
    s = FitSettings(settings, len(examples.ids), early=dev_score is not None)
    lengths = examples.encoded.tokens.lengths[examples.ids]
    best, best_weights, waited, steps, epochs = -np.inf, None, 0, 0, 0
    captured_before = stepper.capture_seconds
    checkpoints: deque[dict[str, torch.Tensor]] = deque(maxlen=watch.checkpoints)
    margins = _Margins(len(examples.ids)) if watch.margins else None
    with torch.random.fork_rng(_cuda_devices(forward.collator.device)):
        torch.manual_seed(number(seeds.model, "dropout", seeds.cycle))
        rng = stream(seeds.order, "order", seeds.cycle)
        stepper.begin(examples, s.batch_size)
        while epochs < s.epochs and waited < s.patience:
            forward.working_network.train()
            for batch in training_batches(lengths, s.batch_size, rng):
                outputs = stepper.step(batch, s.rate(steps))
                if margins is not None:
                    margins.add(*outputs, examples.part(batch), batch)
                steps += 1
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
        stepper.end()
    if best_weights is not None:
        network.load_state_dict(best_weights)
        forward.update()
    costs = FitCosts(
        steps, epochs, s.batch_size, epochs * len(examples.ids), epochs * int(lengths.sum()),
        stepper.capture_seconds - captured_before,
    )  # fmt: skip
    return Trained(
        costs,
        None if dev_score is None else float(best),
        tuple(checkpoints),
        None if margins is None else margins.mean(),
    )


class _Margins:
    """How far each example's label was ahead of the best other one, in logits, at each of its steps.

    The mean over epochs is the area under the margin (Pleiss et al. 2020); of a sentence: the mean over its words.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._margins: list[tuple[torch.Tensor, np.ndarray, np.ndarray]] = []

    def add(self, logits: torch.Tensor, target: torch.Tensor, batch: Examples, positions: np.ndarray) -> None:
        label = (target if target.dim() == 1 else target.argmax(dim=1)).unsqueeze(1)
        own = logits.gather(1, label).squeeze(1)
        other = logits.scatter(1, label, -torch.inf).amax(dim=1)
        self._margins.append((own - other, units(batch), positions))

    def mean(self) -> np.ndarray:
        """(n,) over all steps; 0 for a sentence of which no word survived."""
        total, count = np.zeros(self._n), np.zeros(self._n)
        for margins, owners, positions in self._margins:
            total += np.bincount(positions[owners], weights=margins.cpu().numpy(), minlength=self._n)
            count += np.bincount(positions[owners], minlength=self._n)
        return total / np.maximum(count, 1)


class FitSettings:
    """The resolved numbers of one fit."""

    def __init__(self, settings: TrainingConfig, n: int, early: bool) -> None:
        values = dict(vars(settings))
        assert None not in values.values(), "training settings are resolved"
        self._learning_rate: float = values["learning_rate"]
        self.patience: int = values["patience"]
        epochs: int = values["epochs"] * (2 if early else 1)
        self.batch_size, raised = small_data_rule(
            n, values["batch_size"], values["min_batch_size"], epochs, values["min_steps"]
        )
        self.epochs = epochs if early else raised
        self._steps = self.epochs * -(-n // self.batch_size)
        self._warmup = max(1, round(values["warmup"] * self._steps))

    def rate(self, step: int) -> float:
        """The learning rate at a step, counted from 0: up linearly, then down to 0."""
        if step < self._warmup:
            return self._learning_rate * (step + 1) / self._warmup
        return self._learning_rate * (self._steps - step) / (self._steps - self._warmup)


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
