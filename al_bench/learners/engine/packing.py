"""Many texts as one sequence without padding: each attends to itself alone.

transformers takes an attention function by name, and hands it what the network was called with: here, where each
text ends. Networks that compute their attention otherwise (MPNet, XLNet, DeBERTa) fail the check at load and are
padded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from al_bench.learners.engine.collation import Boundaries

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
    assert attention_mask is None, "packed batches have no padding"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    states = [s.squeeze(0).transpose(0, 1) for s in (query, key, value)]
    attend = attend_fused if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) else attend_runs
    return attend(states, scale, boundaries).unsqueeze(0), None


def attend_fused(states: list[torch.Tensor], scale: float, boundaries: Boundaries) -> torch.Tensor:
    """One kernel, which is given the boundaries. States are query, key and value, (sub-words, heads, size)."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = states
    factor = scale * query.shape[-1] ** 0.5  # the kernel scales by the root of the size
    if abs(factor - 1) > 1e-6:
        query = query * factor
    q, k, v = (s.contiguous() for s in (query, key, value))
    offsets, longest = boundaries.offsets, boundaries.longest
    output = varlen_attn(q, k, v, offsets, offsets, longest, longest)
    assert isinstance(output, torch.Tensor)
    return output


def attend_runs(states: list[torch.Tensor], scale: float, boundaries: Boundaries) -> torch.Tensor:
    """Texts of equal length are a batch without a mask: for the check in float32, and where there is no such kernel."""
    outputs, start = [], 0
    for texts, length in boundaries.runs:
        stop = start + texts * length
        q, k, v = (s[start:stop].unflatten(0, (texts, length)).transpose(1, 2) for s in states)
        outputs.append(scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(outputs)


AttentionInterface.register(NAME, attention)


def encoder_of(network: Any) -> nn.Module | None:
    """The module that turns embeddings into states, and nothing more: a head or a pooler comes after it."""
    base = network.base_model
    encoder = getattr(base, "encoder", None) or getattr(base, "transformer", None)
    return encoder if isinstance(encoder, nn.Module) else None


@contextmanager
def packed(network: Any, rows: torch.Tensor | slice, texts: bool) -> Iterator[None]:
    """Inside, the network takes packed batches, and its head sees the states of these rows alone.

    texts: whether each row stands for a text, of which heads look at the first state; else all are of one text
    """

    def keep_rows(module: nn.Module, args: Any, output: Any) -> Any:
        states = output[0][0][rows]
        output["last_hidden_state"] = states.unsqueeze(1 if texts else 0)
        return output

    encoder = encoder_of(network)
    if encoder is None:
        raise ValueError(f"{type(network).__name__} has no encoder between embeddings and head")
    before = network.config._attn_implementation
    network.config._attn_implementation = NAME
    try:
        with encoder.register_forward_hook(keep_rows):
            yield
    finally:
        network.config._attn_implementation = before
