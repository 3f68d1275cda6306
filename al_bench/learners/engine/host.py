"""Attention and dropout as a CPU does them fast.

There, torch's attention works in float32 step by step where it has to drop out, its softmax is slower in
bfloat16 than in float32, and half of what dropout costs is that every element gets a random double.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME, ASKED = "al_bench_host", "al_bench_asked"
CHUNK = (
    2**19
)  # attention weights that are in work at a time where no gradient is asked for: they stay in cache
LONG = 256  # sub-words; of longer texts a kernel that never has all weights at once is the faster one


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
    p: float = 0.0,
) -> torch.Tensor:
    """softmax(scale q k^T + mask) v, the softmax in float32. All are (texts, heads, length, size).

    mask: (texts, 1, 1 or length, length), added; p: of the dropout of the softmax
    """
    texts, heads, length, _ = query.shape
    if p == 0.0 and (query.dtype == torch.float32 or length > LONG or query.device.type != "cpu"):
        mask = None if mask is None else mask.to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    at_a_time = texts if torch.is_grad_enabled() else max(1, CHUNK // (heads * length**2))
    found = []
    for start in range(0, texts, at_a_time):
        some = slice(start, start + at_a_time)
        weights = torch.matmul(query[some], key[some].mT).float().mul_(scale)
        if mask is not None:
            weights.add_(mask.expand(texts, -1, -1, -1)[some])
        weights = dropout(weights.softmax(dim=-1), p).to(value.dtype)
        found.append(torch.matmul(weights, value[some]))
    return found[0] if len(found) == 1 else torch.cat(found)


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: (texts, length, heads, size) of what `attend` takes."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, scale, attention_mask, dropout).transpose(1, 2), None


class Asked(Exception):
    """Raised where a network looks for the attention that its configuration names."""


def asked(*_: Any, **__: Any) -> tuple[torch.Tensor, None]:
    raise Asked


AttentionInterface.register(NAME, attention)
AttentionInterface.register(ASKED, asked)
for name in (NAME, ASKED):
    AttentionMaskInterface.register(name, eager_mask)


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Each element is 0 with probability p, to 1/65536, or else 1 / (1 - p) times as large.

    Sixteen random bits decide, so that one random number of 64 serves four elements.
    """
    if p == 0.0:
        return x
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()] >= round(p * 2**16) - 2**15
    return x * kept.view(x.shape).to(x.dtype).mul_(1 / (1 - p))


class Dropout(nn.Dropout):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.p) if self.training else x


def replace_dropout(network: Any) -> None:
    """By the one above, wherever the network has torch's."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
