"""What fits cost on this machine so far."""

import platform
from pathlib import Path
from typing import Any

from al_bench.costs import happens_once
from al_bench.ledger.ledger import Ledger, read_json
from al_bench.ledger.steps import finished
from al_bench.planning.units import Unit, rate_of


class Past:
    """What fits cost on this machine so far: seconds of training per step, and seconds of all around it."""

    def __init__(self, output_dir: Path) -> None:
        self._train: dict[str, list[float]] = {}  # rate: [seconds, steps]
        self._around: dict[tuple[str, str], list[float]] = {}  # (rate, part): [seconds, times]
        for folder in sorted((output_dir / "trajectories").glob("*/")):
            self._see_trajectory(folder)
        for folder in sorted((output_dir / "steps").glob("*/")):
            if finished(folder):
                self._see_step(folder)

    def seconds(self, unit: Unit) -> float | None:
        """Of making it; None where nothing alike was ever made here."""
        rate, around = self._train.get(unit.rate), self._around.get((unit.rate, unit.part))
        if unit.steps is None or rate is None or around is None:
            return None
        return unit.steps * rate[0] / rate[1] + around[0] / around[1]

    def _see_trajectory(self, folder: Path) -> None:
        if not (folder / "identity.json").exists():
            return
        identity = read_json(folder / "identity.json")["identity"]
        for line in Ledger(folder / "costs.jsonl").read():
            if "acquisition" in identity and line.get("host") == platform.node():
                self._see("acquisition", identity["dataset"], identity["acquisition"], line["seconds"], line)

    def _see_step(self, folder: Path) -> None:
        identity, spent = read_json(folder / "identity.json")["identity"], read_json(folder / "costs.json")
        part, fit = "successor", identity.get("fit", identity)
        if identity["step"] == "pseudo_labels":
            part = "pseudo_labeler"
        elif identity["step"] == "suspicion":
            part = "verifier" if identity["by"] == "verifier" else "look_back"
        if spent["host"] == platform.node() and "dataset" in fit:
            self._see(part, fit["dataset"], fit["model"], spent["seconds"], spent["counts"])

    def _see(
        self,
        part: str,
        dataset: dict[str, Any],
        model: dict[str, Any],
        seconds: dict[str, float],
        counts: dict[str, Any],
    ) -> None:
        rate = rate_of(dataset, model)
        train = sum(value for phase, value in seconds.items() if phase.endswith("train"))
        steps = sum(value for name, value in counts.items() if name.endswith("steps"))
        if steps:
            total = self._train.setdefault(rate, [0.0, 0.0])
            total[0], total[1] = total[0] + train, total[1] + steps
        often = sum(value for phase, value in seconds.items() if not happens_once(phase))
        around = self._around.setdefault((rate, part), [0.0, 0.0])
        around[0], around[1] = around[0] + often - train, around[1] + 1
