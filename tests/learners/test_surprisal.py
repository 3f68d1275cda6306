"""Surprisal: against transformers' own masked language models, one text at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from test_families import FAMILIES, TEXTS, Family, alone, inputs_of
from test_linear import linear
from tiny import SEEDS, SPREAD, build, save_family

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.engine import surprisal as module
from al_bench.learners.engine.inference import TOKEN_BUDGET

IDS = np.array([1, 0, 4, 6, 1, 3])


@pytest.fixture(scope="module")
def masked(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """The folder of a tiny pretrained masked language model of a family."""

    def folder(name: str) -> Path:
        path = tmp_path_factory.mktemp(name)
        tokenizer = transformers.AutoTokenizer.from_pretrained(family(name))
        config = transformers.AutoConfig.from_pretrained(family(name))
        torch.manual_seed(1)
        network = transformers.AutoModelForMaskedLM.from_config(config)
        torch.nn.init.normal_(network.get_input_embeddings().weight, std=SPREAD)
        network.save_pretrained(path)
        tokenizer.save_pretrained(path)
        return path

    return folder


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "xlnet"])
def test_losses_are_those_of_transformers_on_unmasked_texts(
    name: str, task: str, masked: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARE", 1.0)
    folder = masked(name)
    learner: Any = build(folder, task, num_hidden_layers=1)
    network = transformers.AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = learner.surprisal(inputs_of(task), IDS, 3)
    assert (rows.shape, rows.dtype) == ((len(IDS), 32), np.float32)
    for row, i in zip(rows, IDS, strict=True):
        batch, known = alone(learner, inputs_of(task).inputs[i], task == "tagging")
        with torch.no_grad():
            logits = network(**known).logits[0]
        ids = batch["input_ids"][0]
        losses = -logits.log_softmax(-1)[torch.arange(len(ids)), ids].numpy()
        losses[np.isin(ids.numpy(), learner.tokenizer.all_special_ids)] = 0
        np.testing.assert_allclose(row[: len(ids)], losses, atol=1e-4)
        assert not row[len(ids) :].any()
    assert rows.max() > 0.1
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    np.testing.assert_allclose(build(folder, task).surprisal(inputs_of(task), IDS, 3), rows, atol=1e-4)
    np.testing.assert_allclose(linear(folder, task).surprisal(inputs_of(task), IDS, 3), rows, atol=1e-4)


def test_a_seventh_of_the_sub_words_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 40, 2000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = Ragged(rng.integers(0, 50, offsets[-1]).astype(np.int32), offsets)
    losses = Ragged(rng.random(offsets[-1]).astype(np.float32) + 1, offsets)
    ids = rng.permutation(2000)[:500]
    rows = module.surprisal(losses, tokens, [0, 1], ids, 5, 40)
    chosen = rows > 0
    text, column = np.nonzero(chosen)
    positions = offsets[ids[text]] + column
    assert (column < lengths[ids[text]]).all()
    assert not np.isin(tokens.values[positions], [0, 1]).any()
    np.testing.assert_array_equal(rows[chosen], losses.values[positions])
    share, n = len(text) / lengths[ids].sum(), lengths[ids].sum()
    assert abs(share - 0.15 * 0.96) < 4 * np.sqrt(0.15 * 0.85 / n)
    np.testing.assert_array_equal(module.surprisal(losses, tokens, [0, 1], ids[::-1], 5, 40)[::-1], rows)
    assert (module.surprisal(losses, tokens, [0, 1], ids, 6, 40) != rows).any()


def test_losses_are_computed_once_and_do_not_change_with_a_fit(masked: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = build(masked("bert"))
    texts, every = inputs_of("classification"), np.arange(len(TEXTS))
    before = learner.surprisal(texts, every, 3)
    learner.fit(texts, every, np.arange(len(TEXTS)) % 2, SEEDS)
    monkeypatch.setattr(module.LanguageModel, "_computed", lambda *_: pytest.fail("they were computed before"))
    np.testing.assert_array_equal(learner.surprisal(texts, every, 3), before)


def test_losses_are_prepared(masked: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the language model counts as loading, its losses as preparation: neither belongs to a query."""
    learner: Any = build(masked("bert"), "classification")
    inputs, loaded = inputs_of("classification"), learner.overheads["load"]
    without = learner.prepare(inputs)
    assert "language_model" not in vars(learner)
    seconds = learner.prepare(inputs, surprisal=True)
    assert seconds > without
    assert learner.prepare(inputs, surprisal=True) == seconds
    assert learner.overheads["load"] > loaded
    monkeypatch.setattr(module.LanguageModel, "_computed", None)
    assert learner.surprisal(inputs, IDS, 0).any()


def test_a_checkpoint_without_the_head_is_refused_in_a_line(family: Family, tmp_path: Path) -> None:
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(family("roberta"))
    classifier.save_pretrained(tmp_path / "classifier")
    build(family("roberta")).tokenizer.save_pretrained(tmp_path / "classifier")
    for folder in (family("bert"), family("xlnet"), save_family("electra", tmp_path / "e"), tmp_path / "classifier"):
        with pytest.raises(UserError) as caught:
            build(folder).surprisal(inputs_of("classification"), IDS, 3)
        assert str(caught.value).startswith(f"acquisition={folder}: its checkpoint has no masked language model")
        assert "\n" not in str(caught.value)
