"""The record of a sweep: its jobs and their outcomes.

Hydra shows only the first failure of a sweep. So each job writes a card into the sweep's directory, and the summary
joins the cards with the status of each run directory.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from rich.console import Console
from rich.table import Table

from al_bench.config.credentials import conceal
from al_bench.errors import UserError, first_line
from al_bench.ledger.ledger import read_json, write_json
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.sweep_run import CARDS
from al_bench.ledger.tracking import finish_sweep

started: list[tuple[Path, list[list[str]]]] = []


class SweepStarted(Callback):
    """Keeps the directory and the jobs of a sweep, which Hydra does not tell afterwards."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        hydra = config.hydra
        if config.tracking is not None:
            config.tracking = conceal(config.tracking)  # before Hydra writes it into the sweep's multirun.yaml
        # Another sweeper decides on its jobs as it goes.
        is_grid = hydra.sweeper._target_.endswith("BasicSweeper")
        jobs = grid(hydra.sweeper.params, hydra.overrides.task) if is_grid else []
        started.append((Path(hydra.sweep.dir).absolute(), jobs))


def grid(params: Mapping[str, Any] | None, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job of a grid sweep. params: the experiment's own sweep, which overrides replace"""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    words = [f"{key}={value}" for key, value in (params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*words, *overrides])
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def record_job(sweep: Path, number: int, overrides: list[str], folder: Path) -> None:
    """Write a job's card, when the job starts."""
    (sweep / CARDS).mkdir(parents=True, exist_ok=True)
    write_json(sweep / CARDS / f"{number:04d}.json", {"overrides": overrides, "directory": str(folder)})


def close() -> None:
    """Summarise the sweep that ran, if one did. Raises `UserError` with a line for every job that did not finish."""
    if not started:
        return
    sweep, expected = started.pop()
    if not (sweep / CARDS).exists():  # refused before its first job
        return
    cards: dict[int, Any] = {n: {"overrides": words, "directory": ""} for n, words in enumerate(expected)}
    cards |= {int(path.stem): read_json(path) for path in (sweep / CARDS).glob("*.json")}
    rows = []
    for number, card in sorted(cards.items()):
        status = RunDirectory(Path(card["directory"])).status if card["directory"] else {}
        outcome = {"state": status.get("state", "not started"), "error": status.get("error", "")}
        rows.append({"job": number, "overrides": card["overrides"], **outcome, "directory": card["directory"]})
    (sweep / "summary.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    shared = [w for w in rows[0]["overrides"] if len(rows) > 1 and all(w in row["overrides"] for row in rows)]
    table = Table(title=f"sweep {sweep.name}: {' '.join(shared)}".rstrip(": "), title_justify="left")
    for head in ("job", "overrides", "state", "error or directory"):
        table.add_column(head, overflow="fold")
    failures = []
    for row in rows:
        own, reason = " ".join(word for word in row["overrides"] if word not in shared), first_line(row["error"])
        table.add_row(str(row["job"]), own, row["state"], reason or row["directory"])
        if row["state"] != "finished":
            job = f"job {row['job']} ({' '.join(row['overrides'])}) {row['state']}"
            failures.append(f"{job}: {reason or 'no reason is recorded'}")
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table, markup=False)
    finish_sweep(sweep, lambda text: print(text, file=sys.stderr))
    if failures:
        raise UserError("\n".join(failures))
