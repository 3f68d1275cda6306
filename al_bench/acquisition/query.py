"""The selecting part of a cycle: draw a part of the pool, let the strategy look at it, and ask for the labels."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from al_bench.acquisition.annotation import accounted
from al_bench.acquisition.cycle import Cycle, describe
from al_bench.acquisition.needs import query_needs
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import Budget, target
from al_bench.acquisition.setup import Setup
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import ordered, refuse_broken
from al_bench.acquisition.subsampling import propose
from al_bench.acquisition.view import View
from al_bench.config.roles import acquirer, acquiring
from al_bench.costs import Clock
from al_bench.errors import UserError
from al_bench.learners.base import Model
from al_bench.learners.divergence import verdict
from al_bench.seeds import number as seed_of
from al_bench.seeds import stream


def query(setup: Setup, pool: Pool, cycle: Cycle, model: Model | None, clock: Clock, counts: Counter[str]) -> Cycle:
    """The cycle with its query: a part of the pool, and what the strategy selects of it within the budget."""
    config, seeds, number = setup.config, vars(setup.config.seeds), cycle.number
    chosen, strategy = config.strategy, STRATEGIES[config.strategy.name]
    costs, unit = setup.costs, config.schedule.unit
    budget = Budget(target(config.schedule.step, costs, unit), unit, costs)
    view = view_of(setup, pool, model, number, clock, counts)
    with clock.phase("subsample"):
        rng = stream(seeds["subsampling"], "subsampling", number)
        # The first model takes over from none: its first round is as `refresh` says.
        stale = number > 0 and number in acquiring(config)
        candidates = propose(config.subsampling, number, view, budget, rng, stale=stale)
    ids, rng = candidates.ids, stream(seeds["strategy"], "strategy", number)
    with clock.phase("select"):
        selection = strategy.select(view, ids, budget, rng, chosen)
        order, scores = selection.order, selection.scores
        if scores is not None and (diverged := np.count_nonzero(~np.isfinite(scores))):
            cause = "; ".join(verdict(*acquirer(config, number)))
            if STRATEGIES.code(chosen.name):  # nobody has tested it
                cause = f"are not finite; try `al-bench check {chosen.name}`; where that is fine, they {cause}"
            raise UserError(f"strategy={chosen.name}: {diverged} scores in cycle {number} {cause}")
        refuse_broken(chosen.name, order, ids, budget)
    if scores is not None and strategy.needs and config.rescore:
        with clock.phase("rescore"):
            top = np.sort(order[: math.ceil(config.rescore * budget.size(order))])
            scores[np.searchsorted(ids, top)] = strategy.score(view.exactly(), top, rng, chosen)
            order = ordered(view, ids, scores, rng, chosen)
    queried = order[: budget.size(order)]
    description = describe(setup.corpus, queried, None if scores is None else scores[np.searchsorted(ids, queried)])
    labels = setup.annotator.label(queried)
    answers = accounted(setup.corpus, queried, labels)
    cycle = replace(cycle, queried=queried, query_labels=labels, answers=answers)
    cycle = replace(cycle, extended=candidates.extended, query=description)
    if scores is None or not strategy.needs:  # a random draw is no score to remember
        return cycle
    return replace(cycle, scored=ids, scores=scores.astype(np.float32))


def view_of(setup: Setup, pool: Pool, model: Model | None, cycle: int, clock: Clock, counts: Counter[str]) -> View:
    """What the strategy and the candidate pool of a query round may look at."""
    config, learner = setup.config, setup.learner(cycle) if setup.learner else None
    seed = seed_of(vars(config.seeds)["strategy"], "masks", cycle)
    needs, aggregate = query_needs(config), config.strategy.aggregate
    return View(setup.corpus, pool, pool.answers, needs, model, learner, seed, clock, counts, aggregate)
