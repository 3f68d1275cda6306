"""A run's directory: its config, its state, and its ledger."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import OmegaConf

from al_bench.config.identity import differences, run_identity
from al_bench.config.schema import RunConfig
from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, damaged, locked, read_json, write_json, write_whole
from al_bench.ledger.store import claim


class RunDirectory:
    """
    identity.json   the config as far as the ledger depends on it, and the fingerprints of data, weights and trajectory
    config.yaml     the resolved config
    provenance.json versions, code, hardware
    ledger.jsonl    a line per cycle: what was decided; costs.jsonl: what it cost
    status.json     running, finished, failed or interrupted; traceback.txt if it failed
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.costs = Ledger(folder / "costs.jsonl")

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
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror}); set output_dir=FOLDER"
            ) from error
        with locked(self.folder / ".lock", waiting):
            self._check_config(config)
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
                self._status("failed", started, job, error=str(error) or type(error).__name__)
                write_whole(self.folder / "traceback.txt", traceback.format_exc().encode())
                raise
            self._status("finished", started, job)

    def _status(self, state: str, started: float, job: dict[str, Any], **more: Any) -> None:
        ended = {} if state == "running" else {"ended_at": time.time()}
        write_json(
            self.folder / "status.json", {"state": state, "started_at": started, **ended, **job, **more}
        )

    @property
    def status(self) -> dict[str, Any]:
        path = self.folder / "status.json"
        return read_json(path) if path.exists() else {}

    def leave_reason(self, error: Exception) -> None:
        """Record why a run failed before it could claim the directory."""
        reason = str(error) or type(error).__name__
        if self.status.get("error") == reason or (self.folder / "identity.json").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._status("failed", time.time(), {}, error=reason)
        write_whole(self.folder / "traceback.txt", "".join(traceback.format_exception(error)).encode())

    @property
    def in_use(self) -> bool:
        """Whether a process holds the directory right now."""
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            return True
        lock.release()
        return False

    @property
    def finished(self) -> bool:
        return self.status.get("state") == "finished"

    def _check_config(self, config: RunConfig) -> None:
        path = self.folder / "identity.json"
        changed = differences(read_json(path)["identity"], run_identity(config)) if path.exists() else []
        if changed:
            raise UserError(
                f"{self.folder}: holds a run with another config ({', '.join(changed[:8])} differ); "
                "choose another directory, or leave hydra.run.dir to its default"
            )

    def record_fingerprints(self, config: RunConfig, fingerprints: dict[str, Any]) -> None:
        """Write, or check, the fingerprints of data and weights and the trajectory's id."""
        claim(self.folder, run_identity(config), fingerprints)

    @property
    def fingerprints(self) -> dict[str, Any]:
        return read_json(self.folder / "identity.json")["fingerprints"]

    def rows(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(decided, spent) of every committed cycle."""
        decided, spent = self.ledger.read(), self.costs.read()
        if len(spent) < len(decided):
            raise damaged(self.costs.path, self.folder)
        return list(zip(decided, spent[: len(decided)], strict=True))

    def commit(self, decided: dict[str, Any], spent: dict[str, Any]) -> None:
        """Costs first: the ledger's line makes both count."""
        self.costs.put(decided["cycle"], spent)
        self.ledger.append(decided)
