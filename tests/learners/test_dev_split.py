"""Held-out examples of the labelled set: for early stopping, and for nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SEEDS, build

from al_bench.data.ragged import Ragged
from al_bench.learners import encoding_learner, network
from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.encoding_learner import dev_split
from al_bench.learners.engine import training

WORDS = ["good", "bad", "film", "plot", "oslo", "great", "awful", "anna"]
TEXTS = Unlabelled([f"{a} {b}" for a in WORDS for b in WORDS[:5]])
LABELS = np.arange(40) % 2
IDS = np.arange(40)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.floats(0.01, 0.9), st.integers(0, 99))
def test_some_are_held_out_and_some_are_not(labels: list[int], share: float, seed: int) -> None:
    held_out = dev_split(np.array(labels), share, FitSeeds(0, seed, 0))
    assert held_out.shape == (len(labels),)
    assert not held_out.all()
    assert held_out.any() or len(labels) == 1
    assert abs(held_out.sum() - share * len(labels)) <= len(set(labels))


def test_by_class_where_every_class_can_spare_one() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    for seed in range(5):
        held_out = dev_split(labels, 0.1, FitSeeds(0, seed, 0))
        assert np.bincount(labels[held_out]).tolist() == [10, 4, 1]
    rare = np.repeat([0, 1], [100, 4])  # 0.4 of an example: then from all, 10 of 104
    counts = {int(dev_split(rare, 0.1, FitSeeds(0, seed, 0)).sum()) for seed in range(5)}
    assert counts == {10}


def test_it_is_a_seeded_draw() -> None:
    """Not the head of the list; other in another cycle; the same for the same seeds, whatever the model's."""
    labels = np.zeros(200, dtype=np.int64)
    first = dev_split(labels, 0.1, FitSeeds(0, 1, 0))
    np.testing.assert_array_equal(dev_split(labels, 0.1, FitSeeds(9, 1, 0)), first)
    assert not np.array_equal(dev_split(labels, 0.1, FitSeeds(0, 2, 0)), first)
    assert not np.array_equal(dev_split(labels, 0.1, FitSeeds(0, 1, 1)), first)
    drawn = sum(dev_split(labels, 0.1, FitSeeds(0, seed, 0)).astype(int) for seed in range(200))
    assert drawn.min() > 5, "everybody's turn comes: 20 in the mean"
    assert drawn.max() < 42


def test_tagging_is_split_by_sentence() -> None:
    held_out = dev_split(Ragged.of([[0, 1], [], [2], [0]] * 5), 0.25, SEEDS)
    assert held_out.sum() == 5


class Script:
    """A fit whose dev scores are given, epoch by epoch; it notes what was seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
        self.asked: list[list[int]] = []
        self.gold: list[list[int]] = []
        self.trained: list[int] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        self.learner: Any = None
        upcoming = iter(scores)
        outputs, parts = training.outputs, network.parts

        def spy_outputs(network: Any, examples: Any, collator: Any) -> Any:
            self.trained += examples.ids.tolist()
            assert network.training, "scoring leaves the network in evaluation mode"
            return outputs(network, examples, collator)

        def spy_parts(forward: Any, encoded: Any, ids: np.ndarray, **options: Any) -> Any:
            self.asked.append(ids.tolist())
            assert encoded is self.learner.encoded(TEXTS)
            return parts(forward, encoded, ids, **options)

        def score(task: str, names: Any, gold: np.ndarray, said: np.ndarray) -> dict[str, float]:
            self.gold.append(gold.tolist())
            state = self.learner.network.state_dict()
            self.weights.append({name: tensor.clone() for name, tensor in state.items()})
            return {"accuracy": next(upcoming)}

        monkeypatch.setattr(training, "outputs", spy_outputs)
        monkeypatch.setattr(network, "parts", spy_parts)
        monkeypatch.setattr(encoding_learner, "evaluate", score)

    def fit(self, folder: Path, **settings: Any) -> Any:
        self.learner = build(folder, **{"dev_share": 0.25, "batch_size": 16, "patience": 3, **settings})
        return self.learner.fit(TEXTS, IDS, LABELS, SEEDS)


def test_the_best_weights_come_back(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best in epoch 3, again as good in epoch 4 (not better), patience 3 ends it after epoch 6 of 20."""
    script = Script(monkeypatch, [0.5, 0.4, 0.8, 0.8, 0.7, 0.1, 0.9])
    model = script.fit(bert, epochs=10)
    assert model.costs.epochs == 6
    assert model.costs.steps == 6 * 2
    assert model.costs.examples == 6 * 30
    final = script.learner.network.state_dict()
    assert all(torch.equal(final[name], tensor) for name, tensor in script.weights[2].items())
    assert any(not torch.equal(final[name], tensor) for name, tensor in script.weights[3].items())


def test_epochs_are_doubled_and_not_raised(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, [i / 100 for i in range(100)])
    model = script.fit(bert, epochs=3, min_steps=1000, min_batch_size=4)
    assert (model.costs.epochs, model.costs.batch_size, model.costs.steps) == (6, 4, 48)
    final = script.learner.network.state_dict()
    assert all(torch.equal(final[name], tensor) for name, tensor in script.weights[-1].items())


def test_a_score_that_never_rises(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 is 0 for long at first: the first epoch's weights are then the best there are."""
    script = Script(monkeypatch, [0.0] * 9)
    assert script.fit(bert, epochs=4, patience=2).costs.epochs == 3
    final = script.learner.network.state_dict()
    assert all(torch.equal(final[name], tensor) for name, tensor in script.weights[0].items())


def test_held_out_examples_are_asked_and_never_trained_on(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, [0.1, 0.2, 0.3, 0.4])
    script.fit(bert, epochs=2)
    dev = script.asked[0]
    assert script.asked == [dev] * 4
    assert len(dev) == 10
    assert script.gold[0] == LABELS[dev].tolist()
    assert set(script.trained) == set(IDS.tolist()) - set(dev)
    assert len(script.trained) == 4 * 30


def test_without_a_share_nobody_is_asked(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, [])
    assert script.fit(bert, epochs=2, dev_share=0.0).costs.epochs == 2
    assert script.asked == []
    assert set(script.trained) == set(IDS.tolist())


def test_one_example_cannot_be_held_out(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is trained on, without early stopping: the epochs are as asked for."""
    script = Script(monkeypatch, [])
    script.learner = build(bert, dev_share=0.5, epochs=3)
    model = script.learner.fit(TEXTS, np.array([7]), np.array([1]), SEEDS)
    assert model.costs.epochs == 3
    assert script.trained == [7] * 3


def test_a_dev_split_in_earnest(bert: Path) -> None:
    """Tagging, nothing faked: the F1 of spans stops the training and the fit is repeatable."""
    sentences = Unlabelled([text.split() for text in TEXTS.inputs])
    gold = Ragged.of([[int(word in ("oslo", "anna")) for word in words] for words in sentences.inputs])
    # Until the first span is predicted, the score stays at 0: more epochs than the patience may allow for.
    learner = build(bert, "tagging", ("O", "B-X"), dev_share=0.25, epochs=15, patience=6, learning_rate=3e-3)
    models = [learner.fit(sentences, IDS, gold, SEEDS) for _ in range(2)]
    assert 7 <= models[0].costs.epochs < 30
    assert models[0].costs == models[1].costs
    said = models[1].predict(sentences, IDS).labels()
    assert isinstance(said, Ragged)
    assert np.mean(said.values == gold.values) > 0.95
