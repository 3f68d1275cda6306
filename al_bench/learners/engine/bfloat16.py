"""A network's copy that computes in bfloat16, while the weights that are trained stay in float32.

The encoder's layers are cast once per round or step, instead of at every use as autocast does. Embeddings, which
multiply nothing, and the layer that computes the logits are the network's own, in float32: tables need no casting,
and scores are not rounded to eight bits.
"""

import copy
from typing import Any

import torch
from torch import nn

from al_bench.learners.engine.loading import last_layer


class Bfloat16Copy:
    """network: owns the weights"""

    def __init__(self, network: Any) -> None:
        shared = {id(p): p for module in _in_float32(network) for p in module.parameters()}
        self.network = copy.deepcopy(network, dict(shared))
        tables, head = _in_float32(self.network)
        own = dict(network.named_parameters())
        pairs = [(own[name], p) for name, p in self.network.named_parameters() if id(p) not in shared]
        self._masters, self._copies = [master for master, _ in pairs], [p for _, p in pairs]
        self._gradients: list[torch.Tensor] = []
        for p in self._copies:
            p.data = p.data.bfloat16()
        tables.register_forward_hook(lambda module, args, states: states.bfloat16())
        head.register_forward_pre_hook(lambda module, args: (args[0].float(),))

    @torch.no_grad()
    def update(self) -> None:
        """Cast the network's weights again."""
        torch._foreach_copy_(self._copies, self._masters)

    @torch.no_grad()
    def return_gradients(self) -> None:
        """Give the network, in float32, the gradients of the parameters that were cast."""
        if not self._gradients:  # kept, because CUDA graphs need fixed addresses
            self._gradients = [torch.empty_like(p) for p in self._masters]
        reached = [i for i, p in enumerate(self._copies) if p.grad is not None]
        gradients = [self._gradients[i] for i in reached]
        torch._foreach_copy_(gradients, [self._copies[i].grad for i in reached])
        for i, gradient in zip(reached, gradients, strict=True):
            self._masters[i].grad, self._copies[i].grad = gradient, None


def _in_float32(network: Any) -> tuple[nn.Module, nn.Module]:
    """The embeddings, and the layer that computes the logits."""
    base = network.base_model
    tables = getattr(base, "embeddings", None) or base.get_input_embeddings()
    return tables, last_layer(network, network.config.num_labels)
