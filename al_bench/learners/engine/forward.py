"""A network as it is run: in a precision, packed or padded, whichever a check has found to be right for it."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from al_bench.learners.engine import host
from al_bench.learners.engine import ways as checks
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import autocast
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.half import Half
from al_bench.learners.engine.packing import encoder_of, packed
from al_bench.learners.engine.ways import Said, Ways

log = logging.getLogger(__name__)


class Forward:
    """network: in float32, owner of the weights; classes: its outputs; tagging: whether they are of words

    half: the copy that computes in bfloat16, or None where autocast does, or the precision is float32
    """

    def __init__(
        self, network: Any, classes: int, tagging: bool, collator: Collator, precision: str, ways: Ways
    ) -> None:
        self.network, self.classes, self.collator, self.precision = network, classes, collator, precision
        self.half: Half | None = None
        self._packs = {True: False, False: False}  # by whether it is the exact way
        self._check(ways, tagging)

    @property
    def working_network(self) -> Any:
        """What computes, in training and in scoring; `network` does where a result has to be exact."""
        return self.half.network if self.half else self.network

    def autocast(self, exact: bool = False) -> torch.autocast:
        casting = self.precision == "bfloat16" and self.half is None and not exact
        return autocast(self.collator.device, "bfloat16" if casting else "float32")

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

    def _check(self, ways: Ways, tagging: bool) -> None:
        """Decide. What goes wrong here is no error: the plain way is as right, and slower."""
        casting = ways.cast and self.precision == "bfloat16"
        on_host = ways.host and self.collator.device.type == "cpu"
        if not (casting or on_host or ways.packed):
            return
        vocabulary = self.network.get_input_embeddings().num_embeddings
        texts = checks.probe(vocabulary, self.collator.pad_id, tagging)
        everybody = np.arange(len(texts))

        def said(exact: bool, pack: bool) -> Said:
            states: list[torch.Tensor] = []
            network = self.network if exact else self.working_network
            encoder = encoder_of(network) or network.base_model
            hook = encoder.register_forward_hook(
                lambda module, args, output: states.append(output[0].float())
            )
            try:
                logits = self._logits(texts, everybody, exact, pack)
            finally:
                hook.remove()
            given = states[0].flatten(0, 1).cpu().numpy()
            return Said(given if pack else given[filled], logits.cpu().numpy())

        with torch.no_grad(), self.collator.uncounted():
            _, cells = self.collator.grid(texts, everybody, max(checks.PROBE))
            filled = cells.flatten().cpu().numpy()
            expected = said(True, False)
            bound = checks.EXACT
            if self.precision == "bfloat16":
                bound = 3 * checks.error(said(False, False), expected) + checks.ROUGH
                if casting:
                    self.half = _tried("weights in bfloat16", lambda: Half(self.network, self.classes))
                if self.half and not _right(lambda: said(False, False), expected, bound):
                    self.half = None
            if on_host:
                config = self.working_network.config
                before, config._attn_implementation = config._attn_implementation, host.NAME
                if not _right(lambda: said(False, False), expected, bound):
                    config._attn_implementation = before
                host.replace_dropout(self.working_network)
            if ways.packed and encoder_of(self.network) is not None:
                right = _right(lambda: said(True, True), expected, checks.EXACT)
                # On CUDA only the kernel that knows the boundaries pays, and it computes in bfloat16.
                self._packs[True] = right and self.collator.device.type != "cuda"
                if right and (self.precision == "bfloat16" or self._packs[True]):
                    self._packs[False] = _right(lambda: said(False, True), expected, bound)


def _right(said: Callable[[], Said], expected: Said, bound: float) -> bool:
    found = _tried("a faster way", said)
    return found is not None and checks.error(found, expected) <= bound


def _tried(what: str, make: Callable[[], Any]) -> Any:
    """None where the network is not built for it, in whatever way it says so; a lack of memory is an error."""
    try:
        return make()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        log.debug("%s: not for this network (%s)", what, error)
        return None
