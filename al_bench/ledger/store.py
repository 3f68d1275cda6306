"""Computed results on disk, shared by all runs: claimed by identity, computed once, checked whenever they are read.

identity.json  what determines the results, and the fingerprints of the data and weights that they were computed from
lock           held by the process that computes or reads
*.npy          arrays, whose hashes stand in the record that makes them count

A step is a result outside the loop: a fit's metrics, pseudo-labels, suspicions. OUTPUT_DIR/steps/<id>/ has also
costs.json     what it cost, and which run computed it
values.json    its numbers, and the hashes of the arrays; written last, it makes the step count
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

from al_bench.config.digests import differences, digest
from al_bench.costs import Costs
from al_bench.errors import UserError
from al_bench.ledger.ledger import CycleLedger, damaged, locked, read_json, write_json, write_whole


@dataclass(frozen=True)
class Store:
    """One folder of results.

    run, machine: who computes on which hardware, for the records of costs
    waiting: called when another process holds the folder
    """

    folder: Path
    identity: dict[str, Any]
    fingerprints: dict[str, Any]
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

    def costs_record(self, costs: Costs) -> dict[str, Any]:
        """The record of what results cost."""
        spent = {**vars(costs), "machine": self.machine}
        return {**spent, "computed_by": self.run, "host": platform.node(), "finished_at": time.time()}


def costs_from(record: dict[str, Any]) -> Costs:
    return Costs(record["seconds"], record["counts"], record["machine"])


def save_array(path: Path, array: np.ndarray) -> str:
    """Write an array; returns the file's sha256."""
    array, header = np.asarray(array, order="C"), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    path.parent.mkdir(exist_ok=True)
    # Not by `np.save`: to a full disk its error says neither which file nor why.
    write_whole(path, header.getvalue(), array.data)
    digest = hashlib.sha256(header.getvalue())
    digest.update(array.data)
    return digest.hexdigest()


def load_array(path: Path, sha256: str, folder: Path) -> np.ndarray:
    """Read an array. Raises `UserError` where it is not the file that was written; folder: as of `damaged`"""
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(path, folder)
    return np.load(io.BytesIO(content))


def claim(folder: Path, identity: dict[str, Any], fingerprints: dict[str, Any]) -> None:
    """Write identity.json, or check that data and weights are those that results were committed with.

    Nothing binds before the first commit: what a failed try was given may be mended.
    """
    path = folder / "identity.json"
    if not (finished(folder) or CycleLedger(folder).begun):
        write_json(path, {"identity": identity, "fingerprints": fingerprints})
    elif changed := differences(read_json(path)["fingerprints"], fingerprints):
        raise UserError(
            f"{folder}: {' and '.join(changed)} changed since it was begun; "
            "restore what was there, or set another output_dir"
        )


@dataclass(frozen=True)
class Step:
    """values: what JSON can hold; arrays: by name; costs: of computing it, whenever that was."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)


class Steps:
    """The steps of all runs, by identity.

    fingerprints: of the data, and of the models by role; account: run, machine and waiting of `Store`
    """

    def __init__(self, root: Path, fingerprints: dict[str, Any], **account: Any) -> None:
        self.root, self._fingerprints, self._account = root, fingerprints, account

    def get(self, identity: dict[str, Any], roles: tuple[str, ...], compute: Callable[[], Step]) -> Step:
        """The recorded step, else the computed one, recorded; one process at a time computes it.

        roles: whose weights it depends on
        """
        fingerprints = {key: self._fingerprints[key] for key in ("data", *roles)}
        store = Store(step_folder(self.root, identity), identity, fingerprints, **self._account)
        with store.held():
            folder = store.folder
            if not finished(folder):
                step = compute()
                hashes = {name: save_array(folder / f"{name}.npy", array) for name, array in step.arrays.items()}
                write_json(folder / "costs.json", store.costs_record(step.costs))
                write_json(folder / "values.json", {"values": step.values, "arrays_sha256": hashes})
            recorded = read_json(folder / "values.json")
            hashes = recorded["arrays_sha256"]
            arrays = {name: load_array(folder / f"{name}.npy", sha256, folder) for name, sha256 in hashes.items()}
            return Step(recorded["values"], arrays, costs_from(read_json(folder / "costs.json")))


def step_folder(root: Path, identity: dict[str, Any]) -> Path:
    return root / digest(identity, 16)


def finished(folder: Path) -> bool:
    return (folder / "values.json").exists()
