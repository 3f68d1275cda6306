"""A linear head on frozen vectors, and the vectors: against transformers, scikit-learn and autograd."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from tiny import FAMILIES, SEEDS, TESTED, build, cache_in, save_family, settings, word_piece
from tokenizers import processors

from al_bench.config.schema import ModelConfig
from al_bench.data.metrics import evaluate
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import UserError
from al_bench.learners.base import FitSeeds, Unlabelled, Watch
from al_bench.learners.encoding_learner import dev_split
from al_bench.learners.engine import embedding, regression
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.regression import Head, Scaling, fit_head, gradient_norms
from al_bench.learners.engine.training import unit_margins
from al_bench.learners.linear import LinearLearner
from al_bench.ledger.cache import ArrayCache

Family = Callable[[str], Path]

LOST = "\u200b"  # a word of which the tokenizer leaves nothing
WORDS = ["good", "bad", "film", "plot", "oslo", "great", "awful", "anna", "very", "the"]
TEXTS = [f"{WORDS[i % 10]} {WORDS[(3 * i + 1) % 10]} {WORDS[7 * i % 9] * (i % 4)}" for i in range(40)]
SENTENCES = [text.split() for text in TEXTS[:30]] + [[], [LOST], ["good", LOST, "film"], ["bad"] * 50]
IDS = np.arange(len(TEXTS))
CLASSES = np.array([i % 3 for i in IDS])
TAGS = Ragged.of([[(len(word) + i) % 3 for i, word in enumerate(words)] for words in SENTENCES])
EVERY = np.arange(len(SENTENCES))
LABELS = {"classification": ("a", "b", "c"), "tagging": ("O", "B-PER", "I-PER")}


def linear(
    folder: Path,
    task: str = "classification",
    *,
    labels: tuple[str, ...] | None = None,
    cache: ArrayCache | None = None,
    precision: str = "float32",
    max_length: int = 32,
    num_hidden_layers: int | None = None,
    regularization: float = 1.0,
    available: frozenset[str] = TESTED,
    params: dict[str, Any] | None = None,
    **training: Any,
) -> LinearLearner:
    model = ModelConfig(
        name="tiny", learner="linear", path=str(folder), max_length=max_length, regularization=regularization,
        num_hidden_layers=num_hidden_layers, training=settings(task, **training),
    )  # fmt: skip
    names, device = labels or LABELS[task], torch.device("cpu")
    return LinearLearner("acquisition", model, task, names, device, precision, cache, available, **(params or {}))


def inputs_of(task: str) -> Unlabelled:
    return Unlabelled(TEXTS if task == "classification" else SENTENCES)


def plainly(
    folder: Path, task: str, values: Any, layers: int | None = None, *, every_word: bool = False, pooling: str = "mean"
) -> list[np.ndarray]:
    """A (units, width) array per example, by transformers alone: one at a time, so nothing is padded.

    every_word: with a row of zeros for each word that did not survive
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True)
    if task == "tagging" and isinstance(tokenizer.backend_tokenizer.pre_tokenizer, embedding_bytes()):
        tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = True
    config = transformers.AutoConfig.from_pretrained(folder)
    config.num_hidden_layers = layers or config.num_hidden_layers
    network = transformers.AutoModel.from_pretrained(folder, config=config, dtype=torch.float32).eval()
    found = []
    for value in values:
        words = task == "tagging"
        batch = tokenizer(value, return_tensors="pt", truncation=True, max_length=32, is_split_into_words=words)
        known = {"input_ids": batch["input_ids"]}
        if network.config.model_type == "xlnet":
            known["token_type_ids"] = batch["token_type_ids"]
        with torch.no_grad():
            states = network(**known).last_hidden_state[0].numpy()
        if words:
            owners = batch.word_ids(0)
            if every_word:
                lost = np.zeros(states.shape[1], dtype=np.float32)
                rows = [states[owners.index(w)] if w in owners else lost for w in range(len(value))]
                found.append(np.array(rows, dtype=np.float32).reshape(len(value), states.shape[1]))
            else:
                found.append(states[[owners.index(w) for w in sorted({w for w in owners if w is not None})]])
        elif pooling == "cls":
            found.append(states[batch["input_ids"][0].numpy() == tokenizer.cls_token_id])
        else:
            found.append(states.mean(axis=0, keepdims=True) if pooling == "mean" else states[-1:])
    return found


def embedding_bytes() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel


def flat(vectors: np.ndarray | Ragged) -> np.ndarray:
    return vectors.values if isinstance(vectors, Ragged) else vectors


def standardised(rows: list[np.ndarray]) -> np.ndarray:
    x = np.concatenate(rows).astype(np.float64)
    return (x - x.mean(axis=0)) / x.std(axis=0)


# ------------------------------------------------------------------------------------------------- the vectors


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_are_those_of_transformers(name: str, task: str, family: Family) -> None:
    """Mean over a text's sub-words, a word's first sub-word, zeros for words that vanished; both learners say the same."""
    values = inputs_of(task).inputs
    expected = plainly(family(name), task, values, every_word=True)
    ids = np.arange(len(values))
    for learner in (linear(family(name), task), build(family(name), task)):
        vectors = learner.embed(inputs_of(task), ids)
        if task == "tagging":
            assert isinstance(vectors, Ragged)
            assert vectors.lengths.tolist() == [len(words) for words in values]
            assert not vectors.values.any(axis=1).all() or name in ("roberta", "mpnet", "xlnet"), "some vanish"
        assert flat(vectors).dtype == np.float32
        np.testing.assert_allclose(flat(vectors), np.concatenate(expected), atol=2e-5)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_vectors_do_not_depend_on_the_batch(
    name: str, task: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.arange(len(inputs_of(task)))
    together = flat(linear(family(name), task).embed(inputs_of(task), ids))
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    alone = flat(linear(family(name), task).embed(inputs_of(task), ids))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).min() > 0.01, "constant vectors would hide errors"


def test_vectors_come_in_the_order_asked_for(bert: Path) -> None:
    learner = linear(bert, "tagging")
    vectors = learner.embed(inputs_of("tagging"), EVERY)
    assert isinstance(vectors, Ragged)
    some = np.array([32, 1, 31, 0, 1])
    picked = learner.embed(inputs_of("tagging"), some)
    assert isinstance(picked, Ragged)
    for i, row in zip(some, picked.rows(), strict=True):
        np.testing.assert_array_equal(row, vectors.row(i))


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_vectors_are_the_pretrained_encoders_also_after_a_fit(task: str, bert: Path) -> None:
    learner = build(bert, task, labels=LABELS[task])
    ids = np.arange(len(inputs_of(task)))
    labels = CLASSES if task == "classification" else TAGS
    before = flat(learner.embed(Unlabelled(list(inputs_of(task).inputs)), ids))
    model = learner.fit(inputs_of(task), ids, labels, SEEDS)
    said = flat(model.predict(inputs_of(task), ids).probs)
    after = flat(learner.embed(Unlabelled(list(inputs_of(task).inputs)), ids))
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(flat(model.predict(inputs_of(task), ids).probs), said)
    moved = learner.network.base_model.state_dict()
    assert any(not torch.equal(moved[name], w) for name, w in learner._embedder._weights.items())


def test_the_first_layers_alone(bert: Path) -> None:
    short = linear(bert, num_hidden_layers=1).embed(inputs_of("classification"), IDS)
    expected = np.concatenate(plainly(bert, "classification", TEXTS, layers=1))
    np.testing.assert_allclose(short, expected, atol=1e-5)
    with pytest.raises(UserError, match=r"acquisition.num_hidden_layers=3: tiny has 2 layers"):
        linear(bert, num_hidden_layers=3)


def test_bfloat16_is_near_and_exact_is_float32(bert: Path) -> None:
    rough, fine = linear(bert, precision="bfloat16"), linear(bert)
    left, right = (flat(learner.embed(inputs_of("classification"), IDS)) for learner in (rough, fine))
    assert 0 < np.abs(left - right).max() < 0.1
    model = rough.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    exact = model.predict(inputs_of("classification"), IDS, exact=True)
    expected = softmax(model.head.logits(model.scaling(right)), axis=1)
    np.testing.assert_allclose(flat(exact.probs), expected, atol=1e-6)


def test_a_model_that_cannot_be_is_refused_in_a_line(bert: Path, tmp_path: Path) -> None:
    """The same lines as for the fine-tuned learner."""
    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 16}))
    cases: list[tuple[Path, dict[str, Any]]] = [
        (tmp_path, {}), (bert, {"max_length": 65}), (tmp_path / "nothing", {}), (bert, {"num_hidden_layers": 9}),
    ]  # fmt: skip
    for folder, changed in cases:
        with pytest.raises(UserError) as fine_tuned:
            build(folder, labels=LABELS["classification"], **changed)
        with pytest.raises(UserError) as frozen:
            linear(folder, **changed)
        left, right = (str(caught.value).split("(")[0] for caught in (fine_tuned, frozen))
        assert left == right
        assert "\n" not in right


def test_a_checkpoint_with_a_head_is_an_encoder_too(family: Family, tmp_path: Path) -> None:
    source = transformers.AutoModelForSequenceClassification.from_pretrained(family("roberta"), num_labels=5)
    source.save_pretrained(tmp_path)
    build(family("roberta")).tokenizer.save_pretrained(tmp_path)
    learner, plain = linear(tmp_path), linear(family("roberta"))
    assert learner._embedder.digest == plain._embedder.digest, "its pooler is new, and above the states"
    vectors = [flat(found.embed(inputs_of("classification"), IDS)) for found in (learner, plain)]
    np.testing.assert_array_equal(*vectors)


# ------------------------------------------------------------------------------- pooling, prompts and unit length


@pytest.mark.parametrize("available", [TESTED, frozenset()], ids=["packed", "padded"])
@pytest.mark.parametrize("pooling", ["cls", "last"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_state_of_one_sub_word(name: str, pooling: str, available: frozenset[str], family: Family) -> None:
    """XLNet's class token is the last one, behind padding at the left."""
    learner = linear(family(name), available=available, params={"pooling": pooling})
    expected = np.concatenate(plainly(family(name), "classification", TEXTS, pooling=pooling))
    assert len(expected) == len(TEXTS)
    np.testing.assert_allclose(learner.embed(inputs_of("classification"), IDS), expected, atol=2e-5)


def test_batches_are_packed_where_the_network_can_be(family: Family) -> None:
    packs = {name: linear(family(name))._embedder._can_pack("float32") for name in FAMILIES}  # type: ignore[attr-defined]
    assert packs["bert"]
    assert packs["roberta"]
    assert not packs["xlnet"]
    assert not packs["deberta"]


def save_decoder(folder: Path, padding_side: str) -> Path:
    """Llama, of a tokenizer that adds no special tokens."""
    made = word_piece()
    made["tokenizer_object"].post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer = transformers.PreTrainedTokenizerFast(**made, padding_side=padding_side)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_decoder_is_an_encoder_too(pooling: str, padding_side: str, tmp_path: Path) -> None:
    """One text at a time there is no padding. A text without any sub-word is zeros."""
    folder = save_decoder(tmp_path / "decoder", padding_side)
    texts = [*TEXTS, LOST, ""]
    learner = linear(folder, params={"pooling": pooling})
    vectors = flat(learner.embed(Unlabelled(texts), np.arange(len(texts))))
    expected = np.concatenate(plainly(folder, "classification", TEXTS, pooling=pooling))
    np.testing.assert_allclose(vectors[: len(TEXTS)], expected, atol=1e-5)
    assert not vectors[len(TEXTS) :].any()
    with pytest.raises(UserError, match=r"params.pooling=cls: its tokenizer adds no class token; .* mean or last"):
        check(folder, pooling="cls")
    check(folder, pooling="last")


def check(folder: Path, **params: Any) -> None:
    model = ModelConfig(
        name="tiny", learner="linear", path=str(folder), max_length=32, training=settings(), params=params
    )
    LinearLearner.check("acquisition", model, "classification", 2, frozenset())


def test_a_prompt_is_put_before_each_text(bert: Path) -> None:
    learner, ids = linear(bert, params={"prompt": "very: "}), np.array([3, 0])
    expected = np.concatenate(plainly(bert, "classification", [f"very: {TEXTS[i]}" for i in ids]))
    np.testing.assert_allclose(learner.embed(inputs_of("classification"), ids), expected, atol=1e-5)
    longer = learner.encoded(inputs_of("classification")).tokens.lengths
    assert (longer - linear(bert).encoded(inputs_of("classification")).tokens.lengths).tolist() == [2] * len(TEXTS)


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_vectors_of_length_one(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what strategies see, and what is standardised before the regression."""
    monkeypatch.setattr(regression, "BLOCK", 7)
    learner = linear(bert, task, params={"normalize": True})
    labels = CLASSES if task == "classification" else TAGS
    ids = np.arange(len(labels))
    rows = np.concatenate(plainly(bert, task, inputs_of(task).inputs, every_word=True))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    np.testing.assert_allclose(flat(learner.embed(inputs_of(task), ids)), expected, atol=1e-5)
    model = learner.fit(inputs_of(task), ids, labels, SEEDS)
    features = model.predict(inputs_of(task), ids, embeddings=True).embeddings
    assert features is not None
    there = expected[lengths[:, 0] > 0]
    np.testing.assert_allclose(flat(features), (there - there.mean(axis=0)) / there.std(axis=0), atol=1e-3)


@pytest.mark.parametrize(("key", "value", "default"), [("pooling", "cls", "mean"), ("prompt", "very: ", "''")])
def test_what_is_of_texts_is_refused_of_words(
    key: str, value: str, default: str, al: Any, tiny_tagging_run: list[str]
) -> None:
    words = [*tiny_tagging_run, "acquisition.learner=linear", f"+acquisition.params.{key}='{value}'"]
    refused = al("plan", *words)
    assert refused.code == 1
    line = f"acquisition.params.{key}={value}: is of whole texts, and dataset.task=tagging; set it to {default}"
    assert line in refused.out
    assert al("plan", *words[:-1], f"+acquisition.params.{key}={default}").code == 0


# ------------------------------------------------------------------------------------------------- their cache


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding.NetworkEmbedder, "_embed", lambda *_: pytest.fail("it is in the cache"))


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_vectors_are_computed_once(task: str, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(len(inputs_of(task)))
    fresh = flat(linear(bert, task).embed(inputs_of(task), ids))
    learner = linear(bert, task, cache=cache_in(tmp_path))
    learner.prepare(inputs_of(task))
    files = sorted(path.name for path in tmp_path.glob("vectors-*"))
    forbid(monkeypatch)
    for reader in (learner, linear(bert, task, cache=cache_in(tmp_path)), build(bert, task, cache=cache_in(tmp_path))):
        np.testing.assert_array_equal(flat(reader.embed(inputs_of(task), ids)), fresh)
    assert sorted(path.name for path in tmp_path.glob("vectors-*")) == files
    stored, _ = learner._embedder(learner.encoded(inputs_of(task)), "float32")
    assert not flat(stored).flags.writeable, "mapped from the file, for reading"


@pytest.mark.parametrize(
    ("params", "passes"),
    [({"normalize": True}, 1), ({"pooling": "cls"}, 2), ({"pooling": "last"}, 2), ({"prompt": "very "}, 2)],
)
def test_which_settings_need_a_pass_of_their_own(
    params: dict[str, Any], passes: int, bert: Path, tmp_path: Path
) -> None:
    for chosen in ({}, params, params):
        learner = linear(bert, cache=cache_in(tmp_path), params=chosen)
        learner.prepare(inputs_of("classification"))
        plain = linear(bert, params=chosen).embed(inputs_of("classification"), IDS)
        np.testing.assert_array_equal(learner.embed(inputs_of("classification"), IDS), plain)
    assert len(list(tmp_path.glob("vectors-*/vectors.npy"))) == passes


def test_packed_and_padded_passes_are_kept_apart(bert: Path, tmp_path: Path) -> None:
    """They round differently."""
    for count, available in enumerate((TESTED, frozenset[str]()), start=1):
        for _ in range(2):
            linear(bert, cache=cache_in(tmp_path), available=available).prepare(inputs_of("classification"))
        assert len(list(tmp_path.glob("vectors-*/vectors.npy"))) == count


def test_the_key_changes_with_all_that_matters(bert: Path, tmp_path: Path) -> None:
    """Other weights, layers, inputs, lengths, precisions and configs have other vectors."""
    other = save_family("bert", tmp_path / "other")
    network = transformers.AutoModel.from_pretrained(other)
    with torch.no_grad():
        network.encoder.layer[1].output.dense.bias[3] += 1e-3
    network.save_pretrained(other)
    slower = save_family("bert", tmp_path / "slower", hidden_act="relu")
    folders: list[tuple[Path, Unlabelled, dict[str, Any]]] = [
        (bert, inputs_of("classification"), {}),
        (other, inputs_of("classification"), {}),
        (slower, inputs_of("classification"), {}),
        (bert, Unlabelled(TEXTS[:-1]), {}),
        (bert, Unlabelled(TEXTS[::-1]), {}),
        (bert, Unlabelled([text.split() for text in TEXTS]), {"task": "tagging"}),
        (bert, inputs_of("classification"), {"max_length": 8}),
        (bert, inputs_of("classification"), {"num_hidden_layers": 1}),
        (bert, inputs_of("classification"), {"precision": "bfloat16"}),
    ]
    cache = cache_in(tmp_path)
    for count, (folder, inputs, changed) in enumerate(folders, start=1):
        learner = linear(folder, cache=cache, **changed)
        learner.prepare(inputs)
        assert len(list(tmp_path.glob("vectors-*/vectors.npy"))) == count
        plain = linear(folder, **changed)
        ids = np.arange(len(inputs))
        np.testing.assert_array_equal(flat(learner.embed(inputs, ids)), flat(plain.embed(inputs, ids)))


def test_what_a_killed_job_left_is_no_result(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def die(self: Any, encoded: Any, precision: str, vectors: np.ndarray) -> None:
            vectors[:3] = 7.0
            raise KeyboardInterrupt

        patch.setattr(embedding.NetworkEmbedder, "_embed", die)
        with pytest.raises(KeyboardInterrupt):
            linear(bert, cache=cache_in(tmp_path)).prepare(inputs_of("classification"))
    assert not list(tmp_path.glob("vectors-*/*"))
    vectors = linear(bert, cache=cache_in(tmp_path)).embed(inputs_of("classification"), IDS)
    np.testing.assert_array_equal(vectors, linear(bert).embed(inputs_of("classification"), IDS))


def test_parallel_jobs_embed_once(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed, started = embedding.NetworkEmbedder._embed, []

    def slowly(self: Any, *rest: Any) -> None:
        started.append(self)
        time.sleep(0.3)
        embed(self, *rest)

    monkeypatch.setattr(embedding.NetworkEmbedder, "_embed", slowly)
    learners = [linear(bert, cache=cache_in(tmp_path)) for _ in range(3)]
    with ThreadPoolExecutor() as jobs:
        list(jobs.map(lambda learner: learner.prepare(inputs_of("classification")), learners))
    assert len(started) == 1


def test_inputs_without_any_word(bert: Path, tmp_path: Path) -> None:
    nothing = Unlabelled([[], [LOST]])
    learner = linear(bert, "tagging", cache=cache_in(tmp_path))
    model = learner.fit(nothing, np.array([0, 1]), Ragged.of([[], [1]]), SEEDS, watch=Watch(margins=True))
    said = model.predict(nothing, np.array([1, 0, 1]))
    assert flat(said.probs).shape == (0, 3)
    assert said.labels().values.tolist() == [0, 0]  # type: ignore[union-attr]
    assert model.influence(nothing, np.array([0, 1]), Ragged.of([[], [1]])).tolist() == [0.0, 0.0]
    assert model.margins is not None
    assert model.margins.tolist() == [0.0, 0.0]
    elsewhere = model.predict(inputs_of("tagging"), np.array([0]))
    np.testing.assert_allclose(flat(elsewhere.probs), 1 / 3, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------- the head


@pytest.mark.parametrize("strength", [1.0, 0.01])
@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_are_those_of_scikit_learn(classes: int, strength: float, bert: Path) -> None:
    x = standardised(plainly(bert, "classification", TEXTS))
    gold, chosen = IDS % classes, np.array([3, 0, 7, 4, 8, 11, 20, 31, 22, 36])
    reference = LogisticRegression(C=strength, max_iter=1000, tol=1e-6).fit(x[chosen], gold[chosen])
    learner = linear(bert, labels=("a", "b", "c")[:classes], regularization=strength)
    model = learner.fit(inputs_of("classification"), chosen, gold[chosen], SEEDS)
    said = model.predict(inputs_of("classification"), IDS[::-1])
    assert isinstance(said.probs, np.ndarray)
    assert said.probs.dtype == np.float32
    np.testing.assert_allclose(said.probs, reference.predict_proba(x)[::-1], atol=2e-3)
    assert np.ptp(said.probs, axis=0).min() > 0.05, "a constant answer would hide errors"
    lengths = learner.encoded(inputs_of("classification")).tokens.lengths
    assert said.tokens == lengths.sum()
    costs = model.costs
    assert (costs.epochs, costs.batch_size, costs.examples) == (1, 10, 10)
    assert costs.tokens == lengths[chosen].sum()
    assert 1 < costs.steps < 200


def test_tagging_is_scikit_learn_over_words(bert: Path) -> None:
    rows = plainly(bert, "tagging", SENTENCES)
    x = standardised(rows)
    learner = linear(bert, "tagging")
    encoded = learner.encoded(inputs_of("tagging"))
    chosen = np.array([33, 5, 30, 0, 31, 12, 32, 2])
    survived = [[0, 2] if i == 32 else list(range(len(rows[i]))) for i in EVERY]  # word 1 of sentence 32 vanished
    starts = offsets_of([len(r) for r in rows])
    units = np.concatenate([starts[i] + np.arange(len(rows[i])) for i in chosen])
    gold = np.concatenate([TAGS.row(i)[survived[i]] for i in chosen])
    reference = LogisticRegression(max_iter=1000, tol=1e-6).fit(x[units], gold)
    model = learner.fit(inputs_of("tagging"), chosen, TAGS[chosen], SEEDS)
    asked = np.array([32, 4, 31, 33, 30])
    said = model.predict(inputs_of("tagging"), asked)
    assert isinstance(said.probs, Ragged)
    assert said.probs.lengths.tolist() == [2, len(rows[4]), 0, 30, 0]
    assert said.kept is not None
    assert said.kept.tolist() == [0, 2, *range(len(rows[4])), *range(30)]
    assert said.lengths is not None
    assert said.lengths.tolist() == [3, len(SENTENCES[4]), 1, 50, 0]
    assert said.tokens == encoded.tokens.lengths[asked].sum()
    there = np.concatenate([starts[i] + np.arange(len(rows[i])) for i in asked])
    np.testing.assert_allclose(said.probs.values, reference.predict_proba(x[there]), atol=2e-3)
    assert said.labels().row(0)[1] == 0, "what did not survive is O"  # type: ignore[union-attr]


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_predictions_are_the_same_in_blocks(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = CLASSES if task == "classification" else TAGS
    ids = np.arange(len(labels))
    learner = linear(bert, task)
    model = learner.fit(inputs_of(task), ids, labels, SEEDS, watch=Watch(margins=True))
    whole = flat(model.predict(inputs_of(task), ids).probs)
    pulls = model.influence(inputs_of(task), ids, labels)
    monkeypatch.setattr("al_bench.learners.linear.BLOCK", 7)
    monkeypatch.setattr(regression, "BLOCK", 5)
    again = linear(bert, task).fit(inputs_of(task), ids, labels, SEEDS, watch=Watch(margins=True))
    np.testing.assert_allclose(flat(again.predict(inputs_of(task), ids).probs), whole, atol=1e-4)
    np.testing.assert_allclose(model.influence(inputs_of(task), ids, labels), pulls, rtol=1e-4)
    np.testing.assert_allclose(again.margins, model.margins, atol=1e-3)  # type: ignore[arg-type]


def test_embeddings_are_what_the_head_sees(bert: Path) -> None:
    model = linear(bert).fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    asked = np.array([4, 0, 4])
    said = model.predict(inputs_of("classification"), asked, embeddings=True)
    assert said.embeddings is not None
    x = standardised(plainly(bert, "classification", TEXTS))[asked]
    np.testing.assert_allclose(said.embeddings, x, atol=1e-3)
    assert model.predict(inputs_of("classification"), asked).embeddings is None


def test_nobody_to_ask(bert: Path) -> None:
    nobody = np.empty(0, dtype=np.int64)
    for task, labels in (("classification", CLASSES), ("tagging", TAGS)):
        model = linear(bert, task).fit(inputs_of(task), np.arange(9), labels[np.arange(9)], SEEDS)
        assert len(model.predict(inputs_of(task), nobody)) == 0


def test_a_single_class(bert: Path) -> None:
    learner = linear(bert)
    model = learner.fit(inputs_of("classification"), IDS[:4], np.full(4, 2), SEEDS, watch=Watch(margins=True))
    np.testing.assert_array_equal(flat(model.predict(inputs_of("classification"), IDS).probs), [[0, 0, 1]] * 40)
    assert model.costs.steps == 0
    assert model.margins is not None
    assert model.margins.tolist() == [0.0] * 4
    assert model.influence(inputs_of("classification"), IDS[:4], np.full(4, 2)).tolist() == [0.0] * 4


@pytest.mark.parametrize("seen", [[0, 2], [1, 2], [0, 1]])
def test_a_class_that_no_example_had(seen: list[int], bert: Path) -> None:
    chosen = np.flatnonzero(np.isin(CLASSES, seen))
    model = linear(bert).fit(inputs_of("classification"), chosen, CLASSES[chosen], SEEDS)
    probs = flat(model.predict(inputs_of("classification"), IDS).probs)
    (unseen,) = {0, 1, 2} - set(seen)
    assert not probs[:, unseen].any()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)
    x = standardised(plainly(bert, "classification", TEXTS))
    reference = LogisticRegression(max_iter=1000, tol=1e-6).fit(x[chosen], CLASSES[chosen])
    np.testing.assert_allclose(probs[:, seen], reference.predict_proba(x), atol=2e-3)


def both(learner: LinearLearner, task: str, first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    """What two fits, each (ids, labels, weights), say of everybody."""
    inputs = inputs_of(task)
    models = [learner.fit(inputs, ids, labels, SEEDS, weights=w) for ids, labels, w in (first, second)]
    left, right = (flat(model.predict(inputs, np.arange(len(inputs))).probs) for model in models)
    return left, right


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_weight_of_two_is_the_example_twice(task: str, bert: Path) -> None:
    labels = CLASSES if task == "classification" else TAGS
    chosen, twice = np.arange(12), np.array([*range(12), 2, 7, 11])
    weights = np.ones(12)
    weights[[2, 7, 11]] = 2.0
    learner = linear(bert, task)
    left, right = both(learner, task, (chosen, labels[chosen], weights), (twice, labels[twice], None))
    np.testing.assert_allclose(left, right, atol=2e-3)
    unweighted = both(learner, task, (chosen, labels[chosen], None), (chosen, labels[chosen], np.ones(12)))
    np.testing.assert_allclose(*unweighted, atol=1e-6)
    assert np.abs(unweighted[0] - left).max() > 0.01, "they weigh something"


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_soft_label_of_one_is_a_hard_one(task: str, bert: Path) -> None:
    labels = CLASSES if task == "classification" else TAGS
    soft = np.eye(3, dtype=np.float32)[flat(labels)]
    distributions = Ragged(soft, labels.offsets) if isinstance(labels, Ragged) else soft
    ids = np.arange(len(labels))
    learner = linear(bert, task)
    np.testing.assert_array_equal(*both(learner, task, (ids, labels, None), (ids, distributions, None)))
    inputs = inputs_of(task)
    models = [learner.fit(inputs, ids, some, SEEDS, watch=Watch(margins=True)) for some in (labels, distributions)]
    np.testing.assert_array_equal(models[0].margins, models[1].margins)  # type: ignore[arg-type]
    pulls = [models[0].influence(inputs, ids, some) for some in (labels, distributions)]
    np.testing.assert_allclose(pulls[0], pulls[1], rtol=1e-6)


def test_a_soft_label_is_a_weighted_example_per_class(bert: Path) -> None:
    chosen = np.arange(9)
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 9).astype(np.float32)
    soft[0] = [0.0, 1.0, 0.0]
    weights = np.linspace(0.5, 3.0, 9)
    expanded = np.repeat(chosen, 3), np.tile(np.arange(3), 9), (soft * weights[:, None]).ravel()
    np.testing.assert_allclose(*both(linear(bert), "classification", (chosen, soft, weights), expanded), atol=2e-3)


# ----------------------------------------------------------------------------- what a fit is looked back on with


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_influence_is_the_gradients_norm(task: str, soft: bool, bert: Path) -> None:
    """Against autograd on torch's linear layer, an example at a time."""
    labels = CLASSES if task == "classification" else TAGS
    if soft:
        spread = np.random.default_rng(1).dirichlet(np.ones(3), len(flat(labels)))
        labels = Ragged(spread, labels.offsets) if isinstance(labels, Ragged) else spread
    ids, asked = np.arange(len(labels)), np.array([7, 0, 33, 32, 31, 30, 12, 0])
    learner = linear(bert, task)
    model = learner.fit(inputs_of(task), ids[:20], labels[ids[:20]], SEEDS)
    found = model.influence(inputs_of(task), asked, labels[asked])
    assert found.shape == (8,)
    x = standardised(plainly(bert, task, inputs_of(task).inputs))
    starts = offsets_of([len(rows) for rows in plainly(bert, task, inputs_of(task).inputs)])
    layer = torch.nn.Linear(32, 3, dtype=torch.float64)
    layer.weight.data, layer.bias.data = (
        torch.tensor(model.head.weight).double(),
        torch.tensor(model.head.bias).double(),
    )
    for score, i in zip(found, asked, strict=True):
        units = x[starts[i] : starts[i + 1]]
        if not len(units):
            assert score == 0.0
            continue
        target = np.asarray(labels.row(i) if isinstance(labels, Ragged) else labels[[i]])
        target = target[[0, 2]] if task == "tagging" and i == 32 else target[: len(units)]
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(torch.tensor(units)), torch.tensor(target)).backward()
        expected = sum(p.grad.square().sum().item() for p in layer.parameters() if p.grad is not None)
        assert score == pytest.approx(expected / len(units), rel=1e-3)


def test_gradient_norms_by_hand() -> None:
    """Two words that pull the same way count four times a half each; opposite ones nothing."""
    x = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [3.0, 0.0]])
    residual = np.array([[0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [1.0, -1.0]])
    one = 0.5 * (5 + 1)
    assert gradient_norms(x, residual, np.array([2, 0, 1, 1])) == pytest.approx([one, 0.0, one, 20.0])
    assert gradient_norms(x[:3], residual[:3], np.array([1, 2])) == pytest.approx([one, 0.0])


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_margins_are_of_the_solutions_logits(task: str, bert: Path) -> None:
    labels = CLASSES.copy() if task == "classification" else TAGS
    ids = np.array([4, 0, 33, 32, 31, 9, 8])
    learner = linear(bert, task)
    model = learner.fit(inputs_of(task), ids, labels[ids], SEEDS, watch=Watch(margins=True))
    assert model.margins is not None
    assert learner.fit(inputs_of(task), ids, labels[ids], SEEDS).margins is None
    said = model.predict(inputs_of(task), ids)
    for i, margin in enumerate(model.margins):
        if task == "classification":
            p, gold = flat(said.probs)[[i]], labels[ids[[i]]]
        else:
            assert isinstance(said.probs, Ragged)
            assert isinstance(labels, Ragged)
            p = said.probs.row(i)
            gold = labels.row(ids[i])[[0, 2] if ids[i] == 32 else slice(0, len(p))]
        logs = np.log(p.astype(np.float64))
        each = [row[g] - np.delete(row, g).max() for row, g in zip(logs, gold, strict=True)]
        assert margin == pytest.approx(np.mean(each) if each else 0.0, abs=1e-3)


def test_margins_by_hand() -> None:
    logits = np.array([[3.0, 1.0, -np.inf], [3.0, 1.0, -np.inf], [3.0, 1.0, -np.inf]])
    assert unit_margins(logits, np.array([0, 1, 2])).tolist() == [2.0, -2.0, -np.inf]
    assert unit_margins(logits, np.eye(3)).tolist() == [2.0, -2.0, -np.inf]
    assert unit_margins(np.array([[0.0, -np.inf]]), np.array([0])).tolist() == [0.0]


def test_a_mislabelled_example_stands_out(bert: Path) -> None:
    """Both the smallest margin and the greatest influence, among texts that are easy to tell apart."""
    texts = Unlabelled(["good film"] * 10 + ["awful plot"] * 10)
    gold = np.repeat([0, 1], 10)
    gold[3] = 1
    model = linear(bert).fit(texts, np.arange(20), gold, SEEDS, watch=Watch(margins=True))
    assert model.margins is not None
    assert model.margins.argmin() == 3
    assert model.influence(texts, np.arange(20), gold).argmax() == 3


# --------------------------------------------------------------------------------- dev split, leaks, determinism


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_dev_split_is_scored_and_not_fitted_on(task: str, soft: bool, bert: Path) -> None:
    labels: Any = CLASSES if task == "classification" else TAGS
    given = labels
    if soft:
        spread = np.eye(3)[flat(labels)]
        given = Ragged(spread, labels.offsets) if isinstance(labels, Ragged) else spread
    ids = np.arange(len(labels))
    inputs = inputs_of(task)
    model = linear(bert, task, dev_share=0.25).fit(inputs, ids, given, SEEDS, watch=Watch(margins=True))
    held_out = dev_split(labels, 0.25, SEEDS)
    rest, dev = ids[~held_out], ids[held_out]
    plain = linear(bert, task).fit(inputs, rest, labels[rest], SEEDS)
    assert plain.dev_score is None
    np.testing.assert_array_equal(*(flat(m.predict(inputs, ids).probs) for m in (model, plain)))
    assert model.costs == plain.costs
    scores = evaluate(task, LABELS[task], labels[dev], plain.predict(inputs, dev).labels())
    assert model.dev_score == scores["accuracy" if task == "classification" else "f1"]
    assert model.margins is not None
    assert len(model.margins) == len(ids), "of everybody, so that they can be told apart by position"


def test_a_fit_sees_no_other_label_and_nothing_of_earlier_fits(bert: Path) -> None:
    learner = linear(bert)
    chosen = np.array([1, 5, 6, 9, 12, 30])
    poisoned = (CLASSES + 1) % 3
    poisoned[chosen] = CLASSES[chosen]
    said = []
    for labels, seeds in ((CLASSES, SEEDS), (poisoned, FitSeeds(7, 8, 9))):
        model = learner.fit(inputs_of("classification"), chosen, labels[chosen], seeds)
        said.append(flat(model.predict(inputs_of("classification"), IDS).probs))
        learner.fit(inputs_of("classification"), IDS, poisoned, SEEDS)
        np.testing.assert_array_equal(flat(model.predict(inputs_of("classification"), IDS).probs), said[-1])
    np.testing.assert_array_equal(said[0], said[1])
    fresh = linear(bert).fit(inputs_of("classification"), chosen, CLASSES[chosen], SEEDS)
    np.testing.assert_array_equal(flat(fresh.predict(inputs_of("classification"), IDS).probs), said[0])


def test_the_test_split_is_scaled_as_the_training_split_was(bert: Path) -> None:
    """What a model says of a text does not depend on what else is in its split."""
    model = linear(bert).fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    alone = model.predict(Unlabelled(TEXTS[5:6]), np.array([0]))
    np.testing.assert_allclose(
        flat(alone.probs)[0], flat(model.predict(inputs_of("classification"), IDS).probs)[5], atol=1e-5
    )


def test_scaling() -> None:
    """Against numpy; a feature that is constant but for rounding is left as it is."""
    x = np.random.default_rng(0).normal(3.0, [2.0, 1e-2, 1e-9, 0.0], (500, 4)).astype(np.float32)
    scaling = Scaling.of(x)
    np.testing.assert_allclose(scaling.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(scaling.spread, [*x.std(axis=0, dtype=np.float64)[:2], 1.0, 1.0], rtol=1e-5)
    assert np.abs(scaling(x)[:, 2:]).max() < 1e-5
    assert scaling(x).dtype == np.float32
    assert np.isfinite(Scaling.of(np.empty((0, 4), np.float32)).mean).all()


def test_a_solver_that_is_stopped_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors in these tests."""
    monkeypatch.setattr(regression, "MAX_STEPS", 2)
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    head = fit_head(x, np.arange(60) % 3, None, 3, 1e6)
    assert head.steps == 2
    assert isinstance(head, Head)


# ------------------------------------------------------------------------------------------------------ a whole run


def overrides_of(task: str, request: pytest.FixtureRequest) -> list[str]:
    tiny = request.getfixturevalue("tiny_run" if task == "classification" else "tiny_tagging_run")
    return [*tiny, "acquisition.learner=linear", "successor.learner=linear"]


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_run(task: str, al: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    done = al("run", *overrides_of(task, request), "schedule.cycles=2")
    assert done.code == 0, done.err
    assert "cycle 2/2" in done.out
    (ledger,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    metric = "accuracy" if task == "classification" else "f1"
    assert all(0 <= row[role][metric] <= 1 for row in rows for role in ("acquisition", "successor"))
    vectors = [np.load(path) for path in tmp_path.glob("outputs/cache/encodings/vectors-*/vectors.npy")]
    # Two splits for either model, since the acquisition model has a layer less; and its stop set.
    assert len(vectors) == 5
    lines = (ledger.parent / "costs.jsonl").read_text().splitlines()
    assert all(json.loads(line)["train_steps"] > 1 for line in lines)


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_in_every_role(task: str, al: Any, request: pytest.FixtureRequest, tmp_path: Path, tiny_model: Path) -> None:
    """It also labels the pool and verifies labels, and filters look back on its fits."""
    filters = ["{by: knn, drop: 0.05}", "{by: verifier, drop: 0.05}", "{by: tracin, drop: 0.1}", "{by: aum, drop: 0.1}"]
    roles = []
    for role in ("pseudo_labeler", "verifier"):
        roles += [f"model@{role}=minilm_l6_linear", f"{role}.path={tiny_model}", f"{role}.sha256=null"]
        roles += [f"{role}.max_length=32"]
    done = al(
        "run", *overrides_of(task, request), *roles, "schedule.cycles=0", "pseudo_labeling=plasm",
        f"pseudo_labeling.filters=[{','.join(filters)}]",
    )  # fmt: skip
    assert done.code == 0, done.err
    (ledger,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    report = json.loads(ledger.read_text())["pseudo"]
    assert 0 <= report["quality"] <= 1
    assert set(report["dropped"]) == {"knn", "verifier", "tracin", "aum"}
    assert all(share > 0 for share in report["dropped"].values())
