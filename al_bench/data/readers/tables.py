"""CSV, JSON and Parquet files, one example a row. Every cell keeps the type that its file gives it."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.columns import examples
from al_bench.data.readers.raw import Raw, Table, read_text, source_error
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
        remedy = 'quote fields that hold quotes, and double those (""), or use JSON'
        raise source_error(config, broken, remedy) from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            broken = f"row {number} of {path.name} has {len(row)} fields, its header {len(header)}"
            raise source_error(
                config, broken, "quote fields that hold the delimiter, or set dataset.delimiter"
            )
    if not header:
        raise source_error(config, f"{path.name} is empty", "give a file with a header and rows")

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
    rows = documents[0] if is_array else documents
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            broken = f"row {number} of {path.name} is a {type(row).__name__}, not an object"
            raise source_error(config, broken, 'write rows like {"text": ..., "label": ...}')
    if not rows:
        raise source_error(config, f"{path.name} is empty", "give a file with rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return examples(Table(path.name, names, lambda name: [row.get(name) for row in rows]), config)


def read_parquet(path: Path, config: DatasetConfig) -> Raw:
    """Only the columns that are needed, with label names where `datasets` wrote the file."""
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
        broken = f"{path.name} is no readable Parquet file ({reason})"
        raise source_error(config, broken, "write it again") from None


def _classes(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    classes = {}
    for name, feature in features.items():
        element = feature.get("feature", feature) if isinstance(feature, dict) else {}  # of a sequence
        if element.get("_type") == "ClassLabel":
            classes[name] = element["names"]
    return classes
