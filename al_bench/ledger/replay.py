"""A selection from elsewhere, given to any successor: a trajectory's folder, or a file of ids per cycle."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from al_bench.acquisition.loop import NOBODY, Computed, Costs, Cycle, describe
from al_bench.acquisition.selection import check_ids
from al_bench.data.corpus import Corpus
from al_bench.errors import UserError, reject
from al_bench.ledger.ledger import Ledger, read_json


def replay(source: Path, corpus: Corpus) -> Iterator[Computed]:
    """The cycles of a stored selection, without any fit.

    A file holds a JSON list of ids a line: first the seed set, then each query. A trajectory's folder must
    come from the same data; its acquisition metrics are kept.
    """
    if source.is_dir():
        batches, metrics = _of_trajectory(source, corpus)
    else:
        batches = _of_file(source, len(corpus.train))
        metrics = [None] * len(batches)
    check_ids("replay", source, np.concatenate(batches), len(corpus.train))
    labelled = NOBODY
    for number, batch in enumerate(batches):
        labelled = np.concatenate([labelled, batch])
        queried = batches[number + 1] if number + 1 < len(batches) else NOBODY
        cycle = Cycle(
            number=number,
            labelled=len(labelled),
            words=int(corpus.train.words[labelled].sum()),
            metrics=metrics[number],
            seeded=batch if number == 0 else NOBODY,
            queried=queried,
            query=describe(corpus, queried) if len(queried) else {},
        )
        yield cycle, Costs({})


def content_hash(source: Path) -> str:
    """sha256 of what a replay reads."""
    path = source / "ledger.jsonl" if source.is_dir() else source
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise reject("replay", source, f"cannot be read ({error.strerror})",
                     "give a trajectory's folder (with ledger.jsonl) or a file of ids") from error


def _of_trajectory(folder: Path, corpus: Corpus) -> tuple[list[np.ndarray], list[dict[str, float] | None]]:
    lines = Ledger(folder / "ledger.jsonl").read()
    if not lines:
        raise reject("replay", folder, "holds no finished cycle", "finish the run that acquires it first")
    recorded = read_json(folder / "identity.json")["behind"]["data"]
    if recorded != corpus.fingerprint:
        raise UserError(f"replay={folder}: was acquired on other data than this run's dataset; "
                        "its ids would name other examples, so set the dataset it was acquired on")
    batches = [lines[0]["seeded"], *(line["queried"] for line in lines if line["queried"])]
    return [np.array(ids, dtype=np.int64) for ids in batches], [line["metrics"] for line in lines]


def _of_file(path: Path, n: int) -> list[np.ndarray]:
    remedy = f"write a JSON list of ids from 0 to {n - 1} per line: the seed set first, then each query"
    batches = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            ids = json.loads(line)
        except ValueError as error:
            raise reject("replay", path, f"line {number} is not JSON", remedy) from error
        whole = isinstance(ids, list) and all(isinstance(i, int) and not isinstance(i, bool) for i in ids)
        if not whole or not ids:
            raise reject("replay", path, f"line {number} is not a list of whole numbers", remedy)
        batches.append(np.array(ids, dtype=np.int64))
    if not batches:
        raise reject("replay", path, "holds no line", remedy)
    return batches
