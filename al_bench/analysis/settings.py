"""Which runs can be compared: those on the same data are a setting, those that differ by seeds only are a method."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from al_bench.analysis.frame import Results
from al_bench.analysis.labels import label_methods, shared_by
from al_bench.config.identity import digest
from al_bench.config.schema import TASKS
from al_bench.data.metrics import headline
from al_bench.ledger.ledger import load_record

ARMS = ("ceiling", "no mismatch", "ASM", "PLASM", "replay", "acquisition only", "random")
PARTS = (
    "acquisition", "strategy", "subsampling", "rescore", "replay", "schedule", "pseudo_labeling", "pseudo_labeler",
    "verifier", "successor", "precision",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Method:
    """Runs that differ by seeds only.

    label: short, unique in its setting: what sets the method apart from the others there
    selection: the part of the label that says how examples were selected, unique to those that select alike
    about: a row of `Results.runs` that all of them share, but for seed and place
    parts: what the method consists of (`PARTS`), each as a hash, so that methods can be compared part by part
    runs, repeats: ids of its runs, and beside them their seeds, by which methods are paired
    folders, trajectories: beside them, the directories of the runs and of what they acquired
    """

    label: str
    selection: str
    about: pd.Series
    parts: dict[str, str]
    runs: tuple[str, ...]
    repeats: tuple[str, ...]
    folders: tuple[Path, ...]
    trajectories: tuple[Path, ...]

    @property
    def arm(self) -> str:
        return str(self.about.arm)

    @property
    def role(self) -> str:
        """Whose score counts: the successor's, where one was fitted."""
        return "acquisition" if self.arm == "acquisition only" else "successor"

    @property
    def selects(self) -> bool:
        """Whether a model of its own chose the examples."""
        return not pd.isna(self.about.acquisition)


@dataclass(frozen=True, eq=False)
class Setting:
    """Methods on the same data.

    title: the dataset's name, made unique; shared: what all methods have in common, in words
    cycles: the part of `Results.cycles` that is of its runs
    """

    key: str
    title: str
    task: str
    shared: str
    methods: tuple[Method, ...]
    cycles: pd.DataFrame

    @property
    def metric(self) -> str:
        return headline(self.task)

    def values(self, method: Method, metric: str) -> pd.DataFrame:
        """repeat x cycle, missing where a run has none"""
        table = self._wide.get(metric)
        if table is None:
            return pd.DataFrame(index=pd.Index([], dtype=str), dtype=float)
        there = {
            run: repeat for run, repeat in zip(method.runs, method.repeats, strict=True) if run in table.index
        }
        mine = table.loc[list(there)].dropna(axis=1, how="all")
        return mine.set_axis(pd.Index(there.values(), name="repeat", dtype=str), axis=0)

    @cached_property
    def _wide(self) -> dict[str, pd.DataFrame]:
        """run x cycle by metric"""
        return {
            str(metric): part.pivot(index="run", columns="cycle", values="value").astype(float)
            for metric, part in self.cycles.groupby("metric", observed=True)
        }

    def scores(self, method: Method) -> pd.DataFrame:
        """repeat x cycle: the headline metric of the model that counts"""
        return self.values(method, f"{method.role}/{self.metric}")


def settings(results: Results) -> tuple[Setting, ...]:
    """Every setting of which there is a cycle, by title."""
    runs = results.runs[results.runs.cycles_done > 0].copy()
    recorded = {run: load_record(Path(row.directory, "identity.json")) for run, row in runs.iterrows()}
    parts = {run: _parts(recorded[run].get("identity"), row) for run, row in runs.iterrows()}
    runs["data"] = [
        recorded[run].get("behind", {}).get("data", f"{row.output_dir}/{row.dataset}")
        for run, row in runs.iterrows()
    ]
    runs["method"] = [digest(parts[run]) for run in runs.index]
    scores = [f"successor/{headline(task)}" for task in TASKS]
    evaluated = results.cycles[results.cycles.metric.isin(scores)]
    runs["evaluated"] = evaluated.groupby("run").size().reindex(runs.index, fill_value=0)
    runs["repeat"] = [_repeat(recorded[run], row) for run, row in runs.iterrows()]
    made = [
        _setting(str(dataset), str(data), mine, parts, results.cycles)
        for (dataset, data), mine in runs.groupby(["dataset", "data"], sort=True)
    ]
    titles = [one.title for one in made]
    return tuple(
        replace(one, title=f"{one.title} ({one.key[:6]})") if titles.count(one.title) > 1 else one
        for one in made
    )


def _parts(identity: dict[str, Any] | None, row: pd.Series) -> dict[str, Any]:
    """All that a run's ledger depends on, but for data, seeds and how far it went, by `PARTS`."""
    if identity is None:
        return {part: None if pd.isna(row.get(part)) else str(row.get(part)) for part in PARTS}
    parts = {part: identity[part] for part in PARTS if part != "rescore"}
    # As the row has it: None where nobody scores, and runs made before it was an option have none in their identity.
    parts["rescore"] = None if pd.isna(row.rescore) else float(row.rescore)
    if row.subsampling == "none":
        parts["subsampling"] = None
    if pd.isna(row.acquisition):
        parts["strategy"] = {"name": row.strategy}
    schedule = {key: value for key, value in parts["schedule"].items() if key != "cycles"}
    return {**parts, "schedule": None if row.arm == "ceiling" else schedule}


def _repeat(recorded: dict[str, Any], row: pd.Series) -> str:
    """The seed, or the seeds where they differ."""
    seeds = recorded.get("identity", {}).get("seeds") or {}
    different = {name: seed for name, seed in seeds.items() if seed is not None and seed != row.seed}
    return str(row.seed) if not different else f"{row.seed} {json.dumps(different, sort_keys=True)}"


def _setting(
    dataset: str, data: str, runs: pd.DataFrame, parts: dict[str, dict[str, Any]], cycles: pd.DataFrame
) -> Setting:
    groups = []
    for _, mine in runs.groupby("method", sort=False):
        # The same repetition in two directories: the longer one, or the one that was evaluated more often.
        mine = mine.sort_values(["cycles_done", "evaluated"], ascending=False, kind="stable")
        mine = mine.drop_duplicates("repeat")
        groups.append(mine.sort_values("seed", kind="stable"))
    firsts = pd.DataFrame([mine.iloc[0] for mine in groups])
    names = label_methods(firsts, [parts[run] for run in firsts.index])
    methods = [
        Method(
            label,
            selection,
            mine.iloc[0],
            {part: digest(value) for part, value in parts[mine.index[0]].items()},
            tuple(mine.index),
            tuple(mine.repeat),
            tuple(map(Path, mine.directory)),
            tuple(
                Path(str(row.output_dir), "trajectories", str(row.trajectory)) for _, row in mine.iterrows()
            ),
        )
        for mine, (label, selection) in zip(groups, names, strict=True)
    ]
    methods.sort(key=_order)
    mine = cycles[cycles.run.isin([run for method in methods for run in method.runs])]
    return Setting(data, dataset, str(runs.task.iloc[0]), shared_by(firsts), tuple(methods), mine)


def _order(method: Method) -> tuple[int, bool, str]:
    """By arm, and the whole pool before a part of it."""
    rank = ARMS.index(method.arm) if method.arm in ARMS else len(ARMS)
    return rank, method.about.subsampling != "none", method.label
