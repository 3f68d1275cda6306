"""What was queried: lengths, overlaps between selections, and samples of the texts, read from their source again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.analysis.comparisons import acquirers
from al_bench.analysis.files import load_array, load_lines
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.statistics import Estimate, jaccard, mean_interval


@dataclass(frozen=True)
class Query:
    """One cycle's query. ids: in the order of the query; scores: beside them, NaN where nobody scored

    about: what the ledger says of it (`acquisition.loop.describe`)
    """

    cycle: int
    labelled: int
    ids: np.ndarray
    scores: np.ndarray
    about: dict[str, Any]


def selections(setting: Setting) -> list[Method]:
    """A method for each way in which examples were selected, random draws too."""
    drawn = {method.parts["schedule"]: method for method in setting.methods if method.arm == "random"}
    return [*acquirers(setting), *drawn.values()]


def read_queries(trajectory: Path) -> list[Query]:
    """None where its ledger cannot be read."""
    queries: list[Query] = []
    for line in load_lines(trajectory / "ledger.jsonl"):
        ids = np.array(line["queried"], dtype=np.int64)
        if len(ids):
            every = load_array(trajectory, "scores", line["cycle"])
            scores = np.full(len(ids), np.nan) if every is None else every[ids]
            queries.append(Query(line["cycle"], line["labelled"], ids, scores, line["query"]))
    return queries


def mean_lengths(setting: Setting) -> dict[str, np.ndarray]:
    """Label of a selecting method -> (repeats, cycles) mean words of a queried example; NaN where none was."""
    found = {}
    for method in selections(setting):
        rows = [
            [line.get("query", {}).get("mean_words", np.nan) for line in load_lines(folder / "ledger.jsonl")]
            for folder in method.folders
        ]
        width = max(map(len, rows), default=0)
        found[method.label] = np.array([row + [np.nan] * (width - len(row)) for row in rows], dtype=float)
    return found


def overlaps(setting: Setting) -> tuple[list[Method], dict[tuple[int, int], Estimate]]:
    """The selecting methods, and of each two of them the Jaccard overlap of all they queried, seed by seed."""
    methods = selections(setting)
    queried = [
        {
            repeat: {int(i) for query in read_queries(trajectory) for i in query.ids}
            for repeat, trajectory in zip(method.repeats, method.trajectories, strict=True)
        }
        for method in methods
    ]
    found = {}
    for i, mine in enumerate(queried):
        for j, other in enumerate(queried[:i]):
            common = [repeat for repeat in mine if mine[repeat] and other.get(repeat)]
            if common:
                found[i, j] = mean_interval([jaccard(mine[repeat], other[repeat]) for repeat in common])
    return methods, found


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the positions 0 to count - 1, first and last among them."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))}) if count else []


def sample(queries: Sequence[Query], most: int, each: int) -> list[tuple[Query, list[int]]]:
    """At most so many queries, and of each the ranks of at most so many of its examples, evenly spaced."""
    return [(queries[at], evenly(len(queries[at].ids), each)) for at in evenly(len(queries), most)]
