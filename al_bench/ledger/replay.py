"""A selection from elsewhere, given to any successor: a trajectory's folder, or a file of ids per cycle."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from al_bench.acquisition.loop import NOBODY, Computed, Cycle, describe
from al_bench.acquisition.selection import as_ids
from al_bench.costs import Costs
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import reject
from al_bench.ledger.ledger import Ledger, read_json


def replay(source: Path, corpus: Corpus) -> Iterator[Computed]:
    """The cycles of a stored selection, without any fit.

    A file holds a JSON list of ids a line: first the seed set, then each query. A trajectory's folder must
    come from the same data; its acquisition metrics are kept.
    """
    if source.is_dir():
        listed, metrics = _of_trajectory(source, corpus)
    else:
        listed, metrics = _of_file(source, len(corpus.train)), []
    metrics += [None] * (len(listed) - len(metrics))
    ids = as_ids("replay", source, [i for batch in listed for i in batch], len(corpus.train))
    batches = Ragged(ids, offsets_of([len(batch) for batch in listed])).rows()
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


def _of_trajectory(folder: Path, corpus: Corpus) -> tuple[list[list[int]], list[dict[str, float] | None]]:
    """Seed set and queries, and the metrics of the cycles there are: one fewer where it is unfinished."""
    lines = Ledger(folder / "ledger.jsonl").read()
    if not lines:
        raise reject("replay", folder, "holds no finished cycle", "finish the run that acquires it first")
    header = folder / "identity.json"
    if not header.exists():
        remedy = "copy identity.json beside it, or write the ids to a file"
        raise reject("replay", folder, "has no identity.json to say which data its ids count", remedy)
    behind = read_json(header)["behind"]
    if "seeded" not in lines[0]:
        remedy = f"give the trajectory it used: OUTPUT_DIR/trajectories/{behind['trajectory']}"
        raise reject("replay", folder, "is a run's folder, which holds no ids", remedy)
    if behind["data"] != corpus.fingerprint:
        remedy = "its ids would name other examples, so set the dataset it was acquired on"
        raise reject("replay", folder, "was acquired on other data than this run's dataset", remedy)
    batches = [lines[0]["seeded"], *(line["queried"] for line in lines if line["queried"])]
    return batches, [line["metrics"] for line in lines]


def _of_file(path: Path, n: int) -> list[list[int]]:
    remedy = f"write a JSON list of ids from 0 to {n - 1} per line: the seed set first, then each query"
    batches = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            ids = json.loads(line)
        except ValueError as error:
            raise reject("replay", path, f"line {number} is not JSON", remedy) from error
        if not isinstance(ids, list) or not ids or any(type(i) is not int for i in ids):
            raise reject("replay", path, f"line {number} is not a list of whole numbers", remedy)
        batches.append(ids)
    if not batches:
        raise reject("replay", path, "holds no line", remedy)
    return batches
