"""CoNLL files: one word a line, its tag in another column, a blank line after each sentence."""

import re
from itertools import groupby
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import Raw, read_text, require_task, source_error

TAG = re.compile(r"O|[BILUES]-.+")
GAP = re.compile(r"\s*$|-DOCSTART-")


def read_conll(path: Path, config: DatasetConfig) -> Raw:
    """Words and tags of the columns that the config names. Raises `UserError` for a line that lacks one of them.

    -DOCSTART- lines end a sentence and are left out.
    """
    require_task(config, "tagging", f"{path.name} (read as CoNLL)")
    sentences: list[list[tuple[str, str]]] = []  # (word, tag)
    lines = enumerate(re.split("\r\n|\n|\r", read_text(path, config)), start=1)
    for is_gap, block in groupby(lines, key=lambda line: GAP.match(line[1]) is not None):
        rows: list[tuple[str, str]] = []
        for number, line in () if is_gap else block:
            cells = _cells(line)
            word, tag = _cell(cells, config.word_column), _cell(cells, config.tag_column)
            # CoNLL-U puts comments before a sentence; "#" can also be its first word.
            if line.startswith("# ") and not rows and (len(cells) == 1 or not TAG.fullmatch(tag or "")):
                continue
            if word is None or tag is None or len(cells) < 2:
                broken = f"line {number} of {path.name} has {len(cells)} columns ({line.strip()!r})"
                remedy = "set dataset.word_column and dataset.tag_column (0 is the first, -1 the last)"
                raise source_error(config, broken, remedy)
            rows.append((word, tag))
        if rows:
            sentences.append(rows)
    words, tags = ([[cells[column] for cells in rows] for rows in sentences] for column in (0, 1))
    return Raw(path.name, words, tags)


def _cells(line: str) -> list[str]:
    """Tabs separate columns, or spaces where the line has no tab. Other blanks can be words."""
    line = line.rstrip(" \t")
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return re.split(" +", line.lstrip(" "))


def _cell(cells: list[str], column: int) -> str | None:
    return cells[column] if -len(cells) <= column < len(cells) else None
