"""An acquisition trajectory on disk: computed once, shared by every run that needs it, continued by longer ones.

OUTPUT_DIR/trajectories/<id>/
  scores/cycle_0003.npy  float32 score of every training example, NaN where it was not scored
  stop/cycle_0003.npy    int16 label that the cycle's model gave every example of the stopping set, or every word
  costs.jsonl            a line per cycle: what it cost, and which run computed it
  ledger.jsonl           a line per cycle: what was decided; the line is the cycle's commit
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.loop import NO_IDS, NO_SCORES, Computed, Cycle
from al_bench.config.identity import digest
from al_bench.costs import Costs
from al_bench.ledger.ledger import Ledger, damaged
from al_bench.ledger.store import Store, costs_from

FIELDS = ("labelled", "words", "metrics", "extended", "query", "stop_set")  # JSON as they are


class Trajectory:
    """Cycles of one identity, in a folder of their own.

    root: the folder of all trajectories; identity: what determines this one
    fingerprints: of the data and weights; account: run, machine and waiting of `Store`
    size: number of training examples
    """

    def __init__(
        self, root: Path, identity: dict[str, Any], fingerprints: dict[str, str], size: int, **account: Any
    ) -> None:
        self.id, self.size = digest(identity), size
        self.folder = root / self.id
        self.ledger = Ledger(self.folder / "ledger.jsonl")
        self.costs = Ledger(self.folder / "costs.jsonl")
        self._store = Store(self.folder, identity, fingerprints, **account)
        with self._store.held():
            pass  # other data or weights are refused before anything is loaded

    def cycle(self, number: int, queries: bool, compute: Callable[[Computed | None], Computed]) -> Computed:
        """The recorded cycle, else the computed one, recorded; one process at a time computes.

        queries: whether the run goes on after it. A shorter run's last cycle is recorded without a query;
            `compute(recorded)` then completes it, and its line is replaced.
        """
        with self._store.held():
            recorded = self._recorded(number)
            if recorded is None or (queries and not len(recorded[0].queried)):
                self._record(*compute(recorded))
                recorded = self._recorded(number)
            assert recorded is not None
            return recorded

    def _record(self, cycle: Cycle, costs: Costs) -> None:
        """Arrays, then costs, then the line that makes both count."""
        scores = None
        if len(cycle.scored):
            scores = np.full(self.size, np.nan, dtype=np.float32)
            scores[cycle.scored] = cycle.scores
        decided = {
            "cycle": cycle.number,
            **{name: getattr(cycle, name) for name in FIELDS},
            "scored": len(cycle.scored),
            "seeded": cycle.seed_set.tolist(),
            "queried": cycle.queried.tolist(),
            "scores_sha256": self._save("scores", cycle.number, scores),
            "stop_sha256": self._save("stop", cycle.number, cycle.stop_labels),
        }
        self.costs.put(cycle.number, {"cycle": cycle.number, **self._store.costs_record(costs)})
        self.ledger.put(cycle.number, decided)

    def _recorded(self, number: int) -> Computed | None:
        lines, costs = self.ledger.read(), self.costs.read()
        if number >= len(lines):
            return None
        if number >= len(costs):
            raise damaged(self.costs.path, self.folder)
        line, scored = lines[number], NO_IDS
        scores = self._load("scores", number, line["scores_sha256"])
        if scores is not None:
            scored = np.flatnonzero(~np.isnan(scores))
        cycle = Cycle(
            number,
            **{name: line[name] for name in FIELDS},
            seed_set=np.array(line["seeded"], dtype=np.int64),
            stop_labels=self._load("stop", number, line["stop_sha256"]),
            queried=np.array(line["queried"], dtype=np.int64),
            scored=scored,
            scores=NO_SCORES if scores is None else scores[scored],
        )
        return cycle, costs_from(costs[number])

    def _save(self, kind: str, number: int, array: np.ndarray | None) -> str | None:
        return None if array is None else self._store.save(array_name(kind, number), array)

    def _load(self, kind: str, number: int, sha256: str | None) -> np.ndarray | None:
        return None if sha256 is None else self._store.load(array_name(kind, number), sha256)


def array_name(kind: str, number: int) -> str:
    return f"{kind}/cycle_{number:04d}"


def array_path(folder: Path, kind: str, number: int) -> Path:
    """Where a trajectory's folder has an array of a cycle; kind: "scores" or "stop"."""
    return folder / f"{array_name(kind, number)}.npy"
