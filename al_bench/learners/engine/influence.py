"""How hard each labelled example pulls at the weights: TracIn's self-influence (Pruthi et al. 2020).

The gradient in a linear layer's weight is a sum of g x^T over positions, so its norm follows from what goes into
the layer, x, and from the gradient in what comes out of it, g (Goodfellow 2015, arXiv:1510.01799). One backward
pass over a batch, in which no parameter gets a gradient, thus yields every example's norm; the same goes for
embeddings and layer norms. Networks with parameters elsewhere get a backward pass per example.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from al_bench.learners.engine.batching import scoring_batches
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.stepping import Examples, outputs, units

Weights = dict[str, torch.Tensor]

# Sub-words in a batch, padding included; fewer than in scoring, because activations are kept for the way back.
BATCH_TOKENS = {"cpu": 512, "cuda": 8192, "mps": 2048}
TOLERANCE = 1e-3  # relative, of the check against one by one: rounding makes about 1e-6


class _Untraceable(Exception):
    """The norms do not follow from what this network's modules get and give."""


def self_influence(
    network: nn.Module, examples: Examples, collator: Collator, checkpoints: tuple[Weights, ...]
) -> np.ndarray:
    """(n,) squared norm of each loss's gradient in all trainable parameters, a mean over `checkpoints`.

    The loss is a text's cross-entropy, or the mean over a sentence's surviving words. A sentence's score is
    divided by their number, and 0 where there are none. Without dropout, in float32; the network's own weights
    are neither used nor changed.
    """
    assert checkpoints, "a fit that kept none"
    words = np.bincount(units(examples), minlength=len(examples.ids))
    used = np.flatnonzero(words)
    if not len(used):
        return np.zeros(len(words))
    lengths = examples.encoded.tokens.lengths[examples.ids[used]]

    def add_up(norms: Callable[..., np.ndarray]) -> np.ndarray:
        total = np.zeros(len(words))
        for checkpoint in checkpoints:
            for batch in scoring_batches(lengths, BATCH_TOKENS[collator.device.type]):
                rows = used[batch]
                total[rows] += norms(network, checkpoint, examples.part(rows), collator)
        return total / len(checkpoints) / np.maximum(words, 1)

    few = used[np.argsort(lengths, kind="stable")[np.unique([0, len(used) // 2, len(used) - 1])]]
    training = network.training
    network.eval()
    try:
        _check(network, checkpoints[0], examples.part(few), collator)
        return add_up(together)
    except _Untraceable:
        return add_up(one_by_one)
    finally:
        network.train(training)


def one_by_one(network: nn.Module, checkpoint: Weights, examples: Examples, collator: Collator) -> np.ndarray:
    """(n,) squared gradient norms of any network."""
    weights = _weights(network, checkpoint)
    trainable = [weights[name].requires_grad_() for name, p in network.named_parameters() if p.requires_grad]
    norms = np.zeros(len(examples.ids))
    for i in range(len(norms)):
        loss = _loss(network, weights, examples.part(np.array([i])), collator)
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, trainable, allow_unused=True)
            norms[i] = sum(g.square().sum().item() for g in gradients if g is not None)
    return norms


def together(network: nn.Module, checkpoint: Weights, examples: Examples, collator: Collator) -> np.ndarray:
    """(n,) squared gradient norms from one backward pass. Raises `_Untraceable`."""
    norms = torch.zeros(len(examples.ids), device=collator.device)
    layers = {module: _Layer(module, names, norms) for module, names in _owners(network).items()}
    with contextlib.ExitStack() as hooks:
        for encoder in network.modules():
            table = getattr(encoder, "relative_attention_bias", None)
            if hasattr(encoder, "compute_position_bias") and table in layers:
                del layers[table]
                hooks.enter_context(_position_bias(encoder, table, norms))
        for module, layer in layers.items():
            hooks.enter_context(module.register_forward_hook(layer.forward))
        loss = _loss(network, _weights(network, checkpoint), examples, collator)
    if loss.requires_grad:
        loss.backward()
    for layer in layers.values():
        layer.finish()
    return norms.cpu().numpy()


def _check(network: nn.Module, checkpoint: Weights, few: Examples, collator: Collator) -> None:
    """Raises `_Untraceable` where the two ways differ: a weight may be used without its module being called."""
    quick = together(network, checkpoint, few, collator)
    if not np.allclose(quick, one_by_one(network, checkpoint, few, collator), rtol=TOLERANCE, atol=1e-12):
        raise _Untraceable


def _weights(network: nn.Module, checkpoint: Weights) -> Weights:
    """The checkpoint's tensors; a parameter that has two names comes once, and so has one gradient."""
    names = [name for name, _ in [*network.named_parameters(), *network.named_buffers()]]
    return {name: checkpoint[name].detach() for name in names if name in checkpoint}


def _loss(network: nn.Module, weights: Weights, examples: Examples, collator: Collator) -> torch.Tensor:
    """Sum of the examples' losses. In float64, or rounding is all that is left of p - 1 where p is near 1."""

    def call(**inputs: torch.Tensor) -> Any:
        return functional_call(network, weights, kwargs=inputs)

    logits, target = outputs(call, examples, collator)  # type: ignore[arg-type]
    if logits.device.type != "mps":  # which has no float64
        logits = logits.double()
    losses = F.cross_entropy(logits, target, reduction="none")
    owners = units(examples)
    share = 1 / np.bincount(owners)[owners]
    return (losses * torch.as_tensor(share, dtype=losses.dtype, device=losses.device)).sum()


def _owners(network: nn.Module) -> dict[nn.Module, frozenset[str]]:
    """The modules that own trainable parameters, with these parameters' names. Raises `_Untraceable`."""
    owners: dict[nn.Module, frozenset[str]] = {}
    seen: set[nn.Parameter] = set()
    for module in network.modules():
        own = {name: p for name, p in module.named_parameters(recurse=False) if p.requires_grad}
        if not own:
            continue
        known = type(module) in NORMS and own.keys() <= {"weight", "bias"}
        scaled = isinstance(module, nn.Embedding) and (module.max_norm or module.scale_grad_by_freq)
        if not known or scaled or not seen.isdisjoint(own.values()):
            raise _Untraceable
        seen.update(own.values())
        owners[module] = frozenset(own)
    return owners


class _Layer:
    """A module during one pass: keeps what it is given until the gradient in what it gave arrives.

    norms: (batch,) sums of squares that the module's are added to, once all of its calls have their gradient:
        what is called again and again (ALBERT's only layer) has one gradient, the sum over the calls
    """

    def __init__(self, module: nn.Module, names: frozenset[str], norms: torch.Tensor) -> None:
        self._module, self._names, self._norms = module, names, norms
        self._given: list[torch.Tensor | None] = []
        self._felt: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(
        self, module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor:
        """As a forward hook."""
        batch = len(self._norms)
        if not args:
            raise _Untraceable
        given = args[0].detach()
        if isinstance(module, nn.Embedding) and len(given) == 1:
            # Positions are looked up once for all; each example is to have a gradient of its own.
            given = given.expand(batch, *given.shape[1:])
            output = output.expand(batch, *output.shape[1:])
        if len(given) != batch:
            raise _Untraceable
        if not output.requires_grad:
            output.requires_grad_()
        output.register_hook(partial(self._backward, len(self._given)))
        self._given.append(given)
        return output

    def _backward(self, call: int, gradient: torch.Tensor) -> None:
        given, self._given[call] = self._given[call], None
        assert given is not None
        width = () if isinstance(self._module, nn.Embedding) else given.shape[-1:]
        x = given.reshape(len(given), -1, *width)
        self._felt.append((x, gradient.reshape(len(given), -1, gradient.shape[-1])))
        if len(self._felt) == len(self._given):
            self.finish()

    def finish(self) -> None:
        """After the pass: of calls whose output did not reach the loss no gradient arrives."""
        if self._felt:
            calls = zip(*self._felt, strict=True)
            x, g = (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0] for parts in calls)
            self._felt.clear()
            self._norms += NORMS[type(self._module)](self._module, self._names, x, g)


def _linear(module: nn.Linear, names: frozenset[str], x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """(batch,) from x (batch, positions, in) and g (batch, positions, out)."""
    total = torch.zeros_like(g[:, 0, 0])
    if "weight" in names:
        positions, width, out = x.shape[1], x.shape[2], g.shape[2]
        if positions * (width + out) < width * out:
            total += ((x @ x.mT) * (g @ g.mT)).sum(dim=(1, 2))
        else:
            total += (g.mT @ x).square().sum(dim=(1, 2))
    if "bias" in names:
        total += g.sum(dim=1).square().sum(dim=1)
    return total


def _layer_norm(
    module: nn.LayerNorm, names: frozenset[str], x: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    """(batch,) from x and g (batch, positions, width)."""
    total = torch.zeros_like(g[:, 0, 0])
    if "weight" in names:
        scaled = g * F.layer_norm(x, module.normalized_shape, eps=module.eps)
        total += scaled.sum(dim=1).square().sum(dim=1)
    if "bias" in names:
        total += g.sum(dim=1).square().sum(dim=1)
    return total


def _embedding(module: nn.Embedding, names: frozenset[str], x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """(batch,) from ids x (batch, positions) and g (batch, positions, width): equal ids share a row."""
    shared = x[:, :, None] == x[:, None, :]
    if module.padding_idx is not None:
        shared &= (x != module.padding_idx)[:, :, None]
    return ((g @ g.mT) * shared).sum(dim=(1, 2))


NORMS: dict[type, Callable[..., torch.Tensor]] = {
    nn.Linear: _linear,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
}


@contextlib.contextmanager
def _position_bias(encoder: Any, table: nn.Embedding, norms: torch.Tensor) -> Iterator[None]:
    """MPNet looks up (positions, positions) biases, and every layer adds the (batch, heads, ...) made of them."""
    looked_up: list[torch.Tensor] = []
    compute = encoder.compute_position_bias

    def traced(*args: Any, **kwargs: Any) -> torch.Tensor:
        bias = compute(*args, **kwargs).requires_grad_()
        bias.register_hook(partial(backward, looked_up.pop()))
        return bias

    def backward(ids: torch.Tensor, gradient: torch.Tensor) -> None:
        rows = F.one_hot(ids.flatten(), table.num_embeddings).to(gradient.dtype)
        norms.add_((gradient.flatten(2) @ rows).square().sum(dim=(1, 2)))

    encoder.compute_position_bias = traced
    try:
        with table.register_forward_hook(lambda module, args, output: looked_up.append(args[0])):
            yield
    finally:
        del encoder.compute_position_bias
