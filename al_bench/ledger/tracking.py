"""The ledger's copy in MLflow: one MLflow run per run directory, written live or afterwards, never read as a source.

A failure warns and loses nothing. `al-bench sync` asks the store what it has, and logs what is missing.
"""

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from al_bench.config.component_identity import is_bracket
from al_bench.config.credentials import conceal
from al_bench.config.digests import digest, flat
from al_bench.costs import totals
from al_bench.errors import first_line, root_cause, without_secrets
from al_bench.ledger.ledger import load_record, read_json, write_json
from al_bench.ledger.mlflow_store import FILE, MlflowStore, enter
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.sweep_run import close_sweep

ARTIFACTS = ("config.yaml", "ledger.jsonl", "costs.jsonl", "identity.json", "provenance.json", "status.json")
# MLflow's limits: params and metrics in one call, characters of a param, characters of a name.
PARAMS, METRICS, LONGEST_PARAM, LONGEST_NAME = 100, 1000, 6000, 250
PARENT = "mlflow.parentRunId"


class Tracker:
    """Copies a run directory's committed cycles to MLflow.

    output_dir: of the default store
    sweep: the sweep's directory, whose MLflow run is the parent; None to leave the run where it is
    warn: called with the reason why tracking stopped, and with a note where a store was mended

    changed: whether the store lacked anything
    """

    def __init__(
        self, run: RunDirectory, tracking: str, output_dir: Path, sweep: Path | None, warn: Callable[[str], None]
    ) -> None:
        self.run, self.output_dir, self.sweep, self.changed = run, output_dir, sweep, False
        self._store = MlflowStore(conceal(tracking), output_dir, warn) if tracking != "none" else None
        self._warn = warn
        self._client: Any = None

    def update(self) -> bool:
        """Log the cycles committed since the last update, one batch each. Returns whether all is logged."""
        return self._attempt(self._continue)

    def finish(self) -> bool:
        """Log the remaining cycles, the files, and how the run ended; nothing where that is logged already."""
        record, status = (load_record(self.run.folder / name) for name in (FILE, "status.json"))
        complete = status.get("state") == "finished" == record.get("state")
        in_place = self.sweep is None or record.get("sweep") == str(self.sweep)
        same_store = self._store is not None and self._store.place.items() <= record.items()
        return (complete and in_place and same_store) or self.sync()

    def sync(self) -> bool:
        """The same, as far as the store says that it lacks anything."""
        if not (self.run.folder / "provenance.json").exists():  # the run was refused before it began
            return False
        return self._attempt(self._finish)

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def _attempt(self, step: Callable[[], None]) -> bool:
        if self._store is None:
            return False
        try:
            if self._client is None:
                self._open()
            step()
        except Exception as error:  # any failure of a tracking server must not cost a result
            self._warn(failure(self._store, error))
            self._store = None
        return self._store is not None

    def _open(self) -> None:
        """Find this run in the store, or make it, with its params."""
        folder, sweep, store = self.run.folder, self.sweep, self._store
        assert store is not None
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        tags = {
            "al_bench.trajectory": self.run.fingerprints["trajectory"],
            "al_bench.experiment": config["name"],
            "al_bench.directory": str(folder),
            "al_bench.commit": str(read_json(folder / "provenance.json")["git"]),
        }
        if config["replay"] is None and is_bracket(read_json(folder / "identity.json")["identity"]["strategy"]):
            tags["al_bench.bracket"] = "true"
        with store.held():
            client = store.client()
            experiment = store.experiment(client, config["name"])
            if sweep is not None:  # its own run is made by the first job
                own = {"al_bench.sweep": sweep.name}
                tags[PARENT] = enter(client, store, sweep, experiment, f"sweep {sweep.name}", own).info.run_id
        started = int(self.run.status["started_at"] * 1000)
        run = enter(client, store, folder, experiment, folder.name, tags, start_time=started)
        self._client, self._run_id, self._status = client, run.info.run_id, run.info.status
        self._record = load_record(folder / FILE)
        if sweep is not None and self._record.get("sweep") != str(sweep):
            self._move(sweep, tags[PARENT], run.data.tags.get(PARENT))
        params = {fit(key): value for key, value in flat(config)}
        missing = sorted(params.keys() - run.data.params.keys())
        if missing:
            from mlflow.entities import Param

            for start in range(0, len(missing), PARAMS):
                names = missing[start : start + PARAMS]
                self._log("log_batch", params=[Param(name, shortened(str(params[name]))) for name in names])
        self._steps = {metric.step for metric in client.get_metric_history(self._run_id, "labelled")}

    def _move(self, sweep: Path, parent: str, old: str | None) -> None:
        """Hang the run under a sweep. The one that it hung under is over, unless jobs of it still run."""
        assert self._store is not None
        if old != parent:
            self._log("set_tag", PARENT, parent)
        if "sweep" in self._record:
            close_sweep(self._client, self._store, Path(self._record["sweep"]))
        self._note(sweep=str(sweep))

    def _note(self, **facts: str) -> None:
        self._record |= facts
        write_json(self.run.folder / FILE, self._record)

    def _log(self, what: str, *arguments: Any, **options: Any) -> None:
        self.changed = True
        getattr(self._client, what)(self._run_id, *arguments, **options)

    def _continue(self) -> None:
        if self._status != "RUNNING":
            self._log("update_run", status="RUNNING")
            self._status = "RUNNING"
        self._log_cycles()

    def _log_cycles(self) -> None:
        from mlflow.entities import Metric

        for decided, spent in self.run.rows():
            cycle = decided["cycle"]
            if cycle in self._steps:
                continue
            # The commit's own time, so that a cycle that is logged twice gives the same points.
            at = int(spent["finished_at"] * 1000)
            points = [Metric(fit(name), value, at, cycle) for name, value in metrics_of(decided, spent).items()]
            points.reverse()  # so that `labelled`, by which a logged cycle is known, comes last
            for start in range(0, len(points), METRICS):
                self._log("log_batch", metrics=points[start : start + METRICS])
            self._steps.add(cycle)

    def _finish(self) -> None:
        status = self.run.status
        self._log_cycles()
        self._log_files(as_before=self._record.get("state") == status["state"])
        outcome = {"finished": "FINISHED", "failed": "FAILED"}.get(status["state"], "KILLED")
        if self._status != outcome:
            ended = int(status.get("ended_at", time.time()) * 1000)
            self._log("set_terminated", status=outcome, end_time=ended)
            self._status = outcome
        if self._record.get("state") != status["state"]:
            self._note(state=status["state"])

    def _log_files(self, *, as_before: bool) -> None:
        """as_before: only those that the store lacks, or has in another size"""
        queries = self.output_dir / "trajectories" / self.run.fingerprints["trajectory"] / "ledger.jsonl"
        listed = [*self._client.list_artifacts(self._run_id), *self._client.list_artifacts(self._run_id, "queries")]
        sizes = {file.path: file.file_size for file in listed}
        for path, place in [*((self.run.folder / name, "") for name in ARTIFACTS), (queries, "queries")]:
            logged = sizes.get(str(Path(place) / path.name)) if as_before else None
            if path.exists() and path.stat().st_size != logged:
                self._log("log_artifact", str(path), place or None)


def failure(store: MlflowStore, error: Exception) -> str:
    """One line: what failed, why, and the command that logs what is missing."""
    command = ["al-bench", "sync"]
    command += [] if store.tracking == "sqlite" else ["--tracking", store.tracking]
    command += [] if store.output_dir == Path("outputs").absolute() else ["--output-dir", str(store.output_dir)]
    reason = without_secrets(first_line(root_cause(error)))[:300]
    return f"tracking to {store} failed ({reason}); the run goes on, `{shlex.join(command)}` repairs it"


def metrics_of(decided: dict[str, Any], spent: dict[str, Any]) -> dict[str, float]:
    """One cycle as MLflow metrics: role/metric, seconds/phase, seconds/total, and cost/count."""
    metrics = {key: float(decided[key]) for key in ("labelled", "words", "scored")}
    for role in ("acquisition", "successor", "baseline"):  # a ledger from before there was a baseline has none
        metrics |= {f"{role}/{name}": value for name, value in (decided.get(role) or {}).items()}
    reported = [(name, value) for name, value in flat(decided["pseudo"] or {}) if value is not None]
    metrics |= {f"pseudo/{name.replace('.', '/')}": float(value) for name, value in reported}
    if decided.get("answered"):  # a ledger from before there were oracles has none
        asked, answered = decided["asked"], decided["answered"]
        metrics |= {"oracle/asked": asked, "oracle/answered": answered, "oracle/abstained": 1 - answered / asked}
        metrics |= {"oracle/right": decided["right"] / answered}
    if decided.get("money_labels") is not None:
        metrics["money/labels"] = decided["money_labels"]
    seconds = spent["seconds"]
    metrics |= {f"seconds/{name}": value for name, value in {**seconds, **totals(seconds)}.items()}
    for name, value in spent.items():
        if name not in ("cycle", "finished_at") and isinstance(value, int | float):
            metrics[f"cost/{name}"] = value
    return metrics


def fit(name: str) -> str:
    """A name of a metric or a param as MLflow takes it: `R&D` becomes `R_26_D`, by the sign's number.

    MLflow also refuses parts that a path would lose: an empty one, `.` and `..`.
    """
    parts = [re.sub(r"[^\w.\- :]", _number, part) for part in name.split("/")]
    name = "/".join(part if part.strip(".") else part.replace(".", "_2e_") or "_" for part in parts)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 17]}-{digest(name)}"


def _number(sign: re.Match[str]) -> str:
    return f"_{ord(sign[0]):x}_"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_PARAM else text[: LONGEST_PARAM - 3] + "..."


def finish_sweep(sweep: Path, warn: Callable[[str], None]) -> None:
    """Close the sweep's own MLflow run, wherever its jobs logged to."""
    if not (record := load_record(sweep / FILE)).keys() >= {"tracking", "output_dir"}:
        return
    store = MlflowStore(record["tracking"], Path(record["output_dir"]), warn)
    try:
        with store.held():
            close_sweep(store.client(), store, sweep)
    except Exception as error:  # as above; the summary is on disk
        warn(failure(store, error))
