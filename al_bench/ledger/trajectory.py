"""An acquisition trajectory on disk: computed once, shared by every run that needs it, continued by longer ones.

OUTPUT_DIR/trajectories/<id>/
  scores/cycle_0003.npy  float32 score of every training example, NaN where it was not scored
  stop/cycle_0003.npy    int16 label that the cycle's model gave every example of the stopping set, or every word
  labels/cycle_0003.npy  int16 label that the oracle gave every queried example, or every word; -1 where it abstained
  seed_labels/cycle_0000.npy, revised_labels/cycle_0003.npy  the same of the seed set, and of suspicious labels
  costs.jsonl            a line per cycle: what it cost, and which run computed it
  ledger.jsonl           a line per cycle: what was decided; the line is the cycle's commit
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.cycle import NO_LABELS, NO_SCORES, Cycle
from al_bench.acquisition.loop import Computed
from al_bench.config.digests import differences, digest, flat
from al_bench.costs import Costs
from al_bench.ledger.ledger import CycleLedger, load_record
from al_bench.ledger.store import Store, costs_from, load_array, save_array

# JSON as they are.
FIELDS = ("labelled", "words", "metrics", "extended", "query", "stop_set", "seed_answers", "answers", "second_answers")


class Trajectory(CycleLedger):
    """Cycles of one identity, in a folder of their own.

    root: the folder of all trajectories; identity: what determines this one
    fingerprints: of the data and models; account: run, machine and waiting of `Store`
    size: number of training examples
    """

    def __init__(
        self, root: Path, identity: dict[str, Any], fingerprints: dict[str, Any], size: int, **account: Any
    ) -> None:
        self.id, self.size = digest(identity), size
        super().__init__(root / self.id)
        self._store = Store(self.folder, identity, fingerprints, **account)
        with self._store.held():
            pass  # other data or models are refused before anything is computed

    @property
    def seed_set(self) -> np.ndarray | None:
        """Ids of the recorded seed set; None before the first cycle is committed."""
        return np.array(rows[0][0]["seeded"], dtype=np.int64) if (rows := self.rows()) else None

    def cycle(self, number: int, queries: bool, compute: Callable[[Computed | None], Computed]) -> Computed:
        """The recorded cycle, else the computed one, recorded; one process at a time computes.

        queries: whether the run goes on after it. A shorter run's last cycle is recorded without a query;
            `compute(recorded)` then completes it, and its line is replaced.
        """
        with self._store.held():
            rows = self.rows()
            recorded = self._read(*rows[number]) if number < len(rows) else None
            if recorded is None or (queries and not len(recorded[0].queried)):
                self._record(*compute(recorded))
                recorded = self._read(*self.rows()[number])
            return recorded

    def _record(self, cycle: Cycle, costs: Costs) -> None:
        """Arrays, then costs, then the line that makes both count."""
        scores = np.full(self.size, np.nan, dtype=np.float32)
        scores[cycle.scored] = cycle.scores
        arrays = {
            "scores": scores if len(cycle.scored) else None,
            "stop": cycle.stop_labels,
            "seed_labels": cycle.seed_labels if cycle.number == 0 else None,
            "labels": cycle.query_labels if len(cycle.queried) else None,
            "revised_labels": cycle.revised_labels if len(cycle.revised) else None,
        }
        decided = {
            "cycle": cycle.number,
            **{name: getattr(cycle, name) for name in FIELDS},
            "scored": len(cycle.scored),
            "seeded": cycle.seed_set.tolist(),
            "revised": cycle.revised.tolist(),
            "queried": cycle.queried.tolist(),
        }
        for kind, array in arrays.items():
            path = array_path(self.folder, kind, cycle.number)
            decided[f"{kind}_sha256"] = None if array is None else save_array(path, array)
        self.commit(decided, {"cycle": cycle.number, **self._store.costs_record(costs)})

    def _read(self, decided: dict[str, Any], spent: dict[str, Any]) -> Computed:
        kinds = ("scores", "stop", "seed_labels", "labels", "revised_labels")
        scores, stop_labels, seed_labels, labels, revised = (read_array(self.folder, kind, decided) for kind in kinds)
        scores = NO_SCORES if scores is None else scores
        scored = np.flatnonzero(~np.isnan(scores))
        cycle = Cycle(
            decided["cycle"],
            **{name: decided[name] for name in FIELDS},
            seed_set=np.array(decided["seeded"], dtype=np.int64),
            seed_labels=NO_LABELS if seed_labels is None else seed_labels,
            query_labels=NO_LABELS if labels is None else labels,
            revised=np.array(decided["revised"], dtype=np.int64),
            revised_labels=NO_LABELS if revised is None else revised,
            stop_labels=stop_labels,
            queried=np.array(decided["queried"], dtype=np.int64),
            scored=scored,
            scores=scores[scored],
        )
        return cycle, costs_from(spent)


def of_other_code(root: Path, identity: dict[str, Any]) -> str | None:
    """In words, what changed since another trajectory of the same config, where that is only somebody else's code."""
    for path in sorted(root.glob("*/identity.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        other = load_record(path).get("identity", {})
        changed = differences(other, identity)
        if changed and all(key.rpartition(".")[2] == "code" for key in changed):
            leaves = dict(flat(identity))
            names = [str(leaves.get(f"{key.removesuffix('code')}name", key)) for key in changed]
            return f"{' and '.join(dict.fromkeys(names))} changed since trajectory {path.parent.name}"
    return None


def array_path(folder: Path, kind: str, number: int) -> Path:
    """Where a trajectory's folder has an array of a cycle; kind: "scores", "stop", ..."""
    return folder / kind / f"cycle_{number:04d}.npy"


def read_array(folder: Path, kind: str, line: Mapping[str, Any]) -> np.ndarray | None:
    """An array of a cycle, by the ledger's line; None where the cycle has none. Raises `UserError` as `load_array`."""
    sha256 = line[f"{kind}_sha256"]
    return None if sha256 is None else load_array(array_path(folder, kind, line["cycle"]), sha256, folder)
