"""`al-bench sync`: log to MLflow what its store lacks."""

import sys
from pathlib import Path

from al_bench.analysis.store import REMEDY, Unreadable, read
from al_bench.errors import UserError
from al_bench.ledger.ledger import load_record
from al_bench.ledger.mlflow_store import FILE, require_address
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.sweep_run import CARDS
from al_bench.ledger.tracking import Tracker, finish_sweep

NEEDED = {"status.json": ("state", "started_at"), "identity.json": ("fingerprints",), "provenance.json": ("git",)}


def sync(directories: list[str], tracking: str, output_dir: str) -> None:
    """Ask the store for the runs below the given folders, and log what it lacks. Runs in progress log themselves.

    Raises `UserError` where a folder holds no run, or the store fails; and at the end a line for each damaged run.
    """
    root = Path(output_dir).absolute()
    require_address(tracking)
    skipped: list[str] = []
    sweeps: set[Path] = set()
    logged = 0
    for start in [Path(d).absolute() for d in directories] or [root / "runs"]:
        folders = sorted(path.parent for path in start.rglob("provenance.json"))
        if not folders:
            raise UserError(f"{start}: holds no run directory; give OUTPUT_DIR/runs or a folder in it")
        for folder in folders:
            run, status = RunDirectory(folder), load_record(folder / "status.json")
            if status.get("state") == "running" and run.in_use:
                print(f"running, logs itself: {folder}")
                continue
            if (damaged := damage(folder)) is not None:
                skipped.append(f"{folder}: not logged, since {damaged}")
                continue
            sweep = sweep_of(folder)
            messages: list[str] = []
            tracker = Tracker(run, tracking, root, sweep, messages.append)
            if not tracker.sync():
                reason = messages.pop().replace("the run goes on, ", "")
                raise UserError("\n".join([*messages, *skipped, f"{folder}: {reason}"]))
            for note in messages:
                print(f"al-bench: note: {note}", file=sys.stderr)
            logged += tracker.changed
            print(f"{'logged' if tracker.changed else 'already logged'}: {folder}")
            sweeps |= {sweep} if sweep is not None else set()
    for sweep in sorted(sweeps):
        finish_sweep(sweep, skipped.append)
    print(f"{logged} runs logged")
    if skipped:
        raise UserError("\n".join(skipped))


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a run belongs to; None where there is none, as when only runs were copied here."""
    sweep = load_record(folder / FILE).get("sweep") or load_record(folder / "status.json").get("sweep")
    return Path(sweep) if sweep and (Path(sweep) / CARDS).is_dir() else None


def damage(folder: Path) -> str | None:
    """The reason why a run directory cannot be logged; None where it can."""
    try:
        reasons = [*read(folder).damage]
    except Unreadable as error:
        return str(error)
    for name, keys in NEEDED.items():
        record = load_record(folder / name)
        reasons += [f"{name} has no {key}; {REMEDY}" for key in keys if key not in record]
    if not reasons and "trajectory" not in load_record(folder / "identity.json")["fingerprints"]:
        reasons = [f"identity.json names no trajectory; {REMEDY}"]
    return next(iter(reasons), None)
