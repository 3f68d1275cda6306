"""A table from its spec and the runs: rows, cells, what is significant, what is missing, and where it comes from."""

from dataclasses import dataclass, replace

import pandas as pd

from al_bench.analysis.contrasts import Contest, Contrasts, adjusted, contest
from al_bench.analysis.measures import Measures
from al_bench.analysis.words import code
from al_bench.data.metrics import headline
from al_bench.tables.cells import Cell, Key, Layout, Source, filled, pooled, unit_of
from al_bench.tables.notes import annotate, legend
from al_bench.tables.specs import Column, Spec


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

    spec: Spec
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


def build(spec: Spec, contrasts: Contrasts, made_by: str) -> Table:
    """made_by: the command that makes this table"""
    layout = lay_out(spec, contrasts.measures)
    grid = {head: filled(layout, head, contrasts) for head in layout.columns}
    contests = contests_of(layout)
    for row, one in contests.items():
        if one.bold:
            grid[one.best][row] = replace(grid[one.best][row], bold=True)
    pool = pooled(layout, grid) if spec.pool else {}
    notes = annotate(layout, grid)
    shown = {head: cells for head, cells in grid.items() if not layout.columns[head].hide}
    counts = {len(cell.seeds) for cells in shown.values() for cell in cells if cell.show == "value" and cell.estimate}
    n = counts.pop() if len(counts) == 1 else None
    rows = zip(layout.keys, zip(*shown.values(), strict=True), strict=True)
    return Table(
        spec=spec,
        keys=tuple(spec.rows),
        heads=tuple(shown),
        rows=tuple(Row(key, cells) for key, cells in rows),
        n=n,
        pooled=pool,
        notes=tuple(notes),
        legend=tuple(legend(layout, shown, n, bool(pool), list(contests.values()))),
        provenance=provenance(layout, made_by),
    )


def lay_out(spec: Spec, measures: Measures) -> Layout:
    spread = {head: _spread(spec, head, measures) for head in spec.columns}
    columns = {head: column for made in spread.values() for head, column in made.items()}
    groups = {
        head: _grouped(measures.matching(column.where), [name for name in spec.rows if name not in column.ignore])
        for head, column in columns.items()
        if column.show == "value"
    }

    def source(key: Key, head: str) -> Source:
        column = columns[head]
        own = {name: one for name, one in zip(spec.rows, key, strict=True) if name not in column.ignore}
        runs = groups[head].get(tuple(own.values()), measures.runs.iloc[:0])
        metric = (column.metric or spec.metric).replace("headline", headline(next(iter(runs.task), "")))
        at = spec.at if column.at is None else column.at
        return Source(measures.sample(runs, metric, at), metric, at, {**column.where, **own})

    known = {key for head, group in groups.items() if not columns[head].ignore for key in group}
    # Numbers by size, what is missing first.
    keys = sorted(known, key=lambda key: [(one is not None, isinstance(one, str), one or 0) for one in key])
    sources = [{head: source(key, head) for head in groups} for key in keys]
    return Layout(spec, measures, columns, [head for best in spec.best for head in spread[best]], keys, sources)


def _spread(spec: Spec, head: str, measures: Measures) -> dict[str, Column]:
    """The columns that one of the spec's becomes, by head; their `where` holds the spec's, too."""
    column = replace(spec.columns[head], where={**spec.where, **spec.columns[head].where})
    name = column.spread
    if name is None:
        return {head: column}
    values = sorted(measures.matching(column.where)[name].dropna().unique())
    return {f"{head} {one}": replace(column, where={**column.where, name: one}, spread=None) for one in values}


def _grouped(runs: pd.DataFrame, names: list[str]) -> dict[Key, pd.DataFrame]:
    """Runs by their values of the named columns. Not by pandas, which makes NaN of None."""
    groups: dict[Key, list[str]] = {}
    for run, *key in runs[names].itertuples(name=None):
        groups.setdefault(tuple(key), []).append(run)
    return {key: runs.loc[members] for key, members in groups.items()}


def contests_of(layout: Layout) -> dict[int, Contest]:
    """By row, the best of the columns that compete, and how sure that is."""
    contests = {}
    for row, sources in enumerate(layout.sources):
        rivals = {head: sources[head] for head in layout.competing if sources[head].sample.values}
        rivals = {head: source for head, source in rivals.items() if not layout.has_bracket(row, head)}
        points = {(source.metric, source.at) for source in rivals.values()}
        if len(points) == 1:
            metric, at = points.pop()
            if (lower := unit_of(metric).lower_is_better) is None:
                continue
            samples = {head: source.sample for head, source in rivals.items()}
            contests[row] = contest(samples, layout.measures, metric, at, layout.spec.test, -1 if lower else 1)
    return adjusted(contests)


def provenance(layout: Layout, made_by: str) -> str:
    """How many runs, of which seeds and versions of the code, and the command that made the table of them."""
    used = {run for row in layout.sources for source in row.values() for run in source.sample.runs.values()}
    if not used:
        return f"No runs. Made by {code(made_by)}."
    runs = layout.measures.runs.loc[sorted(used)]
    seeds, names, versions = (sorted(runs[column].unique()) for column in ("seed", "name", "version"))
    plurals = ["s" if number > 1 else "" for number in (len(runs), len(seeds))]
    return (
        f"{len(runs)} run{plurals[0]} of {', '.join(names)}, seed{plurals[1]} {', '.join(map(str, seeds))}, "
        f"by al-bench {', '.join(versions)}. Made by {code(made_by)}."
    )
