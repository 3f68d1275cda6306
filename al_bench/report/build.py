"""`al-bench report`: runs -> settings -> answers, tables, figures, texts -> one page, on disk and in MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import load
from al_bench.config.identity import file_name
from al_bench.errors import UserError, first_line, of_disk
from al_bench.ledger.ledger import load_record, write_whole
from al_bench.ledger.tracking import FILE, connect, store_uri
from al_bench.report.figures import style
from al_bench.report.page import chapters_of, page


def report(
    paths: Sequence[str], output: str | None, output_dir: str, figures: str | None, tracking: str | None
) -> None:
    """Write the page of the runs below the given folders, say where, and log it to MLflow.

    output: the page's file, None: OUTPUT_DIR/report.html; figures: a folder for all figures, as PNG and SVG
    tracking: the only store to log to, or "none"; None: where each sweep was logged
    Raises `UserError` where there is no run, or nothing can be written.
    """
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
    if tracking != "none":
        publish(target, results.runs, None if tracking is None else store_uri(tracking, root))
    print(target)


def save_figures(chapters: Sequence[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    titles = [file_name(chapter["setting"].title) for chapter in chapters]
    for number, (chapter, title) in enumerate(zip(chapters, titles, strict=True), 1):
        setting = title if titles.count(title) == 1 else f"{title}-{number}"
        for picture in chapter["pictures"]:
            for kind in ("png", "svg"):
                style.save(picture.figure, folder / f"{setting}-{picture.name}.{kind}")


def publish(page: Path, runs: pd.DataFrame, store: str | None) -> None:
    """Log the page to the MLflow run of each sweep. store: the only one; whatever fails here warns."""
    for folder in parents(runs):
        known = load_record(folder / FILE)
        if "run_id" not in known or (store is not None and known.get("uri") != store):
            if store is not None:
                print(f"{folder.name} is not logged to {store}, so its report is not either; see `al-bench sync`")
            continue
        try:
            connect(known["uri"]).log_artifact(known["run_id"], str(page))
        except Exception as error:  # any failure of a tracking server must not cost the page
            first = first_line(error)[:200]
            print(f"the report of {folder.name} could not be logged to {known['uri']} ({first})")
        else:
            print(f"logged to {known['uri']}, run {known['run_id']}")


def parents(runs: pd.DataFrame) -> list[Path]:
    """The directories of the sweeps that the runs belong to; of a run on its own, the run's own directory."""
    sweeps = [load_record(Path(folder) / "status.json").get("sweep") for folder in runs.directory]
    folders = {Path(sweep) for sweep in sweeps if sweep}
    return sorted(folders) if folders or len(runs) != 1 else [Path(runs.directory.iloc[0])]
