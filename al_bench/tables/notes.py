"""What stands under a table: what cells lack, with the command that fills them, and how to read the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from al_bench.analysis.contrasts import Contest
from al_bench.analysis.measures import Measures
from al_bench.analysis.statistics import ALPHA, pairs_needed, reachable
from al_bench.analysis.suggest import filling, labeler_of
from al_bench.analysis.words import code
from al_bench.config.digests import differences
from al_bench.ledger.ledger import load_record
from al_bench.tables.cells import AT_MONEY, BRACKET, REFERENCE, UNTESTABLE, Cell, Layout

STOPPED = {"running": "is running", "failed": "failed", "interrupted": "was interrupted"}
# Braces and percent signs are LaTeX's own.
TEMPLATES = Environment(
    loader=PackageLoader("al_bench.tables"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
    comment_start_string="<#", comment_end_string="#>",
)  # fmt: skip


def annotate(layout: Layout, grid: dict[str, list[Cell]]) -> list[str]:
    """The notes, after their numbers are put on the cells they are about."""
    notes: dict[str, int] = {}
    for row, sources in enumerate(layout.sources):
        budgets = uneven(layout, row)
        for head in sources:
            lines = remarks(layout, row, head) + budgets.get(head, [])
            numbers = [notes.setdefault(line, len(notes)) for line in lines]
            # A hidden column's notes stand on the first column that is made of it.
            derived = (other for other, column in layout.columns.items() if head in column.of)
            cells = grid[next(derived) if layout.columns[head].hide else head]
            if cells[row].word != REFERENCE:
                cells[row] = replace(cells[row], notes=tuple(sorted({*cells[row].notes, *numbers})))
    return list(notes)


def expected_seeds(layout: Layout, row: int) -> list[int]:
    """The seeds that each cell of a row should have: those of the spec, else whatever any of its runs has."""
    if isinstance(layout.spec.seeds, list):
        return sorted(layout.spec.seeds)
    return sorted({seed for source in layout.sources[row].values() for seed in source.sample.seeds})


def remarks(layout: Layout, row: int, head: str) -> list[str]:
    """Lines about a cell of values; none where all is there."""
    source, measures = layout.sources[row][head], layout.measures
    sample, wanted, runs = source.sample, source.wanted, measures.runs
    if sample.unlike:
        settings = _unlike(sample.unlike, measures)
        return [f"these runs differ in {settings}; narrow `where` in the spec, or give fewer directories"]
    # Without the column's head: what several columns lack is one thing, to be done once.
    silent = [run for run in sample.silent if sample.values or not measures.complete[run]]
    silent += [run for run in sample.runs.values() if not measures.complete[run]]
    lines = [_silent(run, source.metric, measures) for run in silent]
    if sample.elsewhere:
        others = runs.loc[list(sample.elsewhere)]
        hosts, seeds = ", ".join(sorted({*map(str, others.host)})), ", ".join(map(str, others.seed))
        another = f"another machine ({hosts})"
        if source.paid:
            another = f"another currency ({', '.join(sorted({one or 'none named' for one in others.currency}))})"
        what = "money" if source.paid else "seconds"
        lines.append(f"{what} of seeds {seeds} are of {another} and left out")
    missing = [seed for seed in expected_seeds(layout, row) if seed not in sample.seeds]
    if missing:
        place = f"{_place(layout, row)}{f', {head}' if layout.columns[head].hide else ''}"
        seeds = f"seeds {', '.join(map(str, missing))} are" if missing[1:] else f"seed {missing[0]} is"
        line = f"{place}: {seeds} missing"
        if fill := filling(runs, wanted, missing):
            guessed = wanted.get("arm") == "PLASM" and "pseudo_labeler" not in wanted
            guessed = guessed and labeler_of(runs, wanted) is None
            line += f"; {code(fill)}{', or with another labeller' if guessed else ''}"
        lines.append(line)
    return lines


def _place(layout: Layout, row: int) -> str:
    return ", ".join(str(one) for one in layout.keys[row] if one is not None)


def _silent(run: str, metric: str, measures: Measures) -> str:
    row = measures.runs.loc[run]
    if not measures.complete[run]:
        done = f"{row.cycles_done} of {row.cycles_planned} cycles"
        return f"seed {row.seed} {STOPPED[row.state]} with {done}; {code(row.command)}"
    evaluated = ", ".join(map(str, measures.wide(metric).loc[run].dropna().index))
    lacks = f"has {metric} at other cycles only ({evaluated})" if evaluated else f"has no {metric}"
    return f"seed {row.seed} {lacks}"


def _unlike(runs: Sequence[str], measures: Measures) -> str:
    """The settings in which two runs differ, and the runs."""
    records = [load_record(Path(measures.runs.directory[run], "identity.json")) for run in runs[:2]]
    first, second = ({**one.get("identity", {}), "fingerprints": one.get("fingerprints")} for one in records)
    skipped = {"evaluate_at", "schedule.cycles", "fingerprints.trajectory"}
    keys = [key for key in differences(first, second) if key not in skipped]
    settings = [key for key in keys if not key.startswith("seeds.")] or keys
    return f"{', '.join(settings[:4]) or 'their data or weights'} ({runs[0]}, {runs[1]})"


def uneven(layout: Layout, row: int) -> dict[str, list[str]]:
    """{head: [line]} where columns of a row are compared that end at budgets more than a twentieth apart."""
    paired = [column.of for column in layout.columns.values() if column.show in ("difference", "equivalence")]
    compared = {*layout.competing, *chain.from_iterable(paired)}
    ends = {}
    for head, source in layout.sources[row].items():
        if head in compared and source.at in ("last", "aulc") and source.sample.runs:
            last = [layout.measures.curve(run, source.metric)[0][-1] for run in source.sample.runs.values()]
            ends[head] = sum(last) / len(last)
    if not ends or max(ends.values()) <= 1.05 * min(ends.values()):
        return {}
    budgets = ", ".join(f"{head} {end:,.0f}" for head, end in ends.items())
    return {next(iter(ends)): [f"{_place(layout, row)}: the budgets differ: {budgets}"]}


def _currencies(layout: Layout) -> list[str] | None:
    """Of all that has a price; None where the table shows no money."""
    metrics = [column.metric or layout.spec.metric for column in layout.columns.values()]
    at_money = any(column.show in AT_MONEY for column in layout.columns.values())
    if not at_money and not any(metric.startswith("money/") for metric in metrics):
        return None
    runs = {run for row in layout.sources for one in row.values() for run in one.sample.runs.values()}
    return sorted({currency for run in runs if (currency := layout.measures.currency(run))})


def legend(
    layout: Layout, grid: Mapping[str, Sequence[Cell]], n: int | None, pooled: bool, contests: Sequence[Contest]
) -> list[str]:
    """Sentences: what the numbers are, what was tested, and what could not be."""
    spec = layout.spec
    if not layout.keys:
        return ["No run belongs in this table."]
    columns, cells = layout.columns, [cell for column in grid.values() for cell in column]
    elsewhere: dict[Any, list[str]] = {}  # columns that are not of the table's own point of the curve
    for head, column in columns.items():
        if column.show == "value" and not column.hide and column.at not in (None, spec.at):
            elsewhere.setdefault(column.at, []).append(head)
    untestable = {head: [len(cell.seeds) for cell in own if cell.marks == UNTESTABLE] for head, own in grid.items()}
    hopeless = [one.pairs for one in contests if not reachable(one.pairs, len(contests))]
    margins = {column.margin for column in columns.values() if column.margin is not None}
    counts = [(_place(layout, row), len(expected_seeds(layout, row))) for row in range(len(layout.keys))]
    text = TEMPLATES.get_template("legend.txt").render(
        spec=spec,
        level=f"p ≤ {ALPHA:g}",
        pairs_needed=pairs_needed,
        n=n,
        scaled=any(cell.unit.scale == 100 for cell in cells if cell.show == "value" and cell.estimate),
        elsewhere=elsewhere,
        tested={head: max(cell.tests for cell in own) for head, own in grid.items() if any(c.tests for c in own)},
        untestable=untestable,
        margins=[f"{margin:g}" for margin in sorted(margins)],
        shown={cell.show for cell in cells if cell.seeds},
        pooled=pooled,
        contests=len(contests),
        hopeless=hopeless if spec.test == "wilcoxon" else [],
        bold=any(one.bold for one in contests),
        bracket=any(BRACKET in cell.marks for cell in cells),
        money=_currencies(layout),
        few=[f"{place}: {seeds}" for place, seeds in counts if isinstance(spec.seeds, int) and seeds < spec.seeds],
        unknown={one.metric for row in layout.sources for one in row.values() if not layout.measures.knows(one.metric)},
    )
    return text.splitlines()
