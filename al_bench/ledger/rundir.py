"""A run's directory: its config, its state, and its ledger."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from filelock import FileLock
from omegaconf import OmegaConf

from al_bench.config.identity import differences, run_identity
from al_bench.config.schema import RunConfig
from al_bench.errors import UserError
from al_bench.ledger.ledger import CycleLedger, locked, read_json, write_json, write_whole
from al_bench.ledger.store import claim


class RunDirectory(CycleLedger):
    """
    identity.json   the config as far as the ledger depends on it, and the fingerprints of data, weights and trajectory
    config.yaml     the resolved config
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
            path = self.folder / "identity.json"
            if path.exists() and (changed := differences(read_json(path)["identity"], run_identity(config))):
                raise UserError(
                    f"{self.folder}: holds a run with another config ({', '.join(changed[:8])} differ); "
                    "choose another directory, or leave hydra.run.dir to its default"
                )
            if self.finished:
                yield
                return
            started = time.time()
            (self.folder / "traceback.txt").unlink(missing_ok=True)
            self._status("running", started, job)
            write_whole(self.folder / "config.yaml", OmegaConf.to_yaml(asdict(config)).encode())
            try:
                yield
            except KeyboardInterrupt:
                self._status("interrupted", started, job)
                raise
            except BaseException as error:
                self._failed(error, started, job)
                raise
            self._status("finished", started, job)

    def _status(self, state: str, started: float, job: dict[str, Any], **more: Any) -> None:
        ended = {} if state == "running" else {"ended_at": time.time()}
        record = {"state": state, "started_at": started, **ended, **job, **more}
        write_json(self.folder / "status.json", record)

    def _failed(self, error: BaseException, started: float, job: dict[str, Any]) -> None:
        self._status("failed", started, job, error=str(error) or type(error).__name__)
        reason = "".join(traceback.format_exception(error))
        write_whole(self.folder / "traceback.txt", reason.encode())

    @property
    def status(self) -> dict[str, Any]:
        path = self.folder / "status.json"
        return read_json(path) if path.exists() else {}

    def leave_reason(self, error: Exception) -> None:
        """Record why a run failed before it could claim the directory."""
        recorded = self.status.get("error") == (str(error) or type(error).__name__)
        if not recorded and not (self.folder / "identity.json").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._failed(error, time.time(), {})

    @property
    def in_use(self) -> bool:
        """Whether a process holds the directory right now."""
        try:
            with FileLock(self.folder / ".lock").acquire(timeout=0):
                return False
        except TimeoutError:
            return True

    @property
    def finished(self) -> bool:
        return self.status.get("state") == "finished"

    def record_fingerprints(self, config: RunConfig, fingerprints: dict[str, Any]) -> None:
        """Write, or check, the fingerprints of data and weights and the trajectory's id."""
        claim(self.folder, run_identity(config), fingerprints)

    @property
    def fingerprints(self) -> dict[str, Any]:
        return read_json(self.folder / "identity.json")["fingerprints"]
