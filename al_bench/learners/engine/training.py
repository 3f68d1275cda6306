"""One fit: epochs of gradient steps, each forward, backward, clip and AdamW, over encoded arrays."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from al_bench.config.schema import TrainingConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Watch
from al_bench.learners.engine.batching import small_data_rule, training_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward, padded_logits
from al_bench.seeds import number, stream

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Examples:
    """Labelled examples.

    ids: into `encoded`; labels: one (or a row of tags) for each: numbers, or distributions over all labels
    weights: (n,) of each example's loss; None: all alike
    """

    encoded: Encoded
    ids: np.ndarray
    labels: Labels
    weights: np.ndarray | None = None

    def part(self, positions: np.ndarray) -> "Examples":
        """positions: in these examples, or a mask of them"""
        weights = None if self.weights is None else self.weights[positions]
        return Examples(self.encoded, self.ids[positions], self.labels[positions], weights)


def units(examples: Examples) -> np.ndarray:
    """Which example each unit (text, or surviving word) belongs to."""
    if not isinstance(examples.labels, Ragged):
        return np.arange(len(examples.ids))
    assert examples.encoded.firsts is not None
    return np.repeat(np.arange(len(examples.ids)), examples.encoded.firsts.lengths[examples.ids])


def targets(examples: Examples) -> np.ndarray:
    """Of each unit: a label number, or a distribution over the labels where the examples have those."""
    if isinstance(examples.labels, Ragged):
        return examples.labels.values[examples.encoded.places(examples.ids)]
    return examples.labels


def unit_margins(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(units,) how far a unit's likeliest label is ahead of the best other one; 0 where no other was fitted."""
    rows = np.arange(len(logits))
    label = target.argmax(axis=1) if target.ndim == 2 else target
    others = logits.copy()
    others[rows, label] = -np.inf
    best = others.max(axis=1)
    return np.where(np.isfinite(best), logits[rows, label] - best, 0.0)


def mean_margins(steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """(n,) of each example, over its steps; of a sentence over its words too, 0 where none survived.

    steps: logits and targets of the units, and which example each belongs to
    """
    total, count = np.zeros(n), np.zeros(n)
    for logits, target, owners in steps:
        total += np.bincount(owners, weights=unit_margins(logits, target), minlength=n)
        count += np.bincount(owners, minlength=n)
    return total / np.maximum(count, 1)


def outputs(network: Any, examples: Examples, collator: Collator) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 logits (units, labels) and targets of a batch's units."""
    logits = padded_logits(network, collator, examples.encoded, examples.ids)
    return logits, torch.from_numpy(targets(examples)).to(collator.device)


def batch_loss(logits: torch.Tensor, target: torch.Tensor, examples: Examples) -> torch.Tensor:
    """Mean cross-entropy over the batch's units (0 where none survived), each times its example's weight."""
    if examples.weights is None:
        return F.cross_entropy(logits, target, reduction="sum") / max(len(target), 1)
    weights = torch.from_numpy(examples.weights[units(examples)]).to(logits)
    return (F.cross_entropy(logits, target, reduction="none") * weights).sum() / max(len(target), 1)


class Stepper:
    """Steps of one network, one by one. capture_seconds: spent so far on capturing graphs, which is no training"""

    def __init__(self, forward: Forward, settings: TrainingConfig) -> None:
        assert settings.weight_decay is not None
        assert settings.clip is not None
        self.forward, self._decay, self._clip = forward, settings.weight_decay, settings.clip
        self.capture_seconds = 0.0

    def begin(self, examples: Examples, batch_size: int) -> None:
        """Start a fit on these examples, with nothing of an earlier one."""
        self._examples = examples
        self._optimizer = self._new_optimizer()
        self._restart()

    def step(self, positions: np.ndarray, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from the examples at these positions: the logits of their units before the step, and the targets."""
        part = self._examples.part(positions)
        self._set_rate(rate)
        with self.forward.autocast():
            logits, target = outputs(self.forward.working_network, part, self.forward.collator)
        self.loss(logits, target, part).backward()
        self._update()
        return logits.detach(), target

    def loss(self, logits: torch.Tensor, target: torch.Tensor, part: Examples) -> torch.Tensor:
        """Of a batch, from what `outputs` gives."""
        return batch_loss(logits, target, part)

    def end(self) -> None:
        """The optimizer's memory is twice the weights'."""
        del self._optimizer, self._examples

    def _restart(self) -> None:
        """The weights are new, and an interrupted fit may have left gradients."""
        for network in (self.forward.network, self.forward.working_network):
            network.zero_grad(set_to_none=True)
        self.forward.update()

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _update(self) -> None:
        if self.forward.copy:
            self.forward.copy.return_gradients()
        torch.nn.utils.clip_grad_norm_(self.forward.network.parameters(), self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.forward.update()

    def _new_optimizer(self, **options: Any) -> torch.optim.AdamW:
        """Biases and norms do not decay, as in BERT's own fine-tuning."""
        trained = [p for p in self.forward.network.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.dim() > 1]
        others = [p for p in trained if p.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": self._decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, fused=True, **options)


def train(
    stepper: Stepper,
    examples: Examples,
    settings: TrainingConfig,
    seeds: FitSeeds,
    dev_score: Callable[[], float] | None = None,
    watch: Watch = UNWATCHED,
) -> tuple[FitCosts, float | None, np.ndarray | None, tuple[Weights, ...]]:
    """Train in place with AdamW, linear decay after warm-up, clipping, and the small-data rule.

    dev_score: called after every epoch; the epochs are doubled, training stops after `patience` epochs without a
        better score, and the best weights are restored. None: no early stopping
    Returns the costs; the best dev score, None without a dev split; and as `watch` asks the (n,) margins, and the
    weights at the end of the last epochs, oldest first.
    """
    forward = stepper.forward
    network, device = forward.network, forward.collator.device
    s: dict[str, Any] = dict(vars(settings))
    assert None not in s.values(), "training settings are resolved"
    n, most = len(examples.ids), s["epochs"] * (1 if dev_score is None else 2)
    batch_size, raised = small_data_rule(n, s["batch_size"], s["min_batch_size"], most, s["min_steps"])
    most = raised if dev_score is None else most
    steps_an_epoch = -(-n // batch_size)
    rates = iter(learning_rates(s["learning_rate"], s["warmup"], most * steps_an_epoch))
    lengths = examples.encoded.tokens.lengths[examples.ids]
    best, best_weights, waited, epochs = -np.inf, None, 0, 0
    captured_before = stepper.capture_seconds
    checkpoints: deque[Weights] = deque(maxlen=watch.checkpoints)
    recorded: list[tuple[torch.Tensor, torch.Tensor, np.ndarray]] = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(number(seeds.model, "dropout", seeds.cycle))
        rng = stream(seeds.order, "order", seeds.cycle)
        stepper.begin(examples, batch_size)
        while epochs < most and waited < s["patience"]:
            forward.working_network.train()
            for batch in training_batches(lengths, batch_size, rng):
                step = stepper.step(batch, next(rates))
                if watch.margins:
                    # They stay on the device, for which no step waits.
                    recorded.append((*step, batch[units(examples.part(batch))]))
            epochs += 1
            if watch.checkpoints:
                checkpoints.append(trained_weights(network))
            if dev_score is None:
                continue
            score = dev_score()
            if score > best:
                best, best_weights, waited = score, trained_weights(network), 0
            else:
                waited += 1
        stepper.end()
    if best_weights is not None:
        network.load_state_dict(best_weights, strict=False)
        forward.update()
    captured, tokens = stepper.capture_seconds - captured_before, epochs * int(lengths.sum())
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    costs = FitCosts(epochs * steps_an_epoch, epochs, batch_size, epochs * n, tokens, captured, parameters)
    steps_of_units = [(logits.cpu().numpy(), target.cpu().numpy(), owners) for logits, target, owners in recorded]
    margins = mean_margins(steps_of_units, n) if watch.margins else None
    return costs, None if dev_score is None else float(best), margins, tuple(checkpoints)


def trained_weights(network: torch.nn.Module) -> Weights:
    """A copy of all that a fit may change."""
    parameters = network.named_parameters(remove_duplicate=False)
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    return {name: w.detach().clone() for name, w in network.state_dict().items() if name not in frozen}


def learning_rates(peak: float, warmup: float, steps: int) -> list[float]:
    """Of each step: up linearly for a share `warmup` of the steps, at least one, then down to 0."""
    rising, step = max(1, round(warmup * steps)), np.arange(steps)
    falling = peak * (steps - step) / max(steps - rising, 1)
    return np.where(step < rising, peak * (step + 1) / rising, falling).tolist()
