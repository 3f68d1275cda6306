"""A network's copy that computes in bfloat16, while the weights that are trained stay in float32.

The encoder's layers are cast once per round or step, instead of at every use as autocast does it. Embeddings,
where there is nothing to multiply, and the layer that makes the logits are the network's own, in float32: so
tables need no casting, sums of many gradients lose nothing, and scores are not rounded to eight bits.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from al_bench.learners.engine.heads import last_layer


class Half:
    """network: stays the owner of the weights; classes: its outputs."""

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
                    made = Linear(child)
                    setattr(module, name, made)
                    self._cast += made.pairs()
        for p in self._copies:
            p.data = p.data.bfloat16()
        tables.register_forward_hook(lambda module, args, states: states.bfloat16())
        head.register_forward_pre_hook(lambda module, args: (args[0].float(),))

    @torch.no_grad()
    def follow(self) -> None:
        """Cast the network's weights anew."""
        torch._foreach_copy_([mine for _, mine in self._cast], [master for master, _ in self._cast])

    @torch.no_grad()
    def hand_over(self) -> None:
        """Give the network, in float32, the gradients that it has not got on the way."""
        if not self._gradients:
            self._gradients = [torch.empty_like(p) for p in self._masters]
        felt = [i for i, p in enumerate(self._copies) if p.grad is not None]
        gradients = [self._gradients[i] for i in felt]
        torch._foreach_copy_(gradients, [self._copies[i].grad for i in felt])
        for i, gradient in zip(felt, gradients, strict=True):
            self._masters[i].grad, self._copies[i].grad = gradient, None


def _in_float32(network: Any, classes: int) -> tuple[nn.Module, nn.Module]:
    """The embeddings, and the layer that makes the logits."""
    base = network.base_model
    return getattr(base, "embeddings", None) or base.get_input_embeddings(), last_layer(network, classes)


class Linear(nn.Module):
    """A linear layer that multiplies in bfloat16 and whose float32 weights get float32 gradients."""

    def __init__(self, whole: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = whole.weight, whole.bias
        self.half_weight: torch.Tensor
        self.half_bias: torch.Tensor | None
        self.in_features, self.out_features = whole.in_features, whole.out_features
        self.register_buffer("half_weight", whole.weight.detach().bfloat16(), persistent=False)
        bias = None if whole.bias is None else whole.bias.detach().bfloat16()
        self.register_buffer("half_bias", bias, persistent=False)

    def pairs(self) -> list[tuple[Any, Any]]:
        """(float32, bfloat16) of what the layer has."""
        both = ((self.weight, self.half_weight), (self.bias, self.half_bias))
        return [(whole, half) for whole, half in both if whole is not None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return F.linear(x, self.half_weight, self.half_bias)
        return _Multiply.apply(x, self.weight, self.bias, self.half_weight, self.half_bias)


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        half_weight: torch.Tensor,
        half_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, half_weight)
        ctx.biased = bias is not None
        return F.linear(x, half_weight, half_bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, half_weight = ctx.saved_tensors
        gradient = gradients[0]
        rows, given = gradient.flatten(0, -2), x.flatten(0, -2)
        above = gradient @ half_weight if ctx.needs_input_grad[0] else None
        # As a product with ones: on a GPU a sum over few rows takes three times as long.
        ones = rows.new_ones(1, len(rows)) if ctx.biased else None
        bias = None if ones is None else _product(ones, rows).squeeze(0)
        return above, _product(rows.mT, given), bias, None, None


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b of bfloat16 matrices, not rounded before it is float32 where the device can do that."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b).float()
