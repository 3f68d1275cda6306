"""The ledger's copy in MLflow: one MLflow run per run directory, written live or afterwards, never read as a source.

A failure warns and loses nothing: `al-bench sync` logs the run directory again.
"""

import logging
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import OmegaConf

from al_bench.config.identity import flat
from al_bench.costs import totals
from al_bench.errors import first_line
from al_bench.ledger.ledger import load_record, read_json, write_json
from al_bench.ledger.rundir import RunDirectory

ARTIFACTS = ("config.yaml", "ledger.jsonl", "costs.jsonl", "identity.json", "provenance.json", "status.json")
BATCH = 100  # params in one call: MLflow's limit
LONGEST_PARAM = 6000  # characters: MLflow's limit
FILE = "mlflow.json"  # in the directory of a run or a sweep: its MLflow run, and how many cycles are logged


def store_uri(tracking: str, output_dir: Path) -> str:
    return f"sqlite:///{output_dir / 'mlflow.db'}" if tracking == "sqlite" else tracking


class Tracker:
    """Copies a run directory's committed cycles to MLflow.

    output_dir: of the default store and its lock
    sweep: the sweep's directory, whose MLflow run is the parent; None for a single run
    warn: called once with the reason why tracking stopped
    """

    def __init__(self, run: RunDirectory, tracking: str, output_dir: Path, sweep: Path | None, warn: Any) -> None:
        self.run, self.output_dir, self.sweep = run, output_dir, sweep
        self.uri = store_uri(tracking, output_dir) if tracking != "none" else None
        self._warn = warn
        self._client: Any = None
        self._record: dict[str, Any] = {}  # as in `FILE`

    def update(self) -> bool:
        """Log the cycles committed since the last update, one batch each. Returns whether all is logged."""
        return self._attempt(self._log_cycles)

    def finish(self) -> bool:
        """Log the remaining cycles, the files, and how the run ended; nothing where that is logged already."""
        if not (self.run.folder / "provenance.json").exists():  # the run was refused before it began
            return False
        return self.complete or self._attempt(self._finish)

    @property
    def is_open(self) -> bool:
        return self._client is not None

    @property
    def complete(self) -> bool:
        record, state = load_record(self.run.folder / FILE), self.run.status.get("state")
        return record.get("uri") == self.uri and record.get("state") == state == "finished"

    def _attempt(self, step: Any) -> bool:
        if self.uri is None:
            return False
        try:
            if self._client is None:
                self._open()
            step()
        except Exception as error:  # any failure of a tracking server must not cost a result
            failure = f"tracking to {self.uri} failed ({first_line(error)[:200]})"
            self._warn(f"{failure}; the run goes on, `al-bench sync` repairs it")
            self.uri = None
        return self.uri is not None

    def _open(self) -> None:
        folder, sweep = self.run.folder, self.sweep
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        assert self.uri is not None
        tags = {
            "al_bench.trajectory": self.run.fingerprints["trajectory"],
            "al_bench.experiment": config["name"],
            "al_bench.directory": str(folder),
            "al_bench.commit": str(read_json(folder / "provenance.json")["git"]),
        }
        # Several processes on a fresh SQLite store would run its migrations at once.
        with FileLock(self.output_dir / ".mlflow.lock"):
            self._client = connect(self.uri)
            experiment = experiment_id(self._client, config["name"], self.uri, self.output_dir)
            if sweep is not None:  # its own run is created by the first job
                own = {"al_bench.sweep": sweep.name}
                parent, _ = self._entered(sweep, experiment, f"sweep {sweep.name}", own)
                tags["mlflow.parentRunId"] = parent["run_id"]
        started = int(self.run.status["started_at"] * 1000)
        self._record, created = self._entered(folder, experiment, folder.name, tags, start_time=started)
        if not created:
            self._client.update_run(self._record["run_id"], status="RUNNING")
            return
        from mlflow.entities import Param

        params = []
        for key, value in flat(config):
            text = str(value)
            params.append(Param(key, text if len(text) <= LONGEST_PARAM else text[: LONGEST_PARAM - 3] + "..."))
        for start in range(0, len(params), BATCH):
            self._client.log_batch(self._record["run_id"], params=params[start : start + BATCH])

    def _entered(
        self, folder: Path, experiment: str, name: str, tags: dict[str, str], **options: Any
    ) -> tuple[dict[str, Any], bool]:
        """The record of a directory's MLflow run, which is created (True) where this store does not have it."""
        record = load_record(folder / FILE)
        if record.get("uri") == self.uri and {"run_id", "logged"} <= record.keys():
            # An error: the run was deleted for good, or another store has the same name, so it is logged again.
            with suppress(Exception):
                if self._client.get_run(record["run_id"]).info.lifecycle_stage == "active":
                    return record, False
        tags = {"mlflow.runName": name, **tags}
        run = self._client.create_run(experiment, tags=tags, run_name=name, **options)
        record = {"uri": self.uri, "run_id": run.info.run_id, "logged": 0}
        write_json(folder / FILE, record)
        return record, True

    def _log_cycles(self) -> None:
        from mlflow.entities import Metric

        for decided, spent in self.run.rows()[self._record["logged"] :]:
            # The commit's own time, so that a cycle that is logged twice gives the same points.
            at, metrics = int(spent["finished_at"] * 1000), metrics_of(decided, spent)
            points = [Metric(name, value, at, decided["cycle"]) for name, value in metrics.items()]
            self._client.log_batch(self._record["run_id"], metrics=points)
            self._record |= {"logged": self._record["logged"] + 1, "state": "running"}
            write_json(self.run.folder / FILE, self._record)

    def _finish(self) -> None:
        self._log_cycles()
        run_id = self._record["run_id"]
        queries = self.output_dir / "trajectories" / self.run.fingerprints["trajectory"] / "ledger.jsonl"
        for path, place in [*((self.run.folder / name, None) for name in ARTIFACTS), (queries, "queries")]:
            if path.exists():
                self._client.log_artifact(run_id, str(path), place)
        state, ended = self.run.status["state"], self.run.status.get("ended_at", time.time())
        outcome = {"finished": "FINISHED", "interrupted": "KILLED"}.get(state, "FAILED")
        self._client.set_terminated(run_id, status=outcome, end_time=int(ended * 1000))
        write_json(self.run.folder / FILE, {**self._record, "state": state})


def finish_sweep(sweep: Path, *, failed: bool) -> None:
    """Close the sweep's own MLflow run and give it the summary."""
    record = load_record(sweep / FILE)
    if not record:
        return
    with suppress(Exception):  # the summary is on disk
        client = connect(record["uri"])
        for path in sweep.glob("summary.*"):
            client.log_artifact(record["run_id"], str(path))
        client.set_terminated(record["run_id"], status="FAILED" if failed else "FINISHED")


def connect(uri: str) -> Any:
    """An MLflow client that gives up within seconds where no server answers."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from mlflow.tracking import MlflowClient
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def experiment_id(client: Any, name: str, uri: str, output_dir: Path) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id
    # By default, a local store would put artifacts below the current folder.
    place = (output_dir / "mlartifacts" / name).as_uri() if uri.startswith("sqlite:") else None
    return client.create_experiment(name, artifact_location=place)


def metrics_of(decided: dict[str, Any], spent: dict[str, Any]) -> dict[str, float]:
    """One cycle as MLflow metrics: role/metric, seconds/phase, seconds/total, and cost/count."""
    metrics = {key: float(decided[key]) for key in ("labelled", "words", "scored")}
    for role in ("acquisition", "successor", "baseline"):  # a ledger from before there was a baseline has none
        metrics |= {f"{role}/{name}": value for name, value in (decided.get(role) or {}).items()}
    reported = [(name, value) for name, value in flat(decided["pseudo"] or {}) if value is not None]
    metrics |= {f"pseudo/{name.replace('.', '/')}": float(value) for name, value in reported}
    seconds = spent["seconds"]
    metrics |= {f"seconds/{name}": value for name, value in {**seconds, **totals(seconds)}.items()}
    for name, value in spent.items():
        if name not in ("cycle", "finished_at") and isinstance(value, int | float):
            metrics[f"cost/{name}"] = value
    return metrics
