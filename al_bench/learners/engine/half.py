"""A network's copy that computes in bfloat16, while the weights that are trained stay in float32.

The encoder's layers are cast once per round or step, instead of at every use as autocast does it. Embeddings,
where there is nothing to multiply, and the layer that makes the logits are the network's own, in float32: so
tables need no casting, sums of many gradients lose nothing, and scores are not rounded to eight bits.
"""

import copy
from typing import Any

import torch

from al_bench.learners.engine.heads import last_layer


class Half:
    """network: stays the owner of the weights; classes: its outputs."""

    def __init__(self, network: Any, classes: int) -> None:
        base = network.base_model
        tables = getattr(base, "embeddings", None) or base.get_input_embeddings()
        head = last_layer(network, classes)
        shared = {id(p): p for module in (tables, head) for p in module.parameters()}
        masters = dict(network.named_parameters())
        self.network = copy.deepcopy(network, dict(shared))
        pairs = [(masters[name], p) for name, p in self.network.named_parameters() if id(p) not in shared]
        for _, mine in pairs:
            mine.data = mine.data.bfloat16()
        for module in self.network.modules():
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    module.register_buffer(name, buffer.bfloat16())
        self._masters, self._copies = [list(side) for side in zip(*pairs, strict=True)]
        self._gradients: list[torch.Tensor] = []
        mine = self.network.base_model
        tables = getattr(mine, "embeddings", None) or mine.get_input_embeddings()
        tables.register_forward_hook(lambda module, args, states: states.bfloat16())
        last_layer(self.network, classes).register_forward_pre_hook(lambda module, args: (args[0].float(),))

    @torch.no_grad()
    def follow(self) -> None:
        """Cast the network's weights anew."""
        torch._foreach_copy_(self._copies, self._masters)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Give the network the gradients in float32."""
        if not self._gradients:
            self._gradients = [torch.empty_like(p) for p in self._masters]
        felt = [i for i, p in enumerate(self._copies) if p.grad is not None]
        gradients = [self._gradients[i] for i in felt]
        torch._foreach_copy_(gradients, [self._copies[i].grad for i in felt])
        for i, gradient in zip(felt, gradients, strict=True):
            self._masters[i].grad, self._copies[i].grad = gradient, None
