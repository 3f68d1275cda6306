"""An acquisition trajectory on disk: computed once, shared by every run that needs it.

ledger.jsonl  a line per cycle: what was decided; the line is the cycle's commit
costs.jsonl   a line per cycle: what it cost, and which run computed it
scores/       cycle_0003.npy: float32 score of every training example, NaN where it was not scored
tested/       cycle_0003.npy: int16 label that the cycle's model gave every test example, or word
identity.json what determines the trajectory, and the hashes of data and weights behind it
"""

import hashlib
import io
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.loop import NOBODY, Computed, Cycle
from al_bench.config.identity import differences, digest
from al_bench.costs import Costs
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, damaged, read_json, turn, write_json, write_whole

ARRAYS = ("scores", "tested")


class Trajectory:
    """Cycles of one identity, in a folder of their own.

    root: the folder of all trajectories
    identity: what determines this one
    behind: hashes of data and weights; they must be the recorded ones
    run: name of the run on whose account a cycle is computed; machine: what computes it, for its costs
    waiting: called when another process is computing the cycle that is needed
    """

    def __init__(
        self,
        root: Path,
        identity: dict[str, Any],
        behind: dict[str, str],
        size: int,
        *,
        run: str = "",
        machine: dict[str, Any] | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = digest(identity)
        self.folder = root / self.id
        self.size = size
        self.ledger = Ledger(self.folder / "ledger.jsonl")
        self.costs = Ledger(self.folder / "costs.jsonl")
        self._run, self._machine = run, machine or {}
        self._waiting = waiting
        for name in ARRAYS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        with turn(self.folder / "lock", waiting):
            self._claim({"identity": identity, "behind": behind})

    def _claim(self, header: dict[str, Any]) -> None:
        path = self.folder / "identity.json"
        if not path.exists():
            write_json(path, header)
            return
        changed = differences(read_json(path)["behind"], header["behind"])
        if changed:
            raise UserError(
                f"{self.folder}: {' and '.join(changed)} changed since this trajectory was written; "
                "restore what was there, or set another output_dir"
            )

    def cycle(self, number: int, compute: Callable[[], Computed]) -> Computed:
        """The recorded cycle, else the computed one, recorded; one process at a time computes."""
        with turn(self.folder / "lock", self._waiting):
            lines = self.ledger.read()
            if number < len(lines):
                spent = self.costs.read()
                if len(spent) <= number:
                    raise damaged(self.costs.path, self.folder)
                return self._recorded(lines[number], spent[number])
            assert number == len(lines), "cycles are computed in order"
            self.costs.keep(number)
            cycle, costs = compute()
            costs.machine = self._machine
            self._record(cycle, costs)
            return cycle, costs

    def _record(self, cycle: Cycle, costs: Costs) -> None:
        """Scores, then costs, then the line that makes both count."""
        line = {
            "cycle": cycle.number,
            "labelled": cycle.labelled,
            "words": cycle.words,
            "metrics": cycle.metrics,
            "scored": len(cycle.scored),
            "extended": cycle.extended,
            "query": cycle.query,
            "seeded": cycle.seeded.tolist(),
            "queried": cycle.queried.tolist(),
            "scores_sha256": self._write("scores", cycle.number, self._scores(cycle)),
            "tested_sha256": self._write("tested", cycle.number, _labels(cycle)),
        }
        self.costs.append(
            {
                "cycle": cycle.number,
                "seconds": costs.seconds,
                **costs.counts,
                "computed_by": self._run,
                "host": platform.node(),
                "machine": costs.machine,
                "finished_at": time.time(),
            }
        )
        self.ledger.append(line)

    def _scores(self, cycle: Cycle) -> np.ndarray | None:
        if not len(cycle.scored):
            return None
        scores = np.full(self.size, np.nan, dtype=np.float32)
        scores[cycle.scored] = cycle.scores
        return scores

    def _write(self, name: str, number: int, array: np.ndarray | None) -> str | None:
        """The sha256 of the written file."""
        if array is None:
            return None
        buffer = io.BytesIO()
        np.save(buffer, array)
        write_whole(array_path(self.folder, name, number), buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    def _recorded(self, line: dict[str, Any], spent: dict[str, Any]) -> Computed:
        scored, scores = NOBODY, NOBODY.astype(np.float32)
        if line["scores_sha256"] is not None:
            path = array_path(self.folder, "scores", line["cycle"])
            content = path.read_bytes() if path.exists() else b""
            if hashlib.sha256(content).hexdigest() != line["scores_sha256"]:
                raise damaged(path, self.folder)
            every = np.load(io.BytesIO(content))
            scored = np.flatnonzero(~np.isnan(every))
            scores = every[scored]
        cycle = Cycle(
            number=line["cycle"],
            labelled=line["labelled"],
            words=line["words"],
            metrics=line["metrics"],
            seeded=np.array(line["seeded"], dtype=np.int64),
            queried=np.array(line["queried"], dtype=np.int64),
            scored=scored,
            scores=scores,
            extended=line["extended"],
            query=line["query"],
        )
        counts = {
            k: v
            for k, v in spent.items()
            if k not in ("cycle", "seconds", "computed_by", "host", "machine", "finished_at")
        }
        return cycle, Costs(spent["seconds"], counts, spent.get("machine", {}))


def array_path(folder: Path, name: str, number: int) -> Path:
    """Where a trajectory's folder has an array of a cycle; name: one of `ARRAYS`."""
    return folder / name / f"cycle_{number:04d}.npy"


def _labels(cycle: Cycle) -> np.ndarray | None:
    labels = cycle.tested_as
    if labels is None:
        return None
    return (labels.values if isinstance(labels, Ragged) else labels).astype(np.int16)
