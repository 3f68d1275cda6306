"""Data of the user's own, from the command line: its name, the least to type, plain tags through every command."""

import json
from pathlib import Path
from typing import Any

import pytest
from made import reviews, sentences

QUICK = [
    "training.epochs=1", "training.min_steps=0", "schedule.initial=8", "schedule.step=8", "schedule.cycles=1",
    "device=cpu", "precision=float32", "progress=plain", "tracking=none",
]  # fmt: skip


@pytest.fixture
def model(tiny_model: Path) -> list[str]:
    keys = ["path={}", "package=null", "sha256=null", "name=tiny", "max_length=32", "num_hidden_layers=1"]
    return [f"{role}.{key.format(tiny_model)}" for role in ("acquisition", "successor") for key in keys]


def text_file(path: Path, text: str = "text", label: str = "label", count: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{a},{b}\n" for a, b in [(text, label), *reviews(count, seed=len(path.name))]))
    return path


def name_in(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out.split("name: ")[1].split("\n")[0]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["dataset=conll2003"], "conll2003"),
        (["dataset=conll2003", "dataset.path=my.txt"], "my"),
        (["dataset=imdb", "dataset.path=mine/reviews"], "reviews"),
        (["dataset=imdb", "dataset.path=mine/reviews/train.csv.gz"], "reviews"),
        (["dataset=trec6", "dataset.path=mine/v1.2.csv"], "v1.2"),
        (["dataset=trec6", "dataset.path=mine/v1.2.csv", "dataset.name=trec6"], "trec6"),
        (["dataset=local", "dataset.path=mine/notes.jsonl", "dataset.task=tagging"], "notes"),
    ],
)
def test_data_of_ones_own_have_their_own_name(al, tmp_path, words, name):
    (tmp_path / "mine" / "reviews").mkdir(parents=True)
    assert name_in(al("run", *words, "--cfg", "job", "--resolve", "-p", "dataset")) == name


def test_the_least_to_type_for_a_table_of_ones_own(al, tmp_path, model):
    """Every message says what is still missing."""
    text_file(tmp_path / "tickets.csv", "body", "Größe")
    words = ["dataset=local", "dataset.path=tickets.csv", *QUICK, *model]
    for missing, remedy in (
        ("dataset.task=classification", "set dataset.task=classification or tagging"),
        ("dataset.text=body", "it has body, Größe; set dataset.text=COLUMN"),
        ('dataset.label="Größe"', "it has body, Größe; set dataset.label=COLUMN"),
    ):
        done = al("run", *words)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert remedy in done.err
        words.append(missing)
    done = al("run", *words, "evaluate_at=none")
    assert done.code == 0, done.err
    assert "tickets: 32 train" in done.out
    assert "classes (neg: 16, pos: 16 in train)" in done.out
    assert {path.name.split("-")[0] for path in (tmp_path / "outputs").glob("runs/*/*")} == {"tickets"}


def test_a_filter_on_the_command_line(al, tmp_path, model):
    rows = [{"text": a, "label": b, "spoken": i % 3 > 0, "language": "no"} for i, (a, b) in enumerate(reviews(60))]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = [
        "dataset=local",
        "dataset.task=classification",
        "dataset.path=all.jsonl",
        "evaluate_at=none",
        *QUICK,
        *model,
    ]
    for conditions, count in ((["spoken=true"], 32), (["spoken=false", "language=no"], 16)):
        done = al("run", *words, *(f"+dataset.where.{condition}" for condition in conditions))
        assert done.code == 0, done.err
        assert f"all: {count} train" in done.out


def test_what_a_model_never_sees_is_said_once_for_each(al, tmp_path, model):
    lines = ["\n".join(f"{word} {tag}" for word, tag in sentence) for sentence in sentences(30)]
    lines += ["\n".join(["a O"] * 40 + ["Anna B-PER"])] * 2
    (tmp_path / "train.txt").write_text("\n\n".join(lines))
    (tmp_path / "test.txt").write_text("\n\n".join(lines[:5]))
    words = [f"dataset.path={tmp_path}", "dataset=local", "dataset.task=tagging", "strategy=mnlp", *QUICK, *model]
    done = al("run", *words, "acquisition.max_length=16", "evaluate_at=last")
    assert done.code == 0, done.err
    notes = [line for line in done.out.splitlines() if "max_length" in line]
    assert len(notes) == 2
    assert "acquisition.max_length=16 cuts off 54 of" in notes[0]
    assert "successor.max_length=32 cuts off 22 of" in notes[1]
    assert all(" words and 2 of " in note and note.endswith("entities of train") for note in notes)


@pytest.fixture
def tagged(tmp_path: Path) -> list[str]:
    """Words and parts of speech, without an O."""
    kinds = {"O": "X", "B-PER": "NOUN", "I-PER": "NOUN", "B-LOC": "PROPN", "I-LOC": "PROPN"}
    for split, count, seed in (("train", 60, 1), ("test", 20, 2)):
        blocks = ["\n".join(f"{word}\t{kinds[tag]}" for word, tag in s) for s in sentences(count, seed)]
        (tmp_path / f"{split}.tsv").write_text("\n\n".join(blocks))
    return [
        f"dataset.path={tmp_path}",
        "dataset=local",
        "dataset.name=pos",
        "dataset.task=tagging",
        "dataset.scheme=none",
    ]


def test_plain_tags_go_through_every_command(al, tmp_path, tagged, model):
    words = [*tagged, "strategy=mnlp", *QUICK, *model, "training.learning_rate=1e-3"]
    labeler = [f"pseudo_labeler{word.removeprefix('successor')}" for word in model if word.startswith("successor")]
    first = al("run", *words)
    assert first.code == 0, first.err
    assert "pos: 60 train" in first.out
    assert "3 tags (X: " in first.out
    assert "acquisition word_accuracy 0." in first.out
    longer = al("run", *words, "schedule.cycles=2")  # continues the trajectory of the first
    assert longer.code == 0, longer.err
    plasm = al("run", *words, "pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l3", *labeler)
    assert plasm.code == 0, plasm.err
    ledgers = [path.read_text().splitlines() for path in (tmp_path / "outputs").glob("runs/*/*/ledger.jsonl")]
    metrics = [json.loads(line)["successor"] for lines in ledgers for line in lines]
    for one in metrics:
        assert set(one) >= {"word_accuracy", "macro_f1", "f1_NOUN", "f1_PROPN", "f1_X"}
        assert one["macro_f1"] == pytest.approx((one["f1_NOUN"] + one["f1_PROPN"] + one["f1_X"]) / 3)
    assert "f1" not in metrics[0]
    assert al("tables").code == 0
    assert al("plan", *words).code == 0
    report = al("report", "--tracking", "none")
    assert report.code == 0, report.err
    page = (tmp_path / "outputs" / "report.html").read_text()
    assert "word accuracy" in page
    assert "word_accuracy" not in page
    assert "F1 of spans" not in page


@pytest.mark.parametrize(
    "value", ['!!python/object/apply:os.system ["touch planted"]', "!!python/name:os.system", "!mine x"]
)
def test_a_tag_in_yaml_runs_nothing(al, tmp_path, value):
    option = tmp_path / "my" / "dataset" / "odd.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(f"name: odd\ntask: classification\npath: {value}\n")
    done = al("run", "--config-dir", "my", "dataset=odd")
    assert done.code != 0
    assert done.err.startswith("al-bench: ")
    assert "Traceback" not in done.err
    assert not (tmp_path / "planted").exists()
