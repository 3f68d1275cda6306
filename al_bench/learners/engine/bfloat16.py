"""A network's copy that computes in bfloat16, while the weights that are trained stay in float32.

The encoder's layers are cast once per round or step, instead of at every use as autocast does. Embeddings, which
multiply nothing, and the layer that computes the logits are the network's own, in float32: tables need no casting,
sums of many gradients lose nothing, and scores are not rounded to eight bits.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from al_bench.learners.engine.heads import last_layer


class Bfloat16Copy:
    """network: owns the weights; classes: its outputs"""

    def __init__(self, network: Any, classes: int) -> None:
        shared = {id(p): p for module in _in_float32(network, classes) for p in module.parameters()}
        linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
        masters = shared | {id(p): p for module in linear for p in module.parameters()}
        self.network = copy.deepcopy(network, dict(masters))
        tables, head = _in_float32(self.network, classes)
        own = dict(network.named_parameters())
        pairs = [(own[name], p) for name, p in self.network.named_parameters() if id(p) not in masters]
        self._masters, self._copies = [master for master, _ in pairs], [p for _, p in pairs]
        self._gradients: list[torch.Tensor] = []
        self._cast = list(zip(self._masters, self._copies, strict=True))
        for module in list(self.network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Linear) and child is not head and id(child.weight) not in shared:
                    linear_copy = Bfloat16Linear(child)
                    setattr(module, name, linear_copy)
                    self._cast += linear_copy.pairs()
        for p in self._copies:
            p.data = p.data.bfloat16()
        tables.register_forward_hook(lambda module, args, states: states.bfloat16())
        head.register_forward_pre_hook(lambda module, args: (args[0].float(),))

    @torch.no_grad()
    def update(self) -> None:
        """Cast the network's weights again."""
        torch._foreach_copy_([cast for _, cast in self._cast], [master for master, _ in self._cast])

    @torch.no_grad()
    def return_gradients(self) -> None:
        """Give the network, in float32, the gradients of the parameters that were copied as a whole."""
        if not self._gradients:
            self._gradients = [torch.empty_like(p) for p in self._masters]
        reached = [i for i, p in enumerate(self._copies) if p.grad is not None]
        gradients = [self._gradients[i] for i in reached]
        torch._foreach_copy_(gradients, [self._copies[i].grad for i in reached])
        for i, gradient in zip(reached, gradients, strict=True):
            self._masters[i].grad, self._copies[i].grad = gradient, None


def _in_float32(network: Any, classes: int) -> tuple[nn.Module, nn.Module]:
    """The embeddings, and the layer that computes the logits."""
    base = network.base_model
    return getattr(base, "embeddings", None) or base.get_input_embeddings(), last_layer(network, classes)


class Bfloat16Linear(nn.Module):
    """A linear layer that multiplies in bfloat16 and whose float32 weights get float32 gradients."""

    def __init__(self, master: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = master.weight, master.bias
        self.cast_weight: torch.Tensor
        self.cast_bias: torch.Tensor | None
        self.in_features, self.out_features = master.in_features, master.out_features
        self.register_buffer("cast_weight", master.weight.detach().bfloat16(), persistent=False)
        bias = None if master.bias is None else master.bias.detach().bfloat16()
        self.register_buffer("cast_bias", bias, persistent=False)

    def pairs(self) -> list[tuple[Any, Any]]:
        """(float32, bfloat16) of each parameter."""
        both = ((self.weight, self.cast_weight), (self.bias, self.cast_bias))
        return [(master, cast) for master, cast in both if master is not None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return F.linear(x, self.cast_weight, self.cast_bias)
        return Bfloat16Product.apply(x, self.weight, self.bias, self.cast_weight, self.cast_bias)


class Bfloat16Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        cast_weight: torch.Tensor,
        cast_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, cast_weight)
        ctx.biased = bias is not None
        return F.linear(x, cast_weight, cast_bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, cast_weight = ctx.saved_tensors
        gradient = gradients[0]
        rows, inputs = gradient.flatten(0, -2), x.flatten(0, -2)
        of_inputs = gradient @ cast_weight if ctx.needs_input_grad[0] else None
        # As a product with ones: on a GPU a sum over few rows takes three times as long.
        ones = rows.new_ones(1, len(rows)) if ctx.biased else None
        of_bias = None if ones is None else _product(ones, rows).squeeze(0)
        return of_inputs, _product(rows.mT, inputs), of_bias, None, None


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b of bfloat16 matrices in float32, without rounding in between where the device can do that."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b).float()
