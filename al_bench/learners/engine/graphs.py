"""Training steps as CUDA graphs.

A step of a base-size encoder launches a thousand kernels, which at the batch sizes of active learning takes
longer than running them. A graph is one launch. Its kernels work on fixed addresses: batches are written into
place, and the weights and the optimizer's state stay where they are from fit to fit, so that a graph once
captured serves every cycle and seed.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from al_bench.config.schema import TrainingConfig
from al_bench.data.ragged import Ragged
from al_bench.errors import first_line
from al_bench.learners.engine.batching import length_bounds
from al_bench.learners.engine.collation import Collator, to_device
from al_bench.learners.engine.device import synchronise
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.optimizations import EXACT, GRAPHS, probe_texts, rejection, row_error
from al_bench.learners.engine.training import Examples, Stepper, outputs, targets, units

log = logging.getLogger(__name__)
WARM_UP = 2  # steps before a capture, in which libraries choose their kernels and allocate

Batch = dict[str, torch.Tensor]
Shape = tuple[tuple[str, torch.Size, torch.dtype], ...]


@dataclass(frozen=True)
class Captured:
    """inputs, logits: the memory that the graph's kernels read a batch from and write its logits to"""

    graph: torch.cuda.CUDAGraph
    inputs: Batch
    logits: torch.Tensor


class GraphedStepper(Stepper):
    """A graph per batch size and padded length. A network that cannot be captured is stepped one by one."""

    def __init__(self, forward: Forward, settings: TrainingConfig) -> None:
        super().__init__(forward, settings)
        rate = torch.tensor(0.0, device=forward.collator.device)
        self._optimizer = self._new_optimizer(lr=rate, capturable=True)
        self.captured: dict[Shape, Captured] = {}
        self._pool: Any = None
        if reason := rejection(lambda: prepared_error(forward), EXACT):
            forward.rejected[GRAPHS] = reason

    def begin(self, examples: Examples, batch_size: int) -> None:
        self._examples, self._batch_size = examples, batch_size
        self._bounds = length_bounds(examples.encoded.tokens.lengths)
        self._clear_state()
        self._restart()

    def step(self, positions: np.ndarray, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One graph, captured where its shape is new; as `Stepper` does where that cannot be."""
        if GRAPHS in self.forward.rejected:
            return super().step(positions, rate)
        self._set_rate(rate)
        part, collator = self._examples.part(positions), self.forward.collator
        longest = part.encoded.tokens.lengths[part.ids].max()
        length = int(self._bounds[np.searchsorted(self._bounds, longest)])
        mask_type = torch.bfloat16 if self.forward.copy else torch.float32
        batch, cells, target = prepared(part, collator, self._batch_size, length, mask_type)
        shape = tuple((name, values.shape, values.dtype) for name, values in batch.items())
        if shape not in self.captured:
            # Also a lack of memory: a graph keeps its own.
            try:
                self.captured[shape] = self._capture(batch)
            except Exception as error:
                self.forward.rejected[GRAPHS] = first_line(error)
                log.warning("no %s from here on: %s", GRAPHS, first_line(error))
                return super().step(positions, rate)
        captured = self.captured[shape]
        for name, values in batch.items():
            captured.inputs[name].copy_(values)
        captured.graph.replay()
        return captured.logits[cells], target

    def end(self) -> None:
        del self._examples

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"].fill_(rate)

    def _fixed_step(self, batch: Batch) -> torch.Tensor:
        """The step of `Stepper` on tensors of fixed shapes; gives the logits."""
        with self.forward.autocast():
            logits = logits_of(self.forward.working_network, batch)
            loss_of(logits, batch).backward()
        self._update()
        return logits.detach()

    def _capture(self, batch: Batch) -> Captured:
        """The weights, the optimizer's state and the stream of random numbers are as before afterwards."""
        synchronise(self.forward.collator.device)
        start = time.perf_counter()
        inputs = {name: values.clone() for name, values in batch.items()}
        network = self.forward.network
        trained = [p for p in network.parameters() if p.requires_grad]
        weights = [p.detach().clone() for p in trained]
        states = [{k: v.clone() for k, v in s.items()} for s in self._optimizer.state.values()]
        random_state = torch.cuda.get_rng_state(self.forward.collator.device)
        try:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._fixed_step(inputs)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                logits = self._fixed_step(inputs)
            self._pool = graph.pool()
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            torch.cuda.set_rng_state(random_state, self.forward.collator.device)
            with torch.no_grad():
                torch._foreach_copy_(trained, weights)
            self._clear_state()
            for state, before in zip(self._optimizer.state.values(), states, strict=False):
                for name, value in before.items():
                    state[name].copy_(value)
            self.forward.update()
            synchronise(self.forward.collator.device)
            self.capture_seconds += time.perf_counter() - start
        return Captured(graph, inputs, logits)

    def _clear_state(self) -> None:
        for state in self._optimizer.state.values():
            for value in state.values():
                value.zero_()


def prepared_error(forward: Forward) -> float:
    """Of a network's logits of a prepared batch, whose mask it may read otherwise."""
    network, collator = forward.network, forward.collator
    vocabulary = network.get_input_embeddings().num_embeddings
    texts = probe_texts(vocabulary, collator.pad_id, forward.tagging, longest=0)
    ids, lengths = np.arange(len(texts)), texts.tokens.lengths
    labels = Ragged(np.zeros(lengths.sum(), int), texts.tokens.offsets) if forward.tagging else 0 * lengths
    examples = Examples(texts, ids, labels)
    network.eval()
    with torch.no_grad():
        batch, cells, _ = prepared(examples, collator, len(texts) + 1, int(lengths.max()) + 1, torch.float32)
        expected, _ = outputs(network, examples, collator)
        return row_error(logits_of(network, batch)[cells].cpu().numpy(), expected.cpu().numpy())


def prepared(
    examples: Examples, collator: Collator, rows: int, length: int, mask_type: torch.dtype
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """(the inputs of a network with `labels` and `weights`, the cells of the units in its logits, their targets)

    Inputs are (rows, length); missing rows repeat the first example. Labels and weights are (rows,), or of words
    (rows x length,): a word is in the cell of its first sub-word. A cell without a unit has weight 0. Weights are
    divided by the number of units, so that the loss is their sum.
    """
    ids, owners = examples.ids, units(examples)
    padded = np.concatenate([ids, np.full(rows - len(ids), ids[0])])
    inputs, filled = collator.grid(examples.encoded, padded, length)
    # Of four dimensions: transformers reads one of two on the host, which waits for the device.
    seen = filled[:, None, None, :]
    if collator.causal:  # a decoder takes one of four as all that there is to mask
        seen = seen & torch.ones((length, length), dtype=torch.bool, device=seen.device).tril()
    mask = torch.zeros(seen.shape, dtype=mask_type, device=seen.device)
    inputs["attention_mask"] = mask.masked_fill_(~seen, torch.finfo(mask_type).min)
    if isinstance(examples.labels, Ragged):
        size, cells = rows * length, collator.first_subwords(examples.encoded, ids, length)
    else:
        size, cells = rows, torch.arange(len(ids), device=collator.device)
    weights = (np.ones(len(ids)) if examples.weights is None else examples.weights)[owners]
    shares = to_device((weights / max(len(owners), 1)).astype(np.float32), collator.device)
    target = to_device(targets(examples), collator.device)
    for name, values in (("labels", target), ("weights", shares)):
        inputs[name] = values.new_zeros((size, *values.shape[1:])).index_copy_(0, cells, values)
    return inputs, cells, target


def logits_of(network: Any, batch: Batch) -> torch.Tensor:
    """(rows, or rows x length; classes) float32"""
    inputs = {name: values for name, values in batch.items() if name not in ("labels", "weights")}
    logits: torch.Tensor = network(**inputs).logits.float().flatten(0, -2)
    return logits


def loss_of(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """As `batch_loss`."""
    return (F.cross_entropy(logits, batch["labels"], reduction="none") * batch["weights"]).sum()
