"""What loading decides (cuts, limits, numbers, notes), and every way in which it refuses."""

import hashlib
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from al_bench.config.schema import DatasetConfig, Limits
from al_bench.data.corpus import Corpus, Split
from al_bench.data.loading import fingerprint, load_corpus
from al_bench.errors import UserError

Load = Callable[..., Corpus]
TWO = "text,label\na,x\nb,y\n"
TAGGED = "EU B-ORG\nrejects O\n"


def table(*rows: tuple[str, object]) -> str:
    return "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)


def test_names_are_sorted_and_ids_follow_the_source(load: Load) -> None:
    corpus = load({"train.csv": table(("t0", "z"), ("t1", "a"), ("t2", "z")), "test.csv": table(("u", "a"))})
    assert corpus.label_names == ("a", "z")
    assert list(corpus.train.inputs) == ["t0", "t1", "t2"]
    assert corpus.train.labels.tolist() == [1, 0, 1]
    assert (len(corpus.test), corpus.dev, corpus.notes) == (1, None, ())


def test_numbers_sort_by_value(load: Load) -> None:
    content = table(("a", 10), ("b", 9), ("c", 1))
    assert load({"train.csv": content, "test.csv": content}).label_names == ("1", "9", "10")


def test_label_names_of_numbers(load: Load) -> None:
    content = table(("a", 1), ("b", 0))
    files = {"train.csv": content, "test.jsonl": '{"text": "c", "label": 1}'}
    corpus = load(files, label_names=["neg", "pos", "mixed"])
    assert corpus.label_names == ("neg", "pos", "mixed")
    assert corpus.train.labels.tolist() == [1, 0]
    assert corpus.test.labels.tolist() == [1]


def test_label_names_fix_the_order_of_names(load: Load) -> None:
    corpus = load({"train.csv": TWO, "test.csv": TWO}, label_names=["y", "x"])
    assert corpus.train.labels.tolist() == [1, 0]


def test_tag_numbers_take_their_names_from_the_config(load: Load) -> None:
    row = '{"tokens": ["Ann", "sang"], "ner_tags": [1, 0]}'
    names = ["O", "B-PER", "I-PER"]
    corpus = load({"train.jsonl": row, "test.jsonl": row}, task="tagging", label_names=names)
    assert corpus.label_names == ("O", "B-PER", "I-PER")
    assert corpus.train.labels.values.tolist() == [1, 0]


def test_labels_that_train_lacks_are_kept_and_noted(load: Load) -> None:
    corpus = load({"train.csv": TWO, "test.csv": table(("c", "w"), ("d", "v"))})
    assert corpus.label_names == ("v", "w", "x", "y")
    assert corpus.notes == ("labels of test that no training example has: v, w",)


def test_stray_i_tags_are_noted(load: Load) -> None:
    content = "A B-X\nB B-X\nC O\nD I-X\n"
    corpus = load({"train.txt": content, "test.txt": content.replace("A", "E")}, task="tagging")
    assert corpus.train.labels.values.tolist() == [1, 1, 0, 1]
    assert corpus.notes == ("2 spans began with I-: their first tag was rewritten as B-",)


def test_words_are_counted(load: Load) -> None:
    content = table(("one", "x"), ("  two words ", "y"))
    assert load({"train.csv": content, "test.csv": content}).train.words.tolist() == [1, 2]


def test_examples_without_words_are_dropped_and_noted(load: Load) -> None:
    corpus = load({"train.csv": table(("a", "x"), (" ", "x"), ("b", "y")), "test.csv": table(("c", "x"))})
    assert corpus.train.labels.tolist() == [0, 1]
    assert corpus.notes == ("dropped 1 of 3 examples of train.csv: they have no words",)


def test_sentences_without_words_are_dropped_and_noted(load: Load) -> None:
    rows = '{"tokens": [], "ner_tags": []}\n{"tokens": ["A"], "ner_tags": ["B-X"]}'
    corpus = load({"train.jsonl": rows, "test.jsonl": rows.replace("A", "C")}, task="tagging")
    assert [list(words) for words in corpus.train.inputs] == [["A"]]
    assert corpus.train.labels.lengths.tolist() == [1]
    assert len(corpus.notes) == 2


@given(
    sizes=st.lists(st.integers(2, 30), min_size=2, max_size=5),
    share=st.sampled_from([0.1, 0.2, 0.5]),
    seed=st.integers(0, 9),
)
def test_a_cut_is_stratified_disjoint_and_in_order(
    sizes: list[int], share: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    file = tmp_path_factory.mktemp("cut") / "all.csv"
    file.write_text(table(*((f"t{i:03}", label) for i, label in enumerate(labels))))
    config = DatasetConfig(name="cut", task="classification", path=str(file), test_share=share, split_seed=seed)
    assume(round(len(labels) * share) > 0)
    corpus = load_corpus(config)
    train, test = list(corpus.train.inputs), list(corpus.test.inputs)
    assert sorted(train + test) == [f"t{i:03}" for i in range(len(labels))]
    assert (train, test) == (sorted(train), sorted(test))
    assert len(test) == round(len(labels) * share)
    shares = np.bincount(corpus.test.labels, minlength=len(sizes)) - np.array(sizes) * len(test) / len(labels)
    assert np.abs(shares).max() < 1 + 1e-9
    assert len(np.unique(corpus.train.labels)) == len(sizes)


def test_a_cut_depends_on_its_seed_only(load: Load) -> None:
    content = {"all.csv": table(*((f"t{i}", "xy"[i % 2]) for i in range(50)))}
    first, again, other = (load(content, path="all.csv", split_seed=seed) for seed in (0, 0, 1))
    assert list(first.test.inputs) == list(again.test.inputs) != list(other.test.inputs)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_cut_with_a_class_of_one_example(load: Load) -> None:
    content = table(*((f"t{i}", "xy"[i % 2]) for i in range(9)), ("t9", "z"))
    assert len(load({"all.csv": content}, path="all.csv").test) == 2


def test_a_tagging_cut(load: Load) -> None:
    corpus = load({"all.txt": (TAGGED + "\n") * 10}, path="all.txt", task="tagging", test_share=0.3)
    assert (len(corpus.train), len(corpus.test)) == (7, 3)


def test_limits_keep_order_seed_and_label_numbers(load: Load) -> None:
    rows = [(f"t{i:02}", "wxyz"[i % 4]) for i in range(40)]
    files = dict.fromkeys(["train.csv", "dev.csv", "test.csv"], table(*rows))
    full = load(files)
    small = load(files, limit=Limits(train=8, dev=100, test=5))
    assert small.dev is not None
    assert [len(small.train), len(small.dev), len(small.test)] == [8, 40, 5]
    assert list(small.train.inputs) == sorted(small.train.inputs)
    assert small.label_names == full.label_names
    gold = dict(zip(full.train.inputs, full.train.labels, strict=True))
    assert [gold[text] for text in small.train.inputs] == small.train.labels.tolist()
    assert small.notes[0] == "kept 8 of 40 train examples (dataset.limit.train=8)"
    assert load(files, limit=Limits(train=8)).train.inputs == small.train.inputs
    assert load(files, limit=Limits(train=8), split_seed=1).train.inputs != small.train.inputs


def split_of(texts: list[str], labels: list[int]) -> Split:
    return Split(texts, np.array(labels))


def test_a_fingerprint_tells_everything_apart() -> None:
    names = ("x", "y")
    splits = [
        fingerprint("classification", names, {"train": split_of(["ab", "c"], [0, 1])}),
        fingerprint("classification", names, {"train": split_of(["a", "bc"], [0, 1])}),
        fingerprint("classification", names, {"train": split_of(["ab", "c"], [1, 0])}),
        fingerprint("classification", names, {"test": split_of(["ab", "c"], [0, 1])}),
        fingerprint("classification", ("xy", ""), {"train": split_of(["ab", "c"], [0, 1])}),
        fingerprint("tagging", names, {"train": split_of(["ab", "c"], [0, 1])}),
    ]
    assert len(set(splits)) == len(splits)
    assert all(len(digest) == 64 for digest in splits)


def test_a_fingerprint_is_the_same_for_ever(load: Load) -> None:
    # Trajectories record it: another layout of these bytes would refuse all of them.
    corpus = load({"train.csv": TWO, "test.csv": TWO})
    examples = struct.pack("<3q", 2, 1, 1) + b"ab" + struct.pack("<2q", 0, 1)
    header = struct.pack("<4q", 3, 14, 1, 1) + b"classificationxy"
    test, train = struct.pack("<2q", 1, 4) + b"test", struct.pack("<2q", 1, 5) + b"train"
    expected = header + test + examples + train + examples
    assert corpus.fingerprint == hashlib.sha256(expected).hexdigest()


def test_a_fingerprint_of_120_000_texts_is_quick() -> None:
    split = split_of(["some forty words of news " * 8] * 120_000, [0] * 120_000)
    start = time.perf_counter()
    fingerprint("classification", ("x",), {"train": split})
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"train.csv": ""}, {}, "train.csv is empty"),
        ({"train.jsonl": "\n"}, {}, "train.jsonl is empty"),
        ({"train.csv": "text,label\n"}, {}, "train.csv has no examples"),
        ({"train.csv": TWO}, {"where": {"label": "q"}}, "train.csv has no examples"),
        ({"train.csv": table(("a", "x"), ("b", "x"))}, {"test_share": 0.5}, "one class only"),
        ({"train.txt": "A O\n\nB O\n"}, {"task": "tagging", "test_share": 0.5}, "has no entity, only O"),
        ({"train.csv": "text,label\na,x\nb,\n"}, {}, "row 2 of train.csv has no label"),
        ({"train.csv": "text,label\na,\nb,\n"}, {}, "train.csv has no labels"),
        ({"train.csv": "text,text,label\na,b,x\n"}, {}, "two columns 'text'"),
        ({"train.csv": "text,label\na,b,x\n"}, {}, "row 1 of train.csv has 3 fields, its first line 2"),
        ({"train.csv": 'text,label\n"a,x\nb,y\n'}, {}, "train.csv is malformed in line 3"),
        ({"train.csv": TWO}, {"delimiter": "::"}, "dataset.delimiter=::: must be one character"),
        ({"train.csv": "body,class\na,x\n"}, {}, "no column text; it has body, class; set dataset.text="),
        ({"train.csv": "text,class\na,x\n"}, {}, "no column label; it has text, class; set dataset.label="),
        ({"train.csv": TWO}, {"where": {"source": "a"}}, "dataset.where={source: a}: .* it has text, label"),
        ({"train.json": '[{"text": "a",}]'}, {}, "train.json is malformed in line 1, column"),
        ({"train.jsonl": '{"text": "a", "label": 1}\n{"text"'}, {}, "train.jsonl is malformed in line 2"),
        ({"train.jsonl": '{"text": "a", "label": 1}\n3'}, {}, "row 2 of train.jsonl is a int, not an object"),
        ({"train.jsonl": '{"text": 7, "label": 1}'}, {}, "row 1 of train.jsonl has 7 instead of a text"),
        ({"train.jsonl": '{"text": "a", "label": 1}\n{"label": 1}'}, {}, "row 2 of train.jsonl has no text"),
        ({"train.jsonl": '{"text": "a", "label": [1]}'}, {}, "a list of labels instead of one"),
        ({"train.parquet": "PAR1 it is not"}, {}, "train.parquet is no readable Parquet file"),
        ({"train.csv": b"text,label\ncaf\xe9,x\n"}, {}, "dataset.encoding=utf-8: byte 14 .* try dataset.encoding"),
        ({"train.docx": "?"}, {"path": "train.docx"}, "train.docx has an extension that names no format"),
        ({"other.csv": TWO}, {}, "holds no training split .* but other.csv"),
        ({"train.csv": TWO, "train.json": "[]"}, {}, "holds train.csv and train.json"),
        ({"train.csv": TWO}, {"path": "nowhere"}, "no such file or folder"),
        ({"train.csv": TWO}, {"path": "train.csv", "format": "folder"}, "train.csv is a file"),
        ({"train.csv": table(("a", 0), ("b", 2))}, {"label_names": ["n", "p"]}, "names 2 labels, 0 to 1, .* has 2"),
        ({"train.csv": TWO}, {"label_names": ["x", "z"]}, "lacks the label 'y'"),
        ({"train.csv": TWO}, {"label_names": ["x", "y", "x"]}, "names x twice"),
        ({"train.csv": TWO}, {"test_share": 0.01}, "cuts 0 of 2 examples for the missing test split"),
        ({"train.csv": TWO}, {"task": "tagging"}, "dataset.task=tagging: .* set dataset.task=classification"),
        (
            {"train.csv": "Word,Tag\nEU,B-ORG\n"},
            {"task": "tagging"},
            "hold no lists of words; write a word and its tag",
        ),
        ({"train.txt": TAGGED}, {}, "dataset.task=classification: .* set dataset.task=tagging"),
        ({"train.jsonl": '{"tokens": ["a"], "ner_tags": ["O"]}'}, {}, "set dataset.task=tagging"),
        ({"train.jsonl": '{"text": ["a"], "label": ["O"]}'}, {}, "set dataset.task=tagging"),
        ({"pos/1.txt": "a"}, {"task": "tagging"}, "set dataset.task=classification"),
        ({"train.txt": "EU B-ORG\nrejects\n"}, {"task": "tagging"}, "line 2 of train.txt has 1 columns"),
        ({"train.txt": TAGGED}, {"task": "tagging", "tag_column": 3}, "line 1 of train.txt has 2 columns"),
        ({"train.txt": "EU B-ORG\nrejects V\n"}, {"task": "tagging"}, "'V' is no tag"),
    ],
)
def test_what_cannot_be_loaded_says_why(load: Load, files: dict, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(files, **settings)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"tokens": ["a", "b"], "ner_tags": ["O"]}', "row 2 of train.jsonl has 2 words and 1 tags"),
        ('{"tokens": ["a"], "ner_tags": [null]}', "row 2 of train.jsonl lacks a tag"),
        ('{"tokens": ["a"]}', "row 2 of train.jsonl has no tags"),
        ('{"tokens": ["a"], "ner_tags": "O"}', "instead of a list of tags"),
        ('{"tokens": "a", "ner_tags": ["O"]}', "has 'a' instead of a list of words"),
        ('{"tokens": [7], "ner_tags": ["O"]}', "has 7 among its words"),
        ('{"tokens": ["a"], "ner_tags": [3]}', "dataset.label_names=null: the tags are numbers"),
    ],
)
def test_tagging_rows_that_cannot_be_loaded(load: Load, row: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load({"train.jsonl": '{"tokens": ["a"], "ner_tags": ["B-X"]}\n' + row}, task="tagging")


def test_a_missing_label_in_test_names_the_split(load: Load) -> None:
    with pytest.raises(UserError, match=r"row 1 of test\.csv has no label"):
        load({"train.csv": TWO, "test.csv": "text,label\na,\nb,y\n"})


def test_a_config_without_a_source() -> None:
    with pytest.raises(UserError, match="has no source"):
        load_corpus(DatasetConfig(name="x", task="classification"))


def test_another_encoding(load: Load) -> None:
    content = "text,label\ncafé,x\nb,y\n".encode("latin-1")
    assert load({"train.csv": content, "test.csv": content}, encoding="latin-1").train.inputs[0] == "café"
