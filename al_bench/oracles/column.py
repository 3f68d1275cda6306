"""An oracle whose answers are in a file, or in a column of the source: a crowd's, or those of a language model."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from al_bench.data.corpus import Corpus
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.data.tags import to_iob2
from al_bench.errors import did_you_mean, known, reject
from al_bench.oracles.protocol import Answers

KEY = "oracle.params.file"
FORM = "write id,label a line (CSV with that header), or JSON objects with these keys"


@dataclass
class Column:
    """Settings of `column`: the file of answers; null: the source's column that dataset.answers names."""

    file: str | None = None


def column(corpus: Corpus, rng: Generator, *, file: str | None) -> Answers:
    """The answers of a file, by id, or of a column; it abstains where there is none, or an empty one."""
    n = len(corpus.train)
    if file is not None:
        answers, where = _answers_in(Path(file), n), f"{file}"
    elif corpus.train.answers is not None:
        answers, where = dict(enumerate(corpus.train.answers)), "the column dataset.answers"
    else:
        remedy = "set oracle.params.file=FILE (id, label), or dataset.answers=COLUMN of the source"
        raise reject(KEY, None, "says nowhere what it answers", remedy)
    answers = {i: answer for i, answer in answers.items() if answer not in (None, "", [])}
    numbers = {name: number for number, name in enumerate(corpus.label_names)}
    labels = np.zeros_like(values_of(corpus.train.labels))
    rows = like(corpus.train.labels, labels)
    for i, answer in answers.items():
        names = _tags(answer, corpus) if isinstance(rows, Ragged) else [str(answer)]
        if strange := [name for name in names if name not in numbers]:
            remedy = did_you_mean(strange[0], corpus.label_names, f"the corpus has {known(corpus.label_names)}")
            raise reject(KEY, file, f"{where} says {strange[0]!r} of id {i}, which is no label", remedy)
        if isinstance(rows, Ragged):
            if len(names) != rows.lengths[i]:
                broken = f"{where} has {len(names)} tags of id {i}, whose sentence has {rows.lengths[i]} words"
                raise reject(KEY, file, broken, "write a tag for every word")
            rows.row(i)[:] = [numbers[name] for name in names]
        else:
            labels[i] = numbers[names[0]]
    has_answer = np.zeros(n, dtype=bool)
    has_answer[list(answers)] = True
    if not answers:
        raise reject(KEY, file, f"{where} answers nothing", FORM)
    return Answers(rows, has_answer)


def _tags(answer: Any, corpus: Corpus) -> list[str]:
    """A list, or tags with blanks between them; spans in IOB2."""
    tags = answer.split() if isinstance(answer, str) else [str(tag) for tag in answer]
    return to_iob2(tags) if corpus.kind == "tagging" and set(tags) <= set(corpus.label_names) else tags


def _answers_in(path: Path, n: int) -> dict[int, Any]:
    """{id: answer} of a file. Raises `UserError` for other ids than 0 to n - 1, and for those that are there twice."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows: list[Any] = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        else:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise reject(KEY, path, f"cannot be read ({error})", FORM) from error
    answers: dict[int, Any] = {}
    for number, row in enumerate(rows, start=1):
        i, answer = (row.get("id"), row.get("label")) if isinstance(row, dict) else (None, None)
        if isinstance(i, str) and i.strip().isdecimal():
            i = int(i)
        if type(i) is not int or not 0 <= i < n:
            raise reject(KEY, path, f"row {number} has the id {i!r}, but the training split has ids 0 to {n - 1}", FORM)
        if i in answers:
            raise reject(KEY, path, f"row {number} has the id {i} again", "write every id once")
        if not isinstance(answer, str | int | list | None):
            raise reject(KEY, path, f"row {number} has the label {answer!r}", FORM)
        answers[i] = answer
    return answers
