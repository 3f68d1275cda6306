"""A table as Markdown, as LaTeX (booktabs), or as CSV."""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple
from textwrap import wrap

from al_bench.analysis.statistics import Estimate
from al_bench.analysis.words import number, signed
from al_bench.config.digests import file_name
from al_bench.tables.build import Table
from al_bench.tables.cells import Cell
from al_bench.tables.notes import TEMPLATES

CellText = Callable[[Cell, int | None], str]
POOLED = "all rows"
SIGNED = ("difference", "equivalence", "gain_at_money")


def cell_parts(cell: Cell, n: int | None) -> tuple[str, str, str, str]:
    """(number, interval, marks, seeds), empty where there is none; n: the seeds of a value that need not be shown."""
    estimate, unit = cell.estimate, cell.unit
    count = estimate.n if estimate else len(cell.seeds)
    seeds = "" if count in (0, n) or " of " in cell.word else f"(n = {count})"
    if estimate is None:
        return cell.word, "", cell.marks, seeds
    if unit.suffix == " s" and abs(estimate.mean) < 0.005:
        return "< 0.01 s", "", "", ""
    digits = unit.decimals
    if digits is None:
        digits = min(3, max(0, 2 - math.floor(math.log10(abs(estimate.mean))))) if estimate.mean else 0
    shown = signed if cell.show in SIGNED else number
    text, interval = shown(estimate.mean, digits), ""
    if estimate.n > 1:
        text += f" ± {number(estimate.std, digits)}" if cell.show in ("value", "at_money") else ""
        interval = f"[{shown(estimate.low, digits)}, {shown(estimate.high, digits)}]"
    return text + unit.suffix, interval, cell.marks, seeds


def _lines(table: Table, keys: Sequence[int], name: Callable[[str], str], text: CellText) -> list[list[str]]:
    """The texts of each row, and of the pooled cells. keys: numbers of the row columns that are shown"""
    lines = [
        [*(name(key_text(row.key[i])) for i in keys), *(text(cell, table.n) for cell in row.cells)]
        for row in table.rows
    ]
    if table.pooled:
        cells = (text(table.pooled[head], None) if head in table.pooled else "" for head in table.heads)
        lines.append([POOLED, *[""] * (len(keys) - 1), *cells])
    return lines


def key_text(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def markdown(table: Table) -> str:
    lines = [list(map(plain, (*table.keys, *table.heads))), *_lines(table, range(len(table.keys)), plain, cell_text)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    first, *rest = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    rule = ["-" * width if i < len(table.keys) else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return TEMPLATES.get_template("table.md").render(table=table, lines=[first, rule, *rest]) + "\n"


def plain(text: str) -> str:
    """A name that Markdown reads as text, and not as a cell's end, a link, HTML, ..."""
    return re.sub(r"[\\`|*\[\]]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).replace("<", "&lt;")


def prose(text: str) -> str:
    """A sentence without HTML and links, which nothing but code may hold."""
    harmless = {"<": "&lt;", "](": "]\\("}
    return re.sub(r"(`+).+?(?<!`)\1(?!`)|<|\]\(", lambda part: harmless.get(part[0], part[0]), text, flags=re.S)


def cell_text(cell: Cell, n: int | None) -> str:
    """Such as "91.20 ± 0.31 [90.87, 91.53]* (a)"; n: the seeds of a value that need not be shown."""
    text, interval, marks, seeds = cell_parts(cell, n)
    text = " ".join(part for part in (text, interval) if part) + marks + (f" {seeds}" if seeds else "")
    text = f"**{text}**" if cell.bold else text
    return " ".join([text, *(f"({letter(i)})" for i in cell.notes)])


def letter(number: int) -> str:
    """a to z, then aa, ab, ..."""
    before, last = divmod(number, 26)
    return (letter(before - 1) if before else "") + chr(ord("a") + last)


SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "×": r"$\times$", "−": "$-$",
    "≡": r"$\equiv$", "≤": r"$\le$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "–": "--", "·": r"$\cdot$",
    "<": "$<$", ">": "$>$", "|": "$|$", "γ": r"$\gamma$",
})  # fmt: skip
BREAK = r" \\ "
WIDE = 8  # columns, with which a table does not fit on a page but in smaller type


def latex(table: Table) -> str:
    """A `table*` with booktabs rules, legend and notes under it; needs \\usepackage{booktabs}.

    Intervals stand under their numbers, and what all rows share in the caption: a page is not wide.
    """
    shown = [i for i in range(len(table.keys)) if len({row.key[i] for row in table.rows}) > 1] or [0]
    first = table.rows[0].key if table.rows else ()
    shared = [f"{table.keys[i]} {key_text(one)}" for i, one in enumerate(first) if i not in shown]
    named = [(table.keys[i], "l") for i in shown] + [(head, "r") for head in table.heads]
    size, gap = ("scriptsize", 1.5) if len(named) > WIDE else ("footnotesize", 4)
    return TEMPLATES.get_template("table.tex").render(
        table=table, size=size, gap=gap, sides="".join(side for _, side in named),
        heads=[_stacked(wrap(escape(name), 12), side) for name, side in named],
        lines=_lines(table, shown, _broken, _latex_cell),
        title=f"{table.spec.title} ({', '.join(shared)})" if shared else table.spec.title,
    ) + "\n"  # fmt: skip


def escape(text: str) -> str:
    return re.sub('"(.*?)"', r"``\1''", text).translate(SPECIAL)


def _latex_cell(cell: Cell, n: int | None) -> str:
    text, interval, marks, seeds = map(escape, cell_parts(cell, n))
    text = (rf"\textbf{{{text}}}" if cell.bold else text) + marks
    text += "".join(rf"\textsuperscript{{{letter(i)}}}" for i in cell.notes)
    under = " ".join(part for part in (interval, seeds) if part)
    return _stacked([text, rf"\scriptsize {under}"] if under else [text])


def _broken(name: str) -> str:
    """A long name in lines, which may end in an underscore."""
    lines = [line.replace("_ ", "_") for line in wrap(name.replace("_", "_ "), 14)] or [""]
    return _stacked(list(map(escape, lines)), "l")


def _stacked(lines: Sequence[str], side: str = "r") -> str:
    return rf"\shortstack[{side}]{{{BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


def comma_separated(table: Table) -> str:
    """A line per cell, in the unit shown, for whoever computes on; the last line is a comment."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = ("mean", "std", "low", "high", "n", "p")
    writer.writerow([*table.keys, "column", "show", *numbers, "bold", "seeds", "marks", "notes"])
    rows = [(row.key, zip(table.heads, row.cells, strict=True)) for row in table.rows]
    pooled = ((POOLED, *[""] * (len(table.keys) - 1)), table.pooled.items())
    for key, cells in [*rows, pooled]:
        for head, cell in cells:
            nothing = Estimate(math.nan, math.nan, math.nan, math.nan, len(cell.seeds))
            *ends, n = astuple(cell.estimate or nothing)
            texts = ["" if math.isnan(end) else f"{end:.10g}" for end in ends]
            p = "" if math.isnan(cell.p) else f"{cell.p:.4g}"
            seeds, notes = " ".join(map(str, cell.seeds)), " / ".join(table.notes[i] for i in cell.notes)
            marks = cell.word or cell.marks.strip()
            writer.writerow([*key, head, cell.show, *texts, n, p, int(cell.bold), seeds, marks, notes])
    return f"{out.getvalue()}# {table.provenance}\n"


TEMPLATES.filters |= {"letter": letter, "tex": escape, "prose": prose, "name": file_name}
FORMATS = {"markdown": (markdown, "md"), "latex": (latex, "tex"), "csv": (comma_separated, "csv")}
