"""Methods, and the settings in which they are compared: runs on the same data are a setting, runs that differ by
seeds only are a method."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from al_bench.analysis.measures import At, Measures, one_per_seed
from al_bench.analysis.runs import ARMS, GOLD, SELECTION
from al_bench.analysis.words import detailed
from al_bench.config.digests import digest, flat
from al_bench.data.metrics import at_chance, headline

SYMBOLS = {"gamma": "γ", "temperature": "T", "refresh": "refresh"}


@dataclass(frozen=True, eq=False)
class Method:
    """Runs that differ by seeds only.

    label: short, unique in its setting: what sets the method apart from the others there
    selection: the part of the label that says how examples were selected, unique to those that select alike
    differs: the settings by which alone it differs from others of the same description, in selecting and in all, such
        as "training.epochs=3"; mostly empty
    about: a row of `Results.runs` that all of them share, but for seed and place
    parts: what the method consists of (`runs.PARTS`), each as a hash, so that methods can be compared part by part
    runs: one row per seed, by seed
    """

    label: str
    selection: str
    differs: tuple[str, str]
    about: pd.Series
    parts: dict[str, str]
    runs: pd.DataFrame

    @property
    def arm(self) -> str:
        return str(self.about.arm)

    @property
    def role(self) -> str:
        """Whose score counts: the successor's, where one was fitted."""
        return str(self.about.role)

    @property
    def bracket(self) -> bool:
        """Whether it is shown and marked, and compared with nothing."""
        return bool(self.about.bracket)

    @property
    def competes(self) -> bool:
        """Neither a ceiling nor a bracket is a way to select."""
        return self.arm not in ("ceiling", "bracket")

    @property
    def selects(self) -> bool:
        """Whether a model of its own chose the examples."""
        return self.about.acquisition is not None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(map(int, self.runs.seed))

    @property
    def trajectories(self) -> list[Path]:
        rows = zip(self.runs.output_dir, self.runs.trajectory, strict=True)
        return [Path(str(output_dir), "trajectories", str(name)) for output_dir, name in rows]


@dataclass(frozen=True, eq=False)
class Setting:
    """Methods on the same data.

    title: the dataset's name, made unique; shared: what all methods have in common, in words
    """

    key: str
    title: str
    task: str
    shared: str
    methods: tuple[Method, ...]
    measures: Measures

    @property
    def metric(self) -> str:
        return headline(self.task)

    def values(self, method: Method, metric: str) -> pd.DataFrame:
        """seed x cycle, missing where a run has none"""
        table = self.measures.wide(metric).loc[method.runs.index]
        table = table.dropna(axis=0, how="all").dropna(axis=1, how="all")
        return table.set_axis(method.runs.seed[table.index].rename("seed"), axis=0)

    def scores(self, method: Method) -> pd.DataFrame:
        """seed x cycle: the headline metric of the model that counts"""
        return self.values(method, self.score(method))

    def score(self, method: Method) -> str:
        return f"{method.role}/{self.metric}"

    def end(self, method: Method) -> tuple[int | None, pd.Series]:
        """The last cycle, and by seed the score in percent there; none (None, empty) where nothing was evaluated."""
        scores, cycle = self.measures.over(self.scores(method), "last")
        return cycle, 100 * scores.dropna()

    @property
    def baseline(self) -> float:
        """The score in percent of always predicting the most frequent label; nan where no run recorded it."""
        runs = [run for method in self.methods for run in method.runs.index]
        return 100 * float(self.measures.wide(f"baseline/{self.metric}").loc[runs].max().max())

    def at_chance(self, method: Method) -> pd.DataFrame:
        """seed x cycle that queried: 1 where the model that selected was at chance, 0 where not; nan: not recorded."""
        score = self.values(method, f"acquisition/{self.metric}")
        names = (f"baseline/{self.metric}", "baseline/examples", "seconds/select")
        baseline, examples, seconds = (self.values(method, name).reindex_like(score) for name in names)
        known = baseline.notna() & seconds.notna() & score.notna()
        return at_chance(score, baseline, examples).astype(float).where(known).dropna(axis=1, how="all")

    def acquirers(self) -> list[Method]:
        """A method for each selection by a model: those that share trajectories, such as two successors, count once."""
        chosen: dict[str, Method] = {}
        for method in self.methods:
            known = chosen.get(method.about.selection)
            if method.selects and (known is None or len(method.runs) > len(known.runs)):
                chosen[method.about.selection] = method
        return list(chosen.values())

    def iterations(self, method: Method, metric: str, at: At = "rounds") -> np.ndarray:
        """By seed, of all runs that select so, whatever successor they train. at: as of `Measures.sample`"""
        runs = pd.concat([m.runs for m in self.methods if m.about.selection == method.about.selection])
        return self.measures.sample(runs, metric, at).array

    def selections(self) -> list[Method]:
        """A method for each way in which examples were selected, also where no model is asked."""
        unasked = (method for method in self.methods if method.arm in ("random", "no model"))
        drawn = {(method.about.schedule, method.about.strategy): method for method in unasked}
        return [*self.acquirers(), *drawn.values()]


def settings(measures: Measures) -> tuple[Setting, ...]:
    """Every setting of which there is a cycle, by title."""
    runs = measures.runs[measures.runs.cycles_done > 0]
    groups = dict(list(runs.groupby(["dataset", "fingerprint"], sort=True)))
    names = [name for name, _ in groups]
    return tuple(
        _setting(f"{name} ({data[:6]})" if names.count(name) > 1 else name, data, part, measures)
        for (name, data), part in groups.items()
    )


def _setting(title: str, data: str, runs: pd.DataFrame, measures: Measures) -> Setting:
    groups = [one_per_seed(part) for _, part in runs.groupby("method", sort=False)]
    # Of the longest run: what a label says must not depend on which directory was read first.
    firsts = runs.loc[[part.sort_values("cycles_done", kind="stable").index[-1] for part in groups]]
    parts = [measures.results.parts[run] for run in firsts.index]
    names = label_methods(firsts, parts)
    methods = [
        Method(*name, row, {part: digest(value) for part, value in one.items()}, part)
        for name, (_, row), one, part in zip(names, firsts.iterrows(), parts, groups, strict=True)
    ]
    methods.sort(key=lambda m: (ARMS.index(m.arm), m.about.subsampling != "none", m.label))
    does = {"acquisition": "selects, where a model does", "successor": "is trained on what was selected"}
    models = {role: firsts[role].dropna().unique() for role in does}
    shared = [f"`{models[role][0]}` {text}" for role, text in does.items() if len(models[role]) == 1]
    if set(firsts.oracle) != {GOLD} and firsts.oracle.nunique() == 1:
        shared.append(f"`{firsts.oracle.iloc[0]}` labels")
    return Setting(data, title, str(runs.task.iloc[0]), "; ".join(shared), tuple(methods), measures)


def label_methods(firsts: pd.DataFrame, parts: Sequence[dict[str, Any]]) -> list[tuple[str, str, tuple[str, str]]]:
    """(label, its part that says how examples were selected, `Method.differs`) of each, of what they do not all share.

    firsts: a run of each; parts: as `runs.parts_of` gives them
    """
    acquiring = firsts[firsts.acquisition.notna()]
    several = {column: acquiring[column].nunique() > 1 for column in ("acquisition", "strategy", "rescore")}
    several |= {"successor": firsts.successor.nunique(dropna=False) > 1, "oracle": firsts.oracle.nunique() > 1}
    for column in SYMBOLS:
        several[column] = acquiring[acquiring.subsampling != "none"][column].nunique() > 1
    rows = [row for _, row in firsts.iterrows()]
    names = [_selection(row, several) for row in rows]
    chosen = _differing(names, [{part: one[part] for part in SELECTION} for one in parts])
    selections = [_with(name, own) for name, own in zip(names, chosen, strict=True)]
    labels = []
    for label, row in zip(selections, rows, strict=True):
        label += f" + {row.pseudo_labeling}" if row.pseudo_labeling is not None else ""
        if several["successor"]:
            label += f" → {row.successor}" if row.successor is not None else " (no successor)"
        labels.append(label)
    own = _differing(labels, parts)
    labels = [_with(label, one) for label, one in zip(labels, own, strict=True)]
    differs = [(one, ", ".join(filter(None, (one, another)))) for one, another in zip(chosen, own, strict=True)]
    return list(zip(labels, selections, differs, strict=True))


def _selection(row: pd.Series, several: dict[str, bool]) -> str:
    oracle = f", labelled by {row.oracle}" if several["oracle"] and row.oracle != GOLD else ""
    if row.arm == "ceiling":
        return f"everything{oracle or ' labelled'}"
    mark = ["bracket"] if row.bracket else []
    if row.acquisition is None:
        return f"replay {row.trajectory}" if row.strategy == "replay" else detailed(row.strategy, mark) + oracle
    name = str(row.acquisition if several["acquisition"] else row.strategy)
    if several["acquisition"] and several["strategy"]:
        name = f"{row.acquisition} · {row.strategy}"
    name = detailed(name, mark)
    if row.subsampling != "none":
        details = [f"{SYMBOLS[c]} {row[c]}" for c in SYMBOLS if several[c] and row[c] is not None]
        name += f" + {detailed(row.subsampling, details)}"
    return name + (f" + rescore {row.rescore:g}" if several["rescore"] and row.rescore else "") + oracle


def _with(label: str, differs: str) -> str:
    return f"{label} [{differs}]" if differs else label


def _differing(labels: Sequence[str], parts: Sequence[dict[str, Any]]) -> list[str]:
    """Of each label the settings that differ where what has other parts has the same one; else nothing."""
    made = []
    for label, one in zip(labels, parts, strict=True):
        same_name = (other for name, other in zip(labels, parts, strict=True) if name == label)
        known = {digest(other): dict(flat(_numbered(other))) for other in same_name}
        own = known[digest(one)]
        keys = [key for key in own if len({json.dumps(other.get(key)) for other in known.values()}) > 1]
        details = ", ".join(f"{key.removeprefix('schedule.')}={_brief(own[key])}" for key in keys[:2])
        number = str(list(known).index(digest(one)) + 1)
        made.append((details or number) if len(known) > 1 else "")
    return made


def _numbered(tree: Any) -> Any:
    """With lists of mappings, such as filters, as mappings by number."""
    if isinstance(tree, list) and any(isinstance(one, dict) for one in tree):
        tree = {str(number): one for number, one in enumerate(tree)}
    return {key: _numbered(one) for key, one in tree.items()} if isinstance(tree, dict) else tree


def _brief(value: Any) -> str:
    """A value; of a hash, such as that of a component's code, as much as tells it from another."""
    text = str(value)
    return text[:7] if re.fullmatch("[0-9a-f]{16,}", text) else text
