"""CoNLL files: one word a line, its tag in another column, a blank line after each sentence."""

import re
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.files import lines_of, read_text
from al_bench.data.readers.raw import Raw, require_task, source_error

TAG = re.compile(r"[OBI]|[BILUESMW]-.+")
GAP = re.compile(r"\s*$|-DOCSTART-")
COMMENT = re.compile(r"#(\s|begin document|end document)")
WORD_NUMBER = re.compile(r"\d+([-.]\d+)?")  # CoNLL-U: 3; 3-4 spans two words, 3.1 is a word that was left out


class Line(NamedTuple):
    number: int
    text: str
    cells: list[str]


def read_conll(path: Path, config: DatasetConfig) -> Raw:
    """Words and tags of the columns that the config names. Raises `UserError` for a line that lacks one of them.

    -DOCSTART- lines end a sentence and are left out, as are comments before a sentence. Of CoNLL-U also the lines
    that are no words (3-4, 3.1).
    """
    require_task(config, "tagging", f"{path.name} (read as CoNLL)")
    blocks = [
        [Line(number, line, _cells(line)) for number, line in block]
        for is_gap, block in groupby(lines_of(read_text(path, config)), key=lambda line: GAP.match(line[1]) is not None)
        if not is_gap
    ]
    model = next((line for block in blocks for line in block if not COMMENT.match(line.text)), None)
    blocks = [_without_comments(block, model, config) for block in blocks]
    lines = [line for block in blocks for line in block]
    if numbered := all(len(line.cells) > 2 and WORD_NUMBER.fullmatch(line.cells[0]) for line in lines):
        blocks = [[line for line in block if line.cells[0].isdecimal()] for block in blocks]
    # Where a column counts from the end, it is another one in a line of another length.
    fixed = model if min(config.word_column, config.tag_column) < 0 else None
    words, tags = [], []
    for block in filter(None, blocks):
        rows = [_word_and_tag(line, fixed or block[0], path, config) for line in block]
        words.append([word for word, _ in rows])
        tags.append([tag for _, tag in rows])
    note = "the words are the word numbers of CoNLL-U; set dataset.word_column=1 for its words"
    return Raw(path.name, words, tags, notes=(note,) if numbered and words and config.word_column == 0 else ())


def _without_comments(block: list[Line], model: Line | None, config: DatasetConfig) -> list[Line]:
    """A sentence from its first word on. model: the first line of the file that is no comment by its beginning

    "#" can also be the first word.
    """

    def is_comment(line: Line) -> bool:
        if not COMMENT.match(line.text):
            return False
        if model is None or len(line.cells) != len(model.cells) or ("\t" in model.text and "\t" not in line.text):
            return True
        tag = _cell(line.cells, config.tag_column) or ""
        return config.scheme not in ("io", "none") and not TAG.fullmatch(tag)

    first = next((place for place, line in enumerate(block) if not is_comment(line)), len(block))
    return block[first:]


def _word_and_tag(line: Line, model: Line, path: Path, config: DatasetConfig) -> tuple[str, str]:
    """model: a line with which this one shares the number of its columns"""
    word, tag = _cell(line.cells, config.word_column), _cell(line.cells, config.tag_column)
    if word is not None and tag is not None and 2 <= len(line.cells) == len(model.cells):
        return word, tag
    broken = f"line {line.number} of {path.name} has {len(line.cells)} columns ({line.text.strip()!r})"
    remedy = "set dataset.word_column and dataset.tag_column (0 is the first, -1 the last)"
    if word is not None and tag is not None and len(line.cells) > 1:
        broken += f", but line {model.number} has {len(model.cells)}"
        remedy = "mend the line; where words hold blanks, separate columns by tabs"
    raise source_error(config, broken, remedy)


def _cells(line: str) -> list[str]:
    """Tabs separate columns, or spaces where the line has no tab. Other blanks can be words."""
    line = line.rstrip(" \t")
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return [cell for cell in line.split(" ") if cell]


def _cell(cells: list[str], column: int) -> str | None:
    return cells[column] if -len(cells) <= column < len(cells) else None
