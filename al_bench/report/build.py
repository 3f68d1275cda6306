"""`al-bench report`: runs -> settings -> answers, tables, figures, texts -> one page, on disk and in MLflow."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import load
from al_bench.config.credentials import conceal
from al_bench.config.digests import file_name
from al_bench.errors import UserError, first_line, of_disk, root_cause, without_secrets
from al_bench.ledger.ledger import load_record, write_whole
from al_bench.ledger.mlflow_store import FILE, MlflowStore, known_runs, require_address
from al_bench.report.figures import style
from al_bench.report.page import chapters_of, page


def report(
    paths: Sequence[str], output: str | None, output_dir: str, figures: str | None, tracking: str | None
) -> None:
    """Write the page of the runs below the given folders, say where, and log it to MLflow if that is asked for.

    output: the page's file, None: OUTPUT_DIR/report.html; figures: a folder for all figures, as PNG and SVG
    tracking: the store to log to, as in a run's config; never one that a folder names, which may be somebody else's
    Raises `UserError` where there is no run, or nothing can be written.
    """
    if tracking is not None and tracking != "none":
        require_address(tracking)
    root = Path(output_dir).absolute()
    results = load([Path(path) for path in paths] or [root])
    if results.runs.empty and not results.problems:
        where = ", ".join(paths) or root
        raise UserError(f"{where}: holds no run directory; run something first, or give --output-dir")
    target = Path(output).absolute() if output else root / "report.html"
    chapters = chapters_of(Contrasts.of(results))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page(results, chapters).encode(errors="replace"))
        if figures is not None:
            save_figures(chapters, Path(figures))
    except OSError as error:
        raise (of_disk(error) or error) from error
    if tracking is not None and tracking != "none":
        publish(target, results.runs, MlflowStore(conceal(tracking), root, note))
    print(target)


def save_figures(chapters: Sequence[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    titles = [file_name(chapter["setting"].title) for chapter in chapters]
    for number, (chapter, title) in enumerate(zip(chapters, titles, strict=True), 1):
        setting = title if titles.count(title) == 1 else f"{title}-{number}"
        for picture in chapter["pictures"]:
            for kind in ("png", "svg"):
                style.save(picture.figure, folder / f"{setting}-{picture.name}.{kind}")


def publish(page: Path, runs: pd.DataFrame, store: MlflowStore) -> None:
    """Log the page to the MLflow run of each sweep that the store has; whatever fails here warns."""
    try:
        with store.held():
            client = store.client()
        for folder in parents(runs):
            record = load_record(folder / FILE)
            known = known_runs(client, record["experiment"], record) if store.place.items() <= record.items() else []
            for run in known:
                client.log_artifact(run.info.run_id, str(page))
                print(f"logged to {store}, run {run.info.run_id}")
            if not known:
                note(f"{folder.name} is not logged to {store}, so its report is not either; see `al-bench sync --help`")
    except Exception as error:  # any failure of a tracking server must not cost the page
        reason = without_secrets(first_line(root_cause(error)))
        note(f"the report could not be logged to {store} ({reason}); the page is written")


def note(text: str) -> None:
    print(f"al-bench: note: {text}", file=sys.stderr)


def parents(runs: pd.DataFrame) -> list[Path]:
    """The directories of the sweeps that the runs belong to; of a run on its own, the run's own directory."""
    sweeps = [load_record(Path(folder) / "status.json").get("sweep") for folder in runs.directory]
    folders = {Path(sweep) for sweep in sweeps if sweep}
    return sorted(folders) if folders or len(runs) != 1 else [Path(runs.directory.iloc[0])]
