"""A table from its spec and the runs: rows, cells, what is significant, what is missing, and where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from al_bench.analysis.contrasts import Contest, Contrasts, adjusted, contest, in_family
from al_bench.analysis.measures import Paired
from al_bench.analysis.statistics import ALPHA
from al_bench.data.metrics import headline
from al_bench.tables.cells import (
    Cell,
    Key,
    Layout,
    Source,
    compared,
    derived,
    family_of,
    paired_values,
    tested,
    unit_of,
    value,
)
from al_bench.tables.notes import annotate, common_n, legend
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


def build(spec: Spec, contrasts: Contrasts, made_by: str) -> Table:
    """made_by: the command that makes this table"""
    layout = lay_out(spec, contrasts)
    grid: dict[str, list[Cell]] = {}
    for head, column in layout.columns.items():
        if column.show == "value":
            grid[head] = [value(sources[head]) for sources in layout.sources]
            continue
        rows = [[sources[other] for other in column.of] for sources in layout.sources]
        cells = [derived(column, row, contrasts.measures, spec.test) for row in rows]
        families = [family_of(cell, row, contrasts, spec.test) for cell, row in zip(cells, rows, strict=True)]
        grid[head] = _tested(cells, families, spec.test)
    contests = contests_of(spec, layout, contrasts)
    for row, one in contests.items():
        if one.p <= ALPHA:
            grid[one.best][row] = replace(grid[one.best][row], bold=True)
    pool = pooled(spec, layout, contrasts)
    notes = annotate(spec, layout, grid, contrasts.measures)
    shown = {head: cells for head, cells in grid.items() if not layout.columns[head].hide}
    return Table(
        name=spec.name,
        title=spec.title,
        keys=tuple(spec.rows),
        heads=tuple(shown),
        rows=tuple(Row(key, tuple(cells[i] for cells in shown.values())) for i, key in enumerate(layout.keys)),
        n=common_n(shown),
        pooled=pool,
        notes=tuple(notes),
        legend=tuple(legend(spec, layout, shown, pool, list(contests.values()), contrasts.measures)),
        provenance=provenance(layout, contrasts, made_by),
    )


def lay_out(spec: Spec, contrasts: Contrasts) -> Layout:
    measures = contrasts.measures
    spread = _spread(spec, contrasts)
    columns = {head: column for made in spread.values() for head, column in made.items()}
    groups = {
        head: _grouped(measures.matching({**spec.where, **column.where}), kept(spec, column))
        for head, column in columns.items()
        if column.show == "value"
    }

    def source(key: Key, head: str) -> Source:
        column, by_name = columns[head], dict(zip(spec.rows, key, strict=True))
        own = {name: by_name[name] for name in kept(spec, column)}
        runs = groups[head].get(tuple(own.values()), measures.runs.iloc[:0])
        metric = column.metric or spec.metric
        if "headline" in metric:
            metric = metric.replace("headline", headline(str(runs.task.iloc[0]) if len(runs) else ""))
        at = spec.at if column.at is None else column.at
        return Source(measures.sample(runs, metric, at), metric, at, {**spec.where, **column.where, **own})

    keys = _row_keys(columns, groups)
    sources = [{head: source(key, head) for head in groups} for key in keys]
    return Layout(columns, [head for best in spec.best for head in spread[best]], keys, sources)


def kept(spec: Spec, column: Column) -> list[str]:
    """The row columns that a column's runs share with their row."""
    return [name for name in spec.rows if name not in column.ignore]


def _spread(spec: Spec, contrasts: Contrasts) -> dict[str, dict[str, Column]]:
    """By the spec's heads, the columns that each becomes."""
    columns = {}
    for head, column in spec.columns.items():
        columns[head] = {head: column}
        if column.spread is not None:
            values = contrasts.measures.matching({**spec.where, **column.where})[column.spread]
            columns[head] = {
                f"{head} {one}": replace(column, where={**column.where, column.spread: one}, spread=None)
                for one in sorted({one for one in values if one is not None})
            }
    return columns


def _grouped(runs: pd.DataFrame, names: list[str]) -> dict[Key, pd.DataFrame]:
    groups: dict[Key, list[str]] = {}
    for run, *key in runs[names].itertuples(name=None):
        groups.setdefault(tuple(key), []).append(run)
    return {key: runs.loc[members] for key, members in groups.items()}


def _row_keys(columns: Mapping[str, Column], groups: Mapping[str, Mapping[Key, pd.DataFrame]]) -> list[Key]:
    """What the columns that ignore none of it have, in order: numbers by size, what is missing first."""
    keys = {key for head, group in groups.items() if not columns[head].ignore for key in group}
    return sorted(keys, key=lambda key: [(one is not None, isinstance(one, str), one or 0) for one in key])


def _tested(cells: Sequence[Cell], families: Sequence[Any], test: str) -> list[Cell]:
    """Differences with their p-values: of the family of the question that they answer, else of the column."""
    own = [i for i, (cell, family) in enumerate(zip(cells, families, strict=True)) if cell.pairs and not family]
    column = dict(zip(own, in_family([cells[i].pairs for i in own if cells[i].pairs], test), strict=True))  # type: ignore[misc]
    return [tested(cell, families[i] or column[i], test) if cell.pairs else cell for i, cell in enumerate(cells)]


def contests_of(spec: Spec, layout: Layout, contrasts: Contrasts) -> dict[int, Contest]:
    """By row, the best of the columns that compete, and how sure that is."""
    contests = {}
    for row, sources in enumerate(layout.sources):
        rivals = {head: sources[head] for head in layout.competing if sources[head].sample.values}
        if len({(source.metric, source.at) for source in rivals.values()}) != 1:
            continue
        first = next(iter(rivals.values()))
        sign = -1 if unit_of(first.metric).lower_is_better else 1
        samples = {head: source.sample for head, source in rivals.items()}
        one = contest(samples, contrasts.measures, first.metric, first.at, spec.test, sign)
        if one is not None:
            contests[row] = one
    return dict(zip(contests, adjusted(list(contests.values())), strict=True))


def pooled(spec: Spec, layout: Layout, contrasts: Contrasts) -> dict[str, Cell]:
    """By head, what the pairs of all rows say together; nothing where the spec does not ask."""
    made: dict[str, Cell] = {}
    for head, column in layout.columns.items():
        if not spec.pool or column.show not in ("difference", "equivalence"):
            continue
        rows = [[sources[other] for other in column.of] for sources in layout.sources]
        rows = [row for row in rows if all(s.sample.values for s in row) and not row[0].same_as(row[1])]
        pairs = [one for one in (paired_values(row, contrasts.measures) for row in rows) if one.seeds]
        if len(pairs) > 1:
            arrays = tuple(np.concatenate([one.arrays[i] for one in pairs]) for i in (0, 1))
            unit = unit_of(layout.columns[column.of[0]].metric or spec.metric)
            # Numbers, not seeds: a seed stands here once for each row.
            made[head] = compared(column, unit, Paired(tuple(range(len(arrays[0]))), arrays), spec.test)
    differences = [head for head, cell in made.items() if cell.show == "difference"]
    cells = _tested([made[head] for head in differences], [None] * len(differences), spec.test)
    return made | dict(zip(differences, cells, strict=True))


def provenance(layout: Layout, contrasts: Contrasts, made_by: str) -> str:
    """How many runs, of which seeds and versions of the code, and the command that made the table of them."""
    used = {run for row in layout.sources for source in row.values() for run in source.sample.runs.values()}
    if not used:
        return f"No runs. Made by `{made_by}`."
    runs = contrasts.measures.runs.loc[sorted(used)]
    seeds = sorted(runs.seed.unique())
    names, versions = (", ".join(sorted(runs[column].unique())) for column in ("name", "version"))
    plurals = ["s" if number > 1 else "" for number in (len(runs), len(seeds))]
    listed = ", ".join(map(str, seeds))
    return (
        f"{len(runs)} run{plurals[0]} of {names}, seed{plurals[1]} {listed}, by al-bench {versions}. "
        f"Made by `{made_by}`."
    )
