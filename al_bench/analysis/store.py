"""Run directories -> one tidy frame: a row per run, and a row per run, cycle and metric. Damage is named."""

import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from al_bench.analysis.runs import columns_of, currency_of, keys_of, parts_of, prices_of
from al_bench.analysis.words import as_name, one_line
from al_bench.costs import ITERATION, ONE_OFF, OVERHEAD, seconds_until_scores
from al_bench.errors import UserError, first_line
from al_bench.ledger.ledger import Ledger, read_json
from al_bench.ledger.rundir import read_config
from al_bench.ledger.tracking import metrics_of
from al_bench.ledger.trajectory import array_path, read_array

COLUMNS = (
    "directory", "name", "dataset", "task", "strategy", "strategy_name", "batch", "beta", "aggregate", "no_entity",
    "params", "code", "bracket", "subsampling", "gamma", "temperature", "subsampling_params", "refresh", "oracle",
    "priced", "currency", "rescore", "acquisition", "successor", "pseudo_labeling", "pseudo_labeler", "filters",
    "acquisition_learner", "successor_learner", "unit", "seed", "precision", "engine", "fingerprint", "trajectory",
    "state", "cycles_done", "cycles_planned", "evaluated", "output_dir", "host", "version", "command", "selector",
    "arm", "role", "method", "selection", "schedule",
)  # fmt: skip
# Beside runs/ in an output directory; mlartifacts holds copies of what is in run directories.
NOT_RUNS = {"trajectories", "steps", "cache", "sweeps", "mlartifacts"}
MARKS = {"status.json", "config.yaml", "provenance.json"}  # a trajectory and a step have none of them
MACHINE = ("processor", "device", "threads", "precision", "engine")  # equal where seconds may be compared
# Seconds of the acquisition model; all others are of a successor, and may have been spent on another machine.
ACQUIRED = (*ITERATION, *ONE_OFF, *OVERHEAD, "evaluate", "iteration", "one_off", "evaluation", "overhead", "cumulative")
ACQUIRED_SECONDS = {f"seconds/{name}" for name in ACQUIRED}
# libyaml's loader reads a config in 5 ms, PyYAML's own in 50.
_parsed = lru_cache(maxsize=4096)(partial(yaml.load, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
WRONG_SHAPE = (KeyError, TypeError, AttributeError, ValueError)
DAMAGED = "is damaged, or of an earlier format"
REMEDY = "restore it, or delete the folder and give its command again"


class Unreadable(Exception):
    """The directory does not say which run it holds."""


@dataclass(frozen=True)
class Problem:
    """A run directory that is damaged, incomplete or failed, and why."""

    directory: Path
    reason: str


@dataclass(frozen=True)
class Results:
    """
    runs: a row per readable run directory, `COLUMNS`, by `run`: a short unique id, the folder's name unless
        ambiguous; None where a run does not use the thing. `method` and `selection`: `runs.keys_of`
    cycles: run, cycle, metric, value, machine; metrics are named as in MLflow, with
        seconds/iteration, seconds/one_off, seconds/cumulative (until the cycle's model was fitted),
        seconds/successor_total, pseudo/share_dropped (by all filters), and where there are prices money/labels,
        money/machine and money/total (of all cycles so far) added; machine: that the seconds are of, of money its
        currency
    parts: by run, of what its method consists (`runs.parts_of`); where its identity is lost, it is like no other
    problems: whatever is missing from all this, or less than it should be
    """

    runs: pd.DataFrame
    cycles: pd.DataFrame
    parts: dict[str, dict[str, Any]]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Recorded:
    """One run directory.

    row: its columns; cycles: rows of `Results.cycles`, without the run; parts: as in `Results`
    problems: a line each, none for a run that is whole; damage: files that are missing, or not as a run writes them
    """

    row: dict[str, Any]
    cycles: list[tuple[Any, ...]]
    parts: dict[str, Any]
    problems: list[str]
    damage: list[str]


def load(paths: Sequence[Path]) -> Results:
    """All runs at or below the given folders: output directories, parts of them, or run directories.

    Incomplete runs contribute the cycles they have. Raises `UserError` for a path that is no folder.
    """
    records: list[Recorded] = []
    problems: list[Problem] = []
    for folder in sorted({folder for path in paths for folder in run_directories(path)}):
        try:
            records.append(read(folder))
        except Unreadable as error:
            problems.append(Problem(folder, one_line(str(error))))
        else:
            problems += [Problem(folder, one_line(reason)) for reason in records[-1].problems]
    names = short_names([Path(record.row["directory"]) for record in records])
    index = pd.Index(names, name="run", dtype=str)
    # Of objects, so that None stays None: nan would not equal itself.
    runs = pd.DataFrame([record.row for record in records], index, list(COLUMNS), dtype=object)
    rows = [(run, *row) for run, record in zip(names, records, strict=True) for row in record.cycles]
    cycles = pd.DataFrame(rows, columns=["run", "cycle", "metric", "value", "machine"])
    parts = {run: record.parts for run, record in zip(names, records, strict=True)}
    return Results(runs, cycles, parts, tuple(problems))


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
    names, depth = [folder.name for folder in folders], 1
    while ambiguous := {name for name, n in Counter(names).items() if n > 1}:
        depth += 1
        longer = ["/".join(folder.parts[-depth:]) for folder in folders]
        names = [new if name in ambiguous else name for name, new in zip(names, longer, strict=True)]
    return names


def read(folder: Path) -> Recorded:
    """Whatever can be read of a run directory. Raises `Unreadable` where it does not say which run it is."""
    try:
        return _read(folder)
    except WRONG_SHAPE as error:
        raise Unreadable(f"its files are not as a run writes them ({first_line(error)}); {REMEDY}") from error


def _read(folder: Path) -> Recorded:
    problems: list[str] = []
    status = _json(folder / "status.json", problems)
    late: list[str] = []  # what a run writes only once it has read its data
    recorded, provenance = (_json(folder / f"{name}.json", late) for name in ("identity", "provenance"))
    if not isinstance(recorded.get("identity", {}), dict):
        raise TypeError("identity.json has no identity")
    try:
        config = _yaml(read_config(folder))
        row = columns_of(config, recorded.get("identity"))
    except FileNotFoundError as error:
        began = f"failed before it began: {first_line(status['error'])}" if "error" in status else ""
        raise Unreadable(began or f"config.yaml is missing; {REMEDY}") from error
    except UserError as error:
        raise Unreadable(f"config.yaml {DAMAGED}; {REMEDY}") from error
    except (yaml.YAMLError, OSError, *WRONG_SHAPE) as error:
        raise Unreadable(f"config.yaml cannot be read ({first_line(error)}); {REMEDY}") from error
    fingerprints = recorded.get("fingerprints", {})
    parts = parts_of(recorded.get("identity") or config, fingerprints, row)
    cycles, done, exhausted = _cycles(folder, _machine(provenance), config, problems)
    damage = [*problems, *late]
    problems += late if done else []
    whole = done == row["cycles_planned"] or exhausted
    config_dir = ["--config-dir", status["config_dir"]] if "config_dir" in status else []
    nested = folder.parents[1].name == "runs"
    output_dir = str(folder.parents[2]) if nested else config.get("output_dir")
    row |= {
        "directory": str(folder),
        "precision": parts["precision"],
        "engine": parts["engine"],
        **keys_of(parts),
        "fingerprint": fingerprints.get("data", f"{output_dir}/{row['dataset']}"),
        "trajectory": fingerprints.get("trajectory"),
        "state": _state(status, whole, f"{done} of {row['cycles_planned']} cycles", problems),
        "cycles_done": done,
        "evaluated": len({cycle for cycle, metric, *_ in cycles if metric.startswith("successor/")}),
        "output_dir": output_dir,
        "host": as_name(str(provenance.get("host") or "")),
        "version": as_name(f"{provenance.get('al_bench')} {(provenance.get('git') or '')[:8]}".strip()),
        "command": shlex.join(["al-bench", "run", *config_dir, *status.get("overrides", [])]),
    }
    parts = parts if "identity" in recorded else dict.fromkeys(parts, row["method"])
    return Recorded(row, cycles, parts, problems, damage)


def _yaml(text: str) -> dict[str, Any]:
    """A mapping, read key by key: runs of a sweep differ in a few, and YAML is what takes the time of thousands."""
    content: dict[str, Any] = {}
    for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        content |= _parsed(part) or {}
    return content


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """A file's record, empty where there is none to read."""
    try:
        return read_json(path)
    except OSError as error:
        problem = f"cannot be read ({first_line(error)})"
    except UserError:
        problem = DAMAGED if path.exists() else "is missing"
    problems.append(f"{path.name} {problem}; {REMEDY}")
    return {}


def _lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The records up to the first that is damaged; a torn last line is none, as for the run itself."""
    records, damage = Ledger(path).scan()
    if damage is not None:
        problems.append(f"{path.name} {DAMAGED}: what is before line {damage} counts; {REMEDY}")
    return records


def _cycles(
    folder: Path, machine: str, config: Mapping[str, Any], problems: list[str]
) -> tuple[list[tuple[Any, ...]], int, bool]:
    """(rows of the committed cycles, how many these are, whether the last of them queried nobody).

    machine: of the run, where a cycle does not name its own
    """
    ledger, costs = (_lines(folder / name, problems) for name in ("ledger.jsonl", "costs.jsonl"))
    if len(costs) < len(ledger):
        problems.append(f"costs.jsonl lacks {len(ledger) - len(costs)} of {len(ledger)} cycles; {REMEDY}")
    costs += [{"seconds": {}}] * (len(ledger) - len(costs))
    rows: list[tuple[Any, ...]] = []
    places: list[str] = []  # of the cycles so far
    prices, currency = prices_of(config), currency_of(config)
    for number, (line, cost) in enumerate(zip(ledger, costs, strict=False)):
        try:
            metrics = {name: float(value) for name, value in metrics_of(line, cost).items()}
            if line["pseudo"]:
                metrics["pseudo/share_dropped"] = 1 - line["pseudo"]["kept"] / line["pseudo"]["examples"]
            if "seconds/iteration" in metrics:
                seconds = [one["seconds"] for one in costs[: number + 1]]
                metrics["seconds/cumulative"] = seconds_until_scores(seconds)[-1]
            metrics |= _money(metrics.get("money/labels"), prices["hour"], costs[: number + 1])
            machines = {role: machine_name(one) for role, one in cost.get("machines", {}).items()}
        except WRONG_SHAPE:
            problems.append(f"cycle {number} is not as a run writes it: what is before it counts; {REMEDY}")
            return rows, number, False
        places.append(machines.get("acquisition", machine))
        where = dict.fromkeys(ACQUIRED_SECONDS, places[-1])
        where["seconds/cumulative"] = " and ".join(dict.fromkeys(places))
        for metric, value in metrics.items():
            place = currency if metric.startswith("money/") else ""
            if metric.startswith("seconds/"):
                place = where.get(metric, machines.get("successor", machine))
            rows.append((number, metric, value, place))
    return rows, len(ledger), bool(ledger) and not ledger[-1]["query"]


def _money(labels: float | None, hour: float | None, costs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the machine has cost up to a cycle, and labels and machine together, each as far as it has a price.

    labels: what they have cost; hour: the machine's price; costs: of the cycles up to this one
    """
    if hour is None:
        return {} if labels is None else {"money/total": labels}
    if any("money_machine" not in one for one in costs):  # lost
        return {}
    machine = float(sum(one["money_machine"] for one in costs))
    return {"money/machine": machine, "money/total": machine + (labels or 0.0)}


def _machine(provenance: Mapping[str, Any]) -> str:
    """The machine of a run whose cycles do not name theirs."""
    hardware = provenance.get("hardware") or {}
    device = hardware.get("gpu") or hardware.get("device")
    processor = provenance.get("processor") or provenance.get("host")
    return machine_name({**provenance, **hardware, "processor": processor, "device": device})


def machine_name(machine: Mapping[str, Any]) -> str:
    """Equal for machines whose seconds may be compared."""
    parts = {key: str(machine[key]) for key in MACHINE if machine.get(key) not in (None, "")}
    return ", ".join(f"{part} threads" if key == "threads" else part for key, part in parts.items())


def _state(status: dict[str, Any], whole: bool, cycles: str, problems: list[str]) -> str:
    """running | finished | failed | interrupted; less than was planned is a problem. cycles: how many, in words"""
    state = status.get("state") or ("finished" if whole else "interrupted")
    if state == "failed":
        problems.append(f"failed: {first_line(status.get('error', 'no reason left'))} ({cycles})")
    elif state == "running":
        problems.append(f"running, or killed: {cycles}")
    elif state == "finished" and not whole:
        problems.append(f"finished, but its ledger holds {cycles}; {REMEDY}")
        return "interrupted"
    elif not whole:
        problems.append(f"interrupted: {cycles}; the same command continues it")
    return state


def load_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a ledger but for a torn last line; none, and a note, where one cannot be read."""
    try:
        return Ledger(path).read()
    except (OSError, UserError):
        _note_damage(path, path.parent)
        return []


def load_array(trajectory: Path, kind: str, line: Mapping[str, Any]) -> np.ndarray | None:
    """An array of a cycle, by the ledger's line; None where it was not written, or, with a note, is not what was."""
    try:
        return read_array(trajectory, kind, line)
    except (OSError, UserError):
        _note_damage(array_path(trajectory, kind, line["cycle"]), trajectory)
        return None


@cache  # once, however often it is read
def _note_damage(path: Path, folder: Path) -> None:
    remedy = f"restore it, or delete {folder} and the folders of its runs and give their commands again"
    print(f"al-bench: note: {path} is missing or damaged, and left out; {remedy}", file=sys.stderr)
