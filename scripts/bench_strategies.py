"""How long does each query strategy and candidate pool take, beside the passes of the model? On synthetic vectors.

    python scripts/bench_strategies.py                           # all, at 1,000 to 1,000,000 candidates; hours
    python scripts/bench_strategies.py --only badge --sizes 1000

The pool lies in 50 clusters of 384 directions; the model's predictions, embeddings and samples are looked up, so that
what is measured is the selection: 100 of the pool are queried, 1,000 are labelled, 6 classes. Each measurement is a
process of its own on one thread, in CPU seconds, with a limit on its time. Results go to docs/strategies.csv, a line
each, in the place of the same measurement's line; `python scripts/strategies_doc.py` makes docs/strategies.md of them.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import Budget
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS, propose
from al_bench.acquisition.view import NEEDS, View
from al_bench.config.schema import StrategyConfig, SubsamplingConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.ragged import Ragged, offsets_of, values_of
from al_bench.learners.base import Unlabelled
from al_bench.learners.predictions import Parts, Predictions
from al_bench.ledger.provenance import processor

RESULTS = Path(__file__).parent.parent / "docs" / "strategies.csv"
COLUMNS = ("component", "name", "candidates", "seconds", "peak_gb", "processor")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
LABELLED, QUERIED, CLASSES, WIDTH, WORDS, CLUSTERS = 1_000, 100, 6, 384, 10, 50
PART = 4096


@dataclass
class Synthetic:
    """A model and a learner in one, whose answers are looked up.

    vectors: (n, WIDTH) float32; logits: (units, CLASSES) float32 of texts, or of WORDS words of each sentence
    """

    vectors: np.ndarray
    logits: np.ndarray
    tagging: bool

    @classmethod
    def of(cls, n: int, *, tagging: bool) -> "Synthetic":
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
        vectors = rng.standard_normal((n, WIDTH), dtype=np.float32)
        vectors += centres[rng.integers(CLUSTERS, size=n)]
        heads = rng.standard_normal((WIDTH, CLASSES), dtype=np.float32) / WIDTH**0.5
        logits = vectors @ heads
        if tagging:
            logits = np.repeat(logits, WORDS, axis=0) + rng.standard_normal((n * WORDS, CLASSES), dtype=np.float32)
        return cls(vectors, logits, tagging)

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        for start in range(0, len(ids), PART):
            part = ids[start : start + PART]
            yield np.arange(start, start + len(part)), self._predictions(part, embeddings)

    def _predictions(self, ids: np.ndarray, embeddings: bool) -> Predictions:
        if not self.tagging:
            return Predictions(softmax(self.logits[ids]), embeddings=self.vectors[ids] if embeddings else None)
        rows, offsets = words_of(ids), offsets_of([WORDS] * len(ids))
        states: Any = Ragged(np.repeat(self.vectors[ids], WORDS, axis=0), offsets) if embeddings else None
        kept, lengths = np.tile(np.arange(WORDS), len(ids)), np.full(len(ids), WORDS)
        return Predictions(Ragged(softmax(self.logits[rows]), offsets), kept, lengths, embeddings=states)

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
        noise = np.random.default_rng(seed).standard_normal((draws, CLASSES), dtype=np.float32)
        for start in range(0, len(ids), PART):
            part = ids[start : start + PART]
            rows = words_of(part) if self.tagging else part
            probs = softmax(self.logits[rows][:, None] * (1 + 0.3 * noise))
            whole = Ragged(probs, offsets_of([WORDS] * len(part))) if self.tagging else probs
            yield np.arange(start, start + len(part)), whole, 0

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        if not self.tagging:
            return self.vectors[ids]
        return Ragged(np.repeat(self.vectors[ids], WORDS, axis=0), offsets_of([WORDS] * len(ids)))

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        losses = rng.exponential(size=(len(ids), 128)).astype(np.float32)
        return np.where(rng.random(losses.shape, dtype=np.float32) < 0.15, losses, np.float32(0))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def words_of(ids: np.ndarray) -> np.ndarray:
    return (ids[:, None] * WORDS + np.arange(WORDS)).ravel()


def measure(component: str, name: str, n: int) -> dict[str, float]:
    """CPU seconds of one query of n candidates, and the peak of the process's memory in GB, vectors included."""
    query_of(component, name, 2 * QUERIED)()  # what is imported at the first use belongs to no query
    query = query_of(component, name, n)
    started = time.process_time()  # which other work on the machine does not lengthen
    query()
    seconds = time.process_time() - started
    return {"seconds": seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def query_of(component: str, name: str, n: int) -> Callable[[], None]:
    """A query of n candidates that is ready to be made."""
    kind: Any = (STRATEGIES if component == "strategy" else CANDIDATE_POOLS)[name]
    tagging = "classification" not in kind.tasks
    size = n + LABELLED
    model: Any = Synthetic.of(size, tagging=tagging)
    labels: Any = model.logits.argmax(axis=1)
    labels = Ragged(labels, offsets_of([WORDS] * size)) if tagging else labels
    train = Split(np.full(size, "a text of five words").tolist(), labels)
    names = ("O", *(f"B-{i}" for i in range(CLASSES - 1))) if tagging else tuple("abcdef")
    corpus = Corpus("synthetic", "tagging" if tagging else "classification", names, train, train.take(np.arange(1)))
    rng = np.random.default_rng(1)
    everybody, labelled = np.arange(size), np.arange(LABELLED)
    pool = Pool.unlabelled_of(size, labels).ask(labelled, values_of(labels[labelled]))
    pool = pool.remember(everybody, rng.random(size))
    budget = Budget(QUERIED, "examples", np.ones(size, dtype=np.int64))
    view = View(corpus, pool, pool.answers, frozenset(NEEDS), model, model)

    def query() -> None:
        if component == "strategy":
            config = StrategyConfig(name, params=kind.defaults)
            order = kind.select(view, pool.unlabelled, budget, rng, config).order
        else:
            own = {key: value for key, value in kind.defaults.items() if key not in ("gamma", "temperature")}
            order = propose(SubsamplingConfig(name, 0.1, 0.01, [], own), 1, view, budget, rng).ids
        assert budget.size(order) == QUERIED

    return query


def measured(component: str, name: str, n: int, limit: float) -> dict[str, Any]:
    """As `measure` in a process of its own; seconds is "> LIMIT" where that was stopped."""
    row: dict[str, Any] = {"component": component, "name": name, "candidates": n, "processor": processor()}
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    command = [sys.executable, __file__, "--measure", component, name, str(n)]
    try:
        done = subprocess.run(command, env=environment, timeout=limit, capture_output=True, text=True, check=True)
    except subprocess.TimeoutExpired:
        return {**row, "seconds": f"> {limit:.0f}", "peak_gb": ""}
    result = json.loads(done.stdout)
    return {**row, "seconds": f"{result['seconds']:.3g}", "peak_gb": f"{result['peak_gb']:.2f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of strategies and candidate pools")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--limit", type=float, default=900, help="seconds of a measurement")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", nargs=3, metavar=("COMPONENT", "NAME", "CANDIDATES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        component, name, n = options.measure
        print(json.dumps(measure(component, name, int(n))))
        return
    everything = [("strategy", name) for name in STRATEGIES.shipped]
    everything += [("subsampling", name) for name in CANDIDATE_POOLS.shipped if name != "none"]
    rows = read(options.output)
    for n in options.sizes:
        for component, name in everything:
            if options.only is None or name in options.only:
                row = measured(component, name, n, options.limit)
                rows[component, name, n] = row
                print(f"{name} at {n:,}: {row['seconds']} s, {row['peak_gb']} GB", flush=True)
                write(options.output, rows, everything)


Rows = dict[tuple[str, str, int], dict[str, Any]]


def read(path: Path) -> Rows:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["component"], row["name"], int(row["candidates"])): row for row in csv.DictReader(file)}


def write(path: Path, rows: Rows, everything: list[tuple[str, str]]) -> None:
    """In the order of the registries; of what is no longer there nothing stays."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        kept = [key for key in rows if key[:2] in everything]
        writer.writerows(rows[key] for key in sorted(kept, key=lambda key: (everything.index(key[:2]), key[2])))


if __name__ == "__main__":
    main()
