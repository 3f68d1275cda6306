"""Where tracking goes: a server, or a SQLite file; and which of its runs belongs to a directory."""

import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from al_bench.config.credentials import address, full_address
from al_bench.errors import reject
from al_bench.ledger.database import prepare, relocate, uri_of
from al_bench.ledger.ledger import load_record, write_json

HELD_UP = 60  # seconds for other jobs that open the store
# In the directory of a run or a sweep. id: the tag by which its MLflow run is known in any store; of the store that it
# was last logged to: tracking and output_dir, experiment and run_id; of a run also sweep: the directory under whose
# MLflow run it hangs, and state: how it stood when all of it was logged.
FILE = "mlflow.json"
ID = "al_bench.id"


def require_address(tracking: str) -> None:
    """Raise `UserError` for what MLflow would take for a folder."""
    if tracking != "sqlite" and "://" not in tracking:
        remedy = "for example --tracking http://localhost:5000"
        raise reject("--tracking", tracking, "is no MLflow URI", remedy)


@dataclass(frozen=True)
class MlflowStore:
    """tracking: as in the config, but not "none"; note: called with a line for the user"""

    tracking: str
    output_dir: Path
    note: Callable[[str], None]

    @property
    def database(self) -> Path | None:
        """The store's file; None for a server, and for a name with options, which SQLite reads in its own way."""
        if self.tracking == "sqlite":
            return self.output_dir / "mlflow.db"
        name = self.tracking.removeprefix("sqlite:///")
        return None if name == self.tracking or set("?%") & set(name) else Path(name).absolute()

    @property
    def place(self) -> dict[str, str]:
        """What tells this store from others, without the credentials to enter it."""
        return {"tracking": address(self.tracking), "output_dir": str(self.output_dir)}

    def __str__(self) -> str:
        return self.tracking if self.database is None else str(self.database)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other jobs from making the same database, experiment or sweep."""
        folder = self.output_dir if self.database is None else self.database.parent
        path = folder / ".mlflow.lock"
        path.touch()  # where the lock cannot be made, FileLock would try until its time is up
        with FileLock(path, timeout=HELD_UP):
            yield

    def client(self) -> Any:
        """An MLflow client. The caller holds the store."""
        if self.database is None:
            return connect(self.tracking)
        quiet()
        # No connection outlives its use, or this process would write to a file that was replaced.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        prepare(self.database, self._artifacts(), self.note, own=self.tracking == "sqlite")
        return connect(uri_of(self.database))

    def experiment(self, client: Any, name: str) -> str:
        """The id of an experiment, which is made where there is none."""
        experiment, place = client.get_experiment_by_name(name), self._artifacts(name)
        if experiment is None:
            # By default, a local store would put artifacts below the current folder.
            return client.create_experiment(name, artifact_location=None if self.database is None else place)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        if self.tracking == "sqlite" and experiment.artifact_location != place:
            self._follow(experiment.artifact_location, place)
        return experiment.experiment_id

    def _artifacts(self, *names: str) -> str:
        return self.output_dir.joinpath("mlartifacts", *names).as_uri()

    def _follow(self, old: str, new: str) -> None:
        """Let artifacts be where the output folder is now. The end of both URIs is the same if al-bench made them."""
        root = self._artifacts()
        end = new.removeprefix(self.output_dir.as_uri())
        if old.endswith(end):
            relocate(self.output_dir / "mlflow.db", old.removesuffix(end) + "/mlartifacts", root)
            self.note(f"tracking: the output folder was moved or copied from {old.removesuffix(end)}; artifacts follow")


def connect(uri: str) -> Any:
    """An MLflow client that gives up within seconds where no server answers."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # with the credentials in it
    quiet()
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=full_address(uri))


def quiet() -> None:
    """Keep MLflow's log off the screen. It also raises what it logs, and that is told in one line."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow.tracking  # noqa: F401, or it would set the levels below when it is imported later
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)


def enter(
    client: Any, store: MlflowStore, folder: Path, experiment: str, name: str, tags: dict[str, str], **options: Any
) -> Any:
    """The MLflow run of a directory, which is made where the store does not have it, and then noted in `FILE`.

    Its tag is on disk before the run is made. So a run whose answer got lost is recognised, and no second one made.
    """
    record = load_record(folder / FILE)
    if "id" not in record:
        record = {"id": uuid.uuid4().hex}
        write_json(folder / FILE, record)
    if not (runs := known_runs(client, experiment, record)):
        tags = {"mlflow.runName": name, ID: record["id"], **tags}
        client.create_run(experiment, tags=tags, run_name=name, **options)
        runs = known_runs(client, experiment, record)  # all: a request without an answer was sent twice
    run, *others = runs
    for other in others:
        client.delete_run(other.info.run_id)
    place = {**store.place, "experiment": experiment, "run_id": run.info.run_id}
    if not place.items() <= record.items():
        write_json(folder / FILE, {"id": record["id"], **place})
    return run


def known_runs(client: Any, experiment: str, record: dict[str, Any]) -> list[Any]:
    """The MLflow runs of a directory, the one of its record first."""
    runs = client.search_runs([experiment], f"tags.`{ID}` = '{record['id']}'")
    return sorted(runs, key=lambda run: (run.info.run_id != record.get("run_id"), run.info.run_id))
