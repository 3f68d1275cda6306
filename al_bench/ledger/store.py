"""Computed results on disk, shared by all runs: claimed by identity, computed once, checked whenever they are read.

identity.json  what determines the results, and the fingerprints of the data and weights that they were computed from
lock           held by the process that computes or reads
*.npy          arrays, whose hashes stand in the record that makes them count
"""

import hashlib
import io
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.identity import differences
from al_bench.costs import Costs
from al_bench.errors import UserError
from al_bench.ledger.ledger import damaged, locked, read_json, write_json, write_whole


class Store:
    """One folder of results.

    run, machine: who computes on which hardware, for the records of costs
    waiting: called when another process holds the folder
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        fingerprints: dict[str, str],
        *,
        run: str = "",
        machine: dict[str, Any] | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self._identity, self._fingerprints = identity, fingerprints
        self._run, self._machine, self._waiting = run, machine or {}, waiting

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one process. Raises `UserError` where it holds results of other data or weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", self._waiting):
            claim(self.folder, self._identity, self._fingerprints)
            yield

    def save(self, name: str, array: np.ndarray) -> str:
        """Write NAME.npy; returns the file's sha256."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    def load(self, name: str, sha256: str) -> np.ndarray:
        """Read NAME.npy. Raises `UserError` where it is not the file that was written."""
        path = self._path(name)
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise damaged(path, self.folder)
        return np.load(io.BytesIO(content))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def costs_record(self, costs: Costs) -> dict[str, Any]:
        """The record of what results cost."""
        spent = {"seconds": costs.seconds, "counts": costs.counts, "machine": self._machine}
        return spent | {"computed_by": self._run, "host": platform.node(), "finished_at": time.time()}


def costs_from(record: dict[str, Any]) -> Costs:
    return Costs(record["seconds"], record["counts"], record["machine"])


def claim(folder: Path, identity: dict[str, Any], fingerprints: dict[str, str]) -> None:
    """Write identity.json, or check that data and weights are those that it records."""
    path = folder / "identity.json"
    if not path.exists():
        write_json(path, {"identity": identity, "fingerprints": fingerprints})
        return
    changed = differences(read_json(path)["fingerprints"], fingerprints)
    if changed:
        raise UserError(
            f"{folder}: {' and '.join(changed)} changed since it was begun; "
            "restore what was there, or set another output_dir"
        )
