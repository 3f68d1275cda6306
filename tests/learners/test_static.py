"""A linear head on a table of vectors: against model2vec, and by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny import SEEDS, byte_level, cache_in, settings, unigram, word_piece

from al_bench.config.schema import ModelConfig
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import static
from al_bench.learners.families import LEARNERS
from al_bench.learners.linear import LinearLearner

TOKENIZERS = {"word piece": word_piece, "byte level": byte_level, "unigram": unigram}
UNKNOWN = "\u4e2d"
LOST = "\u200b"  # of which the tokenizer leaves nothing
TEXTS = [
    "good film",
    "",
    "the plot was very bad",
    "x " * 50,
    UNKNOWN,
    f"bad {UNKNOWN} plot!",
    "Goodness, anna-oslo",
    LOST,
]
SENTENCES = [["good", "films", LOST, UNKNOWN, f"ba{UNKNOWN}d"], [], [LOST], ["oslos"] * 9, ["plot", "annas"]]
IDS, MAX_LENGTH, WIDTH = np.arange(len(TEXTS)), 16, 6


def save_table(
    folder: Path, make: Any = word_piece, dtype: str = "float32", *, normalize: bool = False, quantised: bool = False
) -> Path:
    """A model2vec folder. quantised: fewer vectors than tokens, each token with a weight and the row of its vector"""
    folder.mkdir()
    backend, rng = make()["tokenizer_object"], np.random.default_rng(0)
    backend.save(str(folder / "tokenizer.json"))
    tokens = backend.get_vocab_size()
    rows = 20 if quantised else tokens
    vectors = rng.normal(0, 40 if dtype == "int8" else 1, (rows, WIDTH)).astype(dtype)
    tensors = {"embeddings": vectors}
    if quantised:
        tensors |= {"weights": rng.uniform(0.1, 2, tokens), "mapping": rng.integers(0, rows, tokens)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": normalize}))
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return save_table(tmp_path / "table")


def linear(
    folder: Path, task: str = "classification", *, cache: Any = None, precision: str = "float32", **params: Any
) -> LinearLearner:
    model = ModelConfig(
        name="potion", learner="linear", path=str(folder), max_length=MAX_LENGTH, training=settings(task), params=params
    )
    labels = ("a", "b") if task == "classification" else ("O", "B-PER", "I-PER")
    LEARNERS["linear"].learner.check("acquisition", model, task, len(labels), frozenset())
    return LinearLearner("acquisition", model, task, labels, torch.device("cpu"), precision, cache, **params)


def flat(rows: np.ndarray | Ragged) -> np.ndarray:
    return rows.values if isinstance(rows, Ragged) else rows


# ------------------------------------------------------------------------------------------------- the vectors


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts_are_those_of_model2vec(name: str, dtype: str, normalize: bool, quantised: bool, tmp_path: Path) -> None:
    reference = pytest.importorskip("model2vec").StaticModel
    folder = save_table(tmp_path / "table", TOKENIZERS[name], dtype, normalize=normalize, quantised=quantised)
    model = reference.from_pretrained(folder)
    model.median_token_length = 100  # else it first cuts texts to as many characters as usual tokens have
    expected = model.encode(TEXTS, max_length=MAX_LENGTH)
    learner = linear(folder)
    vectors = learner.embed(Unlabelled(TEXTS), IDS)
    assert vectors.dtype == np.float32
    rounding = 2e-3 if dtype == "float16" else 1e-6  # it also computes in float16
    scale = np.abs(expected).max()
    np.testing.assert_allclose(vectors / scale, expected.astype(np.float32) / scale, atol=rounding)
    lengths = learner.encoded(Unlabelled(TEXTS)).tokens.lengths
    assert lengths.max() == lengths[3] == MAX_LENGTH, "a text was cut"
    assert not vectors[1].any()
    assert vectors[[0, 2, 3]].any(axis=1).all()


def test_a_folder_that_model2vec_writes(tmp_path: Path) -> None:
    """Its config.json need not say what it is."""
    reference = pytest.importorskip("model2vec").StaticModel
    backend = word_piece()["tokenizer_object"]
    vectors = np.random.default_rng(1).normal(size=(backend.get_vocab_size(), WIDTH)).astype(np.float32)
    model = reference(vectors, backend, normalize=True)
    model.save_pretrained(tmp_path / "table")
    assert "model_type" not in json.loads((tmp_path / "table" / "config.json").read_text())
    found = linear(tmp_path / "table").embed(Unlabelled(TEXTS), IDS)
    np.testing.assert_allclose(found, model.encode(TEXTS, max_length=MAX_LENGTH), atol=1e-6)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_word_is_the_mean_of_its_sub_words(name: str, tmp_path: Path) -> None:
    """Token by token. A word of the list is read as within a text; one that is cut off is zeros."""
    folder = save_table(tmp_path / "table", TOKENIZERS[name], normalize=True)
    backend, table = TOKENIZERS[name]()["tokenizer_object"], load_file(folder / "model.safetensors")["embeddings"]
    if name == "byte level":
        backend.pre_tokenizer.add_prefix_space = True
    unknown = backend.token_to_id({"word piece": "[UNK]", "unigram": "<unk>"}.get(name, ""))
    expected = []
    for words in SENTENCES:
        encoding = backend.encode(words, is_pretokenized=True, add_special_tokens=False)
        pairs = list(zip(encoding.ids, encoding.word_ids, strict=True))[:MAX_LENGTH]
        for place in range(len(words)):
            rows = [table[token] for token, owner in pairs if owner == place and token != unknown]
            expected.append(np.mean(rows, axis=0) if rows else np.zeros(WIDTH))
    vectors = linear(folder, "tagging").embed(Unlabelled(SENTENCES), np.arange(len(SENTENCES)))
    assert isinstance(vectors, Ragged)
    assert vectors.lengths.tolist() == [len(words) for words in SENTENCES]
    np.testing.assert_allclose(vectors.values, np.array(expected), atol=1e-6)
    assert not vectors.row(3)[-1].any(), "it was cut off"


def test_the_same_in_blocks_and_from_the_cache(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = linear(table).embed(Unlabelled(TEXTS), IDS)
    monkeypatch.setattr(static, "BLOCK", 3)
    for learner in (linear(table), linear(table, cache=cache_in(tmp_path / "cache"))):
        np.testing.assert_array_equal(learner.embed(Unlabelled(TEXTS), IDS), expected)
    monkeypatch.setattr(static.TableEmbedder, "_embed", lambda *_: pytest.fail("it is in the cache"))
    for precision in ("float32", "bfloat16"):
        again = linear(table, cache=cache_in(tmp_path / "cache"), precision=precision)
        again.prepare(Unlabelled(TEXTS), exact=True)
        np.testing.assert_array_equal(again.embed(Unlabelled(TEXTS), IDS), expected)


def test_another_table_has_other_vectors(tmp_path: Path) -> None:
    cache = cache_in(tmp_path / "cache")
    folders = [save_table(tmp_path / f"table{n}", normalize=n > 0, quantised=n > 1) for n in range(3)]
    for count, folder in enumerate(folders, start=1):
        linear(folder, cache=cache).prepare(Unlabelled(TEXTS))
        assert len(list(tmp_path.glob("cache/vectors-*/vectors.npy"))) == count


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_fits_and_predicts(task: str, table: Path) -> None:
    learner = linear(table, task)
    assert not hasattr(learner, "network")
    inputs = Unlabelled(TEXTS if task == "classification" else SENTENCES)
    ids = np.arange(len(inputs))
    labels = ids % 2 if task == "classification" else Ragged.of([[i % 3 for i, _ in enumerate(s)] for s in SENTENCES])
    model = learner.fit(inputs, ids, labels, SEEDS)
    predictions = model.predict(inputs, ids, embeddings=True)
    np.testing.assert_allclose(flat(predictions.probs).sum(axis=1), 1, atol=1e-5)
    assert len(predictions) == len(ids)
    assert model.costs.parameters == (2 if task == "classification" else 3) * (WIDTH + 1)


# ------------------------------------------------------------------------------------------------------ refusals


def test_a_table_that_does_not_fit_is_refused(table: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(table, tmp_path / "cut")
    vectors = load_file(table / "model.safetensors")["embeddings"]
    save_file({"embeddings": vectors[:-1]}, cut / "model.safetensors")
    with pytest.raises(UserError, match=rf"has a token {len(vectors) - 1}, but there are only {len(vectors) - 1} vec"):
        linear(cut)
    (cut / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"has no tokenizer.json; save the model with model2vec again"):
        linear(cut)
    (cut / "model.safetensors").write_bytes((table / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(
        UserError, match=r"acquisition=.*model.safetensors cannot be loaded \(.*; save the model"
    ) as refused:
        linear(cut)
    assert "\n" not in str(refused.value)


# Of the table's model and its run: (changes, needs of the run, what is said)
REFUSED: dict[str, tuple[dict[str, Any], frozenset[str], str]] = {
    "fine-tuned": (
        {"learner": "transformer"},
        frozenset(),
        r"is a table of vectors \(model2vec\), and has no network; set acquisition.learner=linear",
    ),
    "layers": (
        {"num_hidden_layers": 1},
        frozenset(),
        "acquisition.num_hidden_layers=1: potion is a table of vectors, without layers; set it to null",
    ),
    "pooling": (
        {"params": {"pooling": "last"}},
        frozenset(),
        "acquisition.params.pooling=last: potion is a table of vectors, which has no states of its own; set it to mean",
    ),
    "surprisal": (
        {},
        frozenset({"surprisal"}),
        "no masked language model, .* choose one that has, .* another strategy",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_table_has_not_is_refused_in_a_line(what: str, table: Path) -> None:
    changes, needs, line = REFUSED[what]
    model = ModelConfig(name="potion", learner="linear", path=str(table), max_length=MAX_LENGTH, training=settings())
    LEARNERS["linear"].learner.check("acquisition", model, "classification", 2, frozenset())
    model = replace(model, **changes)
    with pytest.raises(UserError, match=line) as refused:
        LEARNERS[model.learner].learner.check("acquisition", model, "classification", 2, needs)
    assert "\n" not in str(refused.value)


def test_runs_with_strategies_that_look_at_pretrained_vectors(al: Any, tiny_run: list[str], table: Path) -> None:
    """In both roles, once the line that refuses fine-tuning is followed."""
    words = [*tiny_run, "schedule.cycles=1", "strategy=coreset_pretrained"]
    for role in ("acquisition", "successor"):
        words += [f"{role}.path={table}", f"{role}.name=potion", f"{role}.num_hidden_layers=null"]
    refused = al("run", *words)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert "set acquisition.learner=linear" in refused.err
    words += ["acquisition.learner=linear", "successor.learner=linear"]
    for others in ([], ["strategy=least_confidence", "subsampling=seals", "subsampling.params.neighbours=3"]):
        done = al("run", *words, *others)
        assert done.code == 0, done.err
        assert "a linear head on a table of vectors" in done.out
