"""Which runs stand behind a cell of a table, and the number that each of them gives."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from al_bench.analysis.frame import Results
from al_bench.analysis.statistics import aulc
from al_bench.costs import ITERATION
from al_bench.data.metrics import headline

# What a trajectory alone decides, so that runs which share one agree on it whatever they do with it.
ACQUIRED = {
    "amdahl", "labelled", "words", "scored", "seconds/iteration", "seconds/cumulative", "seconds/evaluate",
    *(f"seconds/{phase}" for phase in ITERATION),
    *(f"cost/{name}" for name in ("train_steps", "train_tokens", "scored_examples", "scored_tokens")),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A cell's runs: a value and a run per seed.

    seeds: of all runs that belong here
    silent: those whose seed has no value, since they are unfinished or never measured it
    unlike: a run of each kind, where runs that differ by more than their seed share the cell; it has no values then
    staggered: a run of each kind, where they end, or draw their areas, at different cycles; it has no values then
    """

    values: dict[int, float]
    runs: dict[int, str]
    seeds: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    staggered: tuple[str, ...] = ()


class Measures:
    """Numbers of runs, each computed when first asked for."""

    def __init__(self, results: Results) -> None:
        self.results = results
        # None rather than nan, which would not equal itself.
        self.runs = results.runs.astype(object).where(results.runs.notna(), None)
        # Whether a run reached its last budget: all cycles, or the end of its pool.
        self.complete = (results.runs.state == "finished") | (
            results.runs.cycles_done >= results.runs.cycles_planned
        )
        self._parts = {str(name): part for name, part in results.cycles.groupby("metric", observed=True)}
        self.wide = cache(self._wide)
        self.curves = cache(self._curves)
        self.of = cache(self._of)

    def knows(self, metric: str) -> bool:
        """Whether any run has it."""
        return metric in self._parts or metric == "amdahl"

    def matching(self, where: Mapping[str, Any]) -> pd.DataFrame:
        """The runs whose columns have the given values, or one of a list of them."""
        keep = np.ones(len(self.runs), dtype=bool)
        for column, wanted in where.items():
            options = wanted if isinstance(wanted, list) else [wanted]
            keep &= [value in options for value in self.runs[column]]
        return self.runs[keep]

    def sample(self, runs: pd.DataFrame, metric: str, at: str | int) -> Sample:
        """A value per seed, from runs that differ by seeds only, or in what does not touch the metric."""
        numbers = self.of(metric, at).reindex(runs.index)
        there, seeds = runs[numbers.notna()], tuple(sorted(map(int, runs.seed.unique())))
        silent = tuple(runs.index[numbers.isna() & ~runs.seed.isin(there.seed)])
        alike = there.acquired if metric in ACQUIRED or metric.startswith("acquisition/") else there.method
        kinds = alike.drop_duplicates().index
        if len(kinds) > 1:
            return Sample({}, {}, seeds, silent, tuple(kinds))
        staggered = self._staggered(there.index, metric, at)
        if len(staggered) > 1:
            return Sample({}, {}, seeds, silent, staggered=staggered)
        # The same run in two places, or a trajectory that several runs share, counts once; two runs of one seed whose
        # other seeds differ are no pair of anything.
        folders = there.directory.map(os.path.basename)
        once = pd.DataFrame({"seed": there.seed, "folder": folders, "value": numbers[there.index]})
        once = once.drop_duplicates(["seed", "folder"]).drop_duplicates(["seed", "value"]).sort_values("seed")
        if once.seed.duplicated().any():
            return Sample({}, {}, seeds, silent, tuple(once.index[once.seed.duplicated(keep=False)][:2]))
        values = {int(seed): float(numbers[run]) for run, seed in once.seed.items()}
        return Sample(values, {int(seed): str(run) for run, seed in once.seed.items()}, seeds, silent)

    def _staggered(self, runs: pd.Index, metric: str, at: str | int) -> tuple[str, ...]:
        """A run for each last cycle, or for each choice of cycles, at which some of the runs were measured."""
        measured = self.wide(metric).loc[runs].notna()
        if at == "aulc":
            return tuple(measured.drop_duplicates().index)
        if at == "last" and measured.shape[1]:
            return tuple(measured.iloc[:, ::-1].idxmax(axis=1).drop_duplicates().index)
        return ()

    def _of(self, metric: str, at: str | int) -> pd.Series:
        """(runs,) the metric at a point of the curve, or over it; missing: none."""
        if "headline" in metric:
            parts = [
                self.of(metric.replace("headline", headline(str(task))), at).reindex(part.index)
                for task, part in self.runs.groupby("task")
            ]
            return pd.concat(parts) if parts else pd.Series(dtype=float)
        if metric == "amdahl":  # all seconds over those that are left if nothing were predicted
            whole, predicting = (self.of(f"seconds/{name}", at) for name in ("iteration", "predict"))
            return whole / (whole - predicting)
        wide = self.wide(metric)
        if isinstance(at, int):
            return wide[at] if at in wide else pd.Series(np.nan, index=wide.index)
        done = wide[self.complete]
        if at == "rounds":
            return done.where(self.wide("seconds/select").notna()).mean(axis=1)
        if at == "total":
            return done.sum(axis=1, min_count=1)
        if at == "last":
            return done.ffill(axis=1).iloc[:, -1] if done.shape[1] else pd.Series(dtype=float)
        measured = done.index[done.notna().any(axis=1)]
        return pd.Series([aulc(*self.curve(run, metric)) for run in measured], index=measured, dtype=float)

    def _wide(self, metric: str) -> pd.DataFrame:
        """All runs x cycle."""
        part = self._parts.get(metric)
        if part is None:
            return pd.DataFrame(index=self.runs.index, dtype=float)
        return part.pivot(index="run", columns="cycle", values="value").reindex(self.runs.index)

    def curve(self, run: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(budgets, scores) of a run, budgets in the unit that its schedule counts."""
        place = self.runs.index.get_loc(run)
        task, unit = self.runs.task.iat[place], self.runs.unit.iat[place]
        budgets, scores = self.curves(metric.replace("headline", headline(task)), unit)
        there = ~np.isnan(scores[place])
        return budgets[place][there], scores[place][there]

    def _curves(self, metric: str, unit: str) -> tuple[np.ndarray, np.ndarray]:
        """(runs, cycles) of both; nan: not measured."""
        scores = self.wide(metric)
        budgets = self.wide("words" if unit == "words" else "labelled").reindex(columns=scores.columns)
        return budgets.to_numpy(), scores.to_numpy()
