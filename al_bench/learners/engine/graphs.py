"""Training steps as CUDA graphs.

A step of a base-size encoder launches a thousand kernels, which at the batch sizes of active learning takes
longer than running them. A graph is one launch. Its kernels work on fixed addresses: batches are written into
place, and the weights and the optimizer's state stay where they are from fit to fit, so that a graph once
captured serves every cycle and seed.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from al_bench.config.schema import TrainingConfig
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import first_line
from al_bench.learners.engine.batching import length_bounds
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.stepping import Examples, Stepper, outputs, targets, units
from al_bench.learners.engine.store import Rows, sent, tensor
from al_bench.learners.engine.ways import EXACT, apart, probe, tried

log = logging.getLogger(__name__)
WARM_UP = 2  # steps before a capture, in which libraries choose their kernels and allocate

Batch = dict[str, torch.Tensor]
Shape = tuple[tuple[str, torch.Size, torch.dtype], ...]


@dataclass(frozen=True)
class Captured:
    """given, logits: where the graph's kernels read their batch, and write what the network says of it"""

    graph: torch.cuda.CUDAGraph
    given: Batch
    logits: torch.Tensor


class GraphedStepper(Stepper):
    """A graph per batch size and padded length. A network that cannot be captured is stepped one by one."""

    def __init__(self, forward: Forward, settings: TrainingConfig) -> None:
        super().__init__(forward, settings)
        rate = torch.tensor(0.0, device=forward.collator.device)
        self._optimizer = self._new_optimizer(lr=rate, capturable=True)
        self._captured: dict[Shape, Captured] = {}
        self._pool: Any = None
        self._works = takes_prepared(forward)

    @property
    def taken(self) -> list[str]:
        return ["CUDA graphs"] if self._works else []

    def begin(self, examples: Examples, batch_size: int) -> None:
        self._examples, self._batch_size = examples, batch_size
        self._bounds = length_bounds(examples.encoded.tokens.lengths)
        self._labelled = Labelled(examples, self.forward.collator)
        self._forget()
        self._restart()

    def step(self, positions: np.ndarray, rate: float) -> None:
        if self._replayed(positions, rate) is None:
            super().watched_step(positions, rate)

    def watched_step(self, positions: np.ndarray, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        captured = self._replayed(positions, rate)
        if captured is None:
            return super().watched_step(positions, rate)
        places, target = self._labelled.units(positions, captured.given["input_ids"].shape[1])
        return captured.logits[places], target

    def _replayed(self, positions: np.ndarray, rate: float) -> Captured | None:
        """The step, taken as one graph; None where that cannot be."""
        if not self._works:
            return None
        self._set_rate(rate)
        batch = self._labelled.batch(positions, self._batch_size, self._bounds, self._mask_type())
        shape = tuple((name, values.shape, values.dtype) for name, values in batch.items())
        if shape not in self._captured:
            try:
                self._captured[shape] = self._capture(batch)
            except Exception as error:
                log.warning("training without CUDA graphs: %s", first_line(error))
                self._works = False
                return None
        captured = self._captured[shape]
        for name, values in batch.items():
            captured.given[name].copy_(values)
        captured.graph.replay()
        return captured

    def end(self) -> None:
        del self._examples, self._labelled

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"].fill_(rate)

    def _mask_type(self) -> torch.dtype:
        return torch.bfloat16 if self.forward.half else torch.float32

    def _take(self, batch: Batch) -> torch.Tensor:
        """The whole step, as `Stepper.watched_step` takes it, on tensors of fixed shapes; gives the logits."""
        with self.forward.autocast():
            logits = logits_of(self.forward.working_network, batch)
            loss_of(logits, batch).backward()
        self._update()
        return logits.detach()

    def _capture(self, batch: Batch) -> Captured:
        """The weights, the optimizer's state and the stream of random numbers are as before afterwards."""
        given = {name: values.clone() for name, values in batch.items()}
        network = self.forward.network
        weights = [p.detach().clone() for p in network.parameters()]
        states = [{k: v.clone() for k, v in s.items()} for s in self._optimizer.state.values()]
        chance = torch.cuda.get_rng_state(self.forward.collator.device)
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    self._take(given)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                logits = self._take(given)
            self._pool = graph.pool()
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            torch.cuda.set_rng_state(chance, self.forward.collator.device)
            with torch.no_grad():
                torch._foreach_copy_(list(network.parameters()), weights)
            self._forget()
            for state, kept in zip(self._optimizer.state.values(), states, strict=False):
                for name, value in kept.items():
                    state[name].copy_(value)
            self.forward.follow()
        return Captured(graph, given, logits)

    def _forget(self) -> None:
        for state in self._optimizer.state.values():
            for value in state.values():
                value.zero_()


def stepper(forward: Forward, settings: TrainingConfig, graphs: bool) -> Stepper:
    """The kind for the device. graphs: whether they may be used"""
    graphed = graphs and forward.collator.device.type == "cuda"
    return (GraphedStepper if graphed else Stepper)(forward, settings)


def takes_prepared(forward: Forward) -> bool:
    """Whether the network says of prepared batches what it says of others: some read another mask another way."""
    network, collator = forward.network, forward.collator
    vocabulary = network.get_input_embeddings().num_embeddings
    texts = probe(vocabulary, collator.pad_id, forward.tagging, longest=0)
    everybody, lengths = np.arange(len(texts)), texts.tokens.lengths
    labels = Ragged(np.zeros(lengths.sum(), int), texts.tokens.offsets) if forward.tagging else 0 * lengths
    examples = Examples(texts, everybody, labels)

    def error() -> float:
        labelled, length = Labelled(examples, collator), int(lengths.max()) + 1
        batch = labelled.batch(everybody, len(texts) + 1, np.array([length]), torch.float32)
        places, _ = labelled.units(everybody, length)
        expected, _ = outputs(network, examples, collator)
        return apart(logits_of(network, batch)[places].cpu().numpy(), expected.cpu().numpy())

    network.eval()
    with torch.no_grad(), collator.uncounted():
        found = tried("prepared batches", error)
    return found is not None and found <= EXACT


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
        """What a network is called on, with `labels` and `weights`: `rows` rows, as long as the next bound.

        Where there are fewer examples, the first one is repeated, with weight 0. Weights are divided by the
        number of units, so that the loss is their sum.
        """
        encoded, ids = self._examples.encoded, self._examples.ids
        count = max(int(self._counts[positions].sum()), 1)
        filled_up = np.concatenate([positions, np.full(rows - len(positions), positions[0])])
        longest = int(encoded.tokens.lengths[ids[positions]].max())
        length = int(bounds[np.searchsorted(bounds, longest)])
        made, filled = self._collator.grid(encoded, ids[filled_up], length)
        mask = torch.zeros(filled.shape, dtype=mask_type, device=filled.device)
        mask.masked_fill_(~filled, torch.finfo(mask_type).min)
        chosen = sent(filled_up, self._collator.device)
        if self._firsts is not None:
            chosen, inside = self._rows.grid(chosen, length, self._collator.left)
            weights = torch.where(inside, self._weights[chosen], 0.0)
        else:
            weights = self._weights[chosen]
        weights[len(positions) :] = 0.0
        # Of four dimensions: one of two is looked at on the host, which waits for the device.
        made["attention_mask"] = mask[:, None, None, :]
        return {**made, "labels": self._labels[chosen], "weights": weights / count}

    def units(self, positions: np.ndarray, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the units of these examples stand in a flattened grid of such rows, and their targets."""
        target = sent(targets(self._examples.part(positions)), self._collator.device)
        if self._firsts is None:
            return torch.arange(len(positions), device=self._collator.device), target
        starts = np.arange(len(positions)) * length
        if self._collator.left:
            starts = starts + length - self._examples.encoded.tokens.lengths[self._examples.ids[positions]]
        firsts = self._firsts[positions]
        return sent(np.repeat(starts, firsts.lengths) + firsts.values, self._collator.device), target


def logits_of(network: Any, batch: Batch) -> torch.Tensor:
    """(rows, or rows x length; classes) float32"""
    inputs = {name: values for name, values in batch.items() if name not in ("labels", "weights")}
    logits: torch.Tensor = network(**inputs).logits.float().flatten(0, -2)
    return logits


def loss_of(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """What `batch_loss` gives."""
    labels = batch["labels"]
    labels = labels.flatten(0, -2) if labels.is_floating_point() else labels.flatten()
    return (F.cross_entropy(logits, labels, reduction="none") * batch["weights"].flatten()).sum()
