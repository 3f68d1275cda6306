"""Numbers of runs: points of a curve, areas, costs. The runs behind a number are of one method, or there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from al_bench.analysis.statistics import aulc
from al_bench.analysis.store import ACQUIRED_SECONDS, Results
from al_bench.data.metrics import headline

# What a trajectory alone decides, so that runs which share one agree on it whatever they do with it.
ACQUIRED = ACQUIRED_SECONDS | {"amdahl", "labelled", "words", "scored", "money/labels"}
ACQUIRED |= {f"oracle/{name}" for name in ("asked", "answered", "abstained", "right")}
ACQUIRED |= {
    f"cost/{name}" for name in ("train_steps", "train_tokens", "trained_parameters", "scored_examples", "scored_tokens")
}
MOST = 2 / 3  # of the runs that got furthest: an end that fewer runs reached is no end of all
At = str | int  # a cycle | last | aulc | rounds | total


@dataclass(frozen=True)
class Sample:
    """A value and a run per seed.

    seeds: of all runs that were asked for
    silent: runs whose seed has no value, since they are unfinished, or were evaluated at other cycles
    unlike: a run of each method, where there are several; there are no values then
    elsewhere: runs whose seconds are of another machine, or money of another currency, than those of most; they have
        no values
    cycle: where a point of the curve was taken, None where the value is over several
    """

    values: dict[int, float]
    runs: dict[int, str]
    seeds: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    cycle: int | None = None

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        return np.array([self.values[seed] for seed in seeds])

    @property
    def array(self) -> np.ndarray:
        return self.of(list(self.values))


@dataclass(frozen=True)
class Paired:
    """Values of several samples by the seeds that all have, at one budget.

    arrays: (n,) each; cycle: None where the values are over several, or of different schedules
    """

    seeds: tuple[int, ...]
    arrays: tuple[np.ndarray, ...]
    cycle: int | None = None


class Measures:
    """complete: by run, whether all cycles are there"""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.runs = runs = results.runs
        self.complete = (runs.state == "finished") | (runs.cycles_done >= runs.cycles_planned)
        self._parts = {str(name): part for name, part in results.cycles.groupby("metric", observed=True)}
        self.wide = cache(self._wide)

    def _wide(self, metric: str, values: str = "value") -> pd.DataFrame:
        """All runs x cycle; not to be changed. values: "value", or "machine" of seconds and money."""
        if metric not in self._parts:
            return pd.DataFrame(index=self.runs.index, dtype=float)
        return self._parts[metric].pivot(index="run", columns="cycle", values=values).reindex(self.runs.index)

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

    def sample(self, runs: pd.DataFrame, metric: str, at: At) -> Sample:
        """A value per seed, of the runs of one method, or that agree on all that the metric depends on."""
        seeds = tuple(sorted(map(int, runs.seed.unique())))
        key = runs.selection if metric in ACQUIRED or metric.startswith("acquisition/") else runs.method
        measured = runs[self.wide(metric).loc[runs.index].notna().any(axis=1)] if metric != "amdahl" else runs
        kinds = key[measured.index].drop_duplicates().index
        if len(kinds) > 1:
            return Sample({}, {}, seeds, unlike=tuple(kinds))
        values, cycle = self.values(one_per_seed(measured).index, metric, at)
        known = values.dropna().index
        places = self._places(list(known), metric, cycle)
        most = max(places, key=places.count, default="")
        here = known[[place == most for place in places]]
        by_seed = {int(runs.seed[run]): str(run) for run in here}
        values_by_seed = {seed: float(values[run]) for seed, run in by_seed.items()}
        silent = tuple(runs.index[~runs.seed.isin(runs.seed[known])])
        elsewhere = tuple(known.difference(here, sort=False))
        return Sample(values_by_seed, by_seed, seeds, silent, elsewhere=elsewhere, cycle=cycle)

    def values(self, runs: pd.Index, metric: str, at: At) -> tuple[pd.Series, int | None]:
        """((runs,) the metric at a point of the curve, or over it, missing: none; the cycle of a point)."""
        if metric == "amdahl":  # all seconds over those that are left if no pool were scored
            whole, scoring = (self.values(runs, f"seconds/{name}", at) for name in ("iteration", "predict"))
            return whole[0] / (whole[0] - scoring[0].fillna(0)), whole[1]  # not every selection scores
        return self.over(self.wide(metric).loc[runs], at)

    def over(self, table: pd.DataFrame, at: At) -> tuple[pd.Series, int | None]:
        """As `values`; table: run x cycle, or for a point of the curve seed x cycle"""
        end = at if isinstance(at, int) else end_of(table)
        if end not in table:
            return pd.Series(np.nan, index=table.index), end
        if at in ("last", end):
            return table[end], end
        runs, table = table.index, table.loc[table[end].notna(), :end]
        if at == "rounds":
            queried = self.wide("seconds/select").loc[table.index].reindex(columns=table.columns).notna()
            over = table.where(queried).mean(axis=1)
        else:
            over = table.sum(axis=1, min_count=1) if at == "total" else self.areas(table)
        return over.reindex(runs), None

    def areas(self, scores: pd.DataFrame) -> pd.Series:
        """(runs,) areas under scores (run x cycle), over the cycles that most have; none for a run that lacks one."""
        scores = scores.loc[:, scores.notna().sum() >= MOST * len(scores)].dropna()
        if scores.shape[1] < 2:
            return pd.Series(dtype=float)
        areas = {run: aulc(self.budgets(str(run))[scores.columns], row) for run, row in scores.iterrows()}
        return pd.Series(areas, dtype=float)

    def budgets(self, run: str) -> pd.Series:
        """By cycle, what was labelled, in the unit that the run's schedule counts."""
        counts = {"examples": "labelled", "words": "words", "money": "money/labels"}
        return self.wide(counts[self.runs.at[run, "unit"]]).loc[run]

    def curve(self, run: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(budgets, scores) of a run."""
        metric = metric.replace("headline", headline(str(self.runs.at[run, "task"])))
        scores = self.wide(metric).loc[run].dropna()
        return self.budgets(run)[scores.index].to_numpy(), scores.to_numpy()

    def money_curve(self, run: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(money, scores) of a run at the cycles that have both; empty where nothing has a price."""
        money = self.wide("money/total").loc[run].dropna()
        scores = self.wide(metric).loc[run].reindex(money.index).dropna()
        return money[scores.index].to_numpy(), scores.to_numpy()

    def currency(self, run: str) -> str:
        """Empty where nothing has a price, or none is named."""
        return self.runs.at[run, "currency"] or ""

    def together(self, samples: Sequence[Sample], metric: str, at: At) -> Paired:
        """The samples' values by common seeds and, at the last budget or over a curve, by common cycles.

        Runs with different schedules have no cycle in common: each is taken where its own sample is.
        """
        seeds = tuple(seed for seed in samples[0].values if all(seed in one.values for one in samples))
        runs = [[one.runs[seed] for seed in seeds] for one in samples]
        schedules = {schedule for names in runs for schedule in self.runs.loc[names].schedule}
        if metric.startswith(("seconds/", "money/")) or metric == "amdahl":
            machines = [self._places(names, metric, None) for names in runs]
            seeds = tuple(seed for seed, *places in zip(seeds, *machines, strict=True) if len(set(places)) == 1)
        elif at in ("last", "aulc") and len(schedules) == 1:
            # Each run is read at the cycles at which the others of its seed have a value, too.
            tables = [self.wide(metric).loc[names] for names in runs]
            everywhere = np.logical_and.reduce([table.notna().to_numpy() for table in tables])
            values, cycles = zip(*(self.over(table.where(everywhere), at) for table in tables), strict=True)
            known = values[0].notna().to_numpy()
            return Paired(tuple(compress(seeds, known)), tuple(one.to_numpy(float)[known] for one in values), cycles[0])
        return Paired(seeds, tuple(one.of(seeds) for one in samples), samples[0].cycle)

    def _places(self, runs: list[str], metric: str, cycle: int | None) -> list[str]:
        """The machine, or machines, that each run's seconds are of; the currency of its money; else ""."""
        table = self.wide("seconds/iteration" if metric == "amdahl" else metric, "machine").loc[runs]
        if cycle in table:
            return [str(place) for place in table[cycle]]
        return [" and ".join(dict.fromkeys(row.dropna())) for _, row in table.iterrows()]


def end_of(table: pd.DataFrame) -> int | None:
    """The last cycle that two thirds of the most runs have; None where there is none. table: run x cycle

    Runs that are behind the others, running or failed, do not hold them back, nor does one alone run ahead.
    """
    counts = table.notna().sum(axis=0)
    ends = counts.index[(counts > 0) & (counts >= counts.max() * MOST)]
    return int(ends.max()) if len(ends) else None


def one_per_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Of one method's runs in several directories with the same seed, the longest, or most often evaluated."""
    ranked = runs.sort_values(["cycles_done", "evaluated"], ascending=False, kind="stable")
    return ranked.drop_duplicates("seed").sort_values("seed", kind="stable")
