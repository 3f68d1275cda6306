"""A run's directory: its config, its state, and its ledger."""

import hashlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from al_bench.config.digests import differences
from al_bench.config.identity import run_identity
from al_bench.config.schema import RunConfig
from al_bench.errors import UserError
from al_bench.ledger.ledger import (
    CycleLedger,
    Row,
    damaged,
    is_locked,
    load_record,
    locked,
    read_json,
    write_json,
    write_whole,
)


class RunDirectory(CycleLedger):
    """
    identity.json   the config as far as the ledger depends on it, and the fingerprints of data, weights and trajectory
    config.yaml     the resolved config, with its checksum
    provenance.json versions, code, hardware
    ledger.jsonl    a line per cycle: what was decided; costs.jsonl: what it cost
    status.json     running, finished, failed or interrupted; traceback.txt if it failed
    """

    @contextmanager
    def claimed(
        self, config: RunConfig, job: dict[str, Any], waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the directory for one process, and record in it how the run ended.

        job: overrides and sweep, for the record; waiting: called when another process holds it
        Raises `UserError` where the directory holds a run with another config.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".lock").touch()
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written ({error.strerror}); set output_dir=FOLDER") from error
        with locked(self.folder / ".lock", waiting):
            if self.begun and (changed := differences(self._identity["identity"], run_identity(config))):
                raise UserError(
                    f"{self.folder}: holds a run with another config ({', '.join(changed[:8])} differ); "
                    "choose another directory, or leave hydra.run.dir to its default"
                )
            if self.finished:
                self.rows()  # damage is reported before "already finished" is
                yield
                return
            started = time.time()
            (self.folder / "traceback.txt").unlink(missing_ok=True)
            self._status("running", started, job)
            write_config(self.folder, OmegaConf.to_yaml(asdict(config)))
            try:
                yield
            except (KeyboardInterrupt, SystemExit):  # a scheduler's launcher exits to have the job queued again
                self._status("interrupted", started, job)
                raise
            except BaseException as error:
                self._status("failed", started, job, error)
                raise
            self._status("finished", started, job)

    def _status(self, state: str, started: float, job: dict[str, Any], error: BaseException | None = None) -> None:
        facts: dict[str, Any] = {"pid": os.getpid()} if state == "running" else {"ended_at": time.time()}
        if state == "finished":
            facts["cycles"] = len(self.rows())
        if error is not None:
            facts["error"] = _reason(error)
        write_json(self.folder / "status.json", {"state": state, "started_at": started, **facts, **job})
        if error is not None:
            write_whole(self.folder / "traceback.txt", "".join(traceback.format_exception(error)).encode())

    def rows(self) -> list[Row]:
        """As of any ledger; a finished run's must still hold all the cycles that its status counted."""
        rows = super().rows()
        if len(rows) < self.status.get("cycles", 0):
            raise damaged(self.ledger.path, self.folder)
        return rows

    @property
    def status(self) -> dict[str, Any]:
        """Empty where it is lost: the ledger says what is done, so the run can go on."""
        return load_record(self.folder / "status.json")

    def leave_reason(self, error: Exception) -> None:
        """Record why a run failed before it could claim the directory; what a run left there keeps its status."""
        if self.status.get("error") != _reason(error) and not (self.begun or self.finished):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._status("failed", time.time(), {}, error)

    def leave_interrupted(self) -> None:
        """Record that this process ends, if it has the run; its main thread may be too busy to do so."""
        status = self.status
        if status.get("state") == "running" and status.get("pid") == os.getpid():
            job = {key: value for key, value in status.items() if key not in ("state", "started_at", "pid")}
            self._status("interrupted", status["started_at"], job)

    @property
    def in_use(self) -> bool:
        """Whether a process holds the directory right now."""
        return is_locked(self.folder / ".lock")

    @property
    def finished(self) -> bool:
        return self.status.get("state") == "finished"

    @property
    def fingerprints(self) -> dict[str, Any]:
        return self._identity["fingerprints"]

    @property
    def _identity(self) -> dict[str, Any]:
        return read_json(self.folder / "identity.json")


def write_config(folder: Path, text: str) -> None:
    write_whole(folder / "config.yaml", _sealed(text))


def read_config(folder: Path) -> str:
    """The text of config.yaml, without its checksum. Raises `UserError` where it is not what was written."""
    path = folder / "config.yaml"
    content = path.read_bytes()
    text = content.decode(errors="replace").rpartition(_SEAL)[0]
    if content != _sealed(text):
        raise damaged(path, folder)
    return text


_SEAL = "# sha256 of the lines above: "


def _sealed(text: str) -> bytes:
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
