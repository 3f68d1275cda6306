"""From numbers or vectors of words to those of their sentence."""

import re
from collections.abc import Callable

import numpy as np

from al_bench.data.ragged import Ragged


def aggregated(scores: np.ndarray | Ragged, aggregate: str) -> np.ndarray:
    """(n,): scores of texts as they are, those of words by sentence; 0 where no word survived."""
    if not isinstance(scores, Ragged):
        return scores
    top = re.fullmatch(r"top([1-9]\d*)", aggregate)
    return _top(scores, int(top[1])) if top else AGGREGATES[aggregate](scores)


def is_aggregate(name: str) -> bool:
    return name in AGGREGATES or re.fullmatch(r"top[1-9]\d*", name) is not None


def averaged(rows: Ragged) -> np.ndarray:
    """(n, width) float32 mean of the vectors of each sentence's words; zeros where no word survived."""
    sums = np.zeros((len(rows), rows.values.shape[1]), dtype=np.float32)
    filled = rows.lengths > 0
    if filled.any():
        sums[filled] = np.add.reduceat(rows.values, rows.offsets[:-1][filled], axis=0)
    return sums / np.maximum(rows.lengths, 1)[:, None].astype(np.float32)


def _sum(scores: Ragged) -> np.ndarray:
    rows = np.repeat(np.arange(len(scores)), scores.lengths)
    return np.bincount(rows, weights=scores.values, minlength=len(scores))


def _mean(scores: Ragged) -> np.ndarray:
    return _sum(scores) / np.maximum(scores.lengths, 1)


def _max(scores: Ragged) -> np.ndarray:
    highest = np.zeros(len(scores))
    filled = scores.lengths > 0
    highest[filled] = np.maximum.reduceat(scores.values, scores.offsets[:-1][filled])
    return highest


def _top(scores: Ragged, k: int) -> np.ndarray:
    """The mean of the k highest, or of all where there are fewer: a long sentence does not drown its hard words."""
    rows = np.repeat(np.arange(len(scores)), scores.lengths)
    order = np.lexsort((-scores.values, rows))
    place = np.arange(len(rows)) - np.repeat(scores.offsets[:-1], scores.lengths)
    kept = order[place < k]
    sums = np.bincount(rows[kept], weights=scores.values[kept], minlength=len(scores))
    return sums / np.clip(scores.lengths, 1, k)


AGGREGATES: dict[str, Callable[[Ragged], np.ndarray]] = {"mean": _mean, "max": _max, "sum": _sum}
