"""A table from its spec and the runs: cells, what is significant, what is missing, and where it all comes from."""

from dataclasses import dataclass, replace

from al_bench.analysis.samples import Measures
from al_bench.analysis.statistics import ALPHA
from al_bench.tables.cells import REFERENCE, Cell, derived, value
from al_bench.tables.lacking import remarks, uneven
from al_bench.tables.legend import common_n, legend
from al_bench.tables.rows import Key, Layout, lay_out
from al_bench.tables.significance import contests, corrected, pooled
from al_bench.tables.specs import Spec


@dataclass(frozen=True)
class Row:
    key: Key
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """
    keys, heads: of the columns that name a row, and of those that hold its cells
    n: seeds of a value, where it is the same for all; pooled: cells of the pairs of all rows, by head
    notes: what is wrong with the cells that point here; legend: how to read the table; provenance: whose runs these are
    """

    name: str
    title: str
    keys: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    n: int | None
    pooled: dict[str, Cell]
    notes: tuple[str, ...]
    legend: tuple[str, ...]
    provenance: str

    @property
    def empty(self) -> bool:
        return not any(cell.estimate for row in self.rows for cell in row.cells)


def build(spec: Spec, measures: Measures, made_by: str) -> Table:
    """made_by: the command that makes this table"""
    layout = lay_out(spec, measures)
    grid: dict[str, list[Cell]] = {}
    for head, column in layout.columns.items():
        if column.show == "value":
            grid[head] = [value(sources[head]) for sources in layout.sources]
        else:
            rows = [[sources[other] for other in column.of] for sources in layout.sources]
            grid[head] = [derived(column, row, measures, spec.test) for row in rows]
        if column.show == "difference":
            grid[head] = corrected(grid[head], spec.test)
    for contest in (found := contests(spec, layout)):
        if contest.p <= ALPHA:
            cells = grid[contest.best]
            cells[contest.row] = replace(cells[contest.row], bold=True)
    pool = pooled(spec, layout)
    notes = _annotate(spec, layout, grid, measures)
    shown = {head: cells for head, cells in grid.items() if not layout.columns[head].hide}
    return Table(
        name=spec.name,
        title=spec.title,
        keys=tuple(spec.rows),
        heads=tuple(shown),
        rows=tuple(
            Row(key, tuple(cells[i] for cells in shown.values())) for i, key in enumerate(layout.keys)
        ),
        n=common_n(shown),
        pooled=pool,
        notes=tuple(notes),
        legend=tuple(legend(spec, layout, shown, pool, found, measures)),
        provenance=provenance(layout, measures, made_by),
    )


def _annotate(spec: Spec, layout: Layout, grid: dict[str, list[Cell]], measures: Measures) -> list[str]:
    """The notes, after their numbers are put on the cells they are about."""
    notes: dict[str, int] = {}
    for row, sources in enumerate(layout.sources):
        said = {head: remarks(spec, layout, row, head, measures) for head in sources}
        for head, line in uneven(layout, row, measures).items():
            said[head].append(line)
        for head, lines in said.items():
            mine = [notes.setdefault(line, len(notes)) for line in lines]
            at = head if not layout.columns[head].hide else _made_of(layout, head)
            cell = grid[at][row]
            if cell.word == REFERENCE:
                continue
            grid[at][row] = replace(cell, notes=tuple(sorted({*cell.notes, *mine})))
    return list(notes)


def _made_of(layout: Layout, head: str) -> str:
    """The first column that is made of a hidden one, and has its notes."""
    return next(other for other, column in layout.columns.items() if head in column.of)


def provenance(layout: Layout, measures: Measures, made_by: str) -> str:
    """How many runs, of which seeds and versions of the code, and the command that made the table of them."""
    used = {run for row in layout.sources for source in row.values() for run in source.sample.runs.values()}
    runs = measures.runs.loc[sorted(used)]
    seeds = ", ".join(str(seed) for seed in sorted(runs.seed.unique()))
    if not used:
        return f"No runs. Made by `{made_by}`."
    names, versions = (", ".join(sorted(runs[column].unique())) for column in ("name", "version"))
    several = ["s" if number > 1 else "" for number in (len(runs), runs.seed.nunique())]
    told = f"{len(runs)} run{several[0]} of {names}, seed{several[1]} {seeds}, by al-bench {versions}"
    return f"{told}. Made by `{made_by}`."
