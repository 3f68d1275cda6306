"""Tables: CSV, JSON and Parquet files with an example a row, and the choice and check of their columns.

Every cell keeps the type that its file gives it.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import Raw, Table, read_text, require_task, source_error
from al_bench.errors import first_line, reject


def read_csv(path: Path, config: DatasetConfig) -> Raw:
    """A header and a row per example; all cells are text, so "NA" and "007" stay what they are."""
    text = read_text(path, config)
    csv.field_size_limit(2**31 - 1)  # by default it stops at 131,072 characters, short of some documents
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
            raise source_error(config, broken, "quote fields that hold the delimiter, or set dataset.delimiter")
    if not header:
        raise source_error(config, f"{path.name} is empty", "give a file with a header and rows")
    columns = {name: [row[number] for row in rows] for number, name in enumerate(header)}
    return examples(Table(path.name, header, columns.__getitem__), config)


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

    def read(name: str) -> Sequence[Any]:
        return file.read(columns=[name]).column(name).to_pylist()

    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        return examples(Table(path.name, schema.names, read, _classes(schema.metadata)), config)
    except (pyarrow.ArrowException, OSError) as error:
        broken = f"{path.name} is no readable Parquet file ({first_line(error)})"
        raise source_error(config, broken, "write it again") from None


def _classes(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    # A sequence has the type of its elements.
    elements = {name: each.get("feature", each) for name, each in features.items() if isinstance(each, dict)}
    return {name: element["names"] for name, element in elements.items() if element.get("_type") == "ClassLabel"}


def examples(table: Table, config: DatasetConfig) -> Raw:
    """The table's rows as the config's task needs them; `labels=None` where no row has a label.

    Raises `UserError` for a column that is missing or double, and for a cell that is empty or of another
    type; the message counts rows from 1.
    """
    if double := sorted({name for name in table.columns if table.columns.count(name) > 1}):
        raise source_error(config, f"{table.where} has two columns {double[0]!r}", "rename one of them")
    tagging = config.task == "tagging"
    columns = [_column(table, config, role) for role in (("words", "tags") if tagging else ("text", "label"))]
    cells, label_cells = map(table.read, columns)
    names = table.classes.get(columns[1])
    rows, notes = _rows(table, config, len(cells))
    inputs = [cells[row] for row in rows]
    labels = [_label(label_cells[row], names) for row in rows]
    if not tagging and any(isinstance(cell, list) for cell in inputs):
        require_task(config, "tagging", table.where)

    unlabelled = all(map(_is_empty, labels))
    problem = _tagging_problem if tagging else _text_problem
    for row, example, label in zip(rows, inputs, labels, strict=True):
        if (reason := problem(example, label, unlabelled)) is not None:
            broken = f"row {row + 1} of {table.where} {reason} (columns {columns[0]!r}, {columns[1]!r})"
            raise source_error(config, broken, "mend the row or leave it out, or name other columns in dataset.*")
    return Raw(table.where, inputs, None if unlabelled and rows else labels, names, tuple(notes))


def _column(table: Table, config: DatasetConfig, role: str) -> str:
    """The first of the role's candidates that the table has."""
    candidates, columns = getattr(config, role), table.columns
    if present := [name for name in candidates if name in columns]:
        return present[0]
    if role == "text" and set(config.words) & set(columns):
        require_task(config, "tagging", table.where)
    if role == "words" and set(config.text) & set(columns):
        require_task(config, "classification", table.where)
    broken = f"{table.where} has no column {' or '.join(candidates)}; it has {', '.join(columns) or 'none'}"
    raise source_error(config, broken, f"set dataset.{role}=[COLUMN]")


def _rows(table: Table, config: DatasetConfig, total: int) -> tuple[list[int], list[str]]:
    """Positions of the rows that `where` keeps, and notes."""
    kept, notes = list(range(total)), []
    # A path in place of a shipped dataset's own source, for which the filter was written.
    replaced = config.path is not None and (config.package or config.hub) is not None
    for name, value in (config.where or {}).items():
        if name not in table.columns:
            condition = f"{{{name}: {value}}}"
            if not replaced:
                broken, remedy = f"{table.where} has no such column", f"it has {', '.join(table.columns)}"
                raise reject("dataset.where", condition, broken, remedy)
            notes.append(f"{table.where} has no column {name!r}: dataset.where={condition} is not applied")
            continue
        cells, names = table.read(name), table.classes.get(name)
        kept = [row for row in kept if str(_label(cells[row], names)) == str(value)]
    return kept, notes


def _label(cell: Any, names: Sequence[str] | None) -> Any:
    """A name or a whole number; None for an empty cell (-1 where numbers have names)."""
    if isinstance(cell, list):
        return [_label(tag, names) for tag in cell]
    if cell is None or cell == "" or cell != cell:  # the last is NaN
        return None
    if names is not None:
        return None if cell == -1 else names[cell]
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _is_empty(label: Any) -> bool:
    return all(tag is None for tag in label) if isinstance(label, list) else label is None


def _text_problem(text: Any, label: Any, unlabelled: bool) -> str | None:
    if not isinstance(text, str):
        return "has no text" if text is None else f"has {text!r} instead of a text"
    if isinstance(label, list):
        return "has a list of labels instead of one"
    return "has no label" if label is None and not unlabelled else None


def _tagging_problem(words: Any, tags: Any, unlabelled: bool) -> str | None:
    if not isinstance(words, list):
        return "has no words" if words is None else f"has a {type(words).__name__} instead of a list of words"
    if others := [word for word in words if not isinstance(word, str)]:
        return f"has {others[0]!r} among its words, which is no text"
    if unlabelled:
        return None
    if not isinstance(tags, list):
        return "has no tags" if tags is None else f"has {tags!r} instead of a list of tags"
    if len(tags) != len(words):
        return f"has {len(words)} words and {len(tags)} tags"
    return "lacks a tag" if None in tags else None
