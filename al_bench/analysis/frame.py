"""Run directories -> one tidy frame: a row per run, and a row per run, cycle and metric."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from al_bench.analysis.reading import Recorded, Unreadable, read
from al_bench.errors import UserError

COLUMNS = (
    "directory", "name", "dataset", "task", "strategy", "subsampling", "gamma", "temperature", "refresh",
    "rescore", "acquisition", "successor", "pseudo_labeling", "pseudo_labeler", "filters", "acquisition_learner",
    "successor_learner", "unit", "seed", "precision", "trajectory", "state", "cycles_done", "cycles_planned",
    "output_dir", "host", "version", "command", "selector", "arm", "method", "acquired",
)  # fmt: skip
NUMBERS = {
    "gamma": float, "temperature": float, "rescore": float, "seed": int, "cycles_done": int, "cycles_planned": int
}  # fmt: skip
# Beside runs/ in an output directory; mlartifacts holds copies of what is in run directories.
NOT_RUNS = {"trajectories", "steps", "cache", "sweeps", "mlartifacts"}
MARKS = {"status.json", "config.yaml", "provenance.json"}  # a trajectory and a step have none of them


@dataclass(frozen=True)
class Problem:
    """A run directory that is damaged, incomplete or failed, and why."""

    directory: Path
    reason: str


@dataclass(frozen=True)
class Results:
    """
    runs: a row per readable run directory, `COLUMNS`, by `run`: a short unique id, the folder's name unless
        ambiguous; missing (`pd.isna`) where a run does not use the thing. `method` is the same for runs that differ
        by seeds only, `acquired` for runs that acquire alike but for seeds
    cycles: run, cycle, labelled (examples), words, metric, value; metrics are named as in MLflow, with
        seconds/iteration, seconds/successor_total, seconds/cumulative (iterations up to the cycle) and
        pseudo/share_dropped (by all filters) added
    problems: whatever is missing from the two above, or less than it should be
    """

    runs: pd.DataFrame
    cycles: pd.DataFrame
    problems: tuple[Problem, ...]


def load(paths: Sequence[Path]) -> Results:
    """All runs at or below the given folders: output directories, parts of them, or run directories.

    Incomplete runs contribute the cycles they have. Raises `UserError` for a path that is no folder.
    """
    recorded: list[Recorded] = []
    problems: list[Problem] = []
    for folder in sorted({folder for path in paths for folder in run_directories(path)}):
        try:
            one = read(folder)
        except Unreadable as error:
            problems.append(Problem(folder, str(error)))
            continue
        recorded.append(one)
        problems += [Problem(folder, reason) for reason in one.problems]
    names = short_names([one.directory for one in recorded])
    index = pd.Index(names, name="run", dtype=str)
    runs = pd.DataFrame([one.row for one in recorded], index=index, columns=list(COLUMNS))
    return Results(runs.astype(NUMBERS), _tidy(names, recorded), tuple(problems))


def run_directories(path: Path) -> Iterator[Path]:
    """Every folder at or below `path` that a run has claimed."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give output directories, or run directories in them")
    for folder, inside, files in os.walk(path.resolve()):
        if set(files) & MARKS:
            yield Path(folder)
            inside.clear()
        hidden = {name for name in inside if name.startswith(".")}
        inside[:] = sorted(set(inside) - hidden - (NOT_RUNS if "runs" in inside else set()))


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, and as many before it as keep it apart from the others."""
    names = [folder.name for folder in folders]
    depth = 1
    while ambiguous := {name for name, n in Counter(names).items() if n > 1}:
        depth += 1
        names = [
            "/".join(folder.parts[-depth:]) if name in ambiguous else name
            for name, folder in zip(names, folders, strict=True)
        ]
    return names


def wide(results: Results, metric: str) -> pd.DataFrame:
    """A metric as run x cycle, missing where a run or a cycle has none."""
    chosen = results.cycles[results.cycles.metric == metric]
    return chosen.pivot(index="run", columns="cycle", values="value")


def _tidy(names: Sequence[str], recorded: Sequence[Recorded]) -> pd.DataFrame:
    rows = [
        (run, one.cycle, one.labelled, one.words, metric, value)
        for run, record in zip(names, recorded, strict=True)
        for one in record.cycles
        for metric, value in one.metrics.items()
    ]
    return pd.DataFrame(rows, columns=["run", "cycle", "labelled", "words", "metric", "value"])
