"""TracIn's self-influence of labelled examples: squared gradient norms (Pruthi et al. 2020).

The gradient of a linear layer's weight is a sum of g x^T over positions, so its norm follows from the layer's
inputs, x, and from the gradient of its outputs, g (Goodfellow 2015, arXiv:1510.01799). One backward pass over a
batch, in which no parameter gets a gradient, thus yields every example's norm; so do embeddings and layer norms.
Networks with parameters elsewhere need a backward pass per example.
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
from al_bench.learners.engine.training import Examples, Weights, outputs, units

# Sub-words in a batch, padding included; fewer than in scoring, because the backward pass needs the activations.
BATCH_TOKENS = {"cpu": 512, "cuda": 8192, "mps": 2048}
TOLERANCE = 1e-3  # relative, of the check against a pass per example: rounding makes about 1e-6


class _Untraceable(Exception):
    """The norms do not follow from the inputs and outputs of this network's modules."""


def self_influence(
    network: nn.Module, examples: Examples, collator: Collator, checkpoints: tuple[Weights, ...]
) -> np.ndarray:
    """(n,) squared norm of each loss's gradient in all trainable parameters, a mean over `checkpoints`.

    The loss is a text's cross-entropy, or the mean over a sentence's surviving words. A sentence's score is
    divided by their number, and 0 where there are none. Without dropout, in float32; the network's own weights
    are neither used nor changed.
    """
    assert checkpoints, "the fit kept no checkpoints"
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
        at_once, alone = (
            norms(network, checkpoints[0], examples.part(few), collator) for norms in (together, one_by_one)
        )
        # A weight may be used without its module being called.
        return add_up(together if np.allclose(at_once, alone, rtol=TOLERANCE, atol=1e-12) else one_by_one)
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


def _weights(network: nn.Module, checkpoint: Weights) -> Weights:
    """The checkpoint's tensors; a parameter with two names comes once, and has one gradient."""
    names = [name for name, _ in [*network.named_parameters(), *network.named_buffers()]]
    return {name: checkpoint[name].detach() for name in names if name in checkpoint}


def _loss(network: nn.Module, weights: Weights, examples: Examples, collator: Collator) -> torch.Tensor:
    """Sum of the examples' losses. In float64, or rounding is all that is left of p - 1 where p is near 1."""

    def call(**inputs: torch.Tensor) -> Any:
        return functional_call(network, weights, kwargs=inputs)

    logits, target = outputs(call, examples, collator)
    if logits.device.type != "mps":  # which has no float64
        logits = logits.double()
    losses = F.cross_entropy(logits, target, reduction="none")
    owners = units(examples)
    share = 1 / np.bincount(owners)[owners]
    return (losses * torch.as_tensor(share, dtype=losses.dtype, device=losses.device)).sum()


def _owners(network: nn.Module) -> dict[nn.Module, frozenset[str]]:
    """The modules that own trainable parameters, with these parameters' names. Raises `_Untraceable`."""
    owners: dict[nn.Module, frozenset[str]] = {}
    owned: set[nn.Parameter] = set()
    for module in network.modules():
        own = {name: p for name, p in module.named_parameters(recurse=False) if p.requires_grad}
        if not own:
            continue
        known = type(module) in NORMS and own.keys() <= {"weight", "bias"}
        scaled = isinstance(module, nn.Embedding) and (module.max_norm or module.scale_grad_by_freq)
        if not known or scaled or not owned.isdisjoint(own.values()):
            raise _Untraceable
        owned.update(own.values())
        owners[module] = frozenset(own)
    return owners


class _Layer:
    """A module during one pass: keeps its inputs until the gradients of its outputs arrive.

    norms: (batch,) sums of squares that the module's are added to, once all of its calls have their gradient: a
        module that is called repeatedly (ALBERT's only layer) has one gradient, the sum over the calls
    """

    def __init__(self, module: nn.Module, names: frozenset[str], norms: torch.Tensor) -> None:
        self._module, self._names, self._norms = module, names, norms
        self._calls = 0
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []  # inputs and gradients of outputs

    def forward(self, module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        """As a forward hook."""
        batch = len(self._norms)
        if not args:
            raise _Untraceable
        inputs = args[0].detach()
        if isinstance(module, nn.Embedding) and len(inputs) == 1:
            # Positions are looked up once for all; each example is to have a gradient of its own.
            inputs = inputs.expand(batch, *inputs.shape[1:])
            output = output.expand(batch, *output.shape[1:])
        if len(inputs) != batch:
            raise _Untraceable
        if not output.requires_grad:
            output.requires_grad_()
        width = () if isinstance(module, nn.Embedding) else inputs.shape[-1:]
        output.register_hook(partial(self._backward, inputs.reshape(batch, -1, *width)))
        self._calls += 1
        return output

    def _backward(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        self._pairs.append((x, gradient.reshape(len(x), -1, gradient.shape[-1])))
        if len(self._pairs) == self._calls:
            self.finish()

    def finish(self) -> None:
        """Add the norms. Also called after the pass: calls whose output did not reach the loss get no gradient."""
        if self._pairs:
            parts = zip(*self._pairs, strict=True)
            x, g = (torch.cat(part, dim=1) if len(part) > 1 else part[0] for part in parts)
            self._pairs.clear()
            if "weight" in self._names:
                self._norms += NORMS[type(self._module)](self._module, x, g)
            if "bias" in self._names:
                self._norms += g.sum(dim=1).square().sum(dim=1)


def _linear(module: nn.Linear, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """(batch,) of the weight, from x (batch, positions, in) and g (batch, positions, out)."""
    positions, width, out = x.shape[1], x.shape[2], g.shape[2]
    if positions * (width + out) < width * out:
        return ((x @ x.mT) * (g @ g.mT)).sum(dim=(1, 2))
    return (g.mT @ x).square().sum(dim=(1, 2))


def _layer_norm(module: nn.LayerNorm, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """(batch,) of the weight, from x and g (batch, positions, width)."""
    scaled = g * F.layer_norm(x, module.normalized_shape, eps=module.eps)
    return scaled.sum(dim=1).square().sum(dim=1)


def _embedding(module: nn.Embedding, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
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
    """MPNet looks up (positions, positions) biases once, and every layer adds them to (batch, heads, ...) scores."""
    ids_of_calls: list[torch.Tensor] = []
    compute = encoder.compute_position_bias

    def traced(*args: Any, **kwargs: Any) -> torch.Tensor:
        bias = compute(*args, **kwargs).requires_grad_()
        bias.register_hook(partial(backward, ids_of_calls.pop()))
        return bias

    def backward(ids: torch.Tensor, gradient: torch.Tensor) -> None:
        rows = F.one_hot(ids.flatten(), table.num_embeddings).to(gradient.dtype)
        norms.add_((gradient.flatten(2) @ rows).square().sum(dim=(1, 2)))

    encoder.compute_position_bias = traced
    try:
        with table.register_forward_hook(lambda module, args, output: ids_of_calls.append(args[0])):
            yield
    finally:
        del encoder.compute_position_bias
