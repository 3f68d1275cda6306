"""One fit: epochs of gradient steps over encoded arrays."""

import copy
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from al_bench.config.schema import TrainingConfig
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Watch
from al_bench.learners.engine.batching import small_data_rule, training_batches
from al_bench.learners.engine.stepping import Examples, Stepper, mean_margins, units
from al_bench.seeds import number, stream

Weights = dict[str, torch.Tensor]


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
                outputs = stepper.step(batch, next(rates))
                if watch.margins:
                    # They stay on the device, for which no step waits.
                    recorded.append((*outputs, batch[units(examples.part(batch))]))
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
        epochs * steps_an_epoch, epochs, batch_size, epochs * n, epochs * int(lengths.sum()),
        stepper.capture_seconds - captured_before,
    )  # fmt: skip
    steps_of_units = [(logits.cpu().numpy(), target.cpu().numpy(), owners) for logits, target, owners in recorded]
    margins = mean_margins(steps_of_units, n) if watch.margins else None
    return costs, None if dev_score is None else float(best), margins, tuple(checkpoints)


def learning_rates(peak: float, warmup: float, steps: int) -> list[float]:
    """Of each step: up linearly for a share `warmup` of the steps, at least one, then down to 0."""
    rising, step = max(1, round(warmup * steps)), np.arange(steps)
    falling = peak * (steps - step) / max(steps - rising, 1)
    return np.where(step < rising, peak * (step + 1) / rising, falling).tolist()
