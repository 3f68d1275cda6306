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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.identity import differences
from al_bench.costs import Costs
from al_bench.errors import UserError
from al_bench.ledger.ledger import damaged, locked, read_json, write_json, write_whole


@dataclass(frozen=True)
class Store:
    """One folder of results.

    run, machine: who computes on which hardware, for the records of costs
    waiting: called when another process holds the folder
    """

    folder: Path
    identity: dict[str, Any]
    fingerprints: dict[str, str]
    run: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    waiting: Callable[[], None] = lambda: None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one process. Raises `UserError` where it holds results of other data or weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", self.waiting):
            claim(self.folder, self.identity, self.fingerprints)
            yield

    def save(self, path: Path, array: np.ndarray) -> str:
        """Write an array; returns the file's sha256."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    def load(self, path: Path, sha256: str) -> np.ndarray:
        """Read an array. Raises `UserError` where it is not the file that was written."""
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise damaged(path, self.folder)
        return np.load(io.BytesIO(content))

    def costs_record(self, costs: Costs) -> dict[str, Any]:
        """The record of what results cost."""
        spent = {**vars(costs), "machine": self.machine}
        return {**spent, "computed_by": self.run, "host": platform.node(), "finished_at": time.time()}


def costs_from(record: dict[str, Any]) -> Costs:
    return Costs(record["seconds"], record["counts"], record["machine"])


def claim(folder: Path, identity: dict[str, Any], fingerprints: dict[str, str]) -> None:
    """Write identity.json, or check that data and weights are those that it records."""
    path = folder / "identity.json"
    if not path.exists():
        write_json(path, {"identity": identity, "fingerprints": fingerprints})
        return
    if changed := differences(read_json(path)["fingerprints"], fingerprints):
        raise UserError(
            f"{folder}: {' and '.join(changed)} changed since it was begun; "
            "restore what was there, or set another output_dir"
        )
