"""`al-bench report`: runs -> settings -> answers, tables, figures, texts -> one page."""

from collections.abc import Sequence
from pathlib import Path

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import load
from al_bench.errors import UserError, of_disk
from al_bench.ledger.ledger import write_whole
from al_bench.report.figures import style
from al_bench.report.page import Chapter, chapters_of, page
from al_bench.report.publish import publish


def report(
    paths: Sequence[str], output: str | None, output_dir: str, figures: str | None, tracking: str | None
) -> None:
    """Write the page of the runs below the given folders, say where, and log it to MLflow.

    output: the page's file, None: OUTPUT_DIR/report.html; figures: a folder for all figures, as PNG and SVG
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
        write_whole(target, page(results, chapters).encode())
        if figures is not None:
            save_figures(chapters, Path(figures))
    except OSError as error:
        raise (of_disk(error) or error) from error
    publish(target, results.runs, tracking, root, print)
    print(target)


def save_figures(chapters: Sequence[Chapter], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in chapters:
        for picture in one.pictures.drawn:
            for kind in ("png", "svg"):
                style.save(picture.figure, folder / f"{one.setting.title}-{picture.name}.{kind}".replace(" ", "_"))
