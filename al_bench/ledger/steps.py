"""Results of the straight line behind the loop, computed once: a fit's metrics, pseudo-labels, suspicions.

OUTPUT_DIR/steps/<id>/
  identity.json  what determines the step, and the hashes of data and weights behind it
  NAME.npy       its arrays
  costs.json     what it cost, and which run computed it
  values.json    its numbers, and the hashes of the arrays; written last, it makes the step count
"""

import hashlib
import io
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.identity import differences, digest
from al_bench.costs import Costs
from al_bench.errors import UserError
from al_bench.ledger.ledger import read_json, turn, write_json, write_whole


@dataclass(frozen=True)
class Step:
    """values: what JSON can hold; arrays: by name; costs: of computing it, whenever that was."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    costs: Costs = field(default_factory=lambda: Costs({}))


class Steps:
    """The steps of all runs, by identity.

    behind: hashes of data and weights by role; a step's must be the recorded ones
    run: name of the run on whose account a step is computed; machine: what computes it, for its costs
    waiting: called when another process is computing the step that is needed
    """

    def __init__(
        self,
        root: Path,
        behind: dict[str, str],
        *,
        run: str = "",
        machine: dict[str, Any] | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.root, self._behind, self._run, self._waiting = root, behind, run, waiting
        self._machine = machine or {}

    def get(self, identity: dict[str, Any], roles: tuple[str, ...], compute: Callable[[], Step]) -> Step:
        """The recorded step, else the computed one, recorded; one process at a time computes it.

        roles: whose weights it depends on
        """
        folder = step_folder(self.root, identity)
        folder.mkdir(parents=True, exist_ok=True)
        with turn(folder / "lock", self._waiting):
            self._claim(folder, identity, {key: self._behind[key] for key in ("data", *roles)})
            if not finished(folder):
                self._record(folder, compute())
            return self._recorded(folder)

    def _claim(self, folder: Path, identity: dict[str, Any], behind: dict[str, str]) -> None:
        path = folder / "identity.json"
        if not path.exists():
            write_json(path, {"identity": identity, "behind": behind})
            return
        changed = differences(read_json(path)["behind"], behind)
        if changed:
            raise UserError(
                f"{folder}: {' and '.join(changed)} changed since this result was written; "
                "restore what was there, or set another output_dir"
            )

    def _record(self, folder: Path, step: Step) -> None:
        hashes = {}
        for name, array in step.arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            write_whole(folder / f"{name}.npy", buffer.getvalue())
            hashes[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
        spent: dict[str, Any] = {"seconds": step.costs.seconds, "counts": step.costs.counts}
        spent |= {"computed_by": self._run, "host": platform.node(), "machine": self._machine}
        spent |= {"finished_at": time.time()}
        write_json(folder / "costs.json", spent)
        write_json(folder / "values.json", {"values": step.values, "arrays_sha256": hashes})

    def _recorded(self, folder: Path) -> Step:
        recorded, spent = read_json(folder / "values.json"), read_json(folder / "costs.json")
        arrays = {}
        for name, expected in recorded["arrays_sha256"].items():
            path = folder / f"{name}.npy"
            content = path.read_bytes() if path.exists() else b""
            if hashlib.sha256(content).hexdigest() != expected:
                raise UserError(
                    f"{path}: missing or damaged, though the results count on it; "
                    f"restore the file or delete {folder} to compute it again"
                )
            arrays[name] = np.load(io.BytesIO(content))
        return Step(
            recorded["values"], arrays, Costs(spent["seconds"], spent["counts"], spent.get("machine", {}))
        )


def step_folder(root: Path, identity: dict[str, Any]) -> Path:
    return root / digest(identity, 16)


def finished(folder: Path) -> bool:
    return (folder / "values.json").exists()
