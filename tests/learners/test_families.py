"""Every family of encoders, loaded as a user has it: in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import FAMILIES, SEEDS, build, save_family

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.loading import last_layer

Family = Callable[[str], Path]

TEXTS = ["good film", "the plot was very bad, awful!", "great", "", "a film " * 40, "the the", "zebra-cross", "oslo"]
SENTENCES = [text.split() for text in TEXTS]
CLASSES = np.array([1, 0, 1, 0, 0, 1, 0, 1])
TAGS = Ragged.of([[i % 3 for i in range(len(words))] for words in SENTENCES])
IDS = np.arange(len(TEXTS))


def inputs_of(task: str) -> Unlabelled:
    return Unlabelled(TEXTS if task == "classification" else SENTENCES)


def labels_of(task: str) -> np.ndarray | Ragged:
    return CLASSES if task == "classification" else TAGS


def flat(probs: np.ndarray | Ragged) -> np.ndarray:
    return probs.values if isinstance(probs, Ragged) else probs


def alone(learner: Any, value: Any, words: bool = False) -> tuple[Any, dict[str, torch.Tensor]]:
    """One example as transformers encodes it, and what of that its network takes: no batch, no padding."""
    batch = learner.tokenizer(value, return_tensors="pt", truncation=True, max_length=32, is_split_into_words=words)
    known = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
    if learner.network.config.model_type in ("distilbert", "mpnet"):
        known.pop("token_type_ids", None)
    return batch, known


def plainly(learner: Any, task: str, value: Any) -> np.ndarray:
    """What transformers says of one example, without anything of ours."""
    network = learner.network.eval()
    words = task == "tagging"
    batch, known = alone(learner, value, words)
    with torch.no_grad():
        probs = network(**known).logits[0].softmax(-1).numpy()
    if not words:
        return probs[None]
    owners = batch.word_ids(0)
    return probs[[owners.index(word) for word in sorted({w for w in owners if w is not None})]]


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_fitted_family_says_the_same_whatever_the_batch(
    name: str, task: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build(family(name), task)
    model = learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)
    together = model.predict(inputs_of(task), IDS)
    expected = [plainly(learner, task, value) for value in inputs_of(task).inputs]
    if task == "tagging":
        assert isinstance(together.probs, Ragged)
        assert together.probs.lengths.tolist() == [len(rows) for rows in expected]
    np.testing.assert_allclose(flat(together.probs), np.concatenate(expected), atol=1e-5)
    assert np.ptp(flat(together.probs)[:, 0]) > 0.01, "a constant answer would hide errors"

    order = np.array([4, 1, 6, 1, 3])
    shuffled = model.predict(inputs_of(task), order)
    np.testing.assert_allclose(flat(shuffled.probs), np.concatenate([expected[i] for i in order]), atol=1e-5)
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    unpadded = model.predict(inputs_of(task), IDS)
    np.testing.assert_allclose(flat(unpadded.probs), np.concatenate(expected), atol=1e-6)


def before_the_last_layer(network: Any, known: dict[str, torch.Tensor]) -> torch.Tensor:
    """Each family's head written out, up to the layer that makes the logits; of one text without padding."""
    said = network.base_model(**known)
    hidden = said.last_hidden_state
    first, last = hidden[:, 0], hidden[:, -1]
    match network.config.model_type:
        case "bert":
            return torch.tanh(network.bert.pooler.dense(first))
        case "albert":
            return torch.tanh(network.albert.pooler(first))
        case "distilbert":
            return torch.relu(network.pre_classifier(first))
        case "roberta" | "xlm-roberta" | "mpnet":
            return torch.tanh(network.classifier.dense(first))
        case "electra":
            return torch.nn.functional.gelu(network.classifier.dense(first))
        case "deberta-v2":
            return torch.nn.functional.gelu(network.pooler.dense(first))
        case "xlnet":
            return torch.tanh(network.sequence_summary.summary(last))
        case "modernbert":
            return network.head.norm(torch.nn.functional.gelu(network.head.dense(first)))
    raise AssertionError(network.config.model_type)


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_what_the_last_layer_sees_whatever_the_batch(
    name: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build(family(name))
    inputs = inputs_of("classification")
    model = learner.fit(inputs, IDS, CLASSES, SEEDS)
    together = model.predict(inputs, IDS, embeddings=True)
    expected = []
    for text in TEXTS:
        _, known = alone(learner, text)
        with torch.no_grad():
            expected.append(before_the_last_layer(learner.network.eval(), known)[0].numpy())
    assert together.embeddings is not None
    assert (together.embeddings.shape, together.embeddings.dtype) == ((len(IDS), 32), np.float32)
    np.testing.assert_allclose(together.embeddings, expected, atol=1e-5)
    assert np.ptp(together.embeddings, axis=0).max() > 0.01, "a constant would hide errors"

    linear = [m for m in learner.network.modules() if isinstance(m, torch.nn.Linear)]
    (classifier,) = [layer for layer in linear if layer.out_features == 2]
    with torch.no_grad():
        probs = classifier(torch.from_numpy(together.embeddings)).softmax(-1).numpy()
    np.testing.assert_allclose(together.probs, probs, atol=1e-6)

    order = np.array([4, 1, 6, 1, 3])
    shuffled = model.predict(inputs, order, embeddings=True)
    np.testing.assert_allclose(shuffled.embeddings, np.array(expected)[order], atol=1e-5)
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    unpadded = model.predict(inputs, IDS, embeddings=True)
    np.testing.assert_allclose(unpadded.embeddings, expected, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_asking_for_embeddings_changes_nothing_else(name: str, family: Family) -> None:
    learner = build(family(name))
    inputs = inputs_of("classification")
    model = learner.fit(inputs, IDS, CLASSES, SEEDS)
    plain = model.predict(inputs, IDS)
    asked = model.predict(inputs, IDS, embeddings=True)
    assert plain.embeddings is None
    assert asked.tokens == plain.tokens
    np.testing.assert_array_equal(asked.probs, plain.probs)
    np.testing.assert_array_equal(model.predict(inputs, IDS).probs, plain.probs)
    assert not any(module._forward_pre_hooks for module in learner.network.modules())
    none = model.predict(inputs, IDS[:0], embeddings=True)
    assert none.embeddings is not None
    assert none.embeddings.shape == (0, 32)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_layer_is_found_where_another_has_as_many_outputs(name: str, family: Family) -> None:
    """As many classes as the network is wide: 32."""
    learner = build(family(name), labels=tuple(f"class {i}" for i in range(32)))
    layer = last_layer(learner.network, 32)
    names = {id(module): key for key, module in learner.network.named_modules()}
    assert names[id(layer)] in ("classifier", "classifier.out_proj", "logits_proj")


def test_a_head_without_a_linear_layer_is_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU())
    with pytest.raises(UserError, match=r"Sequential has no linear layer that ends in 3 classes.*choose"):
        last_layer(network, 3)


@pytest.mark.parametrize("name", FAMILIES)
def test_training_moves_the_whole_network(name: str, family: Family) -> None:
    """A padded batch reaches the loss: no family loses its gradient."""
    learner = build(family(name))
    learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    moved = {
        key for key, tensor in learner.network.state_dict().items() if not torch.equal(tensor, learner.pretrained[key])
    }
    assert {key.split(".")[0] for key in moved} >= {learner.network.base_model_prefix, *heads(learner)}
    assert all(torch.isfinite(parameter).all() for parameter in learner.network.parameters())


def heads(learner: Any) -> set[str]:
    return {
        key.split(".")[0] for key in learner.head_parameters if not key.startswith(learner.network.base_model_prefix)
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_head_is_new(name: str, family: Family) -> None:
    learner = build(family(name), "tagging")
    assert learner.head_parameters
    parts = {"classifier", "head"} if name == "modernbert" else {"classifier"}
    assert heads(learner) == parts
    assert {key.partition(".")[0] for key in learner.head_parameters} == parts


@pytest.mark.parametrize("name", ["bert", "distilbert", "xlnet"])
def test_the_first_layers_are_kept(name: str, family: Family) -> None:
    """The truncated network is the same as the whole one with its upper layer taken off."""
    short, whole = build(family(name), num_hidden_layers=1), build(family(name))
    network = whole.network
    layers = {"bert": "encoder.layer", "distilbert": "transformer.layer", "xlnet": "layer"}[name]
    kept = network.base_model.get_submodule(layers)
    assert len(kept) == 2
    del kept[1]
    assert sum(p.numel() for p in short.network.parameters()) == sum(p.numel() for p in network.parameters())
    for learner in (short, whole):
        learner.network.load_state_dict(short.pretrained)
    inner, outer = (learner.network.base_model.eval() for learner in (short, whole))
    batch = {"input_ids": torch.tensor([[0, 5, 6, 2]])}
    with torch.no_grad():
        assert torch.equal(inner(**batch).last_hidden_state, outer(**batch).last_hidden_state)
    reference = transformers.AutoModel.from_pretrained(family(name), dtype=torch.float32).state_dict()
    for key, tensor in short.network.base_model.state_dict().items():
        assert torch.equal(tensor, reference[key])


@pytest.mark.parametrize(("name", "limit"), [("bert", 64), ("roberta", 62), ("mpnet", 62), ("xlnet", None)])
def test_positions_that_a_family_has(name: str, limit: int | None, family: Family) -> None:
    """RoBERTa and MPNet (padding id 1) number their positions from 2; XLNet's are relative."""
    from al_bench.learners.engine.loading import positions

    learner = build(family(name), max_length=limit or 200)
    assert positions(learner.network) == limit
    long = Unlabelled(["film plot " * 200])
    model = learner.fit(long, np.array([0, 0]), np.array([0, 1]), SEEDS)
    assert np.isfinite(flat(model.predict(long, np.array([0])).probs)).all()
    assert learner.encoded(long).tokens.lengths[0] == (limit or 200)


def test_weights_saved_in_bfloat16_load_as_float32(tmp_path: Path) -> None:
    folder = save_family("bert", tmp_path, torch.bfloat16)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    learner = build(folder)
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}
    assert {t.dtype for t in learner.pretrained.values() if t.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "electra", "xlnet"])
def test_dropout_of_the_head_is_set_and_the_encoders_left(name: str, family: Family) -> None:
    network = build(family(name), dropout=0.37).network
    encoder = network.base_model_prefix + "."
    drops = {key: m.p for key, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {p for key, p in drops.items() if not key.startswith(encoder)} == {0.37}
    assert {p for key, p in drops.items() if key.startswith(encoder)} <= {0.1}


def test_a_head_of_another_size_is_replaced(tmp_path: Path, family: Family) -> None:
    """A checkpoint fine-tuned on 5 classes serves as an encoder for 2."""
    source = transformers.AutoModelForSequenceClassification.from_pretrained(family("bert"), num_labels=5)
    source.save_pretrained(tmp_path)
    build(family("bert")).tokenizer.save_pretrained(tmp_path)
    learner = build(tmp_path)
    assert learner.head_parameters == {"classifier.weight", "classifier.bias"}
    model = learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    assert flat(model.predict(inputs_of("classification"), IDS).probs).shape == (len(IDS), 2)


def test_a_fit_prints_nothing(family: Family, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    for name in FAMILIES:
        learner = build(family(name), max_length=16)
        model = learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
        model.predict(inputs_of("classification"), IDS)
    assert capfd.readouterr() == ("", "")
