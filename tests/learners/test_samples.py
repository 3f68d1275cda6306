"""Monte Carlo dropout: against networks whose features are dropped by hand, and against scikit-learn's weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from test_families import FAMILIES, IDS, SENTENCES, alone, flat, inputs_of, labels_of
from test_linear import linear
from test_linear import standardised as standardise
from tiny import SEEDS, build, save_family

from al_bench.config.schema import ModelConfig
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Model
from al_bench.learners.engine.dropout import feature_mask
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.linear import DROPOUT
from al_bench.learners.transformer import TransformerLearner

Family = Callable[[str], Path]
TASKS = ("classification", "tagging")
SEED = 7


def drawn(
    model: Model, task: str, ids: np.ndarray = IDS, draws: int = 3, seed: int = SEED, **more: Any
) -> list[np.ndarray]:
    """Of each id, in their order: (draws, classes), or (words, draws, tags)."""
    rows: list[Any] = [None] * len(ids)
    for places, probs, tokens in model.samples(inputs_of(task), ids, draws, seed, **more):
        assert tokens > 0
        assert flat(probs).dtype == np.float32
        for place, row in zip(places, probs.rows() if isinstance(probs, Ragged) else probs, strict=True):
            assert rows[place] is None, "an id comes once"
            rows[place] = row
    return rows


def fitted(folder: Path, task: str, **training: Any) -> Any:
    learner = build(folder, task, **{"dropout": 0.2, **training})
    return learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_samples_are_those_of_a_network_that_is_masked_by_hand(name: str, task: str, family: Family) -> None:
    """One text at a time, by a dropout function of our own in place of the modules'."""
    model = fitted(family(name), task)
    network = model.learner.network
    samples = drawn(model, task, draws=2)
    masked = 0
    for draw in range(2):
        for place, value in enumerate(inputs_of(task).inputs):
            batch, known = alone(model.learner, value, task == "tagging")

            def drop(key: str, rate: float, x: torch.Tensor, draw: int = draw) -> torch.Tensor:
                nonlocal masked
                if x.dim() == 4 or rate == 0:
                    return x
                masked += 1
                return x * torch.from_numpy(feature_mask(key, draw, x.shape[-1], rate, SEED))

            dropping = {key: m for key, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
            for key, module in dropping.items():
                module.forward = lambda x, key=key, rate=module.p: drop(key, rate, x)
            try:
                with torch.no_grad():
                    expected = network.eval()(**known).logits[0].softmax(-1).numpy()
            finally:
                for module in dropping.values():
                    del module.forward
            if task == "tagging":
                owners = batch.word_ids(0)
                expected = expected[[owners.index(w) for w in sorted({w for w in owners if w is not None})]]
                np.testing.assert_allclose(samples[place][:, draw], expected, atol=1e-5)
            else:
                np.testing.assert_allclose(samples[place][draw], expected, atol=1e-5)
    assert masked
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bert", "xlnet", "linear"])
def test_samples_depend_on_the_seed_and_not_on_the_batch(
    name: str, task: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "linear":
        model = linear(family("bert"), task).fit(inputs_of(task), IDS, labels_of(task), SEEDS)
    else:
        model = fitted(family(name), task)
    together = drawn(model, task)
    order = np.array([4, 1, 6, 3])
    for row, i in zip(drawn(model, task, order), order, strict=True):
        np.testing.assert_allclose(row, together[i], atol=1e-5)
    for row, again in zip(drawn(model, task, draws=5), together, strict=True):
        first = row[:, :3] if task == "tagging" else row[:3]
        np.testing.assert_allclose(first, again, atol=1e-5)
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    for row, again in zip(drawn(model, task), together, strict=True):
        np.testing.assert_allclose(row, again, atol=1e-5)
    axis = 1 if task == "tagging" else 0
    assert np.concatenate([np.ptp(row, axis=axis).ravel() for row in together]).max() > 1e-4, "draws differ"
    other = np.concatenate([row.ravel() for row in drawn(model, task, seed=SEED + 1)])
    assert np.abs(other - np.concatenate([row.ravel() for row in together])).max() > 1e-4


@pytest.mark.parametrize("packs", [False, True])
def test_packed_samples_are_the_padded_ones(packs: bool, bert: Path) -> None:
    for task in TASKS:
        model = fitted(bert, task)
        assert model.learner.forward.packs
        expected = drawn(model, task)
        model.learner.forward.packs = packs
        for row, again in zip(drawn(model, task), expected, strict=True):
            np.testing.assert_allclose(row, again, atol=1e-5)


def test_a_half_precision_copy_is_sampled_as_the_network_is(bert: Path) -> None:
    copies = fitted(bert, "classification", precision="bfloat16")
    assert copies.learner.forward.copy is not None
    exact = drawn(copies, "classification", exact=True)
    np.testing.assert_allclose(drawn(copies, "classification"), exact, atol=0.1)
    plain = fitted(bert, "classification")
    plain.learner.network.load_state_dict(copies.learner.network.state_dict())
    np.testing.assert_allclose(exact, drawn(plain, "classification"), atol=1e-6)


def test_the_mean_of_many_masks_is_the_network(tmp_path: Path) -> None:
    """Where the head alone is dropped, logits are linear in the mask."""
    folder = save_family("bert", tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = fitted(folder, "classification", dropout=0.3)
    probs = np.stack(drawn(model, "classification", draws=400))
    logits = np.log(probs[..., 1]) - np.log(probs[..., 0])
    plain = model.predict(inputs_of("classification"), IDS).probs
    expected = np.log(plain[:, 1]) - np.log(plain[:, 0])
    np.testing.assert_array_less(np.abs(logits.mean(axis=1) - expected), 5 * logits.std(axis=1) / 20 + 1e-5)
    assert logits.std(axis=1).min() > 1e-3


def test_masks_have_mean_one_and_streams_of_their_own() -> None:
    mask = feature_mask("a", 0, 100_000, 0.2, 1)
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1.25)}
    assert abs(mask.mean() - 1) < 0.01
    for other in (("b", 0, 1), ("a", 1, 1), ("a", 0, 2)):
        assert (feature_mask(other[0], other[1], 100_000, 0.2, other[2]) != mask).mean() > 0.2


@pytest.mark.parametrize("task", TASKS)
def test_linear_samples_mask_the_features(task: str, bert: Path) -> None:
    model: Any = linear(bert, task).fit(inputs_of(task), IDS, labels_of(task), SEEDS)
    encoded = model.learner.encoded(inputs_of(task))
    x = standardise([model.learner.vectors(encoded, IDS, "float32")])
    samples = [row if task == "tagging" else row[None] for row in drawn(model, task)]
    for draw in range(3):
        mask = feature_mask("features", draw, x.shape[1], DROPOUT, SEED)
        expected = softmax((x * mask) @ model.head.weight.T + model.head.bias, axis=1)
        np.testing.assert_allclose(np.concatenate(samples)[:, draw], expected, atol=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_nobody_to_sample(task: str, bert: Path) -> None:
    nobody = np.empty(0, dtype=np.int64)
    for learner in (build(bert, task), linear(bert, task)):
        classes = len(learner.label_names)
        model = learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)
        ((places, probs, tokens),) = model.samples(inputs_of(task), nobody, 3, SEED)
        assert (len(places), flat(probs).shape, tokens) == (0, (0, 3, classes), 0)


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_a_network_without_dropout_is_refused_before_the_first_fit_or_in_samples(name: str, tmp_path: Path) -> None:
    nothing = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if name == "modernbert":
        nothing = {"attention_dropout": 0.0}
    folder = save_family(name, tmp_path, **nothing)
    model = fitted(folder, "classification", dropout=0.0)
    config: ModelConfig = model.learner.config
    expected = (
        r"^acquisition.training.dropout=0.0: tiny drops nothing else .*; set acquisition.training.dropout=0.1, or"
    )
    with pytest.raises(UserError, match=expected):
        drawn(model, "classification")
    needs = frozenset({"samples"})
    with pytest.raises(UserError, match=expected):
        TransformerLearner.check("acquisition", config, "classification", 2, needs)
    config.training.dropout = 0.1  # the remedy
    TransformerLearner.check("acquisition", config, "classification", 2, needs)
    assert drawn(fitted(folder, "classification", dropout=0.1), "classification")


# ---------------------------------------------------------------------------------------- embeddings of words


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_of_words_are_what_the_last_layer_sees_whatever_the_batch(
    name: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each family the states of the encoder, but ModernBERT's, which its head transforms."""
    model = fitted(family(name), "tagging")
    learner, expected = model.learner, []
    for sentence in SENTENCES:
        batch, known = alone(learner, sentence, words=True)
        with torch.no_grad():
            states = learner.network.eval().base_model(**known).last_hidden_state
            states = (learner.network.head(states) if name == "modernbert" else states)[0].numpy()
        owners = batch.word_ids(0)
        expected.append(states[[owners.index(w) for w in sorted({w for w in owners if w is not None})]])
    together = model.predict(inputs_of("tagging"), IDS, embeddings=True)
    assert isinstance(together.embeddings, Ragged)
    assert isinstance(together.probs, Ragged)
    assert together.embeddings.values.dtype == np.float32
    np.testing.assert_array_equal(together.embeddings.offsets, together.probs.offsets)
    np.testing.assert_allclose(together.embeddings.values, np.concatenate(expected), atol=1e-5)
    order = np.array([4, 1, 6, 1, 3])
    shuffled = model.predict(inputs_of("tagging"), order, embeddings=True)
    np.testing.assert_allclose(shuffled.embeddings.values, np.concatenate([expected[i] for i in order]), atol=1e-5)
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    unpadded = model.predict(inputs_of("tagging"), IDS, embeddings=True)
    np.testing.assert_allclose(unpadded.embeddings.values, np.concatenate(expected), atol=1e-5)
    np.testing.assert_array_equal(model.predict(inputs_of("tagging"), IDS).probs.values, unpadded.probs.values)
    none = model.predict(inputs_of("tagging"), IDS[:0], embeddings=True)
    assert none.embeddings.values.shape == (0, 32)


def test_linear_embeddings_of_words_are_the_features(bert: Path) -> None:
    model: Any = linear(bert, "tagging").fit(inputs_of("tagging"), IDS, labels_of("tagging"), SEEDS)
    states = model.predict(inputs_of("tagging"), IDS, embeddings=True).embeddings
    x = standardise([model.learner.vectors(model.learner.encoded(inputs_of("tagging")), IDS, "float32")])
    assert isinstance(states, Ragged)
    np.testing.assert_allclose(states.values, x, atol=1e-3)
