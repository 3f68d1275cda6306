"""Every family as it is published: a folder with its own tokenizer, two cycles of the loop, and a head that is new."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import collected, config_of
from tiny import PUBLISHED, SEEDS, WORDS, build, save

from al_bench.acquisition.cycle import Cycle
from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.ragged import Ragged, values_of
from al_bench.errors import UserError
from al_bench.learners.base import Model, Unlabelled
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.weights import identify
from al_bench.learners.transformer import TransformerLearner

TASKS = ("classification", "tagging")
FIT = {"learning_rate": 5e-3, "epochs": 8}
NAMES = {"anna": 1, "oslo": 2}  # tags of words
TAGS = ("O", "B-PER", "B-LOC")


def corpus_of(task: str, n: int = 32) -> Corpus:
    """Texts of 1 to 7 words whose class is whether Oslo is in them, or sentences with their names tagged."""
    rng = np.random.default_rng(0)
    words = [word for word in WORDS if word != "oslo"]
    sizes = enumerate(rng.integers(1, 7, n))
    texts = [[*rng.choice([*words, *["anna"] * 6], k), *["oslo"] * (i % 4 < 2)] for i, k in sizes]
    texts[3] += ["zebra-cross", "(naïve)!"]  # sub-words of one word, and what no vocabulary has
    texts = [rng.permutation(text).tolist() for text in texts]
    tags = Ragged.of([[NAMES.get(word, 0) for word in text] for text in texts])
    classes = np.array(["oslo" in text for text in texts]).astype(np.int64)
    inputs, labels, names = (
        (texts, tags, TAGS) if task == "tagging" else ([" ".join(w) for w in texts], classes, ("-", "+"))
    )
    half = Split(inputs[: n // 2], labels[np.arange(n // 2)]), Split(inputs[n // 2 :], labels[np.arange(n // 2, n)])
    return Corpus("tiny", task, names, *half, fingerprint=task)


@dataclass
class Run:
    """Two cycles of the loop."""

    folder: Path
    corpus: Corpus
    learner: TransformerLearner
    cycles: list[Cycle]

    @property
    def inputs(self) -> Unlabelled:
        return Unlabelled(self.corpus.train.inputs)

    @property
    def ids(self) -> np.ndarray:
        return np.arange(len(self.inputs))

    @property
    def half(self) -> np.ndarray:
        return self.ids[::2]

    def fresh(self, folder: Path | None = None) -> TransformerLearner:
        return build(folder or self.folder, self.corpus.task, self.corpus.label_names, available=frozenset(), **FIT)

    def fitted(self, learner: TransformerLearner) -> Model:
        return learner.fit(self.inputs, self.half, self.corpus.train.labels[self.half], SEEDS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Run]:
    """A family's run on a task, made once."""
    runs: dict[tuple[str, str], Run] = {}

    def run(name: str, task: str) -> Run:
        if (name, task) not in runs:
            configuration, sizes, tokenizer = PUBLISHED[name]
            folder = save(configuration, sizes, tokenizer(), tmp_path_factory.mktemp(name))
            run = runs[name, task] = Run(folder, corpus_of(task), None, [])  # type: ignore[arg-type]
            run.learner = run.fresh()
            strategy = "mnlp" if task == "tagging" else "breaking_ties"
            config = config_of(task, strategy__name=strategy, schedule__initial=4, schedule__step=4, schedule__cycles=1)
            run.cycles = [cycle for cycle, _ in collected(config, run.corpus, run.learner)]  # type: ignore[arg-type]
        return runs[name, task]

    return run


EVERY = pytest.mark.parametrize(("name", "task"), [(name, task) for task in TASKS for name in PUBLISHED])


@EVERY
def test_two_cycles(name: str, task: str, ran: Callable[[str, str], Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns what it is shown, and predicts distributions, padded or not; cycles before a fit leave nothing."""
    run = ran(name, task)
    assert [cycle.labelled for cycle in run.cycles] == [4, 8]
    assert all(np.isfinite(list(cycle.metrics.values())).all() for cycle in run.cycles if cycle.metrics)
    model = run.fitted(run.learner)
    together = model.predict(run.inputs, run.ids)
    probs = values_of(together.probs)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert np.isfinite(probs).all()
    shown = model.predict(run.inputs, run.half)
    gold = shown.surviving(run.corpus.train.labels[run.half])
    right = values_of(shown.probs).argmax(axis=1) == gold
    assert right.mean() > np.bincount(gold).max() / len(gold), "it learns"
    lengths = run.learner.encoded(run.inputs).tokens.lengths
    assert lengths.min() < lengths.max(), "some are padded"
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    np.testing.assert_allclose(values_of(model.predict(run.inputs, run.ids).probs), probs, atol=5e-6)
    monkeypatch.undo()
    np.testing.assert_array_equal(values_of(run.fitted(run.fresh()).predict(run.inputs, run.ids).probs), probs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_words_have_the_sub_words_that_they_have_alone(name: str, ran: Callable[[str, str], Run]) -> None:
    run = ran(name, "tagging")
    tokenizer, encoded = run.learner.tokenizer, run.learner.encoded(run.inputs)
    assert encoded.firsts is not None
    before = 0 if name == "xlnet" else 1  # special tokens
    for i, words in enumerate(run.inputs.inputs):
        pieces = [tokenizer([word], is_split_into_words=True, add_special_tokens=False).input_ids for word in words]
        tokens = encoded.tokens[np.array([i])].values.tolist()
        assert tokens[before : before + sum(map(len, pieces))] == list(chain(*pieces))
        starts = before + np.cumsum([0, *map(len, pieces[:-1])])
        alive = np.array([len(ids) > 0 for ids in pieces])
        assert encoded.firsts[np.array([i])].values.tolist() == starts[alive].tolist()
        owners = tokenizer(words, is_split_into_words=True).word_ids()
        assert [owners.index(word) for word in np.flatnonzero(alive)] == starts[alive].tolist()


def slow_unless(quick: bool, *values: str) -> Any:
    return pytest.param(*values, marks=() if quick else pytest.mark.slow)


# Their heads are those of RoBERTa, BERT and DeBERTa-v2.
LIKE_OTHERS = ("xlm_roberta", "e5", "deberta_v3")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        slow_unless(task == "classification" and name not in LIKE_OTHERS, name, task)
        for task in TASKS
        for name in PUBLISHED
    ],
)
def test_a_fitted_head_is_drawn_anew(name: str, task: str, ran: Callable[[str, str], Run], tmp_path: Path) -> None:
    """A checkpoint with one, of as many classes, fits as the same encoder without one."""
    run = ran(name, task)
    learner, network = run.learner, run.learner.network
    probs = []
    for folder, saved in ((tmp_path / "fitted", network), (tmp_path / "headless", network.base_model)):
        saved.save_pretrained(folder)
        learner.tokenizer.save_pretrained(folder)
        again = run.fresh(folder)
        assert again.head_parameters == learner.head_parameters
        head = {key for key, _ in network.named_parameters() if not key.startswith(f"{network.base_model_prefix}.")}
        assert again.fitted_head == (head if saved is network else set())
        assert bool(again.notes) == (saved is network)
        probs.append(values_of(run.fitted(again).predict(run.inputs, run.ids).probs))
    np.testing.assert_array_equal(*probs)


# ------------------------------------------------------------------------------------- tokenizers as they are found


def copied(run: Run, to: Path) -> Path:
    return Path(shutil.copytree(run.folder, to))


def in_a_sub_folder(folder: Path) -> None:
    (folder / "tokenizer").mkdir()
    for path in folder.glob("tokenizer*.json"):
        path.rename(folder / "tokenizer" / path.name)


def bare(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()


def edited(folder: Path, **changes: object) -> None:
    path = folder / "tokenizer_config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


FOUND: dict[str, Callable[[Path], object]] = {
    "in a sub-folder": in_a_sub_folder,
    "tokenizer.json alone": bare,
    "tokenizer.json alone, in a sub-folder": lambda folder: (bare(folder), in_a_sub_folder(folder)),
    "without model_max_length": lambda folder: edited(folder, model_max_length=None),
    "of any length": lambda folder: edited(folder, model_max_length=int(1e30)),
    "for shorter texts than asked for": lambda folder: edited(folder, model_max_length=8),
    "padding on the left": lambda folder: edited(folder, padding_side="left"),
    "padding on the right": lambda folder: edited(folder, padding_side="right"),
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        slow_unless(name == "bert" or what.startswith("padding"), name, what)
        for name in ("bert", "xlnet", "deberta_v3")
        for what in FOUND
    ],
)
def test_what_a_tokenizer_comes_with_changes_no_prediction(
    name: str, what: str, ran: Callable[[str, str], Run], tmp_path: Path
) -> None:
    run = ran(name, "classification")
    folder = copied(run, tmp_path / "model")
    FOUND[what](folder)
    learner = run.fresh(folder)
    rows = [[row.tolist() for row in one.encoded(run.inputs).tokens.rows()] for one in (learner, run.learner)]
    assert rows[0] == rows[1]
    for some in (run.ids, run.ids[:1]):
        inputs = [one.collator.inputs(one.encoded(run.inputs), some) for one in (learner, run.learner)]
        assert inputs[0].keys() == inputs[1].keys()
        assert all(torch.equal(inputs[0][key], inputs[1][key]) for key in inputs[0])


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "albert", "deberta_v2"])
def test_positions_do_not_depend_on_the_tokenizers_side(
    name: str, ran: Callable[[str, str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that numbers positions from the first column on, and a tokenizer that would pad there."""
    run = ran(name, "classification")
    folder = copied(run, tmp_path / "model")
    edited(folder, padding_side="left")
    learner = run.fresh(folder)
    assert learner.tokenizer.padding_side == "left"
    model = run.fitted(learner)
    together = values_of(model.predict(run.inputs, run.ids).probs)
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", 1)
    np.testing.assert_allclose(values_of(model.predict(run.inputs, run.ids).probs), together, atol=5e-6)


def test_a_tokenizer_in_a_sub_folder_is_part_of_the_fingerprint(ran: Callable[[str, str], Run], tmp_path: Path) -> None:
    folder = copied(ran("bert", "classification"), tmp_path / "model")
    before = identify("r", ModelConfig(path=str(folder)))
    in_a_sub_folder(folder)
    assert identify("r", ModelConfig(path=str(folder))) == before, "the same tokenizer"
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    after = identify("r", ModelConfig(path=str(folder)))
    assert {key for key in before if before[key] != after[key]} == {"tokenizer"}


def test_the_tokenizer_beside_the_weights_comes_first(ran: Callable[[str, str], Run], tmp_path: Path) -> None:
    folder = copied(ran("bert", "classification"), tmp_path / "model")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    assert ran("bert", "classification").fresh(folder).tokenizer.is_fast


def test_a_tokenizer_without_words_of_sub_words_is_refused(ran: Callable[[str, str], Run], tmp_path: Path) -> None:
    """One of Python's, which does not know which word a sub-word is of."""
    folder = copied(ran("bert", "classification"), tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    edited(folder, tokenizer_class="CTRLTokenizer", pad_token="<unk>")
    (folder / "vocab.json").write_text(json.dumps({"<unk>": 0, "a</w>": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(UserError, match=r"has no fast tokenizer, as words need; save it as tokenizer.json"):
        ran("bert", "classification").fresh(folder)
