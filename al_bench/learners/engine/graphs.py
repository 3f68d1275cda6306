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
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import first_line
from al_bench.learners.engine.batching import length_bounds
from al_bench.learners.engine.collation import Collator, Rows, tensor, to_device
from al_bench.learners.engine.device import synchronise
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.optimizations import (
    EXACT,
    GRAPHS,
    probe_texts,
    refuse_error,
    rejection,
    row_error,
)
from al_bench.learners.engine.stepping import Examples, Stepper, outputs, targets, units

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
        self._reject(prepared_rejection(forward))

    def begin(self, examples: Examples, batch_size: int) -> None:
        self._examples, self._batch_size = examples, batch_size
        self._bounds = length_bounds(examples.encoded.tokens.lengths)
        self._labelled = Labelled(examples, self.forward.collator)
        self._clear_state()
        self._restart()

    def step(self, positions: np.ndarray, rate: float) -> None:
        if self._replay(positions, rate) is None:
            super().step_with_outputs(positions, rate)

    def step_with_outputs(self, positions: np.ndarray, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        captured = self._replay(positions, rate)
        if captured is None:
            return super().step_with_outputs(positions, rate)
        places, target = self._labelled.units(positions, captured.inputs["input_ids"].shape[1])
        return captured.logits[places], target

    def end(self) -> None:
        del self._examples, self._labelled

    def _reject(self, reason: str | None) -> None:
        self.optimizations, self.rejected = ([GRAPHS], {}) if reason is None else ([], {GRAPHS: reason})

    def _replay(self, positions: np.ndarray, rate: float) -> Captured | None:
        """One step as one graph, captured where its shape is new; None where that cannot be."""
        if self.rejected:
            return None
        self._set_rate(rate)
        batch = self._labelled.batch(positions, self._batch_size, self._bounds, self._mask_type())
        shape = tuple((name, values.shape, values.dtype) for name, values in batch.items())
        if shape not in self.captured:
            # Also a lack of memory: a graph keeps its own.
            try:
                self.captured[shape] = self._timed_capture(batch)
            except Exception as error:
                self._reject(first_line(error))
                log.warning("no %s from here on: %s", GRAPHS, self.rejected[GRAPHS])
                return None
        captured = self.captured[shape]
        for name, values in batch.items():
            captured.inputs[name].copy_(values)
        captured.graph.replay()
        return captured

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"].fill_(rate)

    def _mask_type(self) -> torch.dtype:
        return torch.bfloat16 if self.forward.copy else torch.float32

    def _fixed_step(self, batch: Batch) -> torch.Tensor:
        """The step of `Stepper` on tensors of fixed shapes; gives the logits."""
        with self.forward.autocast():
            logits = logits_of(self.forward.working_network, batch)
            loss_of(logits, batch).backward()
        self._update()
        return logits.detach()

    def _timed_capture(self, batch: Batch) -> Captured:
        device = self.forward.collator.device
        synchronise(device)
        start = time.perf_counter()
        try:
            return self._capture(batch)
        finally:
            synchronise(device)
            self.capture_seconds += time.perf_counter() - start

    def _capture(self, batch: Batch) -> Captured:
        """The weights, the optimizer's state and the stream of random numbers are as before afterwards."""
        inputs = {name: values.clone() for name, values in batch.items()}
        network = self.forward.network
        weights = [p.detach().clone() for p in network.parameters()]
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
                torch._foreach_copy_(list(network.parameters()), weights)
            self._clear_state()
            for state, before in zip(self._optimizer.state.values(), states, strict=False):
                for name, value in before.items():
                    state[name].copy_(value)
            self.forward.update()
        return Captured(graph, inputs, logits)

    def _clear_state(self) -> None:
        for state in self._optimizer.state.values():
            for value in state.values():
                value.zero_()


def prepared_rejection(forward: Forward) -> str | None:
    """Why a network cannot take prepared batches, such as a mask that it reads otherwise; None if it can."""
    return rejection(lambda: refuse_error(_prepared_error(forward), EXACT))


def _prepared_error(forward: Forward) -> float:
    network, collator = forward.network, forward.collator
    vocabulary = network.get_input_embeddings().num_embeddings
    texts = probe_texts(vocabulary, collator.pad_id, forward.tagging, longest=0)
    ids, lengths = np.arange(len(texts)), texts.tokens.lengths
    labels = Ragged(np.zeros(lengths.sum(), int), texts.tokens.offsets) if forward.tagging else 0 * lengths
    examples = Examples(texts, ids, labels)
    network.eval()
    with torch.no_grad():
        labelled, length = Labelled(examples, collator), int(lengths.max()) + 1
        batch = labelled.batch(ids, len(texts) + 1, np.array([length]), torch.float32)
        places, _ = labelled.units(ids, length)
        expected, _ = outputs(network, examples, collator)
        return row_error(logits_of(network, batch)[places].cpu().numpy(), expected.cpu().numpy())


class Labelled:
    """The examples of a fit, on the device.

    Units are in a grid here, a text's in its row and a word's in its first sub-word's cell; a cell without a
    unit has weight 0.
    """

    def __init__(self, examples: Examples, collator: Collator) -> None:
        self._examples, self._collator = examples, collator
        self._counts = np.bincount(units(examples), minlength=len(examples.ids))
        weights = np.ones(len(examples.ids)) if examples.weights is None else examples.weights
        labels, weights = targets(examples), weights.astype(np.float32)
        self._firsts: Ragged | None = None
        if isinstance(examples.labels, Ragged):
            lengths = examples.encoded.tokens.lengths[examples.ids]
            self._offsets = offsets_of(lengths)
            assert examples.encoded.firsts is not None
            self._firsts = firsts = examples.encoded.firsts[examples.ids]
            cells = np.repeat(self._offsets[:-1], firsts.lengths) + firsts.values
            by_cell = np.zeros((self._offsets[-1], *labels.shape[1:]), dtype=labels.dtype)
            by_cell[cells] = labels
            weight = np.zeros(self._offsets[-1], dtype=np.float32)
            weight[cells] = np.repeat(weights, firsts.lengths)
            labels, weights = by_cell, weight
            self._rows = Rows(tensor(weights, collator.device), tensor(self._offsets, collator.device))
        self._labels, self._weights = tensor(labels, collator.device), tensor(weights, collator.device)

    def batch(self, positions: np.ndarray, rows: int, bounds: np.ndarray, mask_type: torch.dtype) -> Batch:
        """The inputs of a network with `labels` and `weights`: `rows` rows, as long as the next bound.

        Missing rows repeat the first example with weight 0. Weights are divided by the number of units, so that the
        loss is their sum.
        """
        encoded, ids = self._examples.encoded, self._examples.ids
        count = max(int(self._counts[positions].sum()), 1)
        padded = np.concatenate([positions, np.full(rows - len(positions), positions[0])])
        longest = int(encoded.tokens.lengths[ids[positions]].max())
        length = int(bounds[np.searchsorted(bounds, longest)])
        inputs, filled = self._collator.grid(encoded, ids[padded], length)
        mask = torch.zeros(filled.shape, dtype=mask_type, device=filled.device)
        mask.masked_fill_(~filled, torch.finfo(mask_type).min)
        chosen = to_device(padded, self._collator.device)
        if self._firsts is not None:
            chosen, inside = self._rows.grid(chosen, length, self._collator.left)
            weights = torch.where(inside, self._weights[chosen], 0.0)
        else:
            weights = self._weights[chosen]
        weights[len(positions) :] = 0.0
        # Of four dimensions: transformers reads one of two on the host, which waits for the device.
        inputs["attention_mask"] = mask[:, None, None, :]
        return {**inputs, "labels": self._labels[chosen], "weights": weights / count}

    def units(self, positions: np.ndarray, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the units of these examples stand in a flattened grid of such rows, and their targets."""
        target = to_device(targets(self._examples.part(positions)), self._collator.device)
        if self._firsts is None:
            return torch.arange(len(positions), device=self._collator.device), target
        starts = np.arange(len(positions)) * length
        if self._collator.left:
            starts = starts + length - self._examples.encoded.tokens.lengths[self._examples.ids[positions]]
        firsts = self._firsts[positions]
        return to_device(np.repeat(starts, firsts.lengths) + firsts.values, self._collator.device), target


def logits_of(network: Any, batch: Batch) -> torch.Tensor:
    """(rows, or rows x length; classes) float32"""
    inputs = {name: values for name, values in batch.items() if name not in ("labels", "weights")}
    logits: torch.Tensor = network(**inputs).logits.float().flatten(0, -2)
    return logits


def loss_of(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """As `batch_loss`."""
    labels = batch["labels"]
    labels = labels.flatten(0, -2) if labels.is_floating_point() else labels.flatten()
    return (F.cross_entropy(logits, labels, reduction="none") * batch["weights"].flatten()).sum()
