"""From a table with an example a row to raw examples: choice of columns and rows, and the check of every cell."""

from collections.abc import Sequence
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import Raw, Table, require_task, source_error
from al_bench.data.readers.spans import SPANS, holds_spans, words_and_tags
from al_bench.errors import reject

SPELLINGS = {"True": ("true", "yes", "on"), "False": ("false", "no", "off")}  # YAML reads each of them as a boolean


def examples(table: Table, config: DatasetConfig) -> Raw:
    """The table's rows as the config's task needs them; `labels=None` where no row has a label.

    Raises `UserError` for a column that is missing or double, and for a cell that is empty or of another
    type; the message counts rows from 1.
    """
    tagging, notes = config.task == "tagging", [*table.notes]
    spans = _span_column(table, config) if tagging else None
    if spans is not None:
        columns = [*_columns(table, config, "text", notes), spans]
    elif tagging:
        columns = [*_columns(table, config, "words", notes), *_columns(table, config, "tags", notes)]
    else:
        columns = [*_columns(table, config, "text", notes), *_columns(table, config, "label", notes)]
    *inputs_from, labels_from = columns
    label_cells, names = table.read(labels_from), table.classes.get(labels_from)
    rows = _rows(table, config, len(label_cells), notes)
    inputs = _joined([table.read(name) for name in inputs_from], rows)
    labels = [_label(label_cells[row], names, table.where, config) for row in rows]
    if spans is not None:
        inputs, labels = words_and_tags(inputs, [label_cells[row] for row in rows], table.where, config, notes)
    elif not tagging and any(isinstance(cell, list) for cell in inputs):
        require_task(config, "tagging", table.where)
    elif not tagging and any(map(holds_spans, (label_cells[row] for row in rows))):
        require_task(config, "tagging", f"{table.where} has spans in its column {labels_from!r}, and so")

    unlabelled = spans is None and all(map(_is_empty, labels))
    complete = _complete(table, config, rows, inputs, labels, unlabelled, columns)
    if (dropped := len(rows) - len(complete)) > 0:
        notes.append(f"dropped {dropped:,} of {len(rows):,} examples of {table.where}: a text or a label is missing")
    inputs, labels = [inputs[i] for i in complete], [labels[i] for i in complete]
    answers = None
    if config.answers is not None and config.answers in table.columns:
        cells, own = table.read(config.answers), table.classes.get(config.answers)
        answers = [_label(cells[rows[i]], own, table.where, config) for i in complete]
    return Raw(table.where, inputs, None if unlabelled and rows else labels, names, tuple(notes), answers)


def _complete(
    table: Table, config: DatasetConfig, rows: list[int], inputs: list[Any], labels: list[Any], unlabelled: bool,
    columns: list[str],
) -> list[int]:  # fmt: skip
    """Positions of the examples that lack nothing. Raises `UserError` for another, unless such are to be dropped."""
    complete = []
    for position, (row, example, label) in enumerate(zip(rows, inputs, labels, strict=True)):
        is_missing, reason = problem_of(config.task, example, label, unlabelled)
        if reason is None:
            complete.append(position)
        elif not (is_missing and config.missing == "drop"):
            broken = f"row {row + 1} of {table.where} {reason} (columns {', '.join(map(repr, columns))})"
            remedy = "mend the row, or name other columns in dataset.*"
            drop = ", or leave such rows out with dataset.missing=drop" if is_missing else ""
            raise source_error(config, broken, remedy + drop)
    return complete


def _columns(table: Table, config: DatasetConfig, role: str, notes: list[str]) -> list[str]:
    """The columns of a role: of the text all of its candidates that the table has, of others the first."""
    candidates, columns = getattr(config, role), table.columns
    present = [name for name in candidates if name in columns]
    if not present:
        if role == "text" and set(config.words) & set(columns):
            require_task(config, "tagging", table.where)
        if role == "words" and set(config.text) & set(columns):
            require_task(config, "classification", table.where)
        broken = f"{table.where} has no column {' or '.join(candidates)}; it has {', '.join(columns) or 'none'}"
        raise source_error(config, broken, f"set dataset.{role}=COLUMN{table.hint}")
    chosen = present if role == "text" else present[:1]
    if double := next((name for name in chosen if columns.count(name) > 1), None):
        raise source_error(config, f"{table.where} has two columns {double!r}", "rename one of them")
    if role == "text" and len(present) < len(candidates):
        absent = " and ".join(name for name in candidates if name not in columns)
        notes.append(f"{table.where} has no column {absent}: its texts are {' and '.join(chosen)} alone")
    if len(chosen) > 1:
        notes.append(f"the texts of {table.where} are its columns {' and '.join(chosen)}, joined by blanks")
    return chosen


def _span_column(table: Table, config: DatasetConfig) -> str | None:
    """The column of spans beside a column of texts, in a table without a column of words."""
    if set(config.words) & set(table.columns) or not set(config.text) & set(table.columns):
        return None
    candidates = [name for name in dict.fromkeys([*config.tags, *SPANS, *config.label]) if name in table.columns]
    return next((name for name in candidates if any(map(holds_spans, table.read(name)))), None)


def _joined(columns: list[Sequence[Any]], rows: list[int]) -> list[Any]:
    """The cells of one column, or those of several as one text."""
    if len(columns) == 1:
        return [columns[0][row] for row in rows]
    parts = [[column[row] for column in columns if not _is_missing(column[row])] for row in rows]
    # A cell that is no text stands for the whole, which is then refused.
    return [
        next((cell for cell in cells if not isinstance(cell, str)), " ".join(map(str, cells)) or None)
        for cells in parts
    ]


def _rows(table: Table, config: DatasetConfig, total: int, notes: list[str]) -> list[int]:
    """Positions of the rows that `where` keeps."""
    kept = list(range(total))
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
        kept = [row for row in kept if _equals(_label(cells[row], names, table.where, config), str(value))]
    return kept


def _equals(cell: Any, value: str) -> bool:
    """Whether a cell has a value of the config, to which YAML gave its own spelling: 1 is 1.0, and no is False."""
    text = str(cell)
    if text == value or text.lower() in SPELLINGS.get(value.capitalize(), ()):
        return True
    try:
        return not isinstance(cell, bool) and float(text) == float(value)
    except ValueError:
        return False


def _label(cell: Any, names: Sequence[str] | None, where: str, config: DatasetConfig) -> Any:
    """A name or a whole number; None for an empty cell (a negative number where numbers have names)."""
    if isinstance(cell, list):
        return [_label(tag, names, where, config) for tag in cell]
    if _is_missing(cell) or cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, int):
        return str(cell)
    if names is None:
        return cell
    if cell >= len(names):
        broken = f"{where} has the label {cell}, but names for 0 to {len(names) - 1} alone"
        raise source_error(config, broken, "write the file again with all of its names")
    return names[cell] if cell >= 0 else None  # -1 is usual, -100 is what training code ignores


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell)  # the last is NaN


def _is_empty(label: Any) -> bool:
    return all(tag is None for tag in label) if isinstance(label, list) else label is None


Problem = tuple[bool, str | None]  # whether something is merely missing, and what is wrong with an example


def problem_of(task: str, example: Any, label: Any, unlabelled: bool) -> Problem:
    """unlabelled: no example of the source has a label"""
    return (_tagging_problem if task == "tagging" else _text_problem)(example, label, unlabelled)


def _text_problem(text: Any, label: Any, unlabelled: bool) -> Problem:
    if not isinstance(text, str):
        return (True, "has no text") if _is_missing(text) else (False, f"has {text!r} instead of a text")
    if isinstance(label, list):
        return False, "has a list of labels instead of one"
    return True, "has no label" if label is None and not unlabelled else None


def _tagging_problem(words: Any, tags: Any, unlabelled: bool) -> Problem:
    if not isinstance(words, list):
        return (True, "has no words") if _is_missing(words) else (False, f"has {words!r} instead of a list of words")
    if others := [word for word in words if not isinstance(word, str)]:
        return False, f"has {others[0]!r} among its words, which is no text"
    if unlabelled:
        return False, None
    if not isinstance(tags, list):
        return (True, "has no tags") if tags is None else (False, f"has {tags!r} instead of a list of tags")
    if len(tags) != len(words):
        return False, f"has {len(words)} words and {len(tags)} tags"
    return True, "lacks a tag" if None in tags else None
