"""A multirun's own record: which jobs it has, how each ended.

Hydra shows only the first failure of a sweep, so each job leaves a card in the sweep's directory, and the
summary is made from the cards and from the status that each run directory holds.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from rich.console import Console
from rich.table import Table

from al_bench.errors import first_line
from al_bench.ledger.ledger import read_json, write_json
from al_bench.ledger.rundir import RunDirectory

CARDS = "jobs"  # in a sweep's directory: a file per job that started

started: list[tuple[Path, list[list[str]]]] = []


class SweepStarted(Callback):
    """Tells the front where the sweep that is about to start keeps its jobs; Hydra tells nobody afterwards."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        started.append((Path(config.hydra.sweep.dir).absolute(), expected_jobs(config)))


def expected_jobs(config: Any) -> list[list[str]]:
    """The overrides of every job of a grid sweep; none where another sweeper decides as it goes."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        return []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task])
    return [job for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None) for job in batch]


def record_job(sweep: Path, number: int, overrides: list[str], folder: Path) -> None:
    """A job's card, written when it starts."""
    cards = sweep / CARDS
    cards.mkdir(parents=True, exist_ok=True)
    write_json(cards / f"{number:04d}.json", {"overrides": overrides, "directory": str(folder)})


def outcomes(sweep: Path, expected: list[list[str]]) -> list[dict[str, Any]]:
    """Every job of the sweep: number, overrides, state, error, directory."""
    cards = {int(path.stem): read_json(path) for path in sorted((sweep / CARDS).glob("*.json"))}
    rows = []
    for number in sorted(set(cards) | set(range(len(expected)))):
        card = cards.get(number, {})
        status = RunDirectory(Path(card["directory"])).status if card else {}
        rows.append(
            {
                "job": number,
                "overrides": card["overrides"] if card else expected[number],
                "state": status.get("state", "not started"),
                "error": status.get("error", ""),
                "directory": card.get("directory", ""),
            }
        )
    return rows


def summarise(sweep: Path, expected: list[list[str]]) -> list[str]:
    """Print and store the sweep's summary; returns a line for every job that did not finish."""
    rows = outcomes(sweep, expected)
    (sweep / "summary.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    shared = [
        word for word in rows[0]["overrides"] if len(rows) > 1 and all(word in r["overrides"] for r in rows)
    ]
    table = Table(title=f"sweep {sweep.name}: {' '.join(shared)}".rstrip(": "), title_justify="left")
    for head in ("job", "overrides", "state", "error or directory"):
        table.add_column(head, overflow="fold")
    for row in rows:
        own = " ".join(word for word in row["overrides"] if word not in shared)
        table.add_row(str(row["job"]), own, row["state"], first_line(row["error"]) or row["directory"])
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table, markup=False)
    return [
        f"job {row['job']} ({' '.join(row['overrides'])}) {row['state']}: "
        f"{first_line(row['error']) or 'it left no reason'}"
        for row in rows
        if row["state"] != "finished"
    ]
