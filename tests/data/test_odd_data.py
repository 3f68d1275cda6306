"""Data as people have it: read as it is meant, or refused or noted, but never read as something else without a word."""

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_readers import texts_and_labels, words_and_tags

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus
from al_bench.errors import UserError

Load = Callable[..., Corpus]
TWO = "text,label\na,x\nb,y\n"
OTHER = "text,label\nc,x\nd,y\n"


def rows(*pairs: tuple[str, object], delimiter: str = ",") -> str:
    return "".join(f"{text}{delimiter}{label}\n" for text, label in (("text", "label"), *pairs))


def lines(*objects: Any) -> str:
    return "\n".join(map(json.dumps, objects))


# ---------------------------------------------------------------------------------------------- CSV


def test_quotes_of_tab_separated_files_are_text_where_every_line_is_a_row(load: Load) -> None:
    content = rows(('"Stop', "x"), ("said nobody", "y"), ('at all"', "x"), ('"Go" he said', "y"), delimiter="\t")
    corpus = load({"all.tsv": content}, path="all.tsv", test_share=0.25)
    assert len(corpus.train) + len(corpus.test) == 4
    assert "all.tsv is read without quoting: its quotation marks belong to the texts" in corpus.notes
    assert load({"all.tsv": content}, path="all.tsv", test_share=0.25, quoting=False).fingerprint == corpus.fingerprint


def test_quoted_tab_separated_files_stay_quoted(load: Load) -> None:
    content = rows(('"two\nlines"', "x"), ('"a\ttab"', "y"), delimiter="\t")
    corpus = load({"train.tsv": content, "test.csv": OTHER})
    assert texts_and_labels(corpus) == [("two\nlines", "x"), ("a\ttab", "y")]
    assert corpus.notes == ()


def test_a_csv_file_that_fits_with_and_without_quoting_is_refused(load: Load) -> None:
    content = rows(('"Hello', "x"), ("you", "y"), ('there"', "x"), ("b", "y"))
    with pytest.raises(UserError, match=r"3 lines if fields can be quoted, but 5 if not; set dataset.quoting"):
        load({"train.csv": content, "test.csv": OTHER})
    assert len(load({"train.csv": content, "test.csv": OTHER}, quoting=False).train) == 4


def test_a_file_without_a_header(load: Load) -> None:
    corpus = load({"train.csv": "1,good\n0,bad\n", "test.csv": "1,fine\n"}, header=False, text=1, label=[0])
    assert texts_and_labels(corpus) == [("good", "1"), ("bad", "0")]


def test_columns_that_nobody_asks_for_may_be_double_or_unnamed(load: Load) -> None:
    content = "label,text,,\nx,a,,\ny,b,,\n"
    assert texts_and_labels(load({"train.csv": content, "test.csv": OTHER})) == [("a", "x"), ("b", "y")]


def test_several_columns_of_texts_are_joined(load: Load) -> None:
    train = "title,body,label\nA,long story,x\n,only a body,y\n"
    corpus = load({"train.csv": train, "test.csv": train.replace("A", "B")}, text=["title", "body"])
    assert [text for text, _ in texts_and_labels(corpus)] == ["A long story", " only a body"]
    assert "the texts of train.csv are its columns title and body, joined by blanks" in corpus.notes
    corpus = load({"train.csv": train, "test.csv": "title,label\nB,x\n"}, text=["title", "body"])
    assert "test.csv has no column body: its texts are title alone" in corpus.notes
    row = {"title": None, "body": "only a body", "label": "y"}
    corpus = load({"train.jsonl": lines(row, {**row, "title": "T", "label": "x"}), "test.csv": train}, text=["title", "body"], splits=splits("train.jsonl"))  # fmt: skip
    assert [text for text, _ in texts_and_labels(corpus)] == ["only a body", "T only a body"]


def splits(train: str) -> Any:
    from al_bench.config.schema import SplitNames

    return SplitNames(train=[train])


# ---------------------------------------------------------------------------------------------- bytes


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("some_name.csv", content)
        archive.writestr("__MACOSX/._some_name.csv", b"")
    return buffer.getvalue()


def zstandard(content: bytes) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped, "zst": zstandard}


@pytest.mark.parametrize("extension", COMPRESS)
def test_compressed_files(load: Load, extension: str) -> None:
    compress = COMPRESS[extension]
    corpus = load({f"train.csv.{extension}": compress(TWO.encode()), "test.csv": OTHER})
    assert texts_and_labels(corpus) == [("a", "x"), ("b", "y")]
    with pytest.raises(UserError, match="cannot be decompressed") as refused:
        load({f"train.csv.{extension}": b"no archive" + compress(TWO.encode())[10:-9]})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("encoding", "text", "advised"),
    [("cp1252", "don’t – “stop”", "cp1252"), ("latin-1", "Größe \x81", "latin-1"), ("utf-16", "Größe", "utf-16"), ("utf-32", "Größe", "utf-32")],
)  # fmt: skip
def test_the_advised_encoding_keeps_the_text(load: Load, encoding: str, text: str, advised: str) -> None:
    content = rows((text, "x"), ("b", "y")).encode(encoding)
    with pytest.raises(UserError, match=f"try dataset.encoding={advised}$"):
        load({"train.csv": content, "test.csv": content})
    assert load({"train.csv": content, "test.csv": content}, encoding=advised).train.inputs[0] == text


def test_windows_text_read_as_latin_1_is_noted(load: Load) -> None:
    content = rows(("don’t", "x"), ("b", "y")).encode("cp1252")
    corpus = load({"train.csv": content, "test.csv": OTHER.encode()}, encoding="ISO-8859-1")
    assert "; try dataset.encoding=cp1252 in place of ISO-8859-1" in corpus.notes[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16"])
@pytest.mark.parametrize("name", ["csv", "txt", "jsonl", "folder"])
def test_a_byte_order_mark_is_no_text(load: Load, name: str, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    contents = {"csv": TWO, "txt": "A B-X\nB O\n", "jsonl": lines({"text": "a", "label": "x"}, {"text": "b", "label": "y"})}  # fmt: skip
    if name == "folder":
        files = {
            f"{split}/{kind}/1.txt": (mark + kind).encode(encoding) for split in ("train", "test") for kind in "xy"
        }
    else:
        files = {f"{split}.{name}": (mark + contents[name]).encode(encoding) for split in ("train", "test")}
    corpus = load(files, task="tagging" if name == "txt" else "classification", encoding=encoding)
    assert "\ufeff" not in str(corpus.train.inputs[0])


def test_halves_of_characters_are_replaced_and_noted(load: Load) -> None:
    content = lines({"text": "so \ud83d", "label": "x\ude00"}, {"text": "b \U0001f600", "label": "y"})
    corpus = load({"train.jsonl": content, "test.csv": OTHER.replace(",x", ",y")})
    assert texts_and_labels(corpus) == [("so \ufffd", "x\ufffd"), ("b \U0001f600", "y")]
    assert corpus.notes[0] == "replaced halves of characters by U+FFFD in 2 texts or labels of train.jsonl"


@pytest.mark.parametrize("kind", ["link", "loop", "pipe", "pointer"])
def test_a_test_split_that_is_there_but_cannot_be_read_is_refused(load: Load, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "test.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 7\n")
    else:
        path.symlink_to({"link": "/nowhere/test.csv", "loop": "test.csv"}[kind])
    reason = {
        "link": "is a link to",
        "loop": "is a link to",
        "pipe": "is no regular file",
        "pointer": "pointer of Git LFS",
    }
    with pytest.raises(UserError, match=reason[kind]):
        load({"train.csv": TWO})


def test_a_pipe_among_the_texts_of_a_class_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / "x" / "2.txt")
    with pytest.raises(UserError, match="is no regular file"):
        load({"x/1.txt": "a", "y/1.txt": "b"})


def test_a_link_that_leaves_the_folder_is_followed_once(load: Load, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere.csv").write_text(TWO)
    (tmp_path / "data" / "train.csv").symlink_to(tmp_path / "elsewhere.csv")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    assert len(load({"data/test.csv": OTHER}, path="data").train) == 2


# ---------------------------------------------------------------------------------------------- folders


def test_hidden_files_and_folders_are_no_data(load: Load) -> None:
    files = {f"{split}/{kind}/1.txt": f"{split} {kind}" for split in ("train", "test") for kind in "xy"}
    hidden = {"train/.ipynb_checkpoints/1.txt": "a", "train/x/._1.txt": "b", "._train.csv": "c", ".DS_Store": "d"}
    corpus = load({**files, **hidden})
    assert texts_and_labels(corpus) == [("train x", "x"), ("train y", "y")]


@pytest.mark.parametrize("path", ["", "data"])
def test_the_shards_of_a_split_are_read_together(load: Load, tmp_path: Path, path: str) -> None:
    import pandas as pd

    (tmp_path / "data").mkdir()
    names = [f"train-{n:05}-of-00003-0a1b2c" for n in range(3)] + ["test-00000-of-00001"]
    for number, name in enumerate(names):
        frame = pd.DataFrame({"text": [f"t{number}", f"u{number}"], "label": ["x", "y"]})
        frame.to_parquet(tmp_path / "data" / f"{name}.parquet")
    corpus = load({"README.md": "a card"}, path=path)
    assert [text for text, _ in texts_and_labels(corpus)] == ["t0", "u0", "t1", "u1", "t2", "u2"]
    assert list(corpus.test.inputs) == ["t3", "u3"]
    (tmp_path / "data" / f"{names[1]}.parquet").unlink()
    with pytest.raises(UserError, match=r"holds other parts of the split train than all.*set dataset\.splits\.train"):
        load({}, path=path)
    one = load({}, path="data", splits=splits(names[0]))
    assert [text for text, _ in texts_and_labels(one)] == ["t0", "u0"]


def test_devel_is_a_dev_split_and_a_tsv_of_tags_is_no_table(load: Load) -> None:
    content = "aspirin\tO\nfor\tO\nmigraine\tB\nattacks\tI\n\nRest\tO\n"
    corpus = load({f"{split}.tsv": content for split in ("train", "devel", "test")}, task="tagging")
    assert corpus.dev is not None
    assert words_and_tags(corpus)[0] == (["aspirin", "for", "migraine", "attacks"], ["O", "O", "B-ENTITY", "I-ENTITY"])
    assert corpus.notes[0] == "the tags name no types: all spans are of the type ENTITY"


# ---------------------------------------------------------------------------------------------- CoNLL

CONLL_U = """# sent_id = 1
# text = from vitamin O
1-2\tdel\t_
1\tde\tO
2\tel\tO
2.1\tello\tO
3\tRio\tB-LOC

# text = A B-17
1\tRio\tB-LOC
"""


def test_conll_u_has_lines_that_are_no_words(load: Load) -> None:
    corpus = load({"train.txt": CONLL_U, "test.txt": CONLL_U.replace("el", "al")}, task="tagging", word_column=1)
    assert words_and_tags(corpus) == [(["de", "el", "Rio"], ["O", "O", "B-LOC"]), (["Rio"], ["B-LOC"])]
    corpus = load({"train.txt": CONLL_U, "test.txt": CONLL_U}, task="tagging")
    assert corpus.notes[0].endswith("set dataset.word_column=1 for its words")


@pytest.mark.parametrize("comment", ["#\tsome.site\t[2020-01-02]", "#begin document (a); part 000", "# a B-X", "# O"])
def test_comments_before_a_sentence(load: Load, comment: str) -> None:
    content = f"{comment}\n1\tAnna\tB-PER\tO\n2\tsang\tO\tO\n\n"
    corpus = load({"train.txt": content * 2, "test.txt": content.replace("a", "o")}, task="tagging", word_column=1, tag_column=2)  # fmt: skip
    assert words_and_tags(corpus) == [(["Anna", "sang"], ["B-PER", "O"])] * 2


def test_a_word_may_be_a_hash(load: Load) -> None:
    content = "# O\n1 O\nAnna B-PER\n\n#best O\nBo B-PER\n"
    corpus = load({"train.txt": content, "test.txt": content}, task="tagging")
    assert words_and_tags(corpus)[0][0] == ["#", "1", "Anna"]
    assert words_and_tags(corpus)[1][0] == ["#best", "Bo"]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("Tom NNP I-NP B-PER\nran VBD I-VP\n", {}, "line 2 .* has 3 columns .*, but line 1 has 4"),
        ("Tom NNP I-NP B-PER\n\nran VBD I-VP\n", {}, "line 3 .* has 3 columns .*, but line 1 has 4"),
        ("he O\n\nTom Lee B-PER\n", {}, "line 3 .* has 3 columns"),
        ("he O\nTom Lee B-PER\n", {"tag_column": 1}, "line 2 .* has 3 columns"),
    ],
)
def test_a_line_with_other_columns_than_the_rest_is_refused(
    load: Load, content: str, settings: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load({"train.txt": content}, task="tagging", **settings)


def test_sentences_may_differ_in_columns_that_are_counted_from_the_start(load: Load) -> None:
    content = "a B-X *\nb O *\n\nc O * (A1*\nd B-X * *)\n"
    assert len(load({"train.txt": content, "test.txt": content}, task="tagging", tag_column=1).train) == 2


# ---------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    ("written", "iob2", "note"),
    [
        ("person-actor person-actor O city", "B-person-actor I-person-actor O B-city", "from IO to IOB2"),
        ("B-X M-X E-X S-X O", "B-X I-X I-X B-X O", "from BILOU to IOB2"),
        ("B-X I-X I-O B-O O", "B-X I-X O O O", None),
        ("B I O B", "B-ENTITY I-ENTITY O B-ENTITY", "the tags name no types"),
        ("S O B M E", "B-ENTITY O B-ENTITY I-ENTITY I-ENTITY", "from BILOU to IOB2"),
        ("I I O O", "B-ENTITY I-ENTITY O O", "from IOB1 to IOB2"),
    ],
)
def test_schemes_that_people_have(load: Load, written: str, iob2: str, note: str | None) -> None:
    content = "".join(f"w{i} {tag}\n" for i, tag in enumerate(written.split()))
    corpus = load({"train.txt": content, "test.txt": content.replace("w", "v")}, task="tagging")
    assert words_and_tags(corpus)[0][1] == iob2.split()
    assert note is None or any(note in line for line in corpus.notes)


def test_bare_types_without_o_need_to_be_said(load: Load) -> None:
    content = "I PRON\nrun VERB\n"
    with pytest.raises(UserError, match=r"'PRON' is no tag.*none for tags that are no spans"):
        load({"train.txt": content}, task="tagging")
    spans = load({"train.txt": content, "test.txt": content}, task="tagging", scheme="io")
    assert spans.label_names == ("O", "B-PRON", "I-PRON", "B-VERB", "I-VERB")
    plain = load({"train.txt": content, "test.txt": content}, task="tagging", scheme="none")
    assert (plain.kind, plain.label_names) == ("plain tagging", ("PRON", "VERB"))
    assert "2 tags (PRON: 1, VERB: 1 in train)" in plain.summary


# ---------------------------------------------------------------------------------------------- spans

TEXT = "Anna Lee lives in Kiel-Ost"
FORMS = {
    "doccano": {"text": TEXT, "label": [[0, 8, "PER"], [18, 26, "LOC"]]},
    "doccano with relations": {"text": TEXT, "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 8}, {"id": 2, "label": "LOC", "start_offset": 18, "end_offset": 26}]},
    "spaCy": {"text": TEXT, "ents": [{"start": 0, "end": 8, "label": "PER"}, {"start": 18, "end": 26, "label": "LOC"}]},
    "spaCy's training data": [TEXT, {"entities": [[0, 8, "PER"], [18, 26, "LOC"]]}],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_spans_of_characters_become_tags_of_words(load: Load, form: str) -> None:
    empty = {"text": "nobody", "label": [], "entities": [], "ents": []}
    other = json.dumps([FORMS[form]]).replace("lives", "works")
    corpus = load({"train.json": json.dumps([FORMS[form], empty]), "test.json": other}, task="tagging")
    words = ["Anna", "Lee", "lives", "in", "Kiel", "-", "Ost"]
    assert words_and_tags(corpus) == [
        (words, ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC"]),
        (["nobody"], ["O"]),
    ]
    assert corpus.notes == ()


def test_spans_that_do_not_fit_are_noted_or_refused(load: Load) -> None:
    def read(*spans: Any) -> Corpus:
        content = lines({"text": TEXT, "label": spans})
        return load({"train.jsonl": content, "test.jsonl": content.replace("lives", "works")}, task="tagging")

    assert "1 spans of train.jsonl end inside a word, all of which became part of them" in read([0, 2, "PER"]).notes
    corpus = read([0, 8, "PER"], [5, 8, "NAME"])
    assert "left out 1 spans of train.jsonl that overlap with an earlier one" in corpus.notes
    assert corpus.label_names == ("O", "B-PER", "I-PER")
    with pytest.raises(UserError, match="has the span 18 to 99 in 26 characters"):
        read([18, 99, "LOC"])
    with pytest.raises(UserError, match=r"has \[1, 2\] among its spans"):
        read([0, 4, "PER"], [1, 2])


# ---------------------------------------------------------------------------------------------- labels and rows


def as_datasets_writes(path: Path, columns: dict[str, Any], feature: Any) -> None:
    """A Parquet file with the feature of its last column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {"huggingface": json.dumps({"info": {"features": {list(columns)[-1]: feature}}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("number", [-1, -2, -100])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_negative_numbers_are_no_labels(load: Load, tmp_path: Path, number: int, task: str) -> None:
    labels = [1, 0, 1, number, 1, 0]
    if task == "tagging":
        feature: Any = {"feature": {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}, "_type": "List"}
        columns: dict[str, Any] = {"tokens": [["a"]] * 6, "ner_tags": [[label] for label in labels]}
    else:
        feature = {"names": [f"intent {i}" for i in range(150)], "_type": "ClassLabel"}
        columns = {"text": list("abcdef"), "label": labels}
    as_datasets_writes(tmp_path / "all.parquet", columns, feature)
    with pytest.raises(UserError, match=r"row 4 of all.parquet (has no label|lacks a tag).* dataset\.missing=drop"):
        load({}, path="all.parquet", task=task)
    corpus = load({}, path="all.parquet", task=task, missing="drop", test_share=0.4)
    assert len(corpus.train) + len(corpus.test) == 5
    assert "dropped 1 of 6 examples of all.parquet: a text or a label is missing" in corpus.notes


@pytest.mark.parametrize(
    "metadata",
    ["null", "[]", '{"info": null}', '{"info": {"features": {"label": null}}}', '{"info": {"features": {"label": {"_type": "ClassLabel"}}}}', "{", "\udcff"],
)  # fmt: skip
@pytest.mark.parametrize("labels", [["x", "y"], [1, 0]])
def test_metadata_that_other_programs_wrote_or_copied(load: Load, tmp_path: Path, metadata: str, labels: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": ["a", "b"], "label": labels})
    stale = '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["x", "z"]}}}}'
    for text in (metadata, stale) if labels == ["x", "y"] else (metadata,):
        described = table.replace_schema_metadata({"huggingface": text.encode("utf-8", "surrogateescape")})
        pq.write_table(described, tmp_path / "train.parquet")
        pq.write_table(described, tmp_path / "test.parquet")
        assert [label for _, label in texts_and_labels(load({}))] == list(map(str, labels))


def test_more_numbers_than_names_are_refused(load: Load, tmp_path: Path) -> None:
    feature = {"names": ["x"], "_type": "ClassLabel"}
    as_datasets_writes(tmp_path / "train.parquet", {"text": ["a", "b"], "label": [0, 1]}, feature)
    with pytest.raises(UserError, match="has the label 1, but names for 0 to 0 alone"):
        load({})


def test_rows_without_a_text_or_a_label_can_be_dropped(load: Load) -> None:
    objects = [{"text": "a", "label": "x"}, {"text": None, "label": "x"}, {"text": "b", "label": None}, {"label": "y"}, {"text": float("nan"), "label": "x"}, {"text": "c", "label": "y"}]  # fmt: skip
    content = lines(*objects)
    with pytest.raises(UserError, match=r"row 2 of train.jsonl has no text"):
        load({"train.jsonl": content, "test.csv": OTHER})
    corpus = load({"train.jsonl": content, "test.csv": OTHER}, missing="drop")
    assert texts_and_labels(corpus) == [("a", "x"), ("c", "y")]
    with pytest.raises(UserError, match=r"row 7 of train.jsonl has 7 instead of a text"):
        load({"train.jsonl": lines(*objects, {"text": 7, "label": "x"}), "test.csv": OTHER}, missing="drop")


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("{language: no}", "a"), ("{language: 'no'}", "a"), ("{language: de}", "b"), ("{good: true}", "a"), ("{good: no}", "b"),
        ("{year: 2020}", "a"), ("{year: 2020.0}", "a"), ("{share: 0.50}", "a"), ("{share: '.5'}", "a"), ("{spoken: true}", "b"),
    ],
)  # fmt: skip
def test_a_filter_knows_numbers_and_booleans_however_yaml_reads_them(load: Load, condition: str, kept: str) -> None:
    first = {"language": "no", "good": True, "year": 2020.0, "share": "0.5", "spoken": "False"}
    second = {"language": "de", "good": False, "year": 2021, "share": "1.5", "spoken": "yes"}
    content = lines(*({"text": f"a {n}", "label": n, **first} for n in "xy"), *({"text": f"b {n}", "label": n, **second} for n in "xy"))  # fmt: skip
    where = {key: str(value) for key, value in yaml.safe_load(condition).items()}  # as the schema keeps them
    corpus = load({"train.jsonl": content, "test.jsonl": content}, where=where)
    assert [text[0] for text, _ in texts_and_labels(corpus)] == [kept, kept]


def test_labels_that_look_alike_are_noted(load: Load) -> None:
    content = rows(("a", "pos"), ("b", "pos "), ("c", "Pos"), ("d", "neg"))
    notes = load({"train.csv": content, "test.csv": rows(("e", "neg"))}).notes
    assert notes == ("labels that may be meant as one: 'Pos' and 'pos' and 'pos '",)
    content = rows(("a", "1"), ("b", "1.0"), ("c", "2"))
    assert (
        load({"train.csv": content, "test.csv": content}).notes[0] == "labels that may be meant as one: '1' and '1.0'"
    )


def test_texts_that_occur_twice_are_noted(load: Load) -> None:
    train, test = rows(("a", "x"), ("a", "y"), ("b", "x"), ("b", "x")), rows(("b", "y"), ("c", "x"))
    assert load({"train.csv": train, "test.csv": test}).notes == (
        "1 of 2 test examples have a text that is also in the training split",
        "1 texts of the training split occur with more than one label",
    )


def test_the_summary_counts_examples_of_each_class(load: Load) -> None:
    content = rows(*((f"t{i}", label) for i, label in enumerate("abbccc")))
    corpus = load({"train.csv": content, "test.csv": rows(("u", "a"), ("v", "b"))})
    assert corpus.summary == "small: 6 train (6 words), 2 test, 3 classes (c: 3, b: 2, a: 1 in train)"
    many = rows(*((f"t{i}", f"k{i % 40:02}") for i in range(90)))
    summary = load({"train.csv": many, "test.csv": many}).summary
    assert summary.endswith(
        "40 classes (" + "".join(f"k0{i}: 3, " for i in range(8)) + "32 others from 3 to 2 in train)"
    )


# ---------------------------------------------------------------------------------------------- remedies

Steps = list[tuple[str, dict[str, Any]]]  # a remedy, and the settings of who follows it
FEW = "a,x\nb,y\nc,x\nd,y\n"
SPANS = lines(*({"text": TEXT, "label": [[0, 4, "PER"]]} for _ in range(4)))
REMEDIES: list[tuple[dict[str, str | bytes], dict[str, Any], Steps]] = [
    ({"train.csv": "body,label\n" + FEW}, {}, [("set dataset.text=COLUMN", {"text": "body"})]),
    ({"train.csv": "Größe,queue\n" + FEW}, {}, [("set dataset.text=COLUMN", {"text": "Größe"}), ("set dataset.label=COLUMN", {"label": "queue"})]),
    ({"train.csv": FEW}, {}, [("dataset.header=false if", {"header": False}), ("it has 0, 1; set dataset.text=COLUMN", {"text": 0}), ("set dataset.label=COLUMN", {"label": 1})]),
    ({"train.csv": "text;label\n" + "a, b;x\nb, c;y\n" * 2}, {"delimiter": ","}, [("set dataset.delimiter", {"delimiter": ";"})]),
    ({"train.csv": rows(('"up" we go', "x"), ("b", "y")) + FEW}, {}, [("set dataset.quoting=false", {"quoting": False})]),
    ({"train.csv": rows(('"up', "x"), ('b"', "y"), ("c", "x"), ("d", "y"))}, {}, [("set dataset.quoting to true or false", {"quoting": False})]),
    ({"train.csv": rows(("a", "x"), ("b", "")) + FEW}, {}, [("dataset.missing=drop", {"missing": "drop"})]),
    ({"train.csv": rows(("don’t", "x"), ("b", "y"), ("c", "x"), ("d", "y")).encode("cp1252")}, {}, [("try dataset.encoding=cp1252", {"encoding": "cp1252"})]),
    ({"train.txt": "I PRON\nran VERB\n\n" * 4}, {}, [("set dataset.task=tagging", {"task": "tagging"}), ("none for tags that are no spans", {"scheme": "none"})]),
    ({"all.data": "text,label\n" + FEW}, {"path": "all.data"}, [("set dataset.format to one of conll, csv", {"format": "csv"})]),
    ({"all.csv": "text,label\n" + FEW}, {}, [("set dataset.splits.train=[NAME]", {"splits": splits("all")})]),
    ({"train.csv": "text,label\n" + FEW, "train.json": "[]"}, {}, [("set dataset.splits.train=[FILE]", {"splits": splits("train.csv")})]),
    ({"train.jsonl": SPANS}, {}, [("set dataset.task=tagging", {"task": "tagging"})]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "settings", "steps"), REMEDIES)
def test_whoever_follows_the_remedies_has_a_corpus(load: Load, files: dict, settings: dict, steps: Steps) -> None:
    settings = {"test_share": 0.5, **settings}
    for remedy, advised in steps:
        with pytest.raises(UserError) as refused:
            load(files, **settings)
        assert remedy in str(refused.value)
        settings |= advised
    assert len(load(files, **settings).train) > 0


def test_every_key_of_a_table_can_be_given_as_one_name() -> None:
    config = DatasetConfig(name="x", task="classification", text="Größe", label=0)
    assert (config.text, config.label) == (["Größe"], ["0"])
