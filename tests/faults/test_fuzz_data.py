"""Broken data files, drawn by Hypothesis, through the real entry point: read, or refused in a clear line."""

import gzip
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made import reviews, sentences

ROWS = 24


def csv_bytes(rng: random.Random) -> bytes:
    delimiter = rng.choice([",", ";", "\t"])
    lines = [delimiter.join(("text", "label")), *(delimiter.join(row) for row in reviews(ROWS))]
    return rng.choice(["\n", "\r\n", "\r"]).join(lines).encode()


def json_bytes(rng: random.Random) -> bytes:
    rows = [{"text": text, "label": label} for text, label in reviews(ROWS)]
    rows[rng.randrange(ROWS)][rng.choice(["text", "label"])] = rng.choice(ODD_VALUES)
    return json.dumps(rows).encode() if rng.random() < 0.5 else "\n".join(map(json.dumps, rows)).encode()


def tagged_json_bytes(rng: random.Random) -> bytes:
    rows: list[dict[str, Any]] = [
        {"tokens": [word for word, _ in s], "ner_tags": [tag for _, tag in s]} for s in sentences(ROWS)
    ]
    row, key = rng.choice(rows), rng.choice(["tokens", "ner_tags"])
    if rng.random() < 0.5:
        row[key] = rng.choice(ODD_VALUES)
    else:
        row[key][rng.randrange(len(row[key]))] = rng.choice(ODD_VALUES)
    return "\n".join(map(json.dumps, rows)).encode()


def parquet_bytes(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, labels = map(list, zip(*reviews(ROWS), strict=True))
    numbers: Any = [
        rng.choice([0, 1, 1, 0, -1, -2, -100, 7]) if rng.random() < 0.1 else int(one == "pos") for one in labels
    ]
    kind = rng.choice([pa.int64(), pa.int8(), pa.float64(), pa.string(), pa.decimal128(25, 2), pa.bool_()])
    column = pa.array(
        [str(n) for n in numbers] if kind == pa.string() else [abs(n) % 2 if kind == pa.bool_() else n for n in numbers]
    )
    words = pa.array([text.encode() if rng.random() < 0.9 else b"\xff\xfe" for text in texts])
    text_column = words.cast(pa.binary()) if rng.random() < 0.3 else pa.array(texts)
    table = pa.table({"text": text_column, "label": column.cast(kind)})
    features = rng.choice(
        [None, b"{}", b"[]", b"null", b"{", b'{"info": null}', b'{"info": {"features": []}}', b'{"info": {"features": {"label": null}}}',
         b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["neg"]}}}}',
         b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}', b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["neg", "pos"]}}}}',
         b"\xff\xfe"]
    )  # fmt: skip
    if features is not None:
        table = table.replace_schema_metadata({b"huggingface": features})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def conll_bytes(rng: random.Random) -> bytes:
    blocks = ["\n".join(f"{word}{rng.choice([' ', chr(9)])}{tag}" for word, tag in s) for s in sentences(ROWS)]
    return "\n\n".join(blocks).encode()


ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.0, 1.5, float("nan"), float("inf"), 10**400, 1e308, "", " ", "\ud83d", "a\ud83db", "\x00", "\ufeff", "\u2028",
    [], [None], [[]], {}, {"a": 1}, ["a", 1], "x" * 100_000, "O", "B-", "-PER", "B-\ud83d", "I-PER", "B-PER ",
)  # fmt: skip
FORMATS: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
    "csv": ("classification", csv_bytes), "json": ("classification", json_bytes), "jsonl": ("tagging", tagged_json_bytes),
    "parquet": ("classification", parquet_bytes), "txt": ("tagging", conll_bytes), "tsv": ("tagging", conll_bytes),
    "conllu": ("tagging", conll_bytes), "csv.gz": ("classification", lambda rng: gzip.compress(csv_bytes(rng))),
}  # fmt: skip


# ---------------------------------------------------------------------------------------------- damage


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 20])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


INSERTED = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b"\r", b"\n\n\n", b"\t", b",,,", b"\\ud83d", b"\x1a", b"\xe2\x80\xa8",
    b"[" * 50_000, b"9" * 5_000, b'{"a":' * 3_000, b"# comment\n", b"1-2\tx\n", b"-DOCSTART- O\n", b"\xed\xa0\xbd", b"a" * 200_000,
)  # fmt: skip


def inserted(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(INSERTED) + content[place:]


def without_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(line for line in lines if rng.random() < 0.7)


def other_encoding(content: bytes, rng: random.Random) -> bytes:
    return content.decode("utf-8", "replace").encode(
        rng.choice(["utf-16", "utf-16-le", "utf-32", "cp500", "utf-7"]), "replace"
    )


DAMAGES = (cut, flipped, inserted, inserted, without_lines, other_encoding)


def place(folder: Path, name: str, content: bytes, rng: random.Random) -> None:
    """The training split, most often a file, beside what else may lie there."""
    folder.mkdir()
    path = folder / f"train.{name}"
    match rng.randrange(12):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(folder / "absent")
        case 3:
            for kind in ("a", "b"):
                (folder / kind).mkdir()
                for i in range(8):
                    (folder / kind / f"{i}.txt").write_bytes(flipped(b"a text", rng))
            os.mkfifo(folder / "a" / "pipe.txt")
        case _:
            path.write_bytes(content)
    if rng.random() < 0.2:
        (folder / rng.choice(["test", "._train", "dev"])).with_suffix(f".{name}").write_bytes(content)
    if rng.random() < 0.1:
        (folder / ".ipynb_checkpoints").mkdir()


def fuzz(examples: int) -> Any:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=examples, deadline=None, phases=(Phase.generate,), suppress_health_check=checks, derandomize=True
    )


number = iter(range(10**9))


def check(al: Any, model: Path, root: Path, seed: int, name: str) -> None:
    rng = random.Random(seed)
    task, make = FORMATS[name]
    content = make(rng)
    for _ in range(rng.choice([0, 1, 1, 2])):
        content = rng.choice(DAMAGES)(content, rng)
    folder = root / f"data{next(number)}"
    place(folder, name, content, rng)
    dataset = "rotten_tomatoes" if task == "classification" else "conll2003"
    words = [
        f"dataset={dataset}",
        f"dataset.path={folder}",
        "dataset.name=tiny",
        "dataset.where=null",
        "dataset.label_names=null",
    ]
    words += [
        f"strategy={'entropy' if task == 'classification' else 'mnlp'}",
        "progress=none",
        "tracking=none",
        "device=cpu",
    ]
    words += [
        f"acquisition.path={model}",
        "acquisition.sha256=null",
        "acquisition.name=tiny",
        "acquisition.max_length=16",
    ]
    words += ["successor=null", "evaluate_at=none", "schedule.initial=4", "schedule.step=4", "schedule.cycles=0"]
    words += ["training.epochs=1", "training.min_steps=0", "training.batch_size=16", "precision=float32"]
    done = al("run", *words)
    assert "Traceback" not in done.err + done.out
    if done.code != 0:
        lines = done.err.splitlines()
        assert lines, "it failed without a word"
        assert all(line.startswith("al-bench: ") for line in lines), done.err
        assert len(done.err) < 4000, "a message is a line, not a page"


@fuzz(15)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(FORMATS)))
def test_some_broken_files(al, tiny_model, tmp_path, seed, name):
    check(al, tiny_model, tmp_path, seed, name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@fuzz(500)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(FORMATS)))
def test_many_broken_files(al, tiny_model, tmp_path, seed, name):
    check(al, tiny_model, tmp_path, seed, name)
