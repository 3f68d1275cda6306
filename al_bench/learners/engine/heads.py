"""The layer that computes a network's logits."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from al_bench.errors import UserError


def last_layer(network: Any, classes: int) -> torch.nn.Linear:
    """The layer that computes the logits: the classifier, or the projection that ends a head of several layers."""
    base = getattr(network, "base_model", network)
    encoder = set() if base is network else set(base.modules())
    layers = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == classes and module not in encoder
    ]
    if not layers:
        raise UserError(
            f"{type(network).__name__} has no linear layer that ends in {classes} classes, "
            "so there are no embeddings of its texts; choose a strategy that needs probabilities only"
        )
    return layers[-1]


@contextmanager
def inputs_of(module: torch.nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """A list that fills with the module's inputs, call by call; stays empty for None."""
    calls: list[torch.Tensor] = []
    hook: Any = nullcontext()
    if module is not None:
        hook = module.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0]))
    with hook:
        yield calls
