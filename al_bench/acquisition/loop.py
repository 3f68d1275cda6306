"""The active learning loop: fit a model on what is labelled, let a strategy look at the pool, query, label, repeat.

A cycle is a function of what was labelled before it. The trajectory records each cycle, so that it is computed once,
whoever needs it and however often a run is interrupted.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from al_bench.acquisition.annotation import accounted
from al_bench.acquisition.cycle import NO_IDS, NO_LABELS, NO_SCORES, Cycle
from al_bench.acquisition.needs import fits, needs_of
from al_bench.acquisition.pool import ABSTAINED, Pool
from al_bench.acquisition.query import query
from al_bench.acquisition.relabelling import relabels, suspicious
from al_bench.acquisition.setup import Setup, fit_seeds
from al_bench.config.roles import acquirer, acquiring, start_of
from al_bench.costs import QUERY, Clock, Costs
from al_bench.data.ragged import values_of
from al_bench.errors import reject
from al_bench.learners.base import Learner, Unlabelled, evaluate_on_test, setup_seconds
from al_bench.learners.divergence import finite_outputs

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
        compute = partial(compute_cycle, setup, pool, number, queries)
        stopping = finite_outputs(*acquirer(setup.config, number), number)
        cycle, spent = remember(number, queries, stopping(compute))
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
    learner = setup.learner(number) if setup.learner else None
    clock = Clock(learner.synchronise if learner else lambda: None, setup.listener)
    counts, model = Counter[str](), None
    if number == 0:
        clock.seconds |= setup.seed[1]
    if learner is not None:
        inputs = Unlabelled(corpus.train.inputs)
        starts = acquiring(setup.config)
        needs = needs_of(setup.config, start_of(starts, number))
        once = setup_seconds(learner, inputs, exact=setup.config.rescore > 0, needs=needs)
        if number in starts:  # once per trajectory, however many processes compute the model's cycles
            clock.seconds |= once
        if recorded is None and relabels(setup.config, number):
            with clock.phase("relabel"):
                cycle = revise(setup, cycle, cycle.begun(pool), learner)
    pool = cycle.begun(pool)
    labelled = pool.labelled
    if learner is not None and fits(setup.config):
        with clock.phase("train"):
            model = learner.fit(inputs, labelled, pool.answers[labelled], fit_seeds(setup.config, number))
        fit = model.costs
        clock.move(fit.capture_seconds, "train", "capture")
        counts.update(train_steps=fit.steps, train_tokens=fit.tokens, trained_parameters=fit.parameters)
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
    """Cycle 0 before its fit: with the answers for the seed set."""
    corpus, ids, stop = setup.corpus, np.sort(setup.seed[0]), setup.stop_set
    labels = setup.annotator.first(ids, contrast=fits(setup.config))
    answers = accounted(corpus, ids, labels)
    record = stop.record if stop else None
    return Cycle(0, 0, 0, None, seed_set=ids, seed_labels=labels, seed_answers=answers, stop_set=record)


def revise(setup: Setup, cycle: Cycle, pool: Pool, learner: Learner) -> Cycle:
    """The cycle with what becomes of suspicious labels. An oracle that abstains the second time leaves the first.

    Raises `UserError` where no label would be left.
    """
    config, corpus = setup.config, setup.corpus
    ids = suspicious(config.relabel, corpus, pool, learner, fit_seeds(config, cycle.number))
    first = values_of(pool.answers[ids]).astype(np.int16)
    if config.relabel.action == "drop":
        if len(ids) == len(pool.labelled):
            broken = f"would drop all {len(ids)} labels in cycle {cycle.number}, so that no model can be fitted"
            remedy = "set a share such as 0.1, or a later relabel.at"
            raise reject("relabel.filter.drop", config.relabel.filter.drop, broken, remedy)
        return replace(cycle, revised=ids, revised_labels=np.full_like(first, ABSTAINED))
    second = setup.second.label(ids, attempt=1)
    labels = np.where(second == ABSTAINED, first, second)
    return replace(cycle, revised=ids, revised_labels=labels, second_answers=accounted(corpus, ids, second))


def without_query(cycle: Cycle, costs: Costs) -> Computed:
    """The cycle as the last one of a run, where a longer run has queried after it; its peak of memory stays."""
    seconds = {phase: spent for phase, spent in costs.seconds.items() if phase not in QUERY}
    of_query = ("scored_", "rescored_", "reference_")
    counts = {name: count for name, count in costs.counts.items() if not name.startswith(of_query)}
    cycle = replace(cycle, queried=NO_IDS, query_labels=NO_LABELS, answers={}, extended=0, query={})
    cycle = replace(cycle, scored=NO_IDS, scores=NO_SCORES)
    return cycle, replace(costs, seconds=seconds, counts=counts)
