"""Results outside the loop, each computed once for all runs: a fit's metrics, pseudo-labels, suspicions.

OUTPUT_DIR/steps/<id>/
  NAME.npy     the step's arrays
  costs.json   what it cost, and which run computed it
  values.json  its numbers, and the hashes of the arrays; written last, it makes the step count
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.identity import digest
from al_bench.costs import Costs
from al_bench.ledger.ledger import read_json, write_json
from al_bench.ledger.store import Store, costs_from


@dataclass(frozen=True)
class Step:
    """values: what JSON can hold; arrays: by name; costs: of computing it, whenever that was."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)


class Steps:
    """The steps of all runs, by identity.

    fingerprints: of the data and of the weights by role; account: run, machine and waiting of `Store`
    """

    def __init__(self, root: Path, fingerprints: dict[str, str], **account: Any) -> None:
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
                hashes = {name: store.save(folder / f"{name}.npy", array) for name, array in step.arrays.items()}
                write_json(folder / "costs.json", store.costs_record(step.costs))
                write_json(folder / "values.json", {"values": step.values, "arrays_sha256": hashes})
            recorded = read_json(folder / "values.json")
            hashes = recorded["arrays_sha256"]
            arrays = {name: store.load(folder / f"{name}.npy", sha256) for name, sha256 in hashes.items()}
            return Step(recorded["values"], arrays, costs_from(read_json(folder / "costs.json")))


def step_folder(root: Path, identity: dict[str, Any]) -> Path:
    return root / digest(identity, 16)


def finished(folder: Path) -> bool:
    return (folder / "values.json").exists()
