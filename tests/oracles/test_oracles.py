"""Oracles: what they say, how often they are right, and which answers are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import TAGS, config_of, corpus_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from seqeval.metrics.sequence_labeling import get_entities

from al_bench.acquisition.annotation import Annotator, accounted
from al_bench.acquisition.setup import annotator_of
from al_bench.config.schema import OracleConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.ragged import Ragged, values_of
from al_bench.data.tags import to_iob2
from al_bench.errors import UserError
from al_bench.oracles import ORACLES
from al_bench.oracles.difficulty import chances
from al_bench.oracles.protocol import Answers


def asked(corpus: Corpus, name: str, seed: int = 0, **params) -> Answers:
    oracle = ORACLES[name]
    return oracle.call(corpus, np.random.default_rng(seed), **oracle.typed(params, "oracle.params"))


def plausible(hits: int, n: int, rate: float) -> bool:
    """Whether so many of n independent events are what the rate gives but once in a million."""
    return binomtest(hits, n, rate).pvalue > 1e-6


def test_gold_is_the_corpus():
    corpus = corpus_of()
    answers = asked(corpus, "gold")
    assert answers.labels is corpus.train.labels
    assert answers.known.all()


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
def test_noise_at_a_rate_with_any_other_label_alike(rate):
    corpus = corpus_of(train=20_000)
    gold, answers = corpus.train.labels, asked(corpus, "noisy", rate=rate, abstain=0.3)
    wrong = answers.labels != gold
    assert plausible(wrong.sum(), 20_000, rate)
    shift = (answers.labels - gold)[wrong] % 3
    assert not wrong.any() or plausible((shift == 1).sum(), wrong.sum(), 0.5)
    assert plausible((~answers.known).sum(), 20_000, 0.3)


MATRIX = {"a": {"b": 0.2, "c": 0.1}, "b": {"a": 0.5, "b": 0.5}}


@pytest.mark.parametrize("in_file", [False, True])
def test_noise_by_a_confusion_matrix(tmp_path, in_file):
    corpus = corpus_of(train=30_000)
    params = {"matrix": MATRIX}
    if in_file:
        (tmp_path / "matrix.csv").write_text("gold,a,b,c\na,0.7,0.2,0.1\nb,0.5,0.5,0\n")
        params = {"file": str(tmp_path / "matrix.csv")}
    answers = asked(corpus, "noisy_confusion", **params).labels
    expected = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    for gold, row in enumerate(expected):
        of_label = answers[corpus.train.labels == gold]
        for label, share in enumerate(row):
            assert plausible((of_label == label).sum(), len(of_label), share), (gold, label)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ({"a": {"z": 0.2}}, "oracle.params.matrix=z: is no label of the corpus; it has a, b, c"),
        ({"y": {"a": 0.2}}, "is no label of the corpus"),
        ({"a": {"b": 0.8, "c": 0.3}}, "its row a sums to 1.1"),
        ({"a": {"a": 0.5, "b": 0.2}}, "its row a sums to 0.7"),
        ({"a": {"b": -0.1}}, "its row a sums to -0.1"),
    ],
)
def test_a_matrix_that_is_none(matrix, expected):
    with pytest.raises(UserError, match=expected) as refusal:
        asked(corpus_of(), "noisy_confusion", matrix=matrix)
    assert "\n" not in str(refusal.value)


def test_hard_examples_are_labelled_wrong_more_often_and_always_alike():
    """Texts of class a are plain; those of b and c share their words, so that these are mistaken for each other."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 600)
    words = np.where(gold == 0, "plain", "odd")
    texts = [f"{word} w{rng.integers(5)}" for word in words]
    corpus = replace(corpus_of(), train=Split(texts, gold))
    several = [asked(corpus, "noisy_hard", seed, rate=0.2).labels for seed in range(8)]
    wrong = np.array([labels != gold for labels in several])
    assert wrong.mean() == pytest.approx(0.2, abs=0.02)
    assert wrong[:, gold > 0].mean() > 5 * wrong[:, gold == 0].mean()
    for example in range(600):
        assert len({int(labels[example]) for labels in several} - {int(gold[example])}) <= 1
    of_b = np.concatenate([labels[(gold == 1) & (labels != gold)] for labels in several])
    assert (of_b == 2).mean() > 0.95


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_chances_rise_with_the_loss_to_a_mean_of_the_rate(losses, rate):
    loss = np.array(losses)
    chance = chances(loss, rate)
    assert chance.mean() == pytest.approx(rate, abs=1e-6)
    assert (np.diff(chance[np.argsort(loss)]) >= -1e-12).all()
    assert ((chance >= 0) & (chance <= 1)).all()


def test_chances_by_hand():
    assert chances(np.array([1.0, 2.0, 3.0]), 0.2) == pytest.approx([0.1, 0.2, 0.3])
    # 3 s is more than 1, so the others carry the rest: s + 2 s + 1 = 3 x 0.6.
    assert chances(np.array([1.0, 2.0, 30.0]), 0.6) == pytest.approx([0.8 / 3, 1.6 / 3, 1.0])


def sentences_of(rows: list[list[str]]) -> Corpus:
    names = {tag: number for number, tag in enumerate(TAGS)}
    labels = Ragged.of([[names[tag] for tag in row] for row in rows])
    return replace(corpus_of("tagging"), train=Split([["w"] * len(row) for row in rows], labels))


def named(labels: Ragged) -> list[list[str]]:
    return [[TAGS[tag] for tag in row] for row in labels.rows()]


@given(
    st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=9).map(to_iob2), min_size=1, max_size=6),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_spans_stay_valid(rows, missed, kind, boundary, seed):
    corpus = sentences_of(rows)
    answers = asked(corpus, "noisy_spans", seed, missed=missed, type=kind, boundary=boundary)
    for before, after in zip(rows, named(answers.labels), strict=True):
        assert to_iob2(after) == after, "IOB2"
        assert len(get_entities(after)) <= len(get_entities(before)), "no span comes from nowhere"
        if missed == 0:
            assert len(get_entities(after)) == len(get_entities(before))


def test_spans_by_rate():
    corpus = sentences_of([["O", "B-PER", "I-PER", "O", "O", "B-LOC", "O"]] * 4000)
    gold = [("PER", 1, 2), ("LOC", 5, 5)]
    plain = named(asked(corpus, "noisy_spans", missed=0, type=0, boundary=0).labels)
    assert get_entities(plain[0]) == gold
    kept = sum(
        len(get_entities(row)) for row in named(asked(corpus, "noisy_spans", missed=0.3, type=0, boundary=0).labels)
    )
    assert plausible(kept, 8000, 0.7)
    types = [get_entities(row) for row in named(asked(corpus, "noisy_spans", missed=0, type=0.2, boundary=0).labels)]
    assert plausible(sum(row[0] == ("LOC", 1, 2) for row in types), 4000, 0.2)
    assert plausible(sum(row[1] == ("PER", 5, 5) for row in types), 4000, 0.2)
    moved = [get_entities(row) for row in named(asked(corpus, "noisy_spans", missed=0, type=0, boundary=0.4).labels)]
    assert {row[0][1:] for row in moved} == {(1, 2), (0, 2), (2, 2), (1, 1), (1, 3)}
    assert plausible(sum(row[0] != gold[0] for row in moved), 4000, 0.4)


# ------------------------------------------------------------------------------------------- files and columns


def test_answers_of_a_file(tmp_path):
    corpus = corpus_of(train=4)
    (tmp_path / "a.csv").write_text("id,label\n2,b\n0,c\n1,\n")
    answers = asked(corpus, "column", file=str(tmp_path / "a.csv"))
    assert answers.known.tolist() == [True, False, True, False]
    assert answers.labels[[0, 2]].tolist() == [2, 1]
    lines = [{"id": 2, "label": "b"}, {"id": 0, "label": "c"}, {"id": 1, "label": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    again = asked(corpus, "column", file=str(tmp_path / "a.jsonl"))
    assert np.array_equal(again.known, answers.known)
    assert np.array_equal(again.labels, answers.labels)


def test_tags_of_a_file(tmp_path):
    corpus = sentences_of([["O", "B-PER"], ["O"], ["B-LOC", "I-LOC", "O"]])
    lines = [{"id": 0, "label": ["B-LOC", "O"]}, {"id": 2, "label": "I-PER I-PER O"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answers = asked(corpus, "column", file=str(tmp_path / "a.jsonl"))
    assert answers.known.tolist() == [True, False, True]
    assert named(answers.labels[np.array([0, 2])]) == [["B-LOC", "O"], ["B-PER", "I-PER", "O"]]
    assert named(corpus.train.labels)[0] == ["O", "B-PER"], "gold stays"


@pytest.mark.parametrize(
    ("task", "content", "expected"),
    [
        ("classification", "id,label\n0,d\n", "says 'd' of id 0, which is no label"),
        ("classification", "id,label\n60,a\n", "row 1 has the id 60, but the training split has ids 0 to 59"),
        ("classification", "id,label\nx,a\n", "row 1 has the id 'x'"),
        ("classification", "text,label\nx,a\n", "row 1 has the id None"),
        ("classification", "id,label\n1,a\n1,b\n", "row 2 has the id 1 again"),
        ("classification", "id,label\n1,\n", "answers nothing"),
        ("classification", "", "answers nothing"),
        ("tagging", "id,label\n0,O O O O O O O O O O\n", "has 10 tags of id 0, whose sentence has"),
        ("tagging", "id,label\n0,B-XY\n", "says 'B-XY' of id 0, which is no label"),
    ],
)
def test_bad_files(tmp_path, task, content, expected):
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=expected) as refusal:
        asked(corpus_of(task), "column", file=str(path))
    assert str(refusal.value).startswith(f"oracle.params.file={path}: ")
    assert "\n" not in str(refusal.value)


def test_neither_a_file_nor_a_column():
    with pytest.raises(UserError, match=r"set oracle\.params\.file=FILE"):
        asked(corpus_of(), "column")


# ------------------------------------------------------------------------------------------- asking


def test_each_asking_has_a_chance_of_its_own():
    config, corpus = config_of(oracle__name="noisy", oracle__params={"rate": 0.5}), corpus_of(train=500)
    annotator, ids = annotator_of(config, corpus), np.arange(500)
    first, second = annotator.label(ids), annotator.label(ids, 1)
    assert np.array_equal(first, annotator_of(config, corpus).label(ids)), "no state"
    assert np.array_equal(annotator.label(ids[::-1]), first[::-1]), "nothing depends on what else is asked"
    assert 150 < (first != second).sum() < 450
    other = annotator_of(config_of(oracle__name="noisy", oracle__params={"rate": 0.5}, seeds__oracle=1), corpus)
    assert not np.array_equal(other.label(ids), first)


def test_accounts_by_hand():
    corpus = replace(
        corpus_of(), train=Split(["one", "two words", "three more words", "x y z z"], np.array([0, 1, 2, 0]))
    )
    counts = accounted(corpus, np.array([3, 1, 2]), np.array([-1, 1, 0], dtype=np.int16))
    assert counts == {"asked": 3, "answered": 2, "abstained": 1, "right": 1, "words": 5}
    tagging = sentences_of([["O", "B-PER"], ["O"], ["B-LOC", "I-LOC", "O"]])
    counts = accounted(tagging, np.array([2, 0, 1]), np.array([3, 4, 0, 0, 0, -1], dtype=np.int16))
    assert counts == {"asked": 3, "answered": 2, "abstained": 1, "right": 1, "words": 5}


EVERY = np.ones(60, dtype=bool)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (np.zeros(60), "gives no Answers"),
        (Answers(np.zeros(59, dtype=int), EVERY), r"its labels have the shape \(59,\)"),
        (Answers(np.full(60, 3), EVERY), "its labels must be numbers from 0 to 2"),
        (Answers(np.full(60, -1), EVERY), "its labels must be numbers from 0 to 2"),
        (Answers(np.zeros(60), EVERY), "its labels must be numbers"),
        (Answers(np.zeros(60, dtype=int), EVERY[:9]), "not of 60 bool"),
        (Answers(Ragged.of([[0]] * 60), EVERY), ""),
    ],
)
def test_broken_oracles_are_refused(answers, expected, monkeypatch):
    from al_bench import plugins

    monkeypatch.setitem(plugins._given["oracle"], "broken", lambda corpus, rng: answers)
    with pytest.raises(UserError, match=f"oracle=broken: .*{expected}.*; mend the oracle"):
        Annotator(OracleConfig("broken"), corpus_of(), 0).answers()


def test_where_an_oracle_abstains_its_label_does_not_matter(monkeypatch):
    from al_bench import plugins

    known = np.arange(60) % 2 == 0
    answers = Answers(np.where(known, 1, -7), known)
    monkeypatch.setitem(plugins._given["oracle"], "half", lambda corpus, rng: answers)
    annotator = Annotator(OracleConfig("half"), corpus_of(), 0)
    assert annotator.label(np.array([0, 1, 2])).tolist() == [1, -1, 1]
    assert values_of(annotator.answers().labels)[1] == -7
