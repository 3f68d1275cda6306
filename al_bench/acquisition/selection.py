"""From budgets, costs and scores to example ids; the seed set and the stopping set."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.schema import LabelPrice, ScheduleConfig
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import values_of
from al_bench.errors import reject
from al_bench.learners.base import Model, Unlabelled

STOP_SHARE, STOP_LIMIT = 0.1, 2000  # of the training split without a dev split; examples of either at most


EPSILON = 1e-9  # of a budget: sums of prices are rounded


def costs_of(words: np.ndarray, unit: str, price: LabelPrice | None = None) -> np.ndarray:
    """(n,) what labelling each example costs: its words, 1, or its price, which money cannot do without."""
    if unit == "money":
        assert price is not None
        return np.asarray(price.of(np.ones(len(words)), words))
    return words if unit == "words" else np.ones(len(words), dtype=np.int64)


def target(budget: int | float, costs: np.ndarray, unit: str) -> float:
    """A budget in units: an int counts, a float is a share of the split (in examples: rounded, not 0).

    In money both are amounts.
    """
    if isinstance(budget, int) or unit == "money":
        return budget
    share = budget * float(costs.sum())
    return share if unit == "words" else max(1, round(share))


@dataclass(frozen=True)
class Budget:
    """What a query may cost.

    amount: in `unit`; costs: (n,) of every example of the training split, by id
    """

    amount: float
    unit: str
    costs: np.ndarray

    def size(self, order: np.ndarray) -> int:
        """How many of the ordered ids it buys; all of them where it exceeds their costs."""
        return prefix(self.costs[order], self.amount, self.unit)

    def is_spent(self, order: np.ndarray) -> bool:
        """Whether the ids use it up, so that a greedy strategy need not go on."""
        return bool(self.uses_up(self.costs[order].sum()))

    def uses_up(self, spent: Any) -> Any:
        """Whether so much uses it up; also of an array."""
        return spent > self.amount if self.unit == "words" else spent >= self.amount * (1 - EPSILON)

    def examples(self, candidates: np.ndarray) -> int:
        """How many of the candidates it buys at their mean cost, at least one: of clusters, for example."""
        if not len(candidates):
            return 0
        mean = max(float(self.costs[candidates].mean()), 1e-9)
        return min(len(candidates), max(1, math.ceil(self.amount / mean - 1e-9)))

    def all_but(self, candidates: np.ndarray) -> "Budget":
        """What buys the candidates that it leaves over: their costs less its own amount, which may be negative."""
        return replace(self, amount=float(self.costs[candidates].sum()) - self.amount)

    def completed(self, order: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The order, followed by the other candidates in random order where it does not use up the budget."""
        if self.is_spent(order):
            return order
        return np.concatenate([order, rng.permutation(np.setdiff1d(candidates, order))])


def prefix(costs: np.ndarray, budget: float, unit: str) -> int:
    """How many of the ordered examples a budget buys; all of them where it exceeds their costs.

    Examples: exactly the count. Words: up to and including the example that makes the sum exceed the budget
    (Tsvigun et al. 2022), so that a query is never empty. Money: as many as it pays for, but one at least.
    """
    if unit == "examples":
        return min(int(budget), len(costs))
    if unit == "money":
        paid = int(np.searchsorted(np.cumsum(costs), budget * (1 + EPSILON), side="right"))
        return min(max(paid, 1), len(costs))
    return min(int(np.searchsorted(np.cumsum(costs), budget, side="right")) + 1, len(costs))


def ranked(ids: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The ids by falling score; equal scores in random order, never in the order of the corpus."""
    return ids[np.lexsort((rng.random(len(ids)), -scores))]


def seed_set(schedule: ScheduleConfig, costs: np.ndarray, labels: Labels, rng: np.random.Generator) -> np.ndarray:
    """Ids of the first labelled examples: from a file, by class shares, or uniformly drawn."""
    if schedule.seed_set is not None:
        return read_ids(Path(schedule.seed_set).expanduser(), len(costs))
    order = rng.permutation(len(costs))
    if schedule.stratified:
        assert isinstance(labels, np.ndarray)
        order = _interleaved(order, labels)
    return order[: prefix(costs[order], target(schedule.initial, costs, schedule.unit), schedule.unit)]


def _interleaved(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Reorder so that every prefix holds the classes in proportion to their size.

    The j-th of a class's m examples gets the place (j + 1/2) / m; equal places keep the given order.
    """
    place = np.empty(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


@dataclass(frozen=True)
class StopSet:
    """The examples on which stopping criteria compare the labels of consecutive models; never test examples.

    inputs: of the examples, as a split of their own, which a learner encodes once
    record: {"split": "dev" | "pool", "examples": n, "ids": [...], "words": [...]}; ids of the dev or of the training
        split, rising; words: of each example
    """

    inputs: Unlabelled
    record: dict[str, Any]

    def labels(self, model: Model) -> np.ndarray | None:
        """int16, of every example or, one after another, of every word; None where the set is empty."""
        if not len(self.inputs):
            return None
        labels = model.predict(self.inputs, np.arange(len(self.inputs)), exact=True).labels()
        return values_of(labels).astype(np.int16)


def stop_set(corpus: Corpus, seed_ids: np.ndarray, rng: np.random.Generator) -> StopSet:
    """A part of the dev split where there is one, else of the pool, whose examples may still be queried."""
    if corpus.dev is not None:
        split, name, ids, size = corpus.dev, "dev", np.arange(len(corpus.dev)), STOP_LIMIT
    else:
        split, name, ids = corpus.train, "pool", np.setdiff1d(np.arange(len(corpus.train)), seed_ids)
        size = min(max(1, round(STOP_SHARE * len(split))), STOP_LIMIT)
    chosen = np.sort(rng.permutation(ids)[:size]).tolist()
    record = {"split": name, "examples": len(chosen), "ids": chosen, "words": split.words[chosen].tolist()}
    return StopSet(Unlabelled([split.inputs[i] for i in chosen]), record)


def read_ids(path: Path, n: int) -> np.ndarray:
    """Example ids, whitespace-separated, from a text file."""
    remedy = f"write ids from 0 to {n - 1}, one a line"
    try:
        numbers = [int(word) for word in path.read_text(encoding="utf-8-sig").split()]
    except (OSError, ValueError) as error:
        raise reject("schedule.seed_set", path, f"cannot be read as whole numbers ({error})", remedy) from error
    if not numbers:
        raise reject("schedule.seed_set", path, "holds no id", remedy)
    return as_ids("schedule.seed_set", path, numbers, n)


def as_ids(field: str, source: object, numbers: list[int], n: int) -> np.ndarray:
    """The numbers as ids. Raises `UserError` for numbers outside the training split and for repeated ones."""
    if outside := [i for i in numbers if not 0 <= i < n]:
        broken = f"holds id {outside[0]}, but the training split has ids 0 to {n - 1}"
        raise reject(field, source, broken, "use positions in the training split, counted from 0")
    if repeated := [i for i, times in Counter(numbers).items() if times > 1]:
        raise reject(field, source, f"holds id {min(repeated)} twice", "list every id once")
    return np.array(numbers, dtype=np.int64)
