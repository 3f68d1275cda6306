"""A query strategy: one function, and what it needs. Three decorators make a strategy of it, with or without facts.

by_score    (predictions, rng, aggregate, **settings) -> (n,) scores; part by part, so that no pool is in memory
by_view     (view, ids, rng, **settings) -> (n,) scores of all ids
selecting   (view, candidates, budget, rng, **settings) -> `Selection`, for batches whose members depend on each other
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.aggregates import aggregated
from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.strategies.batches import keys
from al_bench.acquisition.view import NEEDS, View
from al_bench.config.schema import TASKS, StrategyConfig
from al_bench.data.ragged import like
from al_bench.errors import UserError, known
from al_bench.learners.predictions import Predictions
from al_bench.plugins import Component


@dataclass(frozen=True)
class Selection:
    """order: candidates, most wanted first, of which the budget buys the first ones; at least as many as it buys
    scores: (n,) float64 of all candidates, in their order; None where a strategy scores none, which UPS, naive
        subsampling and rescoring cannot work with
    """

    order: np.ndarray
    scores: np.ndarray | None = None


FORMS = {  # and what a function of each takes
    "by_score": ("predictions", "rng", "aggregate"),
    "by_view": ("view", "ids", "rng"),
    "selecting": ("view", "candidates", "budget", "rng"),
}


@dataclass(frozen=True)
class Strategy(Component):
    """form: of the function, one of `FORMS`
    needs: of `view.NEEDS`, what it looks at. Nothing means that no model is loaded; nothing of `view.FITTED`, that
        none is fitted
    tasks: that it works on
    bracket: looks at what no real annotator has, as a bound for what others could reach
    source: the paper
    cost: of a query beside the passes that its needs tell, in n candidates, b queried and m labelled examples
    """

    form: str = "selecting"
    needs: tuple[str, ...] = ("predictions",)
    tasks: tuple[str, ...] = TASKS
    bracket: bool = False
    source: str = ""
    cost: str = "n"

    def __post_init__(self) -> None:
        if isinstance(self.needs, str):
            raise TypeError(f"needs={self.needs!r} is no tuple; write needs=({self.needs!r},)")
        if unknown := set(self.needs) - set(NEEDS):
            raise TypeError(f"needs={sorted(unknown)}, which no view has; it has {known(NEEDS)}")
        if "gold" in self.needs and not self.bracket:
            raise TypeError("needs gold labels, which no annotator has given; declare bracket=True")

    @property
    def arguments(self) -> tuple[str, ...]:
        return FORMS[self.form]

    @property
    def scores(self) -> bool:
        """Whether it scores each candidate."""
        return self.form != "selecting"

    def score(self, view: View, ids: np.ndarray, rng: Generator, config: StrategyConfig) -> np.ndarray:
        """(n,) float64 scores of the ids, higher is queried first."""
        if self.form == "by_view":
            return _one_each(self.call(view, ids, rng, **config.params), len(ids), config)
        if not self.needs:
            blank = Predictions.blank(len(ids))
            return _one_each(self.call(blank, rng, config.aggregate, **config.params), len(ids), config)
        scores = np.empty(len(ids))
        for places, predictions in view.parts(ids):
            part = self.call(predictions, rng, config.aggregate, **config.params)
            scores[places] = _one_each(part, len(places), config)
        return scores

    def select(
        self, view: View, candidates: np.ndarray, budget: Budget, rng: Generator, config: StrategyConfig
    ) -> Selection:
        """The candidates, or as many as the budget buys, most wanted first; of a batch from the bottom the opposite."""
        if not self.needs:  # a sweep may have a batch for the other strategies; no identity of this one has it
            config = replace(config, batch="top")
        if self.scores:
            scores = self.score(view, candidates, rng, config)
            return Selection(ordered(view, candidates, scores, rng, config), scores)
        if config.batch == "bottom":
            return self._opposite(view, candidates, budget, rng, config)
        return self._selected(view, candidates, budget, rng, config)

    def _opposite(
        self, view: View, candidates: np.ndarray, budget: Budget, rng: Generator, config: StrategyConfig
    ) -> Selection:
        """Its order, read from the end: of one by scores, the bottom.

        Where it orders no more than the budget buys, it is asked for all candidates but a batch. What it leaves comes
        first, in random order.
        """
        order, rest = self._selected(view, candidates, budget, rng, config).order, budget.all_but(candidates)
        if len(order) < len(candidates) and rest.amount > 0:
            order = self._selected(view, candidates, rest, rng, config).order
            refuse_broken(config.name, order, candidates, rest)
        return Selection(np.concatenate([rng.permutation(np.setdiff1d(candidates, order)), order[::-1]]))

    def _selected(
        self, view: View, candidates: np.ndarray, budget: Budget, rng: Generator, config: StrategyConfig
    ) -> Selection:
        selection = self.call(view, candidates, budget, rng, **config.params)
        if not isinstance(selection, Selection):
            broken = f"strategy={config.name}: returns {type(selection).__name__}"
            raise UserError(f"{broken}; return a Selection, or make it a strategy with @by_score or @by_view")
        return replace(selection, order=np.asarray(selection.order))


def _one_each(scores: Any, n: int, config: StrategyConfig) -> np.ndarray:
    if np.shape(scores) != (n,):
        broken = f"strategy={config.name}: returns scores of shape {np.shape(scores)} for {n} examples"
        raise UserError(f"{broken}; return one score for each")
    return np.asarray(scores, dtype=np.float64)


def ordered(
    view: View, candidates: np.ndarray, scores: np.ndarray, rng: Generator, config: StrategyConfig
) -> np.ndarray:
    """The candidates in the order in which their scores, and how these make a batch, want them."""
    order = ranked(candidates, keys(scores, config.batch, config.beta, rng), rng)
    if config.no_entity == "last":
        has_entity = view.has_entity[order]
        order = np.concatenate([order[has_entity], order[~has_entity]])
    return order


def part_by_part(view: View, ids: np.ndarray, score: Callable[[np.ndarray, Predictions], np.ndarray]) -> np.ndarray:
    """(n,) scores of the ids, of which only a part is in memory at a time.

    score: (some of the ids, their predictions) -> (units,) of texts, or of words, which are aggregated by sentence
    """
    scores = np.empty(len(ids))
    for places, predictions in view.parts(ids):
        if len(places):
            units = like(predictions.probs, score(ids[places], predictions))
            scores[places] = aggregated(units, view.aggregate)
    return scores


def refuse_broken(name: str, order: np.ndarray, candidates: np.ndarray, budget: Budget) -> None:
    """Raise `UserError` for an order that is no order of candidates, or too short for the budget."""
    order = np.asarray(order)
    if order.dtype.kind not in "iu" or order.ndim != 1:
        broken = f"is an array of {order.dtype} with {order.ndim} axes, not of ids"
    elif len(np.unique(order)) < len(order):
        broken = "has an id twice"
    elif outside := np.count_nonzero(~np.isin(order, candidates)):
        broken = f"has {outside} ids that are no candidates (for positions write candidates[positions])"
    elif len(order) < len(candidates) and not budget.is_spent(order):
        broken = f"has {len(order)} of {len(candidates)} candidates, which do not use up the budget"
    else:
        return
    raise UserError(f"strategy={name}: its order {broken}; mend the strategy, see `al-bench check {name}`")


by_score = Strategy.of(form="by_score")
by_view = Strategy.of(form="by_view")
selecting = Strategy.of(form="selecting")
