"""The record of a sweep: its jobs and their outcomes.

Hydra shows only the first failure of a sweep. So each job writes a card into the sweep's directory, and the summary
joins the cards with the status of each run directory.
"""

import json
import multiprocessing
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from al_bench.config.component_identity import is_bracket
from al_bench.config.credentials import conceal
from al_bench.data.metrics import headline_among
from al_bench.errors import UserError, first_line, reject
from al_bench.front.cli import stop
from al_bench.front.progress import blind_cycles
from al_bench.ledger.ledger import load_record, write_json
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.sweep_run import CARDS
from al_bench.ledger.tracking import finish_sweep

# Why a job did not finish, where its run directory gives no reason of its own.
REASONS = {
    "not started": "the same command starts it",
    "interrupted": "the same command continues",
    "killed": "its process was killed by a signal, perhaps for want of memory; the same command continues",
    "stopped": "joblib stopped it when the process of another job was killed; the same command continues",
    "running": "it goes on in a process of its own",
    "damaged": "its status.json is damaged; delete it, then the same command continues",
}

# Directory, output_dir and jobs of the sweep in this process; empty in the processes of a launcher.
started: list[tuple[Path, str, list[list[str]]]] = []
killed: set[int] = set()  # ids of the processes of jobs that were the first to die


class SweepStarted(Callback):
    """Keeps the directory and the jobs of a sweep, which Hydra does not tell afterwards."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        hydra = config.hydra
        if config.tracking is not None:
            config.tracking = conceal(config.tracking)  # before Hydra writes it into the sweep's multirun.yaml
        # Another sweeper decides on its jobs as it goes.
        is_grid = hydra.sweeper._target_.endswith("BasicSweeper")
        try:
            jobs = grid(hydra.sweeper.params, words_of(hydra)) if is_grid else []
        except UserError as error:
            stop(str(error))  # of any exception but SystemExit Hydra makes a warning, and goes on
        started.append((Path(hydra.sweep.dir).absolute(), config.output_dir, jobs))
        if "joblib" in hydra.launcher._target_:
            killed.clear()
            threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    """Learn whose process is killed: a moment later, joblib kills the others."""
    while started and not killed:
        processes = {child.sentinel: child for child in multiprocessing.active_children()}
        for sentinel in wait([*processes], timeout=0.2):
            process = processes[sentinel]  # type: ignore[index]
            if process.exitcode != 0:  # None where joblib asked a moment before
                killed.add(process.pid or 0)


def words_of(hydra: Any) -> list[str]:
    """The overrides as they were given: what ${oc.env:NAME} stands for may be secret, or overridden by a later word."""
    return list(OmegaConf.to_container(hydra.overrides.task))  # type: ignore[arg-type]


def grid(params: Mapping[str, Any] | None, overrides: Sequence[str], extra: Sequence[str] = ()) -> list[list[str]]:
    """The overrides of every job of a grid sweep. Raises `UserError` for a key without a list of values.

    params: the experiment's own sweep, which overrides replace; extra: overrides that the search path depends on
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    loader = GlobalHydra.instance().config_loader()

    def options(group: str, results_filter: ObjectType) -> list[str]:
        return loader.get_group_options(group, results_filter, "config", [*extra])

    words = [*(f"{key}={value}" for key, value in (params or {}).items()), *overrides]
    parser = OverridesParser.create(SimpleNamespace(get_group_options=options))  # type: ignore[arg-type]
    parsed = parser.parse_overrides(words)
    for word, one in zip(words, parsed, strict=True):
        key, _, value = word.partition("=")
        if one.is_interval_sweep():
            raise reject(key, value, "has no end of values", f"write {key}=range(0,1,0.1), or values with commas")
        if one.is_sweep_override() and not any(True for _ in one.sweep_string_iterator()):
            raise reject(key, value, "matches none", "see `al-bench ls`")
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def record_job(sweep: Path, number: int, overrides: list[str], folder: Path, refusal: str = "") -> None:
    """Write a job's card, when the job starts. refusal: why it failed, when it has"""
    (sweep / CARDS).mkdir(parents=True, exist_ok=True)
    card = {"overrides": overrides, "directory": str(folder), "refusal": refusal}
    write_json(sweep / CARDS / f"{number:04d}.json", card)


def close(*, interrupted: bool = False) -> None:
    """Summarise the sweep that ran, if one did. Raises `UserError` with a line for every job that did not finish.

    interrupted: by the user, who gets their number instead
    """
    if not started:
        return
    sweep, output_dir, expected = started.pop()
    if not (sweep / CARDS).exists():  # refused before its first job
        return
    cards: dict[int, Any] = {n: {"overrides": words} for n, words in enumerate(expected)}
    for path in (sweep / CARDS).glob("*.json"):
        number = int(path.stem)
        cards[number] = {"overrides": [], **cards.get(number, {}), **load_record(path)}
    rows = [_row(number, card) for number, card in sorted(cards.items())]
    shared = [word for word in rows[0]["overrides"] if len(rows) > 1 and all(word in row["overrides"] for row in rows)]
    (sweep / "summary.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(
        _table(sweep.name, rows, shared), markup=False
    )
    failures = [row for row in rows if row["state"] != "finished"]
    if len(failures) < len(rows):
        where = [] if output_dir == "outputs" else ["--output-dir", output_dir]
        print(f"next: {shlex.join(['al-bench', 'report', *where])}")
    if interrupted:
        done = f"{len(rows) - len(failures)} of {len(rows)} jobs finished"
        print(f"al-bench: {done}; the same command continues", file=sys.stderr)
        return
    finish_sweep(sweep, lambda text: print(text, file=sys.stderr))
    if failures:
        raise UserError(
            "\n".join(f"job {row['job']} ({_own(row, shared)}) {row['state']}: {row['error']}" for row in failures)
        )


def _row(number: int, card: Mapping[str, Any]) -> dict[str, Any]:
    """A job's line of summary.json: its state, the reason unless it finished, and the last scores of both models.

    chance: in how many queries the model that selected was at chance, in words; bracket: see `identity.is_bracket`
    """
    state, error, directory = "not started", "", card.get("directory", "")
    scores: dict[str, dict[str, float]] = {}
    chance = ""
    run, path = RunDirectory(Path(directory)), Path(directory, "status.json")
    if directory and path.exists():
        status = load_record(path)
        state, error = status.get("state", "damaged"), first_line(status.get("error", ""))
        if state == "running" and not run.in_use:
            state = "stopped" if killed and status["pid"] not in killed else "killed"
        if state == "finished" and card.get("refusal"):  # the directory keeps what it says of its results
            state, error = "refused", card["refusal"]
        try:
            rows = run.rows()
            for decided, _ in rows:
                scores |= {role: decided[role] for role in ("acquisition", "successor") if decided[role]}
            if "acquisition" in scores:
                blind, queried = blind_cycles(rows, headline_among(scores["acquisition"]))
                chance = f"at chance in {len(blind)} of {queried}" if blind else ""
        except UserError as damage:
            state, error = "damaged", str(damage)
    error = error or REASONS.get(state, "no reason is recorded") if state != "finished" else ""
    row = {"job": number, "overrides": card["overrides"], "state": state, "error": error, "directory": directory}
    strategy = load_record(Path(directory, "identity.json")).get("identity", {}).get("strategy")
    return row | {"scores": scores, "chance": chance, "bracket": strategy is not None and is_bracket(strategy)}


def _own(row: Mapping[str, Any], shared: Sequence[str]) -> str:
    return " ".join(word for word in row["overrides"] if word not in shared)


def _table(name: str, rows: Sequence[dict[str, Any]], shared: Sequence[str]) -> Table:
    title = Text(f"sweep {name}: {' '.join(shared)}".rstrip(": "), "table.title")  # brackets are no markup
    table = Table(title=title, title_justify="left")
    for head in ("job", "overrides", "state", "acquisition", "successor", "error or directory"):
        table.add_column(head, overflow="fold")
    for row in rows:
        selector, successor = (_score(row["scores"].get(role)) for role in ("acquisition", "successor"))
        selector += f" ({row['chance']})" if row["chance"] else ""
        job = str(row["job"]) + (" (a bracket)" if row["bracket"] else "")
        table.add_row(job, _own(row, shared), row["state"], selector, successor, row["error"] or row["directory"])
    return table


def _score(metrics: Mapping[str, float] | None) -> str:
    """The metric that tables show by default, which the task decides."""
    if not metrics:
        return "-"
    name = headline_among(metrics)
    return f"{name} {metrics[name]:.4f}"
