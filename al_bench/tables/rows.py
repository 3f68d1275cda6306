"""Which rows and columns a table has, and the runs behind each of its cells."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from al_bench.analysis.samples import Measures, Sample
from al_bench.data.metrics import headline
from al_bench.tables.specs import Column, Spec

Key = tuple[Any, ...]  # a row's values of the spec's row columns; None: its runs do not use the thing


@dataclass(frozen=True)
class Source:
    """A column of values in one row: a cell, and what other columns are made of.

    metric: as in MLflow; at: where on the curve; wanted: the columns of the runs that belong here
    """

    sample: Sample
    metric: str
    at: str | int
    wanted: Mapping[str, Any]

    def same_as(self, other: "Source") -> bool:
        """Whether both are the same numbers, so that nothing is compared."""
        return (self.sample.runs, self.metric, self.at) == (other.sample.runs, other.metric, other.at)


@dataclass(frozen=True)
class Layout:
    """
    columns: by head, those spread out that a spec only describes
    competing: heads of those of which the best is bold
    keys: of the rows, in order; sources: of each row, its columns of values by head
    """

    columns: dict[str, Column]
    competing: list[str]
    keys: list[Key]
    sources: list[dict[str, Source]]


def lay_out(spec: Spec, measures: Measures) -> Layout:
    spread = _spread(spec, measures)
    columns = {head: column for made in spread.values() for head, column in made.items()}
    groups = {
        head: _grouped(measures.matching({**spec.where, **column.where}), kept(spec, column))
        for head, column in columns.items()
        if column.show == "value"
    }
    keys = _row_keys(columns, groups)
    nobody = measures.runs.iloc[:0]

    def source(key: Key, head: str) -> Source:
        column, wanted = columns[head], dict(zip(spec.rows, key, strict=True))
        mine = {name: wanted[name] for name in kept(spec, column)}
        runs = groups[head].get(tuple(mine.values()), nobody)
        metric = column.metric or spec.metric
        if "headline" in metric:
            task = str(runs.task.iloc[0]) if len(runs) else ""
            metric = metric.replace("headline", headline(task))
        at = spec.at if column.at is None else column.at
        return Source(measures.sample(runs, metric, at), metric, at, {**spec.where, **column.where, **mine})

    competing = [head for best in spec.best for head in spread[best]]
    sources = [{head: source(key, head) for head in groups} for key in keys]
    return Layout(columns, competing, keys, sources)


def kept(spec: Spec, column: Column) -> list[str]:
    """The row columns that a column's runs share with their row."""
    return [name for name in spec.rows if name not in column.ignore]


def _spread(spec: Spec, measures: Measures) -> dict[str, dict[str, Column]]:
    """By the spec's heads, the columns that each becomes."""
    columns = {}
    for head, column in spec.columns.items():
        columns[head] = {head: column}
        if column.spread is not None:
            found = measures.matching({**spec.where, **column.where})[column.spread]
            columns[head] = {
                f"{head} {value}": replace(column, where={**column.where, column.spread: value}, spread=None)
                for value in sorted({one for one in found if one is not None})
            }
    return columns


def _grouped(runs: pd.DataFrame, names: list[str]) -> dict[Key, pd.DataFrame]:
    groups: dict[Key, list[str]] = {}
    for run, *key in runs[names].itertuples(name=None):
        groups.setdefault(tuple(key), []).append(run)
    return {key: runs.loc[mine] for key, mine in groups.items()}


def _row_keys(columns: dict[str, Column], groups: dict[str, dict[Key, pd.DataFrame]]) -> list[Key]:
    """What the columns that ignore none of it have, in order: numbers by size, what is missing first."""
    keys = {key for head, found in groups.items() if not columns[head].ignore for key in found}
    return sorted(keys, key=lambda key: [(one is not None, isinstance(one, str), one or 0) for one in key])
