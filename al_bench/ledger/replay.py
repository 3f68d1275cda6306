"""A selection from elsewhere, given to any successor: a trajectory's folder, or a file of ids per cycle."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from al_bench.acquisition.annotation import Annotator, accounted
from al_bench.acquisition.cycle import Cycle, describe
from al_bench.acquisition.loop import Computed
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import as_ids
from al_bench.costs import Costs
from al_bench.data.corpus import Corpus
from al_bench.errors import reject
from al_bench.ledger.ledger import Ledger, read_json


def replay(source: Path, corpus: Corpus, annotator: Annotator) -> Iterator[Computed]:
    """The cycles of a stored selection, without any fit. The labels are those of this run's oracle.

    A file holds a JSON list of ids a line: first the seed set, then each query. A trajectory's folder must
    come from the same data; its acquisition metrics are kept.
    """
    if source.is_dir():
        lists, metrics = _of_trajectory(source, corpus)
    else:
        lists, metrics = _of_file(source, len(corpus.train)), []
    ids = as_ids("replay", source, [i for batch in lists for i in batch], len(corpus.train))
    batches = np.split(ids, np.cumsum([len(batch) for batch in lists])[:-1])
    pool = Pool.unlabelled_of(len(corpus.train), corpus.train.labels)
    for number, (batch, queried, known) in enumerate(zip_longest(batches, batches[1:], metrics)):
        cycle = Cycle(number, 0, 0, known)
        if number == 0:
            labels = annotator.first(batch, contrast=False)
            cycle = replace(cycle, seed_set=batch, seed_labels=labels, seed_answers=accounted(corpus, batch, labels))
        pool = cycle.begun(pool)
        cycle = replace(cycle, labelled=len(pool.labelled), words=int(corpus.train.words[pool.labelled].sum()))
        if queried is not None:
            labels = annotator.label(queried)
            cycle = replace(cycle, queried=queried, query=describe(corpus, queried))
            cycle = replace(cycle, query_labels=labels, answers=accounted(corpus, queried, labels))
        pool = cycle.ended(pool)
        yield cycle, Costs()


def _of_trajectory(folder: Path, corpus: Corpus) -> tuple[list[list[int]], list[dict[str, float] | None]]:
    """Seed set and queries, and the metrics of the recorded cycles: one fewer where the trajectory is unfinished."""
    lines = Ledger(folder / "ledger.jsonl").read()
    if not lines:
        raise reject("replay", folder, "holds no finished cycle", "finish the run that acquires it first")
    header = folder / "identity.json"
    if not header.exists():
        remedy = "copy identity.json beside it, or write the ids to a file"
        raise reject("replay", folder, "has no identity.json to say which data its ids count", remedy)
    fingerprints = read_json(header)["fingerprints"]
    if "seeded" not in lines[0]:
        remedy = f"give the trajectory it used: OUTPUT_DIR/trajectories/{fingerprints['trajectory']}"
        raise reject("replay", folder, "is a run's folder, which holds no ids", remedy)
    if fingerprints["data"] != corpus.fingerprint:
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
