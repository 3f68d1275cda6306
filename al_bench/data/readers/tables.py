"""CSV, JSON and Parquet files: one example a row. Every cell keeps the type that its file gives it."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.columns import examples
from al_bench.data.readers.raw import Raw, Table, bad
from al_bench.data.readers.text import read_text
from al_bench.errors import first_line, reject

LONGEST_CELL = 2**31 - 1  # the csv module stops at 131,072 characters, short of some documents


def read_csv(path: Path, config: DatasetConfig) -> Raw:
    """A header and a row per example; all cells are text, so "NA" and "007" stay what they are."""
    text = read_text(path, config)
    csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, config), strict=True)
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        broken = f"{path.name} is malformed in line {reader.line_num} ({error})"
        raise bad(
            config, broken, 'quote fields that hold quotes, and double those (""), or use JSON'
        ) from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            broken = f"row {number} of {path.name} has {len(row)} fields, its header {len(header)}"
            raise bad(config, broken, "quote fields that hold the delimiter, or set dataset.delimiter")
    if not header:
        raise bad(config, f"{path.name} is empty", "give a file with a header and rows")

    def read(name: str) -> Sequence[str]:
        column = header.index(name)
        return [row[column] for row in rows]

    return examples(Table(path.name, header, read), config)


def _delimiter(text: str, config: DatasetConfig) -> str:
    delimiter = {"\\t": "\t", "tab": "\t"}.get(config.delimiter, config.delimiter)
    if delimiter == "auto":
        heads = text.lstrip("\r\n").partition("\n")[0]
        return max(",;\t", key=heads.count)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise reject("dataset.delimiter", delimiter, "must be one character", "try auto, ',', ';' or tab")
    return delimiter


def read_json(path: Path, config: DatasetConfig) -> Raw:
    """An array of objects, or an object a line."""
    text = read_text(path, config)
    try:
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            # Not splitlines: JSON texts may hold other line separators.
            lines = enumerate(text.split("\n"), start=1)
            rows = [_line(line, number) for number, line in lines if line.strip()]
    except json.JSONDecodeError as error:
        broken = f"{path.name} is malformed in line {error.lineno}, column {error.colno} ({error.msg})"
        raise bad(config, broken, "give an array of objects, or one object a line") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            broken = f"row {number} of {path.name} is a {type(row).__name__}, not an object"
            raise bad(config, broken, 'write rows like {"text": ..., "label": ...}')
    if not rows:
        raise bad(config, f"{path.name} is empty", "give a file with rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return examples(Table(path.name, names, lambda name: [row.get(name) for row in rows]), config)


def _line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        error.lineno = number
        raise


def read_parquet(path: Path, config: DatasetConfig) -> Raw:
    """Only the columns that are needed; label names where the file was written by `datasets`."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow

        def read(name: str) -> Sequence[Any]:
            return file.read(columns=[name]).column(name).to_pylist()

        return examples(Table(path.name, schema.names, read, _classes(schema.metadata)), config)
    except (pyarrow.ArrowException, OSError) as error:
        reason = first_line(error)
        raise bad(config, f"{path.name} is no readable Parquet file ({reason})", "write it again") from None


def _classes(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    classes = {}
    for name, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}  # of a sequence
        if inner.get("_type") == "ClassLabel":
            classes[name] = inner["names"]
    return classes
