"""One run directory as it is found, damage included: what it is, its cycles, and what is wrong with it."""

import json
import re
import shlex
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from al_bench.analysis.columns import alike, columns_of
from al_bench.costs import iteration_seconds, successor_seconds
from al_bench.errors import first_line
from al_bench.ledger.tracking import metrics_of

# libyaml's loader reads a config in 5 ms, PyYAML's own in 50.
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WRONG_SHAPE = (KeyError, TypeError, AttributeError, ValueError)


class Unreadable(Exception):
    """The directory does not say which run it holds."""


@dataclass(frozen=True)
class Measured:
    """A cycle's metrics, named as in MLflow; labelled: examples."""

    cycle: int
    labelled: int
    words: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Recorded:
    """row: a run's columns; problems: a line each, none for a run that is whole.

    damage: the files that are missing, or not as a run writes them; how far it went is no damage
    """

    directory: Path
    row: dict[str, Any]
    cycles: list[Measured] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def read(folder: Path) -> Recorded:
    """Whatever can be read of a run directory. Raises `Unreadable` where it does not say which run it is."""
    try:
        return _read(folder)
    except WRONG_SHAPE as error:
        raise Unreadable(f"its files are not as a run writes them ({first_line(error)})") from error


def _read(folder: Path) -> Recorded:
    problems: list[str] = []
    status = _json(folder / "status.json", problems)
    try:
        config = _yaml((folder / "config.yaml").read_text(encoding="utf-8"))
        row = columns_of(config)
    except FileNotFoundError as error:
        began = f"failed before it began: {first_line(status['error'])}" if "error" in status else ""
        raise Unreadable(began or "config.yaml is missing") from error
    except (yaml.YAMLError, OSError, *WRONG_SHAPE) as error:
        raise Unreadable(f"config.yaml cannot be read ({first_line(error)})") from error
    late: list[str] = []  # what a run writes only once it has read its data
    recorded, provenance = (_json(folder / f"{name}.json", late) for name in ("identity", "provenance"))
    behind = recorded.get("behind", {})
    cycles, exhausted = _cycles(folder, problems)
    damage = [*problems, *late]
    problems += late if cycles else []
    done = len(cycles) == row["cycles_planned"] or exhausted
    state = _state(status, done, f"{len(cycles)} of {row['cycles_planned']} cycles", problems)
    nested = folder.parents[1].name == "runs"
    row |= {
        "directory": str(folder),
        "precision": behind.get("precision", config.get("precision")),
        **alike(recorded.get("identity") or config, behind),
        "trajectory": behind.get("trajectory"),
        "state": state,
        "cycles_done": len(cycles),
        "output_dir": str(folder.parents[2]) if nested else config.get("output_dir"),
        "host": provenance.get("host"),
        "version": f"{provenance.get('al_bench')} {(provenance.get('git') or '')[:8]}".strip(),
        "command": shlex.join(["al-bench", "run", *status.get("overrides", [])]),
    }
    return Recorded(folder, row, cycles, problems, damage)


def _yaml(text: str) -> dict[str, Any]:
    """A mapping, read key by key: runs of a sweep differ in a few, and YAML is what takes the time of thousands."""
    content: dict[str, Any] = {}
    for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        content |= _part(part) or {}
    return content


@lru_cache(maxsize=4096)
def _part(text: str) -> Any:
    return yaml.load(text, YAML)


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """A file's record, empty where there is none to read."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
        return {}
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} cannot be read ({first_line(error)})")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name} is not a JSON object")
        return {}
    return content


def _lines(path: Path, problems: list[str]) -> list[Any]:
    """The records up to the first that is damaged; a torn last line is none, as for the run itself."""
    complete, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    records = []
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            record = json.loads(line)
            in_order = record["cycle"] == number - 1
        except WRONG_SHAPE:
            in_order = False
        if not in_order:
            problems.append(f"{path.name} is damaged in line {number}; what is before it counts")
            break
        records.append(record)
    return records


def _cycles(folder: Path, problems: list[str]) -> tuple[list[Measured], bool]:
    """The committed cycles, and whether the last of them queried nobody."""
    decided, spent = (_lines(folder / name, problems) for name in ("ledger.jsonl", "costs.jsonl"))
    if len(spent) < len(decided):
        problems.append(f"costs.jsonl lacks {len(decided) - len(spent)} of {len(decided)} cycles")
    cycles: list[Measured] = []
    cumulative = 0.0
    for number, line in enumerate(decided):
        cost = spent[number] if number < len(spent) else {"seconds": {}}
        try:
            seconds = cost["seconds"]
            metrics = {name: float(value) for name, value in metrics_of(line, cost).items()}
            if line["pseudo"]:
                metrics["pseudo/share_dropped"] = 1 - line["pseudo"]["kept"] / line["pseudo"]["examples"]
            iteration = iteration_seconds(seconds)
            if iteration is not None:
                cumulative += iteration
                metrics |= {"seconds/iteration": iteration}
                metrics |= {"seconds/cumulative": cumulative}
            later = successor_seconds(seconds)
            if later is not None:
                metrics["seconds/successor_total"] = later
            cycles.append(Measured(number, line["labelled"], line["words"], metrics))
        except WRONG_SHAPE:
            problems.append(f"cycle {number} is not as a run writes it; what is before it counts")
            break
    return cycles, bool(cycles) and len(cycles) == len(decided) and not decided[-1]["query"]


def _state(status: dict[str, Any], done: bool, cycles: str, problems: list[str]) -> str:
    """running | finished | failed | interrupted; less than was planned is a problem.

    done: all cycles are there; cycles: how many, in words
    """
    state = status.get("state") or ("finished" if done else "interrupted")
    if state == "failed":
        problems.append(f"failed: {first_line(status.get('error', 'no reason left'))} ({cycles})")
    elif state == "running":
        problems.append(f"running, or killed: {cycles}")
    elif state == "finished" and not done:
        problems.append(
            f"finished, but its ledger holds {cycles}; delete status.json and give its command again"
        )
        return "interrupted"
    elif not done:
        problems.append(f"interrupted: {cycles}; the same command continues it")
    return state
