"""A table as Markdown, as LaTeX (booktabs), or as CSV."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap

from jinja2 import Environment, PackageLoader, StrictUndefined

from al_bench.analysis.words import number, signed
from al_bench.tables.build import Row, Table
from al_bench.tables.cells import Cell

POOLED = "all rows"
# Braces and percent signs are LaTeX's own.
TEMPLATES = Environment(
    loader=PackageLoader("al_bench.tables"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
    comment_start_string="<#", comment_end_string="#>",
)  # fmt: skip


def cell_parts(cell: Cell, n: int | None) -> tuple[str, str, str, str]:
    """(number, interval, marks, seeds), empty where there is none; n: the seeds of a value that need not be shown."""
    estimate, unit = cell.estimate, cell.unit
    known = not cell.seeds or len(cell.seeds) == n or " of " in cell.word
    seeds = "" if known else f"(n = {len(cell.seeds)})"
    if estimate is None:
        return cell.word, "", cell.marks, seeds
    if unit.suffix == " s" and abs(estimate.mean) < 0.005:
        return "< 0.01 s", "", "", ""
    digits = unit.decimals
    if digits is None:
        digits = min(3, max(0, 2 - math.floor(math.log10(abs(estimate.mean))))) if estimate.mean else 0
    shown = signed if cell.show in ("difference", "equivalence") else number
    text = shown(estimate.mean, digits)
    if cell.show == "value" and estimate.n > 1:
        text += f" ± {number(estimate.std, digits)}"
    interval = f"[{shown(estimate.low, digits)}, {shown(estimate.high, digits)}]" if estimate.n > 1 else ""
    return text + unit.suffix, interval, cell.marks, seeds


def cell_text(cell: Cell, n: int | None) -> str:
    """Such as "91.20 ± 0.31 [90.87, 91.53]*"; n: the seeds of a value that need not be shown."""
    text, interval, marks, seeds = cell_parts(cell, n)
    return " ".join(part for part in (text, interval) if part) + marks + (f" {seeds}" if seeds else "")


def markdown(table: Table) -> str:
    heads = [*table.keys, *table.heads]
    body = [[*_keys(row.key), *(_marked(cell, table.n) for cell in row.cells)] for row in table.rows]
    if table.pooled:
        pooled = (cell_text(table.pooled[head], None) if head in table.pooled else "" for head in table.heads)
        body.append([POOLED, *[""] * (len(table.keys) - 1), *pooled])
    escaped = [[text.replace("|", "\\|") for text in line] for line in (heads, *body)]
    widths = [max(3, *(len(line[i]) for line in escaped)) for i in range(len(heads))]
    first, *rest = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in escaped)
    rule = ["-" * width if i < len(table.keys) else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return TEMPLATES.get_template("table.md").render(table=table, lines=[first, rule, *rest]) + "\n"


def _keys(key: Sequence[object]) -> list[str]:
    return ["–" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in key]


def _marked(cell: Cell, n: int | None) -> str:
    text = cell_text(cell, n)
    text = f"**{text}**" if cell.bold else text
    return " ".join([text, *(f"({letter(i)})" for i in cell.notes)])


def letter(number: int) -> str:
    """a to z, then aa, ab, ..."""
    before, last = divmod(number, 26)
    return (letter(before - 1) if before else "") + chr(ord("a") + last)


# ------------------------------------------------------------------------------------------------- LaTeX

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "×": r"$\times$", "−": "$-$",
    "≡": r"$\equiv$", "≤": r"$\le$", "†": r"\textdagger{}", "–": "--", "·": r"$\cdot$",
    "<": "$<$", ">": "$>$", "|": "$|$", "γ": r"$\gamma$",
}  # fmt: skip
BREAK = r" \\ "
WIDE = 8  # columns, with which a table does not fit on a page but in smaller type


def latex(table: Table) -> str:
    """A `table*` with booktabs rules, legend and notes under it; needs \\usepackage{booktabs}.

    Intervals stand under their numbers, and what all rows share in the caption: a page is not wide.
    """
    shown = [i for i in range(len(table.keys)) if len({row.key[i] for row in table.rows}) > 1] or [0]
    first = _keys(table.rows[0].key) if table.rows else []
    shared = [f"{name} {first[i]}" for i, name in enumerate(table.keys) if first and i not in shown]
    named = [*(table.keys[i] for i in shown), *table.heads]
    sides = "l" * len(shown) + "r" * len(table.heads)
    heads = [_stacked(wrap(escape(head), 12), side) for head, side in zip(named, sides, strict=True)]
    size, gap = ("scriptsize", 1.5) if len(heads) > WIDE else ("footnotesize", 4)
    pooled = (_latex_cell(table.pooled[head], None) if head in table.pooled else "" for head in table.heads)

    def row_cells(row: Row) -> list[str]:
        names = [_stacked(list(map(escape, _broken(_keys(row.key)[i]))), "l") for i in shown]
        return [*names, *(_latex_cell(cell, table.n) for cell in row.cells)]

    return TEMPLATES.get_template("table.tex").render(
        table=table, shown=shown, heads=heads, size=size, gap=gap, row_cells=row_cells,
        title=f"{table.title} ({', '.join(shared)})" if shared else table.title,
        pooled=[POOLED, *[""] * (len(shown) - 1), *pooled],
    ) + "\n"  # fmt: skip


def escape(text: str) -> str:
    quoted = re.sub('"(.*?)"', r"``\1''", text)
    return "".join(SPECIAL.get(character, character) for character in quoted)


def _latex_cell(cell: Cell, n: int | None) -> str:
    text, interval, marks, seeds = map(escape, cell_parts(cell, n))
    text = (rf"\textbf{{{text}}}" if cell.bold else text) + marks
    text += "".join(rf"\textsuperscript{{{letter(i)}}}" for i in cell.notes)
    under = " ".join(part for part in (interval, seeds) if part)
    return _stacked([text, rf"\scriptsize {under}"] if under else [text])


def _broken(name: str) -> list[str]:
    """A long name in lines, which may end in an underscore."""
    return [line.replace("_ ", "_") for line in wrap(name.replace("_", "_ "), 14)] or [""]


def _stacked(lines: Sequence[str], side: str = "r") -> str:
    return rf"\shortstack[{side}]{{{BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


# --------------------------------------------------------------------------------------------------- CSV


def comma_separated(table: Table) -> str:
    """A line per cell, in the unit shown, for whoever computes on; the last line is a comment."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = ("mean", "std", "low", "high", "n", "p", "bold", "seeds", "marks", "notes")
    writer.writerow([*table.keys, "column", "show", *fields])
    for row in table.rows:
        for head, cell in zip(table.heads, row.cells, strict=True):
            writer.writerow([*("" if one is None else one for one in row.key), head, *_fields(cell, table)])
    for head, cell in table.pooled.items():
        blank = [POOLED, *[""] * (len(table.keys) - 1)]
        writer.writerow([*blank, head, *_fields(replace(cell, seeds=()), table)])
    return f"{out.getvalue()}# {table.provenance}\n"


def _fields(cell: Cell, table: Table) -> list[object]:
    estimate = cell.estimate
    numbers: list[object] = ["", "", "", "", len(cell.seeds)]
    if estimate is not None:
        ends = (estimate.mean, estimate.std, estimate.low, estimate.high)
        numbers = [*("" if math.isnan(value) else f"{value:.10g}" for value in ends), estimate.n]
    tested = ["" if cell.p is None else f"{cell.p:.4g}", int(cell.bold), " ".join(map(str, cell.seeds))]
    notes = " / ".join(table.notes[i] for i in cell.notes)
    return [cell.show, *numbers, *tested, cell.word or cell.marks.strip(), notes]


TEMPLATES.filters |= {"letter": letter, "tex": escape}
FORMATS = {"markdown": (markdown, "md"), "latex": (latex, "tex"), "csv": (comma_separated, "csv")}
