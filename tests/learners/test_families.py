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
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine.inference import TOKEN_BUDGET

Family = Callable[[str], Path]

TEXTS = [
    "good film",
    "the plot was very bad, awful!",
    "great",
    "",
    "a film " * 40,
    "the the",
    "zebra-cross",
    "oslo",
]
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


def plainly(learner: Any, task: str, value: Any) -> np.ndarray:
    """What transformers says of one example, without anything of ours: no batch, no padding."""
    tokenizer, network = learner._tokenizer, learner._network.eval()
    words = task == "tagging"
    batch = tokenizer(value, return_tensors="pt", truncation=True, max_length=32, is_split_into_words=words)
    known = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
    if learner._network.config.model_type in ("distilbert", "mpnet"):
        known.pop("token_type_ids", None)
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
    alone = model.predict(inputs_of(task), IDS)
    np.testing.assert_allclose(flat(alone.probs), np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_training_moves_the_whole_network(name: str, family: Family) -> None:
    """A padded batch reaches the loss: no family loses its gradient."""
    learner = build(family(name))
    learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    moved = {
        key
        for key, tensor in learner._network.state_dict().items()
        if not torch.equal(tensor, learner._pristine[key])
    }
    assert {key.split(".")[0] for key in moved} >= {learner._network.base_model_prefix, *heads(learner)}
    assert all(torch.isfinite(parameter).all() for parameter in learner._network.parameters())


def heads(learner: Any) -> set[str]:
    return {
        key.split(".")[0] for key in learner._fresh if not key.startswith(learner._network.base_model_prefix)
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_head_is_new(name: str, family: Family) -> None:
    learner = build(family(name), "tagging")
    assert learner._fresh
    assert heads(learner) == {"classifier"}
    assert all(key.startswith("classifier.") for key in learner._fresh)


@pytest.mark.parametrize("name", ["bert", "distilbert", "xlnet"])
def test_the_first_layers_are_kept(name: str, family: Family) -> None:
    """The truncated network is the same as the whole one with its upper layer taken off."""
    short, whole = build(family(name), num_hidden_layers=1), build(family(name))
    network = whole._network
    layers = {"bert": "encoder.layer", "distilbert": "transformer.layer", "xlnet": "layer"}[name]
    kept = network.base_model.get_submodule(layers)
    assert len(kept) == 2
    del kept[1]
    assert sum(p.numel() for p in short._network.parameters()) == sum(p.numel() for p in network.parameters())
    for learner in (short, whole):
        learner._network.load_state_dict(short._pristine)
    inner, outer = (learner._network.base_model.eval() for learner in (short, whole))
    batch = {"input_ids": torch.tensor([[0, 5, 6, 2]])}
    with torch.no_grad():
        assert torch.equal(inner(**batch).last_hidden_state, outer(**batch).last_hidden_state)
    reference = transformers.AutoModel.from_pretrained(family(name), dtype=torch.float32).state_dict()
    for key, tensor in short._network.base_model.state_dict().items():
        assert torch.equal(tensor, reference[key])


@pytest.mark.parametrize(("name", "limit"), [("bert", 64), ("roberta", 62), ("mpnet", 62), ("xlnet", None)])
def test_positions_that_a_family_has(name: str, limit: int | None, family: Family) -> None:
    """RoBERTa and MPNet (padding id 1) number their positions from 2; XLNet's are relative."""
    from al_bench.learners.engine.loading import positions

    learner = build(family(name), max_length=limit or 200)
    assert positions(learner._network) == limit
    long = Unlabelled(["film plot " * 200])
    model = learner.fit(long, np.array([0, 0]), np.array([0, 1]), SEEDS)
    assert np.isfinite(flat(model.predict(long, np.array([0])).probs)).all()
    assert learner.encoded(long).tokens.lengths[0] == (limit or 200)


def test_weights_saved_in_bfloat16_load_as_float32(tmp_path: Path) -> None:
    folder = save_family("bert", tmp_path, torch.bfloat16)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    learner = build(folder)
    assert {p.dtype for p in learner._network.parameters()} == {torch.float32}
    assert {t.dtype for t in learner._pristine.values() if t.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "electra", "xlnet"])
def test_dropout_of_the_head_is_set_and_the_encoders_left(name: str, family: Family) -> None:
    network = build(family(name), dropout=0.37)._network
    encoder = network.base_model_prefix + "."
    drops = {key: m.p for key, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {p for key, p in drops.items() if not key.startswith(encoder)} == {0.37}
    assert {p for key, p in drops.items() if key.startswith(encoder)} <= {0.1}


def test_a_head_of_another_size_is_replaced(tmp_path: Path, family: Family) -> None:
    """A checkpoint fine-tuned on 5 classes serves as an encoder for 2."""
    source = transformers.AutoModelForSequenceClassification.from_pretrained(family("bert"), num_labels=5)
    source.save_pretrained(tmp_path)
    build(family("bert"))._tokenizer.save_pretrained(tmp_path)
    learner = build(tmp_path)
    assert learner._fresh == {"classifier.weight", "classifier.bias"}
    model = learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    assert flat(model.predict(inputs_of("classification"), IDS).probs).shape == (len(IDS), 2)


def test_a_fit_prints_nothing(family: Family, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    for name in FAMILIES:
        learner = build(family(name), max_length=16)
        model = learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
        model.predict(inputs_of("classification"), IDS)
    assert capfd.readouterr() == ("", "")
