"""Any words in, as many labels out; arrays that are the same from memory and from disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, SEEDS, build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import encoding
from al_bench.learners.engine.encoding import encode

# Zero-width space and joiner, byte order mark, soft hyphen, a combining mark and a variation selector alone.
VANISHING = ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u0301", "\ufe0f", "", " ", "\t", "\ufffd", "\x00", "\x1b"]
ODD = [
    "👩\u200d👩\u200d👧",
    "ﬁlm",
    "é",
    "ßoslo",
    "中文",
    "a" * 500,
    "\u200bgood",
    "go\u200bod",
    "[CLS]",
    "<pad>",
    "##a",
    "▁",
]
WORD = st.one_of(st.sampled_from([*VANISHING, *ODD, "good", "film"]), st.text(max_size=8))


def tokenizer_of(name: str) -> Any:
    tokenizer = transformers.PreTrainedTokenizerFast(**FAMILIES[name][2]())
    if name == "roberta":
        from tokenizers import pre_tokenizers

        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


TOKENIZERS = {name: tokenizer_of(name) for name in ("bert", "roberta", "xlnet")}


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORD, max_size=12), min_size=1, max_size=5), st.integers(4, 40))
def test_every_word_has_its_place(name: str, sentences: list[list[str]], max_length: int) -> None:
    """Whatever the tokenizer does to a word, the surviving words are these words and in this order."""
    tokenizer = TOKENIZERS[name]
    encoded = encode(sentences, tokenizer, max_length, None)
    assert encoded.firsts is not None
    assert encoded.kept is not None
    assert encoded.lengths is not None
    assert len(encoded) == len(sentences)
    assert encoded.lengths.tolist() == [len(words) for words in sentences]
    assert encoded.tokens.lengths.max() <= max_length
    kept = Ragged(encoded.kept, encoded.firsts.offsets)
    for i, words in enumerate(sentences):
        owners = kept.row(i).tolist()
        assert owners == sorted(set(owners))
        assert all(0 <= word < len(words) for word in owners)
        # Each word alone: the sub-word at its place is the first that the tokenizer makes of it.
        for word, place in zip(owners, encoded.firsts.row(i), strict=True):
            alone = tokenizer([words[word]], is_split_into_words=True, add_special_tokens=False)["input_ids"]
            assert encoded.tokens.row(i)[place] == alone[0]
        if encoded.tokens.lengths[i] < max_length:
            alive = [
                j for j, word in enumerate(words)
                if tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"]
            ]  # fmt: skip
            assert owners == alive


@pytest.fixture(scope="module")
def tagger(family: Callable[[str], Path]) -> Any:
    return build(family("bert"), "tagging", epochs=1)


@settings(max_examples=25, deadline=None)
@given(sentences=st.lists(st.lists(WORD, max_size=40), min_size=1, max_size=4))
def test_as_many_labels_out_as_words_in(tagger: Any, sentences: list[list[str]]) -> None:
    tags = Ragged.of([[len(word) % 3 for word in words] for words in sentences])
    ids = np.arange(len(sentences))
    model = tagger.fit(Unlabelled(sentences), ids, tags, SEEDS)
    said = model.predict(Unlabelled(sentences), ids).labels()
    assert isinstance(said, Ragged)
    assert said.lengths.tolist() == [len(words) for words in sentences]
    assert all(torch.isfinite(p).all() for p in tagger.network.parameters())


def test_cut_words_are_outside_and_gold_is_whole(bert: Path) -> None:
    """8 sub-words: [CLS], six of words, [SEP]. "good" is one, "xyz" three."""
    learner = build(bert, "tagging", ("O", "B-A"), max_length=8, epochs=30, learning_rate=1e-2)
    sentences = Unlabelled([["good", "xyz", "film", "xyz", "plot"], ["bad", "film"]])
    encoded = learner.encoded(sentences)
    assert encoded.tokens.lengths.tolist() == [8, 4]
    assert encoded.firsts is not None
    assert encoded.kept is not None
    assert [row.tolist() for row in encoded.firsts.rows()] == [[1, 2, 5, 6], [1, 2]]
    assert encoded.kept.tolist() == [0, 1, 2, 3, 0, 1]
    gold = Ragged.of([[1, 1, 1, 1, 1], [1, 1]])
    said = learner.fit(sentences, np.array([0, 1]), gold, SEEDS).predict(sentences, np.array([0, 1]))
    labels = said.labels()
    assert isinstance(labels, Ragged)
    assert [row.tolist() for row in labels.rows()] == [[1, 1, 1, 1, 0], [1, 1]]
    assert said.lengths is not None
    assert said.lengths.tolist() == [5, 2]


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_training_and_prediction_see_the_same_sub_words(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = build(bert, task, epochs=1)
    inputs = Unlabelled(["good film"] if task == "classification" else [["good", "film"]])
    seen = []
    learner.network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((module.training, kwargs["input_ids"].tolist())), with_kwargs=True
    )
    labels = np.array([1]) if task == "classification" else Ragged.of([[0, 1]])
    learner.fit(inputs, np.array([0]), labels, SEEDS).predict(inputs, np.array([0]))
    pieces = learner.tokenizer.convert_tokens_to_ids(["[CLS]", "good", "film", "[SEP]"])
    assert seen == [(True, [pieces]), (False, [pieces])]


@pytest.mark.parametrize("loaded_as", ["TokenizersBackend", "RobertaTokenizer"])
def test_a_byte_level_tokenizer_reads_words_as_in_a_text(
    loaded_as: str, family: Callable[[str], Path], tmp_path: Path
) -> None:
    """Otherwise "film" in a text and in a word list would be different sub-words to a pretrained RoBERTa."""
    shutil.copytree(family("roberta"), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": loaded_as}))
    for task, inputs, first in (("classification", ["good film"], "good"), ("tagging", [["good", "film"]], "Ġgood")):
        learner = build(tmp_path, task)
        assert type(learner.tokenizer).__name__ == loaded_as
        row = learner.encoded(Unlabelled(inputs)).tokens.row(0)
        pieces = "".join(learner.tokenizer.convert_ids_to_tokens(row.tolist()))
        assert pieces == f"<s>{first}Ġfilm</s>"
        assert learner.tokenizer.unk_token_id not in row


def test_texts_by_hand() -> None:
    tokenizer = TOKENIZERS["xlnet"]
    encoded = encode(["good", "the bad film"], tokenizer, 4, None)
    rows = [tokenizer.convert_ids_to_tokens(row.tolist()) for row in encoded.tokens.rows()]
    assert rows == [["▁good", "<sep>", "<cls>"], ["▁the", "▁bad", "<sep>", "<cls>"]]
    assert encoded.types is not None
    assert encoded.types.tolist() == [0, 0, 2, 0, 0, 0, 2]
    assert encoded.firsts is None
    assert encode(["good"], TOKENIZERS["bert"], 4, None).types is None, "all zero: not kept"
    assert len(encode([], tokenizer, 4, None)) == 0


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [["good"] * (i % 5) for i in range(23)]
    whole = encode(sentences, TOKENIZERS["bert"], 10, None)
    monkeypatch.setattr(encoding, "CHUNK", 4)
    assert_equal(encode(sentences, TOKENIZERS["bert"], 10, None), whole)


def assert_equal(one: encoding.Encoded, other: encoding.Encoded) -> None:
    for name in ("tokens", "firsts"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left.values, right.values)
            np.testing.assert_array_equal(left.offsets, right.offsets)
            assert left.values.dtype == right.values.dtype
    for name in ("types", "kept", "lengths"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype
