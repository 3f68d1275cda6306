"""The report as an artifact in MLflow, beside the sweeps that it is about. Whatever fails here warns."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from al_bench.errors import first_line
from al_bench.ledger.ledger import load_record
from al_bench.ledger.tracking import FILE, connect, store_uri


def parents(runs: pd.DataFrame) -> list[Path]:
    """The directories of the sweeps that the runs belong to; of a run on its own, the run's own directory."""
    sweeps = {run: load_record(Path(row.directory) / "status.json").get("sweep") for run, row in runs.iterrows()}
    folders = [Path(sweep) for sweep in sweeps.values() if sweep]
    if not folders and len(runs) == 1:
        folders = [Path(runs.directory.iloc[0])]
    return sorted(set(folders))


def publish(page: Path, runs: pd.DataFrame, tracking: str | None, output_dir: Path, say: Callable[[str], None]) -> None:
    """Log the page to the MLflow run of each sweep.

    tracking: the only store to log to, or "none"; None: where each sweep was logged
    """
    if tracking == "none":
        return
    wanted = None if tracking is None else store_uri(tracking, output_dir)
    for folder in parents(runs):
        known = load_record(folder / FILE)
        if "run_id" not in known or (wanted is not None and known.get("uri") != wanted):
            if wanted is not None:
                say(f"{folder.name} is not logged to {wanted}, so its report is not either; see `al-bench sync`")
            continue
        try:
            connect(known["uri"]).log_artifact(known["run_id"], str(page))
        except Exception as error:  # any failure of a tracking server must not cost the page
            first = first_line(error)[:200]
            say(f"the report of {folder.name} could not be logged to {known['uri']} ({first})")
        else:
            say(f"logged to {known['uri']}, run {known['run_id']}")
