"""A sweep's own MLflow run, the parent of its jobs' runs."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from al_bench.data.metrics import headline_among
from al_bench.ledger.ledger import load_record
from al_bench.ledger.mlflow_store import FILE, MlflowStore, known_runs
from al_bench.ledger.rundir import RunDirectory

CARDS = "jobs"  # in a sweep's directory: a file per job that started, which names its run directory


def close_sweep(client: Any, store: MlflowStore, sweep: Path) -> bool:
    """Give the run of a sweep that is over its summary, its numbers and its end. Returns whether it lacked them.

    Nothing happens where jobs of it still run, and where this store does not have it.
    """
    record = load_record(sweep / FILE)
    if not store.place.items() <= record.items() or is_running(sweep):
        return False
    rows = outcomes(sweep)
    states = {row["state"] for row in rows}
    status = "FINISHED" if states <= {"finished"} else "FAILED" if "failed" in states else "KILLED"
    numbers = numbers_of(rows)
    for run in known_runs(client, record["experiment"], record):
        news = {name: value for name, value in numbers.items() if run.data.metrics.get(name) != value}
        if run.info.status == status and not news:
            return False
        for name, value in news.items():
            client.log_metric(run.info.run_id, name, value)
        for path in sweep.glob("summary.*"):
            client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id, status=status)
        return True
    return False


def is_running(sweep: Path) -> bool:
    """Whether a process works on a job of the sweep. A job that another sweep took over is no longer its own."""
    own = [run for run in directories(sweep) if load_record(run / "status.json").get("sweep") == str(sweep)]
    return any(RunDirectory(folder).in_use for folder in own)


def directories(sweep: Path) -> list[Path]:
    """The run directories of the jobs that started."""
    cards = [load_record(path) for path in sorted((sweep / CARDS).glob("*.json"))]
    return [Path(card["directory"]) for card in cards if "directory" in card]


def outcomes(sweep: Path) -> list[dict[str, Any]]:
    """The state and the directory of each job; a sweep that was killed has no summary."""
    summary = sweep / "summary.json"
    if summary.exists():
        return json.loads(summary.read_bytes())
    states = [(run, load_record(run / "status.json").get("state", "not started")) for run in directories(sweep)]
    return [{"state": state, "directory": str(run)} for run, state in states]


def numbers_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many jobs there were, finished and failed; the best and the mean of their last successors' scores."""
    numbers: dict[str, float] = {"jobs": len(rows)}
    numbers |= {state: sum(row["state"] == state for row in rows) for state in ("finished", "failed")}
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["state"] == "finished":
            run = RunDirectory(Path(row["directory"]))
            successors = [decided["successor"] for decided, _ in run.rows() if decided["successor"]]
            for last in successors[-1:]:
                metric = headline_among(last)
                scores[f"successor/{metric}"].append(last[metric])
    for name, values in scores.items():
        numbers |= {f"{name}/best": max(values), f"{name}/mean": sum(values) / len(values)}
    return numbers
