"""A network as it is run: in a precision, packed or padded, by a copy in bfloat16 or under autocast."""

import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch

from al_bench.errors import first_line, reject
from al_bench.learners.engine import optimizations as checks
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.loading import last_layer, positions
from al_bench.learners.engine.optimizations import BFLOAT16, PACKED, Outputs, rejection
from al_bench.learners.engine.packing import encoder_of, packed


class Forward:
    """network: in float32, owner of the weights; tagging: whether its outputs are of words

    available: optimizations that are used where the network passes their check
    longest: sub-words of a text
    rejected: {optimization: why this network does without it}; a `GraphedStepper` says so of its own, too
    copy: what computes in bfloat16; None where autocast does, or the precision is float32
    packs: whether scoring is packed; exact scoring never is
    """

    def __init__(
        self, network: Any, tagging: bool, collator: Collator, precision: str, available: frozenset[str], longest: int
    ) -> None:
        self.network, self.classes, self.tagging = network, network.config.num_labels, tagging
        self.collator, self.precision = collator, precision
        self.copy: Bfloat16Copy | None = None
        self.packs = False
        self.rejected: dict[str, str] = {}
        checked = available & {PACKED, BFLOAT16}
        if checked or precision == "bfloat16":
            with torch.no_grad():
                self._check(checked, min(longest, checks.LONGEST) if checked else 0)

    @property
    def working_network(self) -> Any:
        """What trains and scores; `network` computes what has to be exact."""
        return self.copy.network if self.copy else self.network

    def network_of(self, exact: bool) -> Any:
        return self.network if exact else self.working_network

    def autocast(self, exact: bool = False) -> torch.autocast:
        casts = self.precision == "bfloat16" and self.copy is None and not exact
        return autocast(self.collator.device, "bfloat16" if casts else "float32")

    def update(self) -> None:
        """The network's weights have changed."""
        if self.copy:
            self.copy.update()

    def logits(self, encoded: Encoded, ids: np.ndarray, exact: bool = False, pack: bool | None = None) -> torch.Tensor:
        """(units, classes) float32 of the texts, or of the surviving words; ids sorted by length.

        exact: in float32 whatever the precision; pack: None: as `packs` says
        """
        network = self.network_of(exact)
        if network.training:
            network.eval()
        if pack is None:
            pack = self.packs and not exact
        with self.autocast(exact):
            if not pack:
                return padded_logits(network, self.collator, encoded, ids)
            inputs, boundaries = self.collator.packed(encoded, ids)
            texts = encoded.firsts is None
            firsts = boundaries.offsets[:-1] if texts else self.collator.first_subwords(encoded, ids, packed=True)
            with packed(network, firsts, texts):
                return network(**inputs, boundaries=boundaries).logits.flatten(0, -2).float()

    def decided(
        self, encoded: Encoded, ids: np.ndarray, exact: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(logits, (units,) labels where the network decides for others than each unit's likeliest, or None)"""
        return self.logits(encoded, ids, exact), None

    def _check(self, available: frozenset[str], longest: int) -> None:
        """Use each optimization whose outputs are those of the padded network in float32, but for rounding."""
        trial = Trial(self, longest)
        # The expected outputs have no error, but the network may raise.
        if reason := rejection(lambda: float(trial.expected is None), 0.0):
            self.rejected = dict.fromkeys(sorted(available), f"random texts fail ({reason})")
            return
        bound = checks.EXACT
        if self.precision == "bfloat16":
            try:
                bound = checks.rough_bound(trial.error())
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                reason = f"{type(self.network).__name__} cannot compute in it ({first_line(error)})"
                raise reject("precision", "bfloat16", reason, "set precision=float32") from error

        def error_of_copy() -> float:
            self.copy = Bfloat16Copy(self.network)
            return trial.error()

        if BFLOAT16 in available and (reason := rejection(error_of_copy, bound)):
            self.copy, self.rejected[BFLOAT16] = None, reason
        if PACKED in available:
            reason = rejection(lambda: trial.error(exact=True, pack=True), checks.EXACT)
            if reason := reason or rejection(lambda: trial.error(pack=True), bound):
                self.rejected[PACKED] = reason
            self.packs = reason is None


def padded_logits(network: Any, collator: Collator, encoded: Encoded, ids: np.ndarray) -> torch.Tensor:
    """(units, classes) float32 of the texts, or of the surviving words."""
    logits: torch.Tensor = network(**collator.inputs(encoded, ids)).logits.float()
    return logits if encoded.firsts is None else logits.flatten(0, 1)[collator.first_subwords(encoded, ids)]


class Bfloat16Copy:
    """A network's copy that computes in bfloat16, while the weights that are trained stay in float32.

    The encoder's layers are cast once per round or step, instead of at every use as autocast does. Embeddings, which
    multiply nothing, and the layer that computes the logits are the network's own, in float32: tables need no
    casting, and scores are not rounded to eight bits. What is in bfloat16 already is shared, too.
    """

    def __init__(self, network: Any) -> None:
        shared = {id(p): p for module in _in_float32(network) for p in module.parameters()}
        shared |= {id(p): p for p in network.parameters() if p.dtype == torch.bfloat16}
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


def _in_float32(network: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The embeddings, and the layer that computes the logits."""
    base = network.base_model
    tables = getattr(base, "embeddings", None) or base.get_input_embeddings()
    return tables, last_layer(network, network.config.num_labels)


class Trial:
    """A few random texts, of which every optimization should compute what the padded network does in float32."""

    def __init__(self, forward: Forward, longest: int) -> None:
        self._forward, collator = forward, forward.collator
        longest = min(longest, positions(forward.network) or longest)
        vocabulary = forward.network.get_input_embeddings().num_embeddings
        self._texts = checks.probe_texts(vocabulary, collator.pad_id, forward.tagging, longest)
        ids, lengths = np.arange(len(self._texts)), self._texts.tokens.lengths
        # Padded, the long text is alone: beside it the short ones would cost more than all else.
        long, self._short = np.split(ids, [-len(checks.PROBE_LENGTHS)])
        self._batches = [batch for batch in (long, self._short) if len(batch)]
        grids = [collator.grid(self._texts, batch, int(lengths[batch].max()))[1] for batch in self._batches]
        self._filled = torch.cat([filled.flatten() for filled in grids])

    @cached_property
    def expected(self) -> Outputs:
        return self.outputs(exact=True)

    def outputs(self, *, exact: bool = False, pack: bool = False) -> Outputs:
        """exact, pack: as in `Forward.logits`. Training is padded, so packed outputs have no gradients."""
        states: list[torch.Tensor] = []
        network = self._forward.network_of(exact)
        encoder = encoder_of(network) or network.base_model
        batches = [np.concatenate(self._batches)] if pack else self._batches
        with encoder.register_forward_hook(lambda module, args, output: states.append(output[0].float().flatten(0, 1))):
            logits = torch.cat([self._forward.logits(self._texts, ids, exact, pack) for ids in batches])
        rows = torch.cat(states)
        if pack:
            return Outputs(rows.cpu().numpy(), logits.cpu().numpy())
        return Outputs(rows[self._filled].cpu().numpy(), logits.cpu().numpy(), self._gradient_norms(exact))

    def error(self, *, exact: bool = False, pack: bool = False) -> float:
        return checks.output_error(self.outputs(exact=exact, pack=pack), self.expected)

    def _gradient_norms(self, exact: bool) -> np.ndarray:
        """Of a random sum of the short texts' logits, which suffice to show a wrong gradient or a missing one."""
        forward = self._forward
        try:
            with torch.enable_grad():
                logits = forward.logits(self._texts, self._short, exact, pack=False)
                factors = np.random.default_rng(1).standard_normal(tuple(logits.shape)).astype(np.float32)
                (logits * torch.from_numpy(factors).to(logits.device)).sum().backward()
            if forward.copy and not exact:
                forward.copy.return_gradients()
            gradients = [p.grad for p in forward.network.parameters()]
            norms = [logits.new_zeros(()) if gradient is None else gradient.norm() for gradient in gradients]
            return torch.stack(norms).cpu().numpy()
        finally:
            for network in (forward.network, forward.working_network):
                network.zero_grad(set_to_none=True)
