"""A fit starts from the pretrained weights and a head of its own, whatever happened before it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SEEDS, SPREAD, build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitSeeds, Unlabelled

TEXTS = Unlabelled(["good film", "bad plot", "the great great film", "awful", "very bad film, oslo", "good good"])
SENTENCES = Unlabelled([text.split() for text in TEXTS.inputs])
LABELS = np.array([1, 0, 1, 0, 0, 1])
TAGS = Ragged.of([[i % 3 for i in range(len(words))] for words in SENTENCES.inputs])
IDS = np.arange(6)


def weights(learner: object) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet"])
def test_reset_restores_everything_but_the_head(name: str, family: Callable[[str], Path]) -> None:
    learner = build(family(name))
    loaded = weights(learner)
    learner.fit(TEXTS, IDS, LABELS, SEEDS)
    trained = weights(learner)
    assert any(not torch.equal(trained[key], loaded[key]) for key in loaded if key not in learner.head_parameters)
    learner.reset(SEEDS)
    after = weights(learner)
    assert after.keys() == loaded.keys()
    for key in after:
        if key not in learner.head_parameters:
            assert torch.equal(after[key], loaded[key]), key
    assert all(parameter.grad is None for parameter in learner.network.parameters())


def test_a_fit_that_was_interrupted_leaves_no_gradient(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, fresh = build(bert), build(bert)
    with monkeypatch.context() as patch:

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(torch.nn.utils, "clip_grad_norm_", stop)
        with pytest.raises(KeyboardInterrupt):
            learner.fit(TEXTS, IDS, LABELS, SEEDS)
    again, expected = (model.fit(TEXTS, IDS, LABELS, SEEDS).predict(TEXTS, IDS).probs for model in (learner, fresh))
    np.testing.assert_array_equal(again, expected)


def head(learner: object) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in weights(learner).items() if key in learner.head_parameters}  # type: ignore[attr-defined]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_the_head_depends_on_model_seed_and_cycle_only(bert: Path) -> None:
    learner = build(bert)
    first = head(learner)
    assert set(first) == {"classifier.weight", "classifier.bias"}
    learner.reset(SEEDS)
    drawn = head(learner)
    assert not same(drawn, first), "not the library's own draw"
    torch.manual_seed(7)
    for seeds, equal in (
        (FitSeeds(model=1, order=99, cycle=0), True),
        (FitSeeds(model=2, order=2, cycle=0), False),
        (FitSeeds(model=1, order=2, cycle=1), False),
    ):
        learner.reset(seeds)
        assert same(head(learner), drawn) is equal, seeds
    other = build(bert)
    other.reset(SEEDS)
    assert same(head(other), drawn)


def test_how_a_head_is_drawn(family: Callable[[str], Path]) -> None:
    """Matrices normal with the family's own spread, biases 0, as transformers does it."""
    learner = build(family("roberta"), labels=tuple("abcdefgh"))
    learner.reset(SEEDS)
    drawn = head(learner)
    matrix = drawn["classifier.dense.weight"]  # 32 x 32
    assert abs(matrix.std().item() / SPREAD - 1) < 0.1
    assert abs(matrix.mean().item()) < 0.1 * SPREAD
    assert not drawn["classifier.dense.bias"].any()
    assert not drawn["classifier.out_proj.bias"].any()


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_equal_fits_are_equal_to_the_last_bit(task: str, bert: Path) -> None:
    inputs, labels = (TEXTS, LABELS) if task == "classification" else (SENTENCES, TAGS)
    ids = np.array([1, 2, 5])
    learner = build(bert, task)

    def probabilities(who: object, seeds: FitSeeds = SEEDS) -> np.ndarray:
        said = who.fit(inputs, ids, labels[ids], seeds).predict(inputs, IDS).probs  # type: ignore[attr-defined]
        return said.values if isinstance(said, Ragged) else said

    first = probabilities(learner)
    learner.fit(inputs, IDS, labels, FitSeeds(3, 4, 5))  # something else in between
    np.testing.assert_array_equal(probabilities(learner), first)
    np.testing.assert_array_equal(probabilities(build(bert, task)), first)
    for seeds in (FitSeeds(9, 2, 0), FitSeeds(1, 9, 0), FitSeeds(1, 2, 9)):
        assert np.abs(probabilities(learner, seeds) - first).max() > 0, seeds


def test_the_global_generators_are_neither_used_nor_moved(bert: Path) -> None:
    learner = build(bert, dropout=0.5, dev_share=0.4)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        results.append(learner.fit(TEXTS, IDS, LABELS, SEEDS).predict(TEXTS, IDS).probs)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    np.testing.assert_array_equal(*results)


def test_an_overwritten_model_says_nothing(bert: Path) -> None:
    learner = build(bert)
    old = learner.fit(TEXTS, IDS, LABELS, SEEDS)
    new = learner.fit(TEXTS, IDS, LABELS, SEEDS)
    with pytest.raises(AssertionError, match="overwritten by a later fit"):
        old.predict(TEXTS, IDS)
    assert len(new.predict(TEXTS, IDS)) == 6


def test_two_learners_do_not_share_weights(bert: Path) -> None:
    """Acquisition and successor from one folder: fitting one leaves the other's model valid."""
    one, two = build(bert), build(bert)
    model = one.fit(TEXTS, IDS, LABELS, SEEDS)
    before = model.predict(TEXTS, IDS).probs
    two.fit(TEXTS, IDS, 1 - LABELS, FitSeeds(5, 6, 7))
    np.testing.assert_array_equal(model.predict(TEXTS, IDS).probs, before)
