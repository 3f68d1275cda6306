"""Batches of fixed shapes have the loss of those that fit; on a GPU, graphs are the steps they were made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, SEEDS, TESTED, build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled, Watch
from al_bench.learners.engine.batching import length_bounds
from al_bench.learners.engine.graphs import Captured, GraphedStepper, logits_of, loss_of, prepared, prepared_error
from al_bench.learners.engine.optimizations import EXACT, GRAPHS, rejection
from al_bench.learners.engine.training import Examples, batch_loss, outputs

TEXTS = ["good film", "the plot was very bad, awful!", "great", "the the", "\u200b", "oslo oslo", "a film"]
IDS = np.array([6, 1, 4, 0, 5])
ALL = TESTED | {GRAPHS}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def inputs_of(task: str) -> Unlabelled:
    return Unlabelled(TEXTS if task == "classification" else [text.split() for text in TEXTS])


def labels_of(task: str, soft: bool) -> Any:
    rng = np.random.default_rng(0)
    lengths = [1] * 7 if task == "classification" else [len(text.split()) for text in TEXTS]
    classes = 2 if task == "classification" else 3
    flat = rng.integers(0, classes, sum(lengths))
    if soft:
        flat = rng.dirichlet(np.ones(classes), sum(lengths)).astype(np.float32)
    return flat if task == "classification" else Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_the_loss_of_a_batch_that_was_filled_up(name: str, task: str, soft: bool, weighted: bool, family: Any) -> None:
    """3 of 5 examples in 4 rows, padded to a longer length, against the batch as it is."""
    learner = build(family(name), task)
    weights = np.array([1.0, 2.0, 0.5, 3.0, 1.0], dtype=np.float32) if weighted else None
    examples = Examples(learner.encoded(inputs_of(task)), IDS, labels_of(task, soft)[IDS], weights)
    for positions in (np.array([3, 1, 2]), np.array([2]), np.array([0, 4, 2, 1])):
        part = examples.part(positions)
        learner.network.eval()
        expected = batch_loss(*outputs(learner.network, part, learner.collator), part)
        batch, places, target = prepared(part, learner.collator, 4, 16, torch.float32)
        assert batch["input_ids"].shape == (4, 16)
        assert len(batch["labels"]) == len(batch["weights"]) == (4 if task == "classification" else 4 * 16)
        logits = logits_of(learner.network, batch)
        torch.testing.assert_close(loss_of(logits, batch), expected, atol=1e-6, rtol=1e-5)
        plain_logits, plain_target = outputs(learner.network, part, learner.collator)
        torch.testing.assert_close(logits[places], plain_logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(target, plain_target)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_networks_that_read_a_prepared_mask_otherwise_are_rejected(name: str, task: str, family: Any) -> None:
    """DeBERTa takes 0 for "masked", XLNet multiplies masks of two dimensions, ModernBERT's windows need two masks."""
    learner = build(family(name), task)
    reason = rejection(lambda: prepared_error(learner.forward), EXACT)
    assert (reason is None) == (name not in ("deberta", "xlnet", "modernbert")), reason


def test_a_mask_has_four_dimensions(bert: Path) -> None:
    """One of two dimensions is looked at by the host, which would have to wait for the device."""
    learner = build(bert)
    examples = Examples(
        learner.encoded(inputs_of("classification")), IDS, LABELS := labels_of("classification", False)[IDS]
    )
    batch, _, _ = prepared(examples.part(np.array([0, 1])), learner.collator, 2, 32, torch.bfloat16)
    assert batch["attention_mask"].shape == (2, 1, 1, 32)
    assert batch["attention_mask"].dtype == torch.bfloat16
    lengths = examples.encoded.tokens.lengths[IDS[:2]]
    assert (batch["attention_mask"] == 0).sum(dim=-1).flatten().tolist() == lengths.tolist()
    assert len(LABELS) == 5


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_length_bounds(lengths: list[int]) -> None:
    bounds = length_bounds(np.array(lengths))
    assert 1 <= len(bounds) <= 8
    assert bounds[-1] == max(lengths)
    assert (np.diff(bounds) > 0).all()
    assert all(bound % 8 == 0 for bound in bounds[:-1])


class Replayed:
    """Stands in for a graph on a CPU: computes the step anew, from the same memory and into the same."""

    def __init__(self, stepper: Any, inputs: Any, logits: torch.Tensor) -> None:
        self.stepper, self.inputs, self.logits = stepper, inputs, logits

    def replay(self) -> None:
        self.logits.copy_(self.stepper._fixed_step(self.inputs))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_steps_of_fixed_shapes_are_steps(task: str, soft: bool, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All around the graphs, on a CPU: without dropout, over two fits, with the margins that are recorded on the way."""

    def captured(self: Any, batch: Any) -> Captured:
        inputs = {name: values.clone() for name, values in batch.items()}
        logits = torch.empty_like(logits_of(self.forward.working_network, inputs).detach())
        return Captured(Replayed(self, inputs, logits), inputs, logits)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphedStepper, "_capture", captured)
    learners = [build(bert, task, available=available) for available in ({GRAPHS}, frozenset())]
    assert learners[0].optimizations == (GRAPHS,)
    for learner in learners:
        for module in learner.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    weights = np.array([1.0, 2.0, 0.5, 3.0, 1.0])
    for fit in range(2):
        ids = np.roll(IDS, fit)
        models = [
            learner.fit(
                inputs_of(task), ids, labels_of(task, soft)[ids], SEEDS, weights=weights, watch=Watch(margins=True)
            )
            for learner in learners
        ]
        graphed, plain = (model.predict(inputs_of(task), np.arange(7)).distributions() for model in models)
        if isinstance(graphed, Ragged):
            graphed, plain = graphed.values, plain.values
        np.testing.assert_allclose(graphed, plain, atol=1e-4)
        np.testing.assert_allclose(models[0].margins, models[1].margins, atol=1e-3)
    assert learners[0].stepper.captured


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "electra", "albert"])
def test_graphs_are_the_steps_they_were_made_of(name: str, precision: str, task: str, family: Any) -> None:
    """Without dropout, over three fits of which the later ones replay the graphs of the first."""
    cuda = torch.device("cuda")
    learners = [
        build(family(name), task, precision=precision, available=available, device=cuda, epochs=4)
        for available in (ALL, TESTED)
    ]
    assert isinstance(learners[0].stepper, GraphedStepper)
    for learner in learners:
        for module in learner.forward.working_network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    for fit in range(3):
        ids = np.roll(IDS, fit)
        labels = labels_of(task, False)[ids]
        graphed, plain = (
            learner.fit(inputs_of(task), ids, labels, SEEDS).predict(inputs_of(task), np.arange(7), exact=True).probs
            for learner in learners
        )
        if isinstance(graphed, Ragged):
            graphed, plain = graphed.values, plain.values
        np.testing.assert_allclose(graphed, plain, atol=1e-4 if precision == "float32" else 2e-2)
    assert GRAPHS in learners[0].optimizations
    assert 1 <= len(learners[0].stepper.captured) <= 8
    assert learners[0].overheads["capture"] > 0


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("name", ["mpnet", "xlnet", "deberta"])
def test_who_cannot_be_captured_is_stepped(name: str, family: Any) -> None:
    learner = build(family(name), precision="bfloat16", available=ALL, device=torch.device("cuda"))
    probs = learner.fit(inputs_of("classification"), IDS, labels_of("classification", False)[IDS], SEEDS)
    assert np.isfinite(probs.predict(inputs_of("classification"), IDS).probs).all()


@gpu
@pytest.mark.gpu
def test_a_fit_on_a_gpu_is_reproducible(bert: Path) -> None:
    """With dropout, and whether its graphs were captured in it or before."""
    cuda = torch.device("cuda")
    learner = build(bert, precision="bfloat16", available=ALL, dropout=0.3, device=cuda, epochs=3)
    inputs, labels = inputs_of("classification"), labels_of("classification", False)[IDS]
    first, again = (learner.fit(inputs, IDS, labels, SEEDS).predict(inputs, IDS, exact=True).probs for _ in range(2))
    np.testing.assert_allclose(again, first, atol=1e-5)
