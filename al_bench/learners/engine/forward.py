"""A network as it is run: in a precision, packed or padded, whichever a check has found to be right for it."""

import logging
from typing import Any

import numpy as np
import torch

from al_bench.errors import first_line, reject
from al_bench.learners.engine import host
from al_bench.learners.engine import ways as checks
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.half import Half
from al_bench.learners.engine.loading import positions
from al_bench.learners.engine.packing import encoder_of, packed
from al_bench.learners.engine.ways import Said, Ways, tried

log = logging.getLogger(__name__)


class Forward:
    """network: in float32, owner of the weights; classes: its outputs; tagging: whether they are of words

    longest: sub-words of a text
    half: the copy that computes in bfloat16, or None where autocast does, or the precision is float32
    """

    def __init__(
        self,
        network: Any,
        classes: int,
        tagging: bool,
        collator: Collator,
        precision: str,
        ways: Ways,
        longest: int = checks.LONGEST,
    ) -> None:
        self.network, self.classes, self.tagging = network, classes, tagging
        self.collator, self.precision = collator, precision
        self.half: Half | None = None
        self._packs = {True: False, False: False}  # by whether it is the exact way
        self._check(ways, min(longest, checks.LONGEST))

    @property
    def working_network(self) -> Any:
        """What computes, in training and in scoring; `network` does where a result has to be exact."""
        return self.half.network if self.half else self.network

    def autocast(self, exact: bool = False) -> torch.autocast:
        casting = self.precision == "bfloat16" and self.half is None and not exact
        return autocast(self.collator.device, "bfloat16" if casting else "float32")

    @property
    def taken(self) -> list[str]:
        """The ways, in words."""
        chosen = {
            "weights in bfloat16": self.half is not None,
            "attention for a CPU": self.working_network.config._attn_implementation == host.NAME,
            "packed": self.packs(),
        }
        return [way for way, is_taken in chosen.items() if is_taken]

    def follow(self) -> None:
        """The network's weights are new."""
        if self.half:
            self.half.follow()

    def packs(self, exact: bool = False) -> bool:
        return self._packs[exact]

    def logits(self, encoded: Encoded, ids: np.ndarray, exact: bool = False) -> torch.Tensor:
        """(units, classes) float32 of the texts, or of the surviving words; ids sorted by length.

        exact: in float32 whatever the precision
        """
        return self._logits(encoded, ids, exact, self._packs[exact])

    def _logits(self, encoded: Encoded, ids: np.ndarray, exact: bool, pack: bool) -> torch.Tensor:
        network = self.network if exact else self.working_network
        network.eval()
        tagging = encoded.firsts is not None
        with self.autocast(exact):
            if not pack:
                logits = network(**self.collator.inputs(encoded, ids)).logits
                if tagging:
                    logits = logits.flatten(0, 1)[self.collator.first_subwords(encoded, ids)]
                return logits.float()
            inputs, boundaries = self.collator.packed(encoded, ids)
            rows = boundaries.offsets[:-1]
            if tagging:
                rows = self.collator.first_subwords(encoded, ids, packed=True)
            with packed(network, rows, texts=not tagging):
                logits = network(**inputs, boundaries=boundaries).logits
            return logits.flatten(0, -2).float()

    def _check(self, ways: Ways, longest: int) -> None:
        """Decide. A way that goes wrong is no error: the plain one is as right, and slower."""
        on_cpu, in_half = self.collator.device.type == "cpu", self.precision == "bfloat16"
        if not (ways.packed or (ways.cast and in_half) or (ways.host and on_cpu)):
            return
        with torch.no_grad(), self.collator.uncounted():
            trial = _Trial(self, longest)
            expected = tried("float32, padded", lambda: trial.said(exact=True))
            if expected is None:
                return  # it does not take random texts
            bound = checks.EXACT
            if in_half:
                bound = 3 * checks.error(trial.under_autocast(), expected) + checks.ROUGH

            def right(way: str, *, exact: bool = False, pack: bool = False) -> bool:
                found = tried(way, lambda: trial.said(exact=exact, pack=pack))
                error = np.inf if found is None else checks.error(found, expected)
                log.debug("%s: error %.2g of %.2g", way, error, checks.EXACT if exact else bound)
                return error <= (checks.EXACT if exact else bound)

            if ways.cast and in_half:
                self.half = tried("weights in bfloat16", lambda: Half(self.network, self.classes))
                if self.half and not right("weights in bfloat16"):
                    self.half = None
            if ways.host and on_cpu:
                host.replace_dropout(self.working_network)
                config = self.working_network.config
                before, config._attn_implementation = config._attn_implementation, host.NAME
                if not (trial.asks_for_attention() and right("attention of the host")):
                    config._attn_implementation = before
            if ways.packed and encoder_of(self.network) is not None:
                exactly = right("packed, float32", exact=True, pack=True)
                # On CUDA only the kernel that knows the boundaries pays, and it computes in bfloat16.
                self._packs[True] = exactly and self.collator.device.type != "cuda"
                if exactly and (in_half or self._packs[True]):
                    self._packs[False] = right("packed", pack=True)


class _Trial:
    """A few random texts; what the network says of them in float32, padded, is what every way should say."""

    def __init__(self, forward: Forward, longest: int) -> None:
        self._forward, collator = forward, forward.collator
        longest = min(longest, positions(forward.network) or longest)
        vocabulary = forward.network.get_input_embeddings().num_embeddings
        self._texts = checks.probe(vocabulary, collator.pad_id, forward.tagging, longest)
        everybody, lengths = np.arange(len(self._texts)), self._texts.tokens.lengths
        # Padded, the long text is alone: beside it the short ones would cost more than all else.
        self._short = everybody[-len(checks.PROBE) :]
        self._batches = [ids for ids in (everybody[: -len(checks.PROBE)], self._short) if len(ids)]
        cells = [collator.grid(self._texts, ids, int(lengths[ids].max()))[1] for ids in self._batches]
        self._filled = torch.cat([filled.flatten() for filled in cells])

    def said(self, *, exact: bool = False, pack: bool = False) -> Said:
        seen: list[torch.Tensor] = []
        network = self._forward.network if exact else self._forward.working_network
        encoder = encoder_of(network) or network.base_model
        hook = encoder.register_forward_hook(
            lambda module, args, output: seen.append(output[0].float().flatten(0, 1))
        )
        batches = [np.concatenate(self._batches)] if pack else self._batches
        try:
            logits = torch.cat([self._forward._logits(self._texts, ids, exact, pack) for ids in batches])
        finally:
            hook.remove()
        states = torch.cat(seen)
        if pack:
            return Said(states.cpu().numpy(), logits.cpu().numpy())
        return Said(states[self._filled].cpu().numpy(), logits.cpu().numpy(), self._felt(exact))

    def asks_for_attention(self) -> bool:
        """Or computes it itself, whatever its configuration names (MPNet, XLNet, DeBERTa)."""
        config = self._forward.working_network.config
        before, config._attn_implementation = config._attn_implementation, host.ASKED
        try:
            tried("its own attention", self.said, unless=host.Asked)
        except host.Asked:
            return True
        finally:
            config._attn_implementation = before
        return False

    def under_autocast(self) -> Said:
        """Raises `UserError` where the network cannot compute in bfloat16 at all."""
        try:
            return self.said()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            why = f"{type(self._forward.network).__name__} cannot compute in it ({first_line(error)})"
            raise reject("precision", "bfloat16", why, "set precision=float32") from error

    def _felt(self, exact: bool) -> np.ndarray:
        """Of the short texts, which suffice to find what cannot be learned by, or is learned by wrongly."""
        forward = self._forward
        with torch.enable_grad():
            logits = forward._logits(self._texts, self._short, exact, False)
            weights = np.random.default_rng(1).standard_normal(tuple(logits.shape)).astype(np.float32)
            (logits * torch.from_numpy(weights).to(logits.device)).sum().backward()
        if forward.half and not exact:
            forward.half.hand_over()
        parameters = list(forward.network.parameters())
        norms = [logits.new_zeros(()) if p.grad is None else p.grad.norm() for p in parameters]
        for network in (forward.network, forward.working_network):
            network.zero_grad(set_to_none=True)
        return torch.stack(norms).cpu().numpy()
