"""All that a cycle is computed from, and what is chosen before the first one: whom to ask, and for what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from al_bench.acquisition.annotation import Annotator
from al_bench.acquisition.needs import fits
from al_bench.acquisition.pool import ABSTAINED, Pool
from al_bench.acquisition.selection import Budget, StopSet, costs_of, seed_set, stop_set, target
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import refuse_broken
from al_bench.acquisition.view import View
from al_bench.config.schema import RunConfig, StrategyConfig
from al_bench.costs import Clock, Listener
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import values_of
from al_bench.learners.base import FitSeeds, Learner, Unlabelled, setup_seconds
from al_bench.seeds import number, stream


@dataclass(frozen=True)
class Setup:
    """All that a cycle is computed from.

    learner: (cycle) -> the one that acquires then, built now or before; None where no selection needs a model
    oracle: at work on the corpus; None: built here
    seeded: the seed set, where it is recorded; None: it is drawn or selected now
    """

    config: RunConfig
    corpus: Corpus
    learner: Callable[[int], Learner] | None
    listener: Listener | None = None
    oracle: Annotator | None = None
    seeded: np.ndarray | None = None

    @cached_property
    def annotator(self) -> Annotator:
        return self.oracle or annotator_of(self.config, self.corpus)

    @cached_property
    def second(self) -> Annotator:
        """Who is asked again."""
        other = self.config.relabel.oracle
        return self.annotator if other is None else Annotator(other, self.corpus, self.annotator.seed)

    @cached_property
    def costs(self) -> np.ndarray:
        """(n,) of labelling each example, in the unit of the budgets."""
        config = self.config
        return costs_of(self.corpus.train.words, config.schedule.unit, config.oracle.price)

    @cached_property
    def seed(self) -> tuple[np.ndarray, dict[str, float]]:
        """Ids of the first examples that the oracle is asked for, and the seconds of a strategy that selected them."""
        schedule, labels = self.config.schedule, self.corpus.train.labels
        rng = stream(vars(self.config.seeds)["seed_set"], "seed_set")
        if schedule.seed_by != "random":
            return (self.seeded, {}) if self.seeded is not None else select_seed_set(self, rng)
        if schedule.stratified:  # nobody knows the gold classes: by what the oracle says
            answers = self.annotator.answers()
            labels = np.where(answers.known, values_of(answers.labels), ABSTAINED)
        return seed_set(schedule, self.costs, labels, rng), {}

    @cached_property
    def stop_set(self) -> StopSet | None:
        if not fits(self.config):
            return None
        # The seed of a seed set that comes from a file draws nothing, this set neither: it is no part of the identity.
        seed = vars(self.config.seeds)["seed_set"] if self.config.schedule.seed_set is None else 0
        return stop_set(self.corpus, self.seed[0], stream(seed, "stop_set"))


def annotator_of(config: RunConfig, corpus: Corpus) -> Annotator:
    return Annotator(config.oracle, corpus, vars(config.seeds)["oracle"])


def select_seed_set(setup: Setup, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """What a strategy that needs no fitted model selects of the whole pool, and the seconds of the phase "seed"."""
    schedule, train = setup.config.schedule, setup.corpus.train
    strategy, learner = STRATEGIES[schedule.seed_by], setup.learner(0) if setup.learner else None
    if learner is not None:  # encoding is a phase of its own
        setup_seconds(learner, Unlabelled(train.inputs), needs=strategy.needs)
    clock = Clock(learner.synchronise if learner else lambda: None)
    if setup.listener is not None:
        setup.listener("seed")
    pool = Pool.unlabelled_of(len(train), train.labels)
    seed = number(vars(setup.config.seeds)["seed_set"], "masks")
    view = View(setup.corpus, pool, pool.answers, frozenset(strategy.needs), None, learner, seed, clock)
    budget = Budget(target(schedule.initial, setup.costs, schedule.unit), schedule.unit, setup.costs)
    chosen = StrategyConfig(schedule.seed_by, params=strategy.typed({}, "strategy.params"))
    with clock.phase("select"):
        order = strategy.select(view, view.pool, budget, rng, chosen).order
    refuse_broken(schedule.seed_by, order, view.pool, budget)
    return order[: budget.size(order)], {"seed": sum(clock.seconds.values())}


def fit_seeds(config: RunConfig, cycle: int) -> FitSeeds:
    """The same for every role, so that equal models fitted on equal labels are equal."""
    seeds = vars(config.seeds)  # no longer null: `resolve` has set them
    return FitSeeds(seeds["model"], seeds["order"], cycle)
