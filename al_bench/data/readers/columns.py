"""From a table with named columns to examples: chooses columns and rows, and checks every cell."""

from collections.abc import Sequence
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import Raw, Table, require_task, source_error
from al_bench.errors import reject


def examples(table: Table, config: DatasetConfig) -> Raw:
    """The table's rows as the config's task needs them; `labels=None` where no row has a label.

    Raises `UserError` for a column that is missing or double, and for a cell that is empty or of another
    type; the message counts rows from 1.
    """
    double = sorted({name for name in table.columns if table.columns.count(name) > 1})
    if double:
        raise source_error(config, f"{table.where} has two columns {double[0]!r}", "rename one of them")
    tagging = config.task == "tagging"
    input_column = _column(table, config, "words" if tagging else "text")
    label_column = _column(table, config, "tags" if tagging else "label")
    cells, label_cells = table.read(input_column), table.read(label_column)
    names = table.classes.get(label_column)
    rows, notes = _rows(table, config, len(cells))
    inputs = [cells[row] for row in rows]
    labels = [_label(label_cells[row], names) for row in rows]
    if not tagging and any(isinstance(cell, list) for cell in inputs):
        require_task(config, "tagging", table.where)

    unlabelled = all(map(_is_empty, labels))
    problem = _tagging_problem if tagging else _text_problem
    for row, example, label in zip(rows, inputs, labels, strict=True):
        broken = problem(example, label, unlabelled)
        if broken is not None:
            broken = f"row {row + 1} of {table.where} {broken} (columns {input_column!r}, {label_column!r})"
            remedy = "mend the row or leave it out, or name other columns in dataset.*"
            raise source_error(config, broken, remedy)
    return Raw(table.where, inputs, None if unlabelled and rows else labels, names, tuple(notes))


def _column(table: Table, config: DatasetConfig, role: str) -> str:
    """The first of the role's candidates that the table has."""
    candidates = getattr(config, role)
    for name in candidates:
        if name in table.columns:
            return name
    other_task = {"text": ("words", "tagging"), "words": ("text", "classification")}
    if role in other_task:
        other, task = other_task[role]
        if any(name in table.columns for name in getattr(config, other)):
            require_task(config, task, table.where)
    broken = (
        f"{table.where} has no column {' or '.join(candidates)}; it has {', '.join(table.columns) or 'none'}"
    )
    raise source_error(config, broken, f"set dataset.{role}=[COLUMN]")


def _rows(table: Table, config: DatasetConfig, total: int) -> tuple[list[int], list[str]]:
    """Positions of the rows that `where` keeps, and notes."""
    kept, notes = list(range(total)), []
    # A path in place of a shipped dataset's own source, for which the filter was written.
    replaced = config.path is not None and (config.package or config.hub) is not None
    for name, value in (config.where or {}).items():
        if name not in table.columns and replaced:
            condition = f"dataset.where={{{name}: {value}}}"
            notes.append(f"{table.where} has no column {name!r}: {condition} is not applied")
            continue
        if name not in table.columns:
            remedy = f"it has {', '.join(table.columns)}"
            broken = f"{table.where} has no such column"
            raise reject("dataset.where", f"{{{name}: {value}}}", broken, remedy)
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
    for word in words:
        if not isinstance(word, str):
            return f"has {word!r} among its words, which is no text"
    if unlabelled:
        return None
    if not isinstance(tags, list):
        return "has no tags" if tags is None else f"has {tags!r} instead of a list of tags"
    if len(tags) != len(words):
        return f"has {len(words)} words and {len(tags)} tags"
    return "lacks a tag" if None in tags else None
