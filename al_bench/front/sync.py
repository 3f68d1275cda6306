"""`al-bench sync`: log to MLflow the run directories that are not there yet."""

from pathlib import Path

from al_bench.analysis.store import REMEDY, Unreadable, read
from al_bench.errors import UserError, reject
from al_bench.ledger.ledger import load_record
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker

NEEDED = {"status.json": ("state", "started_at"), "identity.json": ("fingerprints",), "provenance.json": ("git",)}


def sync(directories: list[str], tracking: str, output_dir: str) -> None:
    """Log the runs below the given folders. Runs in progress log themselves and are skipped.

    Raises `UserError` where a folder holds no run, or the store fails; and at the end a line for each damaged run.
    """
    root = Path(output_dir).absolute()
    if tracking != "sqlite" and "://" not in tracking:
        remedy = "for example --tracking http://localhost:5000"
        raise reject("--tracking", tracking, "is no MLflow URI", remedy)
    failures: list[str] = []
    skipped: list[str] = []
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
            sweep = Path(status["sweep"]) if "sweep" in status else None
            exists = sweep is not None and sweep.is_dir()  # runs may have been copied here without it
            tracker = Tracker(run, tracking, root, sweep if exists else None, failures.append)
            if tracker.complete:
                print(f"already logged: {folder}")
            elif tracker.finish():
                logged += 1
                print(f"logged: {folder}")
            elif failures:
                reason = failures[0].replace("the run goes on, ", "")
                raise UserError("\n".join([*skipped, f"{folder}: {reason}"]))
    print(f"{logged} runs logged")
    if skipped:
        raise UserError("\n".join(skipped))


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
