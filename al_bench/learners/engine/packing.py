"""Many texts as one sequence without padding: each attends to itself alone.

transformers lets us name an attention function; it is handed what the network was called with, here where each
text ends. Networks that do not ask for it (MPNet, XLNet, DeBERTa) are found out by a check when they are
loaded, and padded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from al_bench.learners.engine.collation import Boundaries
from al_bench.learners.engine.host import attend

NAME = "al_bench_packed"


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    boundaries: Boundaries,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """(1, sub-words, heads, size) of query, key and value (1, heads, sub-words, size)."""
    assert attention_mask is None, "who is packed is not padded"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
    way = _fused if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) else _by_length
    return way(q, k, v, scale, boundaries).unsqueeze(0), None


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, of: Boundaries
) -> torch.Tensor:
    """In one kernel, which knows the boundaries. All are (sub-words, heads, size)."""
    from torch.nn.attention.varlen import varlen_attn

    size = query.shape[-1]
    if abs(scale * size**0.5 - 1) > 1e-6:  # it scales by the root of the size
        query = query * (scale * size**0.5)
    q, k, v = (states.contiguous() for states in (query, key, value))
    seen = varlen_attn(q, k, v, of.offsets, of.offsets, of.longest, of.longest)
    assert isinstance(seen, torch.Tensor)
    return seen


def _by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, of: Boundaries
) -> torch.Tensor:
    """Texts of equal length are a batch without a mask. All are (sub-words, heads, size)."""
    found, start = [], 0
    for texts, length in of.runs:
        stop = start + texts * length
        q, k, v = (s[start:stop].unflatten(0, (texts, length)).transpose(1, 2) for s in (query, key, value))
        found.append(attend(q, k, v, scale).transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(found)


AttentionInterface.register(NAME, attention)


def encoder_of(network: Any) -> nn.Module | None:
    """What turns embeddings into states, and nothing more: a head or a pooler comes after it."""
    base = network.base_model
    found = getattr(base, "encoder", None) or getattr(base, "transformer", None)
    return found if isinstance(found, nn.Module) else None


@contextmanager
def packed(network: Any, rows: torch.Tensor, texts: bool) -> Iterator[None]:
    """Inside, the network takes packed batches, and its head sees the states of these rows alone.

    texts: whether each row stands for a text, of which heads look at the first state; else all are of one text
    """

    def keep(module: nn.Module, args: Any, output: Any) -> Any:
        states = output[0][0][rows]
        output["last_hidden_state"] = states.unsqueeze(1 if texts else 0)
        return output

    encoder, before = encoder_of(network), network.config._attn_implementation
    assert encoder is not None
    hook = encoder.register_forward_hook(keep)
    network.config._attn_implementation = NAME
    try:
        yield
    finally:
        network.config._attn_implementation = before
        hook.remove()
