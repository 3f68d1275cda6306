"""Decoder language models as learners: what they read last counts, and padding is read by nobody."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_families import IDS, TEXTS, flat, inputs_of, labels_of
from tiny import DECODERS, SEEDS, TESTED, build, save_family

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled, Watch
from al_bench.learners.engine.graphs import prepared_error
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.loading import is_causal
from al_bench.learners.engine.optimizations import BFLOAT16, EXACT, PACKED

Family = Callable[[str], Path]
TASKS = ("classification", "tagging")


def alone(learner: Any, task: str, value: Any) -> tuple[torch.Tensor, list[int]]:
    """(sub-words of one example, positions of what its answers are read from): the last of the text, or of each word.

    By the tokenizer on text alone: a word is the text " word".
    """
    tokenizer = learner.tokenizer
    begin = tokenizer("")["input_ids"]
    if task == "classification":
        ids = tokenizer(value)["input_ids"][:32] or [tokenizer.pad_token_id]
        return torch.tensor([ids]), [len(ids) - 1]
    ids, last = list(begin), []
    for word in value:
        if len(ids) < 32:
            ids += tokenizer.backend_tokenizer.encode(word, add_special_tokens=False).ids
            last.append(min(len(ids), 32) - 1)
    return torch.tensor([ids[:32] or [tokenizer.pad_token_id]]), last


def plainly(learner: Any, task: str, value: Any) -> np.ndarray:
    """The head on the states of the network without one: no batch, no padding, no pooling of transformers'."""
    network = learner.network.eval()
    ids, places = alone(learner, task, value)
    with torch.no_grad():
        states = network.base_model(input_ids=ids).last_hidden_state[0, places]
        return network.score(states).softmax(-1).numpy()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", DECODERS)
def test_neither_padding_nor_company_matters(
    name: str, task: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build(family(name), task)
    assert is_causal(learner.network)
    model = learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)
    expected = [plainly(learner, task, value) for value in inputs_of(task).inputs]
    together = model.predict(inputs_of(task), IDS)
    if isinstance(together.probs, Ragged):
        assert together.probs.lengths.tolist() == [len(rows) for rows in expected]
        assert together.probs.lengths[4] < len(inputs_of(task).inputs[4]), "a sentence is too long"
    np.testing.assert_allclose(flat(together.probs), np.concatenate(expected), atol=1e-5)
    assert np.ptp(flat(together.probs)[:, 0]) > 0.01, "a constant answer would hide errors"
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    np.testing.assert_allclose(flat(model.predict(inputs_of(task), IDS).probs), np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("name", DECODERS)
def test_a_tokenizer_without_padding(name: str, family: Family) -> None:
    """It borrows the end of texts, and pads at the right whatever it says."""
    saved = json.loads((family(name) / "tokenizer_config.json").read_text())
    assert (saved.get("pad_token"), saved["padding_side"]) == (None, "left")
    learner = build(family(name))
    assert learner.tokenizer.pad_token == "<|endoftext|>"
    assert learner.network.config.pad_token_id == learner.tokenizer.pad_token_id
    batch = learner.collator.inputs(learner.encoded(Unlabelled(["good film film", "film"])), np.array([0, 1]))
    assert batch["attention_mask"].tolist()[1][-1] == 0


def test_a_tokenizer_without_any_token_to_pad_with(family: Family, tmp_path: Path) -> None:
    folder = save_family("llama", tmp_path)
    path = folder / "tokenizer_config.json"
    settings = {key: value for key, value in json.loads(path.read_text()).items() if not key.endswith("os_token")}
    path.write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"no token to pad with.*; name one in tokenizer_config\.json, such as pad_t"):
        build(folder)
    path.write_text(json.dumps({**settings, "pad_token": "Ġgood"}))
    assert build(folder).tokenizer.pad_token == "Ġgood"


@pytest.mark.parametrize("name", DECODERS)
def test_a_text_that_ends_with_the_padding_token(name: str, family: Family) -> None:
    """Its answer is that of the last other sub-word, in a batch as alone."""
    learner = build(family(name))
    texts = Unlabelled(["good film<|endoftext|>", "the plot was very bad", "<|endoftext|>"])
    model = learner.fit(texts, np.arange(3), np.array([0, 1, 1]), SEEDS)
    together = model.predict(texts, np.arange(3), embeddings=True)
    for i, text in enumerate(texts.inputs):
        ids = torch.tensor([learner.tokenizer(text)["input_ids"]])
        others = np.flatnonzero(ids[0].numpy() != learner.tokenizer.pad_token_id)
        with torch.no_grad():
            states = learner.network.base_model(input_ids=ids).last_hidden_state[0, others[-1] if len(others) else 0]
        np.testing.assert_allclose(together.embeddings[i], states.numpy(), atol=1e-5)
        np.testing.assert_allclose(together.probs[i], learner.network.score(states).softmax(-1).detach(), atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", DECODERS)
def test_embeddings_are_what_the_last_layer_sees(name: str, task: str, family: Family) -> None:
    learner = build(family(name), task)
    predictions = learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS).predict(
        inputs_of(task), IDS, embeddings=True
    )
    assert predictions.embeddings is not None
    states = torch.from_numpy(flat(predictions.embeddings))
    with torch.no_grad():
        np.testing.assert_allclose(flat(predictions.probs), learner.network.score(states).softmax(-1), atol=1e-6)


@pytest.mark.parametrize("name", DECODERS)
def test_a_word_is_read_as_in_a_text(name: str, family: Family) -> None:
    learner = build(family(name), "tagging")
    encoded = learner.encoded(Unlabelled([["good", "film"], ["zebra", "oslo"]]))
    tokens = [learner.tokenizer.convert_ids_to_tokens(row.tolist()) for row in encoded.tokens.rows()]
    begin = ["<|begin|>"] if name == "llama" else []
    assert tokens[0] == [*begin, "Ġgood", "Ġfilm"]
    assert [tokens[1][place] for place in encoded.firsts.rows()[1]] == ["a", "Ġoslo"], "the last sub-word of each"


@pytest.mark.parametrize("task", TASKS)
def test_influence_is_that_of_single_examples(task: str, family: Family) -> None:
    learner = build(family("qwen2"), task)
    ids, labels = IDS[:4], labels_of(task)[IDS[:4]]
    model = learner.fit(inputs_of(task), ids, labels, SEEDS, watch=Watch(checkpoints=1))
    scores = model.influence(inputs_of(task), ids, labels)
    network = learner.network.eval()
    for i in ids[:3]:
        batch, places = alone(learner, task, inputs_of(task).inputs[i])
        logits = network.score(network.base_model(input_ids=batch).last_hidden_state[0, places])
        target = torch.from_numpy(np.atleast_1d(labels.row(i)[: len(places)] if task == "tagging" else labels[i]))
        loss = torch.nn.functional.cross_entropy(logits, target)
        gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        expected = sum(g.square().sum().item() for g in gradients if g is not None) / len(places)
        np.testing.assert_allclose(scores[i], expected, rtol=1e-3)


@pytest.mark.parametrize("name", DECODERS)
def test_which_optimizations_hold(name: str, family: Family) -> None:
    """Packed texts would see each other; a copy in bfloat16 and the masks of graphs are as good as the network."""
    learner = build(family(name), precision="bfloat16", available=TESTED)
    assert learner.optimizations == (BFLOAT16,)
    assert set(learner.forward.rejected) == {PACKED}
    for task in TASKS:
        assert prepared_error(build(family(name), task).forward) < EXACT


def test_the_first_layers_are_kept(family: Family) -> None:
    learner = build(family("qwen2"), num_hidden_layers=1)
    assert len(learner.network.model.layers) == 1
    learner.fit(inputs_of("classification"), IDS, labels_of("classification"), SEEDS)


def test_no_dropout_at_all_is_refused_with_a_way_out(family: Family) -> None:
    learner = build(family("qwen2"))
    facts: Any = (learner.role, learner.config, "classification", 2, frozenset({"samples"}))
    with pytest.raises(UserError, match=r"has nothing that drops.*set acquisition\.learner=lora, or choose"):
        type(learner).check(*facts)
    assert len(TEXTS) == len(IDS)
