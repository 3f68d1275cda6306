"""Which methods answer which question, and what their common seeds say."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from al_bench.analysis.labels import SELECTION
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.statistics import Estimate, mean_interval


@dataclass(frozen=True)
class Pair:
    """Two methods at one budget, by the seeds that they have in common.

    labelled, words: mean of `a` at the budget
    a, b: (n,) scores in percent, one pair a seed
    """

    first: Method
    second: Method
    cycle: int
    labelled: float
    words: float
    repeats: tuple[str, ...]
    a: np.ndarray
    b: np.ndarray


def pair(setting: Setting, first: Method, second: Method) -> Pair | None:
    """At the last budget that both were evaluated at; None where they have no seed or no budget in common."""
    mine, other = setting.scores(first), setting.scores(second)
    cycles, repeats = mine.columns.intersection(other.columns), mine.index.intersection(other.index)
    both = mine.loc[repeats, cycles].notna() & other.loc[repeats, cycles].notna()
    cycle = last_cycle(both)
    if cycle is None:
        return None
    chosen = [repeat for repeat in repeats if both.loc[repeat, cycle]]
    at = {
        name: float(setting.values(first, name).loc[chosen, cycle].mean()) for name in ("labelled", "words")
    }
    scores = (100 * table.loc[chosen, cycle].to_numpy() for table in (mine, other))
    return Pair(first, second, cycle, at["labelled"], at["words"], tuple(chosen), *scores)


def last_cycle(there: pd.DataFrame) -> int | None:
    """The last cycle that counts as the end; None where there is none.

    Runs that are behind the others, running or failed, do not hold them back, nor does one alone run ahead: the end
    is the last cycle that two thirds of the most have.

    there: bool, repeat x cycle
    """
    counts = there.sum(axis=0)
    if not len(counts) or not counts.any():
        return None
    return int(counts.index[counts >= counts.max() * 2 / 3].max())


def ends(setting: Setting, method: Method) -> tuple[int | None, pd.Series]:
    """The last cycle, and by repeat the score in percent there; none (None, empty) where nothing was evaluated."""
    scores = setting.scores(method)
    cycle = last_cycle(scores.notna())
    return cycle, pd.Series(dtype=float) if cycle is None else 100 * scores[cycle].dropna()


def acquirers(setting: Setting) -> list[Method]:
    """A method for each selection by a model: those that share trajectories, such as two successors, count once."""
    found: dict[tuple[str, ...], Method] = {}
    for method in setting.methods:
        if method.selects:
            key = tuple(method.parts[part] for part in SELECTION)
            if key not in found or len(method.runs) > len(found[key].runs):
                found[key] = method
    return list(found.values())


def _alike(a: Method, b: Method, parts: Iterable[str]) -> bool:
    return all(a.parts[part] == b.parts[part] for part in parts)


def _same_successor(a: Method, b: Method) -> bool:
    """By name where one learns from pseudo-labels, which needs another training."""
    if a.role != b.role:
        return False
    if "PLASM" in (a.arm, b.arm):
        return bool(a.about.successor == b.about.successor)
    return a.role == "acquisition" or _alike(a, b, ("successor",))


def _first(setting: Setting, method: Method, arms: Iterable[str], parts: Iterable[str]) -> Method | None:
    """The first method of these arms with the same successor, that agrees on these parts."""
    fits = (m for m in setting.methods if m.arm in arms and _alike(m, method, parts))
    return next((m for m in fits if _same_successor(m, method)), None)


def random_of(setting: Setting, method: Method) -> Method | None:
    """The same successor on as many random examples."""
    return _first(setting, method, ["random"], ["schedule"])


def unmismatched_of(setting: Setting, method: Method) -> Method | None:
    """The same successor, which selected for itself."""
    return _first(setting, method, ["no mismatch"], ["strategy", "subsampling", "rescore", "schedule"])


def unlabelled_of(setting: Setting, method: Method) -> Method | None:
    """The same selection and successor, without pseudo-labels."""
    return _first(setting, method, ["ASM", "no mismatch"], SELECTION)


def ceiling_of(setting: Setting, method: Method) -> Method | None:
    return _first(setting, method, ["ceiling"], [])


def unsubsampled_of(setting: Setting, method: Method) -> Method | None:
    """The same, with the whole pool scored in every cycle."""
    parts = [part for part in method.parts if part not in ("subsampling", "precision")]
    whole = (m for m in setting.methods if m.about.subsampling == "none" and _alike(m, method, parts))
    return next(whole, None)


def gains(setting: Setting) -> dict[tuple[str, str], Estimate]:
    """(selection, successor) -> points over the same successor trained on random examples."""
    found: dict[tuple[str, str], Estimate] = {}
    for method in setting.methods:
        other = random_of(setting, method)
        if method.arm in ("ASM", "no mismatch") and other is not None:
            both = pair(setting, method, other)
            if both is not None:
                found[method.selection, str(method.about.successor)] = mean_interval(both.a - both.b)
    return found
