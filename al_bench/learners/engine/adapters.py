"""Low-rank adapters beside the linear layers of a frozen network, by peft (Hu et al. 2022).

They are put into the network in place: it stays the class that it is, and all that knows its parts works as before.

No pass over a pool is kept. With adapters in every layer none is the same for two fits. Where the last layers alone
are adapted, the states below them are, but of every sub-word: 100,000 texts of 50 have 8 GB of them at a width of
384. What the lower layers do save then is their backward pass, which ends at the lowest adapter.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from al_bench.errors import known, reject
from al_bench.learners.settings import ALL_LINEAR

NUMBERED = re.compile(r"\.(\d+)\.(.+)")  # in the name of a module within a list of layers


def targets_of(role: str, network: Any, targets: Sequence[str], layers: int | None) -> list[str]:
    """Names of the linear layers that `LoraSettings` asks for. Raises `UserError` where there are none."""
    places = _linear_layers(network)
    title = type(network).__name__
    if not places:
        broken = f"{title} has no linear layers in a list of layers, which adapters stand beside"
        raise reject(f"{role}.learner", "lora", broken, f"set {role}.learner=transformer")
    count = 1 + max(number for number, _ in places.values())
    if layers is not None and layers > count:
        raise reject(f"{role}.params.layers", layers, f"{title} has {count} layers", "ask for no more than these")
    ends = list(dict.fromkeys(end for _, end in places.values()))
    for target in targets:
        if target != ALL_LINEAR and not any(_ends_in(end, target) for end in ends):
            broken = f"is the end of no linear layer's name in {title}"
            raise reject(f"{role}.params.targets", target, broken, f"choose {ALL_LINEAR}, or some of {known(ends)}")
    if not targets:
        raise reject(f"{role}.params.targets", [], "names no layer", f"set [{ALL_LINEAR}]")
    lowest = count - (layers or count)
    return [
        name
        for name, (number, end) in places.items()
        if number >= lowest and any(target == ALL_LINEAR or _ends_in(end, target) for target in targets)
    ]


def _linear_layers(network: Any) -> dict[str, tuple[int, str]]:
    """By name (the number of the layer that it is in, its name within that), heads and poolers left out."""
    places = {}
    for name, module in network.named_modules():
        numbered = NUMBERED.search(name)
        if numbered and isinstance(module, nn.Linear) and name.startswith(f"{network.base_model_prefix}."):
            places[name] = int(numbered[1]), numbered[2]
    return places


def _ends_in(name: str, end: str) -> bool:
    return f".{name}".endswith(f".{end}")


def adapt(
    network: Any, targets: Sequence[str], rank: int, alpha: int, dropout: float, trained: Collection[str]
) -> None:
    """Put an adapter beside each target, and freeze all other parameters but `trained`."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    inject_adapter_in_model(config, network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained or ".lora_A." in name or ".lora_B." in name)


@torch.no_grad()
def draw_adapters(network: nn.Module, generator: torch.Generator) -> None:
    """As peft does: A uniform with a variance of 1 / (3 x its inputs), and B zero, so that the network is as it was."""
    for name, parameter in network.named_parameters():
        if ".lora_A." in name:
            bound = parameter.shape[1] ** -0.5
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
        elif ".lora_B." in name:
            parameter.zero_()


class RoundedLinear(nn.Linear):
    """A frozen layer whose weights are kept in bfloat16. It computes in the precision that its inputs have."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "RoundedLinear":
        rounded = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        rounded.weight = nn.Parameter(layer.weight.detach().bfloat16(), requires_grad=False)
        if layer.bias is not None:
            rounded.bias = nn.Parameter(layer.bias.detach().bfloat16(), requires_grad=False)
        return rounded

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled(states.device.type):  # which casts the states, and finds the weights as it wants
            return super().forward(states)
        bias = None if self.bias is None else self.bias.to(states.dtype)
        return F.linear(states, self.weight.to(states.dtype), bias)


def round_frozen(network: Any) -> None:
    """Keep the frozen linear layers in bfloat16."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Linear and not module.weight.requires_grad:
            network.set_submodule(name, RoundedLinear.of(module))
