"""`al-bench sync`: log run directories to MLflow, all that is not there yet."""

from pathlib import Path

from al_bench.errors import UserError, reject
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker


def sync(directories: list[str], tracking: str, output_dir: str) -> None:
    """Log the runs below the given folders; runs that are going on log themselves and are passed over.

    Raises `UserError` where a folder holds no run, or a run could not be logged.
    """
    root = Path(output_dir).absolute()
    if tracking != "sqlite" and "://" not in tracking:
        raise reject(
            "--tracking", tracking, "is no MLflow URI", "for example --tracking http://localhost:5000"
        )
    failures: list[str] = []
    logged = 0
    for start in [Path(d).absolute() for d in directories] or [root / "runs"]:
        found = sorted(path.parent for path in start.rglob("provenance.json"))
        if not found:
            raise UserError(f"{start}: holds no run directory; give OUTPUT_DIR/runs or a folder in it")
        for folder in found:
            run = RunDirectory(folder)
            if run.status.get("state") == "running" and run.in_use:
                print(f"running, logs itself: {folder}")
                continue
            sweep = run.status.get("sweep")
            tracker = Tracker(run, tracking, root, Path(sweep) if sweep else None, failures.append)
            if tracker.complete:
                print(f"already logged: {folder}")
            elif tracker.finish():
                logged += 1
                print(f"logged: {folder}")
            elif failures:
                raise UserError(f"{folder}: {failures[0].replace('the run goes on, ', '')}")
    print(f"{logged} runs logged")
