"""What fits have cost on this machine so far."""

import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.costs import happens_once
from al_bench.ledger.ledger import Ledger, load_record, read_json
from al_bench.ledger.store import finished
from al_bench.planning.units import Unit, rate_of


class Past:
    """Seconds of training per step by rate, and seconds of all other phases of a fit by rate and part."""

    def __init__(self, output_dir: Path) -> None:
        self._train: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))  # seconds, steps
        self._other: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(2))  # seconds, fits
        for folder in sorted((output_dir / "trajectories").glob("*/")):
            identity = load_record(folder / "identity.json").get("identity", {})
            for record in Ledger(folder / "costs.jsonl").read() if "acquisition" in identity else []:
                self._add("acquisition", identity["dataset"], identity["acquisition"], record)
        for folder in sorted((output_dir / "steps").glob("*/")):
            if not finished(folder):
                continue
            identity = read_json(folder / "identity.json")["identity"]
            fit = identity.get("fit", identity)
            part = {"fit": "successor", "pseudo_labels": "pseudo_labeler"}.get(identity["step"], "look_back")
            if identity.get("by") == "verifier":
                part = "verifier"
            if "dataset" in fit:
                self._add(part, fit["dataset"], fit["model"], read_json(folder / "costs.json"))

    def seconds(self, unit: Unit) -> float | None:
        """Of a fit; None where no fit of its rate and part was made on this machine."""
        train, other = self._train.get(unit.rate), self._other.get((unit.rate, unit.part))
        if unit.steps is None or train is None or other is None:
            return None
        return float(unit.steps * train[0] / train[1] + other[0] / other[1])

    def _add(self, part: str, dataset: dict[str, Any], model: dict[str, Any], record: dict[str, Any]) -> None:
        if record["host"] != platform.node():
            return
        rate, seconds = rate_of(dataset, model), record["seconds"]
        often = sum(value for phase, value in seconds.items() if not happens_once(phase))
        train = sum(value for phase, value in seconds.items() if phase.endswith("train"))
        steps = sum(value for name, value in record.get("counts", {}).items() if name.endswith("steps"))
        self._other[rate, part] += (often - train, 1)
        if steps:
            self._train[rate] += (train, steps)
