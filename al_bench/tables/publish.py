"""`al-bench tables`: which tables, of which runs, in which format, and where to."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import load
from al_bench.errors import UserError, known, reject
from al_bench.tables.build import build
from al_bench.tables.render import FORMATS
from al_bench.tables.specs import available, read


def publish(words: Sequence[str], kind: str, output: str | None, output_dir: str, config_dir: str | None) -> None:
    """Print the tables, or write a file for each.

    words: names of tables, YAML files, and folders of runs, in any order; kind: a key of `FORMATS`
    Raises `UserError` for a word that is none of these, a spec that is none, and where there is no run.
    """
    options = available(config_dir)
    names = [word for word in words if word in options or word.endswith((".yaml", ".yml"))]
    folders = [word for word in words if word not in names]
    for word in folders:
        if not Path(word).is_dir():
            remedy = f"choose among {known(options)}, or give a YAML file or a folder of runs"
            raise reject("tables", word, "no such table and no such folder", remedy)
    specs = {name: read(options.get(name, Path(name))) for name in names or options}
    results = load([Path(folder) for folder in folders or [output_dir]])
    for problem in results.problems:
        print(f"al-bench: note: {problem.directory}: {problem.reason}", file=sys.stderr)
    if results.runs.empty:
        raise UserError(f"{', '.join(folders) or output_dir}: holds no run; `al-bench run` makes one")
    contrasts = Contrasts.of(results)
    where = [*folders, *(["--output-dir", output_dir] if output_dir != "outputs" and not folders else [])]
    where += ["--config-dir", config_dir] if config_dir else []
    render, suffix = FORMATS[kind]
    for name, spec in specs.items():
        table = build(spec, contrasts, shlex.join(["al-bench", "tables", name, *where]))
        if table.empty and not names:  # nobody asked for it
            print(f"al-bench: note: no run for the table {name}", file=sys.stderr)
        elif output is None:
            print(render(table))
        else:
            path = Path(output) / f"{spec.name}.{suffix}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(render(table), encoding="utf-8")
            except OSError as error:
                remedy = "give a folder that can be written"
                raise reject("--output", path.parent, str(error.strerror), remedy) from error
            print(f"written: {path}")
