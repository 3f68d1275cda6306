"""The active learning loop: fit a model on what is labelled, score the pool, query, label, repeat.

A cycle is a function of what was labelled before it. The trajectory records each cycle, so that it is computed once,
whoever needs it and however often a run is interrupted.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from al_bench.acquisition.annotation import Annotator, accounted
from al_bench.acquisition.needs import fits, needs_of, query_needs
from al_bench.acquisition.pool import ABSTAINED, Pool
from al_bench.acquisition.relabelling import relabels, suspicious
from al_bench.acquisition.selection import Budget, StopSet, costs_of, seed_set, stop_set, target
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import ordered
from al_bench.acquisition.subsampling import propose
from al_bench.acquisition.view import DIVERGED, View
from al_bench.config.schema import RunConfig, StrategyConfig
from al_bench.costs import QUERY, Clock, Costs, Listener
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import values_of
from al_bench.errors import UserError, reject
from al_bench.learners.base import FitSeeds, Learner, Model, Unlabelled, evaluate_on_test, setup_seconds
from al_bench.seeds import number as seed_of
from al_bench.seeds import stream

NO_IDS = np.empty(0, dtype=np.int64)
NO_SCORES = np.empty(0, dtype=np.float32)
NO_LABELS = np.empty(0, dtype=np.int16)


@dataclass(frozen=True)
class Cycle:
    """What one cycle decided.

    labelled, words: number of examples, and of words in them, that the cycle's model was fitted on
    metrics: of the acquisition model on the test split; None where no model is fitted
    seed_set: ids that the oracle is asked for before the first cycle (cycle 0 only)
    seed_labels, query_labels: int16 answers for the seed set and for the query, as of `Annotator.label`
    seed_answers, answers: both in numbers, see `annotation.accounted`
    revised: ids, rising, whose labels were found suspicious before the fit; revised_labels: int16, what they have now
    second_answers: where these were asked for again, the answers in numbers
    stop_set: which examples stopping criteria look at (cycle 0 only); None where no model is fitted
    stop_labels: int16 label that the model gives each of these, or each of their words
    queried: ids in the order of the query, whose labels the next cycle has; empty in a run's last cycle
    scored: ids of the candidates, rising; scores: their scores, float32
    extended: how many candidates were added to the drawn sub-pool because it could not fill the query
    query: the query in numbers, see `describe`
    """

    number: int
    labelled: int
    words: int
    metrics: dict[str, float] | None
    seed_set: np.ndarray = field(default_factory=lambda: NO_IDS)
    seed_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    seed_answers: dict[str, int] = field(default_factory=dict)
    revised: np.ndarray = field(default_factory=lambda: NO_IDS)
    revised_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    second_answers: dict[str, int] = field(default_factory=dict)
    stop_set: dict[str, Any] | None = None
    stop_labels: np.ndarray | None = None
    queried: np.ndarray = field(default_factory=lambda: NO_IDS)
    query_labels: np.ndarray = field(default_factory=lambda: NO_LABELS)
    answers: dict[str, int] = field(default_factory=dict)
    scored: np.ndarray = field(default_factory=lambda: NO_IDS)
    scores: np.ndarray = field(default_factory=lambda: NO_SCORES)
    extended: int = 0
    query: dict[str, Any] = field(default_factory=dict)

    def begun(self, pool: Pool) -> Pool:
        """The pool as the cycle's model sees it, from the pool as the cycle before left it."""
        return pool.ask(self.seed_set, self.seed_labels).revise(self.revised, self.revised_labels)

    def ended(self, pool: Pool) -> Pool:
        """The pool after the cycle's query, from the pool as its model saw it."""
        return pool.remember(self.scored, self.scores).ask(self.queried, self.query_labels)


@dataclass(frozen=True)
class Setup:
    """All that a cycle is computed from.

    learner: builds it, or gives the one built before; None where no selection needs a model
    oracle: at work on the corpus; None: built here
    seeded: the seed set, where it is recorded; None: it is drawn or selected now
    """

    config: RunConfig
    corpus: Corpus
    learner: Callable[[], Learner] | None
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


Computed = tuple[Cycle, Costs]
Remember = Callable[[int, bool, Callable[[Computed | None], Computed]], Computed]


def acquire(setup: Setup, remember: Remember) -> Iterator[Computed]:
    """Yield every cycle, computed now or recorded by an earlier run.

    remember: (number, queries, compute) -> the recorded cycle of that number, else `compute(None)`, recorded. A cycle
        that a shorter run ended with has no query; where `queries` asks for one, `compute(recorded)` adds it.
    """
    train, cycles = setup.corpus.train, setup.config.schedule.cycles
    pool = Pool.unlabelled_of(len(train), train.labels)
    for number in range(cycles + 1):
        left = len(pool.unlabelled) - (len(setup.seed[0]) if number == 0 else 0)
        queries = number < cycles and left > 0
        cycle, spent = remember(number, queries, partial(compute_cycle, setup, pool, number, queries))
        yield (cycle, spent) if queries else without_query(cycle, spent)
        if not queries:
            return
        pool = cycle.ended(cycle.begun(pool))


def compute_cycle(setup: Setup, pool: Pool, number: int, queries: bool, recorded: Computed | None) -> Computed:
    """One cycle: fit on what is labelled, evaluate, and query where the run goes on.

    pool: as the cycle before left it
    recorded: the cycle as a shorter run ended with it. Its model is fitted again, to the same weights, and queries;
        the second fit's costs replace the first's, so that an iteration is charged for one fit, on one machine.
    """
    corpus, stop = setup.corpus, setup.stop_set
    cycle, costs = recorded or (first_asked(setup) if number == 0 else Cycle(number, 0, 0, None), Costs())
    learner = setup.learner() if setup.learner else None
    clock = Clock(learner.synchronise if learner else lambda: None, setup.listener)
    counts, model = Counter[str](), None
    if number == 0:
        clock.seconds |= setup.seed[1]
    if learner is not None:
        inputs = Unlabelled(corpus.train.inputs)
        embeds = "pretrained" in needs_of(setup.config)
        once = setup_seconds(learner, inputs, exact=setup.config.rescore > 0, embeddings=embeds)
        if number == 0:  # once per trajectory, however many processes compute its cycles
            clock.seconds |= once
        if recorded is None and relabels(setup.config, number):
            with clock.phase("relabel"):
                cycle = revise(setup, cycle, cycle.begun(pool), learner)
    pool = cycle.begun(pool)
    labelled = pool.labelled
    if learner is not None and fits(setup.config):
        with clock.phase("train"):
            model = learner.fit(inputs, labelled, pool.answers[labelled], fit_seeds(setup.config, number))
        clock.move(model.costs.capture_seconds, "train", "capture")
        counts.update(train_steps=model.costs.steps, train_tokens=model.costs.tokens)
    if recorded is None:
        cycle = replace(cycle, labelled=len(labelled), words=int(corpus.train.words[labelled].sum()))
        if model is not None and stop is not None:  # no selection sees what follows
            with clock.phase("evaluate"):
                metrics = evaluate_on_test(model, corpus, setup.config.metrics)
                cycle = replace(cycle, metrics=metrics, stop_labels=stop.labels(model))
    if queries:
        cycle = query(setup, pool, cycle, model, clock, counts)
    if learner is not None:
        counts["peak_memory_bytes"] = learner.peak_memory()
    return cycle, Costs({**costs.seconds, **clock.seconds}, {**costs.counts, **counts})


def first_asked(setup: Setup) -> Cycle:
    """Cycle 0 before its fit: with the answers for the seed set. Raises `UserError` where nothing is to learn there."""
    corpus, ids, stop = setup.corpus, np.sort(setup.seed[0]), setup.stop_set
    labels = setup.annotator.label(ids)
    answers = accounted(corpus, ids, labels)
    known = np.unique(labels[labels != ABSTAINED])
    gold = np.unique(values_of(corpus.train.labels[ids]))
    if not len(known) or (len(known) == 1 < len(gold) and fits(setup.config)):
        broken = f"gives {len(known)} different labels for the {len(ids)} examples of the seed set"
        remedy = "raise schedule.initial, or set another seeds.seed_set"
        raise reject("oracle", setup.config.oracle.name, broken, remedy)
    record = stop.record if stop else None
    return Cycle(0, 0, 0, None, seed_set=ids, seed_labels=labels, seed_answers=answers, stop_set=record)


def select_seed_set(setup: Setup, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """What a strategy that needs no fitted model selects of the whole pool, and the seconds of the phase "seed"."""
    schedule, train = setup.config.schedule, setup.corpus.train
    strategy, learner = STRATEGIES[schedule.seed_by], setup.learner() if setup.learner else None
    if learner is not None:  # encoding is a phase of its own
        learner.prepare(Unlabelled(train.inputs), embeddings="pretrained" in strategy.needs)
    clock = Clock(learner.synchronise if learner else lambda: None)
    if setup.listener is not None:
        setup.listener("seed")
    pool = Pool.unlabelled_of(len(train), train.labels)
    seed = seed_of(vars(setup.config.seeds)["seed_set"], "masks")
    view = View(setup.corpus, pool, pool.answers, frozenset(strategy.needs), None, learner, seed, clock)
    budget = Budget(target(schedule.initial, setup.costs, schedule.unit), schedule.unit, setup.costs)
    chosen = StrategyConfig(schedule.seed_by, params=strategy.typed({}, "strategy.params"))
    with clock.phase("select"):
        order = strategy.select(view, view.pool, budget, rng, chosen).order
    refuse_broken(schedule.seed_by, order, view.pool, budget)
    return order[: budget.size(order)], {"seed": sum(clock.seconds.values())}


def revise(setup: Setup, cycle: Cycle, pool: Pool, learner: Learner) -> Cycle:
    """The cycle with what becomes of suspicious labels. An oracle that abstains the second time leaves the first."""
    config, corpus = setup.config, setup.corpus
    ids = suspicious(config.relabel, corpus, pool, learner, fit_seeds(config, cycle.number))
    first = values_of(pool.answers[ids]).astype(np.int16)
    if config.relabel.action == "drop":
        return replace(cycle, revised=ids, revised_labels=np.full_like(first, ABSTAINED))
    second = setup.second.label(ids, attempt=1)
    labels = np.where(second == ABSTAINED, first, second)
    return replace(cycle, revised=ids, revised_labels=labels, second_answers=accounted(corpus, ids, second))


def query(setup: Setup, pool: Pool, cycle: Cycle, model: Model | None, clock: Clock, counts: Counter[str]) -> Cycle:
    """The cycle with its query: a part of the pool, and what the strategy selects of it within the budget."""
    config, seeds, number = setup.config, vars(setup.config.seeds), cycle.number
    chosen, strategy = config.strategy, STRATEGIES[config.strategy.name]
    costs, unit = setup.costs, config.schedule.unit
    budget = Budget(target(config.schedule.step, costs, unit), unit, costs)
    view = view_of(setup, pool, model, number, clock, counts)
    with clock.phase("subsample"):
        rng = stream(seeds["subsampling"], "subsampling", number)
        candidates = propose(config.subsampling, number, view, budget, rng)
    ids, rng = candidates.ids, stream(seeds["strategy"], "strategy", number)
    with clock.phase("select"):
        selection = strategy.select(view, ids, budget, rng, chosen)
        order, scores = selection.order, selection.scores
        if scores is not None and (diverged := np.count_nonzero(~np.isfinite(scores))):
            raise UserError(f"strategy={chosen.name}: {diverged} scores in cycle {number} {DIVERGED}")
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
    config, learner = setup.config, setup.learner() if setup.learner else None
    seed = seed_of(vars(config.seeds)["strategy"], "masks", cycle)
    needs, aggregate = query_needs(config), config.strategy.aggregate
    return View(setup.corpus, pool, pool.answers, needs, model, learner, seed, clock, counts, aggregate)


def refuse_broken(name: str, order: np.ndarray, candidates: np.ndarray, budget: Budget) -> None:
    """Raise `UserError` for an order that is no order of candidates, or too short for the budget."""
    order = np.asarray(order)
    if order.dtype.kind not in "iu" or order.ndim != 1:
        broken = f"is an array of {order.dtype} with {order.ndim} axes, not of ids"
    elif len(np.unique(order)) < len(order):
        broken = "has an id twice"
    elif outside := np.count_nonzero(~np.isin(order, candidates)):
        broken = f"has {outside} ids that are no candidates"
    elif len(order) < len(candidates) and not budget.is_spent(order):
        broken = f"has {len(order)} of {len(candidates)} candidates, which do not use up the budget"
    else:
        return
    raise UserError(f"strategy={name}: its order {broken}; mend the strategy, see `al-bench check {name}`")


def without_query(cycle: Cycle, costs: Costs) -> Computed:
    """The cycle as the last one of a run, where a longer run has queried after it; its peak of memory stays."""
    seconds = {phase: spent for phase, spent in costs.seconds.items() if phase not in QUERY}
    of_query = ("scored_", "rescored_", "reference_")
    counts = {name: count for name, count in costs.counts.items() if not name.startswith(of_query)}
    cycle = replace(cycle, queried=NO_IDS, query_labels=NO_LABELS, answers={}, extended=0, query={})
    cycle = replace(cycle, scored=NO_IDS, scores=NO_SCORES)
    return cycle, replace(costs, seconds=seconds, counts=counts)


def fit_seeds(config: RunConfig, cycle: int) -> FitSeeds:
    """The same for every role, so that equal models fitted on equal labels are equal."""
    seeds = vars(config.seeds)  # no longer null: `resolve` has set them
    return FitSeeds(seeds["model"], seeds["order"], cycle)


def describe(corpus: Corpus, queried: np.ndarray, scores: np.ndarray | None = None) -> dict[str, Any]:
    """A query in numbers: examples, words, length, scores, and labels (tagging: entities)."""
    words, gold = corpus.train.words[queried], corpus.train.labels[queried]
    summary = {"examples": len(queried), "words": int(words.sum()), "mean_words": float(words.mean())}
    if scores is not None:
        summary |= {f"{name}_score": float(getattr(scores, name)()) for name in ("min", "mean", "max")}
    return {**summary, "labels": corpus.counts(gold)}
