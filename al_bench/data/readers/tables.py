"""Tables from CSV, JSON and Parquet files, with an example a row. Every cell keeps the type that its file gives it."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.columns import examples
from al_bench.data.readers.files import read_text, require_file
from al_bench.data.readers.raw import Raw, Table, source_error
from al_bench.errors import first_line, reject

Rows = list[list[str]]


def read_csv(path: Path, config: DatasetConfig) -> Raw:
    """A header, unless the config denies it, and a row per example.

    All cells are text, so "NA" and "007" stay what they are.
    """
    text = read_text(path, config)
    rows, notes = _csv_rows(text, _delimiter(text, config), path, config)
    if not rows:
        raise source_error(config, f"{path.name} is empty", "give a file with a header and rows")
    header, *rows = rows if config.header else [[str(number) for number in range(len(rows[0]))], *rows]
    if config.task == "tagging" and not set(config.text) & set(header):
        remedy = "write a word and its tag a line, separated by a tab, as .tsv or .txt, or lists in JSON"
        raise source_error(config, f"the cells of {path.name} hold no lists of words", remedy)
    columns = {name: [row[number] for row in rows] for number, name in enumerate(header)}
    hint = ", or dataset.header=false if its first line is an example" if config.header else ""
    return examples(Table(path.name, header, columns.__getitem__, hint=hint, notes=notes), config)


def _csv_rows(text: str, delimiter: str, path: Path, config: DatasetConfig) -> tuple[Rows, tuple[str, ...]]:
    """All rows, of equal lengths, and notes.

    Many programs write quotes into tab-separated files as they are, so that a text that begins with one would swallow
    the rows up to the next. There every line is a row, if all lines have the same number of fields.
    """
    quoted = _parsed(text, delimiter, csv.QUOTE_MINIMAL, path.name)
    plain = _parsed(text, delimiter, csv.QUOTE_NONE, path.name) if '"' in text else quoted
    if config.quoting is None and plain is not quoted and isinstance(plain, list):
        differ = isinstance(quoted, str) or len(quoted) != len(plain)
        if differ and delimiter == "\t":
            return plain, (f"{path.name} is read without quoting: its quotation marks belong to the texts",)
        if differ and isinstance(quoted, list):
            broken = f"{path.name} has {len(quoted):,} lines if fields can be quoted, but {len(plain):,} if not"
            raise source_error(config, broken, "set dataset.quoting to true or false")
    rows = plain if config.quoting is False else quoted
    if isinstance(rows, str):
        remedy = "quote fields that hold the delimiter, or set dataset.delimiter"
        if config.quoting is None and isinstance(plain, list):
            remedy = "set dataset.quoting=false, which takes quotation marks as text, or mend the line"
        elif "malformed" in rows:
            remedy = 'quote fields that hold quotes, and double those (""), or use JSON'
        raise source_error(config, rows, remedy)
    return rows, ()


def _parsed(text: str, delimiter: str, quoting: Any, name: str) -> Rows | str:
    """Rows of equal lengths, or what is wrong with them."""
    csv.field_size_limit(2**31 - 1)  # by default it stops at 131,072 characters, short of some documents
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        return f"{name} is malformed in line {reader.line_num} ({error})"
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            return f"row {number} of {name} has {len(row)} fields, its first line {len(rows[0])}"
    return rows


def _delimiter(text: str, config: DatasetConfig) -> str:
    delimiter = {"\\t": "\t", "tab": "\t"}.get(config.delimiter, config.delimiter)
    if delimiter == "auto":
        heads = text.lstrip("\r\n").partition("\n")[0]
        return max(",;\t", key=heads.count)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise reject("dataset.delimiter", delimiter, "must be one character", "try auto, ',', ';' or tab")
    return delimiter


def read_json(path: Path, config: DatasetConfig) -> Raw:
    """An array of objects, or an object a line; a pair of a text and an object is one (spaCy's training data)."""
    text = read_text(path, config)
    is_array = text.lstrip().startswith("[")
    documents = []
    # Not splitlines: JSON texts may hold other line separators.
    for number, document in enumerate([text] if is_array else text.split("\n")):
        try:
            documents += [json.loads(document)] if document.strip() else []
        except json.JSONDecodeError as error:
            place = f"line {number + error.lineno}, column {error.colno}"
            broken = f"{path.name} is malformed in {place} ({error.msg})"
            raise source_error(config, broken, "give an array of objects, or one object a line") from None
        except (RecursionError, ValueError) as error:  # brackets in brackets without end; numbers of 5,000 digits
            broken = f"line {number + 1} of {path.name} holds what no example needs ({first_line(error)})"
            raise source_error(config, broken, "give an array of objects, or one object a line") from None
    rows = documents[0] if is_array else documents
    rows = [_object(row) for row in rows]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            broken = f"row {number} of {path.name} is a {type(row).__name__}, not an object"
            raise source_error(config, broken, 'write rows like {"text": ..., "label": ...}')
    if not rows:
        raise source_error(config, f"{path.name} is empty", "give a file with rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return examples(Table(path.name, names, lambda name: [row.get(name) for row in rows]), config)


def _object(row: Any) -> Any:
    match row:
        case [str(text), {**others}]:
            return {"text": text, **others}
    return row


def read_parquet(path: Path, config: DatasetConfig) -> Raw:
    """Only the columns that are needed, with label names where `datasets` wrote the file."""
    import pyarrow
    import pyarrow.parquet

    def read(name: str) -> Sequence[Any]:
        return file.read(columns=[name]).column(name).to_pylist()

    require_file(path, config)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        return examples(Table(path.name, schema.names, read, _classes(schema)), config)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        broken = f"{path.name} is no readable Parquet file ({first_line(error)})"
        raise source_error(config, broken, "write it again") from None


def _classes(schema: Any) -> dict[str, list[str]]:
    """Label names of the columns of numbers that have some. Other programs copy or cut what `datasets` recorded."""
    from pyarrow import types

    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        declared = dict(features)
    except (KeyError, TypeError, ValueError):
        return {}
    classes = {}
    for field in schema:
        kind, feature = field.type, declared.get(field.name)
        if types.is_list(kind) or types.is_large_list(kind):  # a sequence has the type of its elements
            kind, feature = kind.value_type, feature.get("feature") if isinstance(feature, dict) else None
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        is_number = types.is_integer(kind) or types.is_floating(kind)
        if is_number and isinstance(names, list) and all(isinstance(name, str) for name in names):
            classes[field.name] = names
    return classes
