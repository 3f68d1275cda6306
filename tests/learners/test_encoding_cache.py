"""Encoded once per (inputs, tokenizer, length), by however many runs."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from filelock import FileLock
from test_encoding import TOKENIZERS, assert_equal
from tiny import SEEDS, build, cache_in, settings, word_piece

from al_bench.config.schema import ModelConfig
from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import embedding, encoding
from al_bench.learners.engine.encoding import encode
from al_bench.learners.engine.regression import Scaling
from al_bench.learners.linear import LinearLearner
from al_bench.ledger.cache import ArrayCache

TEXTS = ["good film", "", "the plot was very bad", "a " * 50]
SENTENCES = [["good", "\u200b", "film"], [], ["\u200b"], ["bad"] * 30]


def folders(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    "inputs", [TEXTS, SENTENCES, [[], ["\u200b"]], [["\u200b"]]], ids=["texts", "words", "none", "nothing"]
)
def test_the_same_from_disk(name: str, inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = encode(inputs, TOKENIZERS[name], 16, None)
    assert_equal(encode(inputs, TOKENIZERS[name], 16, cache_in(tmp_path)), fresh)
    monkeypatch.setattr(encoding, "_tokenise", lambda *_: pytest.fail("it is in the cache"))
    assert_equal(encode(inputs, TOKENIZERS[name], 16, cache_in(tmp_path)), fresh)
    assert len(folders(tmp_path)) == 1


def tokenizer(**changes: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(**{**word_piece(), **changes})


def cased() -> Any:
    from tokenizers import normalizers

    made = tokenizer()
    made.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    return made


def without_specials() -> Any:
    from tokenizers import processors

    made = tokenizer()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return made


OTHERS: dict[str, tuple[Any, Any, int]] = {
    "another text": (["a b", "C"], tokenizer(), 16),
    "another order": (["c", "a b"], tokenizer(), 16),
    "other borders": (["a", "b c"], tokenizer(), 16),
    "joined": (["a b c"], tokenizer(), 16),
    "one more": (["a b", "c", ""], tokenizer(), 16),
    "words": ([["a", "b"], ["c"]], tokenizer(), 16),
    "words with a space": ([["a b"], ["c"]], tokenizer(), 16),
    "other words": ([["a"], ["b", "c"]], tokenizer(), 16),
    "another length": (["a b", "c"], tokenizer(), 17),
    "a cased tokenizer": (["a b", "c"], cased(), 16),
    "no special tokens": (["a b", "c"], without_specials(), 16),
    "cut at the left": (["a b", "c"], tokenizer(truncation_side="left"), 16),
    "specials split": (["a b", "c"], tokenizer(split_special_tokens=True), 16),
    "no segments": (["a b", "c"], tokenizer(model_input_names=["input_ids"]), 16),
}


def test_the_key_changes_with_all_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {what: encoding._key(*arguments, causal=False) for what, arguments in OTHERS.items()}
    keys["of a decoder"] = encoding._key(["a b", "c"], tokenizer(), 16, causal=True)
    keys["the first"] = encoding._key(["a b", "c"], tokenizer(), 16, causal=False)
    monkeypatch.setattr(encoding, "VERSION", encoding.VERSION + 1)
    keys["a later format"] = encoding._key(["a b", "c"], tokenizer(), 16, causal=False)
    monkeypatch.undo()
    monkeypatch.setattr(encoding.tokenizers, "__version__", "99")
    keys["another library"] = encoding._key(["a b", "c"], tokenizer(), 16, causal=False)
    assert len(set(keys.values())) == len(keys), keys


def test_the_key_changes_with_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = encoding._key(["a b", "c"], tokenizer(), 16, causal=False)
    used = tokenizer()
    used(["a b c d e"] * 2, truncation=True, max_length=5, padding="max_length")
    assert used.backend_tokenizer.truncation is not None
    before = used.backend_tokenizer.truncation, used.backend_tokenizer.padding
    assert encoding._key(("a b", "c"), used, 16, causal=False) == key
    assert (used.backend_tokenizer.truncation, used.backend_tokenizer.padding) == before, "left as it was"
    assert (
        encoding._key(["a b", "c"], tokenizer(name_or_path="elsewhere", padding_side="left"), 16, causal=False) == key
    )
    monkeypatch.setattr(encoding, "CHUNK", 2)
    assert encoding._key(["a b", "c"], tokenizer(), 16, causal=False) == key


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_cached_arrays_are_never_written_to(task: str, bert: Path, tmp_path: Path) -> None:
    inputs = Unlabelled(TEXTS if task == "classification" else SENTENCES)
    learner = build(bert, task, cache=cache_in(tmp_path))
    learner.prepare(inputs)
    stored = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    assert stored
    encoded = learner.encoded(inputs)
    assert not encoded.tokens.values.flags.writeable, "mapped from the file, for reading"
    labels = np.array([0, 1, 0, 1]) if task == "classification" else Ragged.of([[0] * len(s) for s in SENTENCES])
    ids = np.array([3, 0, 1, 2])
    model = learner.fit(inputs, ids, labels[ids], SEEDS)
    model.predict(inputs, ids)
    assert {path: path.read_bytes() for path in stored} == stored
    plain = build(bert, task).fit(inputs, ids, labels[ids], SEEDS).predict(inputs, ids).probs
    said = model.predict(inputs, ids).probs
    left, right = (p.values if isinstance(p, Ragged) else p for p in (said, plain))
    np.testing.assert_array_equal(left, right)


def test_inputs_are_encoded_once_per_object(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = build(bert)
    inputs = list(TEXTS)
    learner.prepare(Unlabelled(inputs))
    monkeypatch.setattr(encoding, "_tokenise", lambda *_: pytest.fail("it was prepared"))
    assert len(learner.encoded(Unlabelled(inputs))) == 4


def test_short_lived_inputs_are_not_mixed_up(bert: Path) -> None:
    """An id() may come again once its object is gone; the learner holds on to the objects."""
    learner = build(bert)
    for i in range(20):
        assert len(learner.encoded(Unlabelled(["good"] * (i + 1)))) == i + 1


# ------------------------------------------------------------------------------------------ what preparing takes

SECONDS = {"tokenise": 100.0, "embed": 1000.0, "standardise": 10.0}


class Work:
    """A clock that only tokenising, embedding and standardising move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.done = 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(encoding, "_tokenise", self.slow("tokenise", encoding._tokenise))
        monkeypatch.setattr(embedding.NetworkEmbedder, "_embed", self.slow("embed", embedding.NetworkEmbedder._embed))
        monkeypatch.setattr(Scaling, "of", self.slow("standardise", Scaling.of))

    def slow(self, what: str, function: Any) -> Any:
        def slower(*arguments: Any) -> Any:
            self.done.append(what)
            self.now += SECONDS[what]
            return function(*arguments)

        return slower


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def linear(bert: Path, cache: ArrayCache | None, precision: str = "float32") -> LinearLearner:
    model = ModelConfig(name="tiny", learner="linear", path=str(bert), max_length=32, training=settings())
    return LinearLearner("acquisition", model, "classification", ("a", "b"), torch.device("cpu"), precision, cache)


def test_preparing_takes_what_it_took_whoever_did_it(bert: Path, tmp_path: Path, work: Work) -> None:
    """Without a cache, with a cold one, again, and in another process with a warm one."""
    learner = linear(bert, cache_in(tmp_path))
    seconds = [linear(bert, None).prepare(Unlabelled(TEXTS))]
    seconds += [learner.prepare(Unlabelled(list(TEXTS))) for _ in range(2)]
    work.done.clear()
    seconds += [linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))]
    assert work.done == ["standardise"], "the arrays are read"
    assert seconds == [1110.0] * 4


def test_what_is_prepared_for_which_purpose(bert: Path, tmp_path: Path, work: Work) -> None:
    inputs = Unlabelled(TEXTS)
    assert linear(bert, cache_in(tmp_path)).prepare(inputs, exact=True) == 1110.0, "exact is the run's own precision"
    assert linear(bert, cache_in(tmp_path), "bfloat16").prepare(inputs, exact=True) == 2110.0
    assert linear(bert, cache_in(tmp_path), "bfloat16").prepare(inputs) == 1110.0
    assert linear(bert, cache_in(tmp_path)).prepare(inputs, embeddings=True) == 1110.0, "it embeds anyway"
    for cache in (None, cache_in(tmp_path)):
        fine_tuned = build(bert, cache=cache)
        assert fine_tuned.prepare(inputs) == fine_tuned.prepare(inputs, exact=True) == 100.0
        assert fine_tuned.prepare(inputs, embeddings=True) == 1100.0


def test_no_later_phase_pays_for_what_is_prepared(bert: Path, tmp_path: Path, work: Work) -> None:
    learner, inputs, ids = linear(bert, cache_in(tmp_path), "bfloat16"), Unlabelled(TEXTS), np.arange(4)
    learner.prepare(inputs, exact=True)
    work.done.clear()
    model = learner.fit(inputs, ids, np.array([0, 1, 0, 1]), SEEDS)
    model.predict(inputs, ids)
    model.predict(inputs, ids, exact=True)
    learner.embed(inputs, ids)
    assert work.done == []


def test_waiting_for_another_process_is_not_charged(bert: Path, tmp_path: Path, work: Work) -> None:
    """Another holder of the lock keeps it for long; the vectors are then computed, or there already."""
    expected = linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))
    (vectors,) = [path for path in tmp_path.glob("vectors-*") if path.is_dir()]
    held = threading.Event()

    def hold(leaves: Path | None) -> None:
        with FileLock(vectors.with_suffix(".lock")):
            held.set()
            time.sleep(0.3)  # by now the learner waits
            work.now += 1e6
            if leaves is not None:
                leaves.rename(vectors)

    for leaves in (None, tmp_path / "elsewhere"):
        shutil.rmtree(vectors) if leaves is None else vectors.rename(leaves)
        held.clear()
        holder = threading.Thread(target=hold, args=(leaves,))
        holder.start()
        held.wait()
        assert linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS)) == expected
        assert work.now > 1e6
        holder.join()


def test_arrays_without_their_seconds_are_computed_again(
    bert: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier format."""
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "VERSION", 1)
        patch.setattr(embedding, "VERSION", 1)
        linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))
    work.done.clear()
    assert linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS)) == 1110.0
    assert work.done == ["tokenise", "embed", "standardise"]


def test_seconds_are_of_this_kind_of_device(
    bert: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that other hardware computed are computed again, since nobody knows what they take here."""
    linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))
    work.done.clear()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))
    assert work.done == ["embed", "standardise"]
    work.done.clear()
    linear(bert, cache_in(tmp_path)).prepare(Unlabelled(TEXTS))
    assert work.done == ["standardise"]
