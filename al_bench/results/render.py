"""A table as Markdown, as LaTeX (booktabs), or as CSV."""

import csv
import io
import math
import re
from collections.abc import Sequence

from al_bench.results.cells import Cell, Unit
from al_bench.results.tables import Table

POOLED = "all rows"


def number(value: float, unit: Unit, *, signed: bool = False) -> str:
    """Without its suffix; a true minus, and as many decimals as the unit says or as make three digits."""
    decimals = unit.decimals
    if decimals is None:
        decimals = min(3, max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0)
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    return text.replace("-", "−")


def cell_text(cell: Cell, n: int | None) -> str:
    """Such as "91.20 ± 0.31 [90.87, 91.53]"; n: the seeds of a value that need not be told."""
    found = cell.estimate
    if found is None:
        return cell.word + cell.marks
    if cell.unit.suffix == " s" and abs(found.mean) < 0.005:
        return "< 0.01 s"
    signed = cell.show in ("difference", "equivalence")
    unit = cell.unit
    # A number's spread is as exact as the number.
    decimals = len(number(found.mean, unit).partition(".")[2])
    unit = Unit(decimals=decimals)
    text = number(found.mean, unit, signed=signed)
    if cell.show == "value" and found.n > 1:
        text += f" ± {number(found.std, unit)}"
    text += cell.unit.suffix
    if found.n > 1:
        text += f" [{number(found.low, unit, signed=signed)}, {number(found.high, unit, signed=signed)}]"
    told = len(cell.seeds) == n or " of " in cell.marks
    return text + cell.marks + ("" if told else f" (n = {len(cell.seeds)})")


def markdown(table: Table) -> str:
    heads = [*table.keys, *table.heads]
    body = [[*_keys(row.key), *(_marked(cell, table.n) for cell in row.cells)] for row in table.rows]
    if table.pooled:
        blank = [POOLED, *[""] * (len(table.keys) - 1)]
        body.append([*blank, *(_pooled(table, head) for head in table.heads)])
    escaped = [[text.replace("|", "\\|") for text in line] for line in (heads, *body)]
    widths = [max(3, *(len(line[i]) for line in escaped)) for i in range(len(heads))]
    first, *rest = (
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in escaped
    )
    left = len(table.keys)
    rule = [("-" * width) if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = [f"### {table.title}", "", first, "| " + " | ".join(rule) + " |", *rest, ""]
    lines += [f"- {line}" for line in table.legend]
    lines += [f"- ({letter(i)}) {note}" for i, note in enumerate(table.notes)]
    return "\n".join([*lines, "", table.provenance, ""])


def _keys(key: Sequence[object]) -> list[str]:
    return ["–" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in key]


def _marked(cell: Cell, n: int | None) -> str:
    text = cell_text(cell, n)
    text = f"**{text}**" if cell.bold else text
    return " ".join([text, *(f"({letter(i)})" for i in cell.notes)])


def _pooled(table: Table, head: str) -> str:
    return cell_text(table.pooled[head], None) if head in table.pooled else ""


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


def latex(table: Table) -> str:
    """A `table*` with booktabs rules, legend and notes under it; needs \\usepackage{booktabs}."""
    lines = [
        r"\begin{table*}",
        r"  \centering\small",
        rf"  \caption{{{escape(table.title)}}}",
        rf"  \label{{tab:{table.name}}}",
        rf"  \begin{{tabular}}{{{'l' * len(table.keys)}{'r' * len(table.heads)}}}",
        r"    \toprule",
        f"    {' & '.join(escape(head) for head in (*table.keys, *table.heads))} \\\\",
        r"    \midrule",
    ]
    for row in table.rows:
        cells = [_latex_cell(cell, table.n) for cell in row.cells]
        lines.append(f"    {' & '.join([*map(escape, _keys(row.key)), *cells])} \\\\")
    if table.pooled:
        blank = [POOLED, *[""] * (len(table.keys) - 1)]
        cells = [*blank, *(escape(_pooled(table, head)) for head in table.heads)]
        lines += [r"    \midrule", f"    {' & '.join(cells)} \\\\"]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}",
        r"  \par\smallskip",
        r"  \begin{minipage}{\linewidth}\footnotesize",
    ]
    lines += [f"    {escape(line)}" for line in table.legend]
    # Without the commands, which are for the author: they are in the comments below.
    notes = [note.partition("; `")[0] for note in table.notes]
    lines += [rf"    \textsuperscript{{{letter(i)}}}\,{escape(note)}." for i, note in enumerate(notes)]
    lines += [r"  \end{minipage}", r"\end{table*}"]
    comments = [*(f"({letter(i)}) {note}" for i, note in enumerate(table.notes)), table.provenance]
    return "\n".join([*lines, *(f"% {line}" for line in comments), ""])


def escape(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)


def _latex_cell(cell: Cell, n: int | None) -> str:
    text = escape(cell_text(cell, n))
    interval = re.search(r"\[.*?\]", text)
    if interval:
        text = text.replace(interval[0], rf"{{\scriptsize {interval[0]}}}")
    text = rf"\textbf{{{text}}}" if cell.bold else text
    return text + "".join(rf"\textsuperscript{{{letter(i)}}}" for i in cell.notes)


# --------------------------------------------------------------------------------------------------- CSV


def comma_separated(table: Table) -> str:
    """A line per cell, in the unit shown, for whoever computes on; the last line is a comment."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = ("mean", "std", "low", "high", "n", "p", "bold", "seeds", "marks", "notes")
    writer.writerow([*table.keys, "column", "show", *fields])
    for row in table.rows:
        for head, cell in zip(table.heads, row.cells, strict=True):
            keys = ["" if one is None else one for one in row.key]
            writer.writerow([*keys, head, cell.show, *_numbers(cell), *_words(cell, table.notes)])
    for head, cell in table.pooled.items():
        blank = [POOLED, *[""] * (len(table.keys) - 1)]
        numbers = [*_numbers(cell)[:-2], "", ""]
        writer.writerow([*blank, head, cell.show, *numbers, cell.marks.strip(), ""])
    return f"{out.getvalue()}# {table.provenance}\n"


def _numbers(cell: Cell) -> list[object]:
    found = cell.estimate
    if found is None:
        return ["", "", "", "", len(cell.seeds), "", ""]
    numbers = [("" if math.isnan(v) else f"{v:.10g}") for v in (found.mean, found.std, found.low, found.high)]
    return [*numbers, found.n, "" if cell.p is None else f"{cell.p:.4g}", int(cell.bold)]


def _words(cell: Cell, notes: Sequence[str]) -> list[str]:
    seeds = " ".join(map(str, cell.seeds))
    return [seeds, cell.word or cell.marks.strip(), " / ".join(notes[i] for i in cell.notes)]


FORMATS = {"markdown": (markdown, "md"), "latex": (latex, "tex"), "csv": (comma_separated, "csv")}
