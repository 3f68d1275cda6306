"""Monte Carlo dropout: a network whose features are dropped by masks that are drawn once for all texts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError, reject
from al_bench.seeds import stream


def dropouts(network: torch.nn.Module) -> dict[str, torch.nn.Dropout]:
    """By name, the modules that drop anything in training."""
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, torch.nn.Dropout) and module.p > 0}


def no_dropout(role: str, model: ModelConfig, network: torch.nn.Module | None = None) -> UserError:
    """Of a network that drops no features: its samples would be equal. None: of one that could drop some."""
    key, rate = f"{role}.training.dropout", model.training.dropout
    remedy, broken = f"set {key}=0.1", f"{model.name} drops nothing else either, so that all samples are equal"
    if network is not None and not any(isinstance(module, torch.nn.Dropout) for module in network.modules()):
        # Some decoders have none, not even before the classifier.
        broken = f"{model.name} has nothing that drops, so that all samples are equal"
        remedy = f"set {role}.params.dropout=0.1" if "dropout" in model.params else f"set {role}.learner=lora"
    return reject(key, rate, broken, f"{remedy}, or choose a strategy that needs no samples")


class Masks:
    """One mask per dropout module and draw, over features: the same for all texts and positions.

    A draw is then one network of the approximate posterior (Gal and Ghahramani 2016), so that what it says of two
    texts can be compared (Kirsch et al. 2019), and does not depend on their batch. Attention probabilities, whose
    axes are positions and not features, are not dropped.

    network: in evaluation mode, in which its own dropout does nothing; seed: of all masks
    used: whether a pass has applied any
    """

    def __init__(self, network: torch.nn.Module, seed: int) -> None:
        self._modules, self._seed, self.used = dropouts(network), seed, False
        self._masks: dict[tuple[str, int, int], torch.Tensor] = {}

    @contextmanager
    def applied(self, draw: int) -> Iterator[None]:
        """Inside, the network is the one of this draw."""
        with ExitStack() as stack:
            for name, module in self._modules.items():
                stack.enter_context(module.register_forward_hook(partial(self._drop, name, draw)))
            yield

    def _drop(self, name: str, draw: int, module: torch.nn.Dropout, args: Any, states: torch.Tensor) -> Any:
        if states.dim() > 3:  # attention probabilities
            return states
        self.used = True
        key = name, draw, states.shape[-1]
        if key not in self._masks:
            mask = feature_mask(name, draw, states.shape[-1], module.p, self._seed)
            self._masks[key] = torch.from_numpy(mask).to(states)
        return states * self._masks[key]


def feature_mask(name: str, draw: int, width: int, rate: float, seed: int) -> np.ndarray:
    """(width,) float32: 0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1.

    name: of what is masked, each with a stream of its own
    """
    kept = stream(seed, f"dropout {name}", draw).random(width) >= rate
    return (kept / (1 - rate)).astype(np.float32)
