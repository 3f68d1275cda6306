"""The active learning loop: fit, look at the pool, query, label, again.

One cycle is a function of what was labelled before it; the trajectory keeps its result, so that a cycle is
computed once, whoever needs it and however often the run is interrupted.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import costs_of, ranked, seed_set, target
from al_bench.acquisition.selection import prefix as affordable
from al_bench.acquisition.strategies import STRATEGIES, Known, Strategy
from al_bench.acquisition.subsampling import candidates
from al_bench.config.schema import RunConfig
from al_bench.costs import Clock, Costs, Listener
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import FitSeeds, Learner, Model, Unlabelled, setup_seconds
from al_bench.learners.predictions import Predictions
from al_bench.learners.testing import tested
from al_bench.seeds import stream

NOBODY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Cycle:
    """What one cycle decided.

    labelled, words: examples, and words in them, that the cycle's model was fitted on
    seeded: ids labelled before the first cycle (cycle 0 only)
    metrics: of the acquisition model on the test split; None where no model is fitted
    tested_as: the labels it gave there, for stopping criteria that compare models
    scored: ids of the candidates, rising; scores: their scores, float32
    queried: ids in the order of the query, to be labelled for the next cycle; empty in the last cycle
    extended: how many candidates were added to the drawn sub-pool because it could not fill the query
    """

    number: int
    labelled: int
    words: int
    metrics: dict[str, float] | None
    tested_as: Labels | None = None
    seeded: np.ndarray = field(default_factory=lambda: NOBODY)
    queried: np.ndarray = field(default_factory=lambda: NOBODY)
    scored: np.ndarray = field(default_factory=lambda: NOBODY)
    scores: np.ndarray = field(default_factory=lambda: NOBODY.astype(np.float32))
    extended: int = 0
    query: dict[str, Any] = field(default_factory=dict)

    def then(self, pool: Pool) -> Pool:
        """The pool after this cycle's query was labelled."""
        return pool.see(self.scored, self.scores, self.number).label(self.queried, self.number + 1)


@dataclass(frozen=True)
class Setup:
    """All that a cycle is computed from.

    learner: builds it, or gives the one built before; None for strategies that need no model
    listener: told the name of each phase
    """

    config: RunConfig
    corpus: Corpus
    learner: Callable[[], Learner] | None
    listener: Listener | None = None


Computed = tuple[Cycle, Costs]
Remember = Callable[[int, Callable[[], Computed]], Computed]


def acquire(setup: Setup, remember: Remember) -> Iterator[Computed]:
    """Yield every cycle, computed now or remembered from an earlier run.

    remember: (number, compute) -> the recorded cycle of that number, else what `compute()` gives, recorded.
    """
    train, schedule = setup.corpus.train, setup.config.schedule
    seeds = setup.config.seeds
    assert seeds.seed_set is not None
    costs = costs_of(train.words, schedule.unit)
    pool = Pool.unlabelled_of(len(train))
    pool = pool.label(seed_set(schedule, costs, train.labels, stream(seeds.seed_set, "seed_set")), 0)
    for number in range(schedule.cycles + 1):
        cycle, spent = remember(number, partial(turn, setup, pool, number))
        yield cycle, spent
        if not len(cycle.queried):
            return
        pool = cycle.then(pool)


def turn(setup: Setup, pool: Pool, number: int) -> Computed:
    """One cycle: fit on what is labelled, evaluate, and query unless this is the last."""
    config, corpus = setup.config, setup.corpus
    learner = setup.learner() if setup.learner else None
    schedule, strategy = config.schedule, STRATEGIES[config.strategy.name]
    train = Unlabelled(corpus.train.inputs)
    labelled = pool.labelled
    clock = Clock(learner.synchronise if learner else lambda: None, setup.listener)
    counts: dict[str, float] = {}
    model = metrics = tested_as = None
    if learner is not None:
        once = setup_seconds(learner, train, exact=config.rescore > 0)
        if number == 0:  # once per trajectory, however many processes compute its cycles
            clock.seconds |= once
        with clock.phase("train"):
            model = learner.fit(train, labelled, corpus.train.labels[labelled], fit_seeds(config, number))
        clock.move(model.costs.capture_seconds, "train", "capture")
        counts |= {"train_steps": model.costs.steps, "train_tokens": model.costs.tokens}
        with clock.phase("evaluate"):
            metrics, tested_as = tested(model, corpus)

    cycle = Cycle(
        number=number,
        labelled=len(labelled),
        words=int(corpus.train.words[labelled].sum()),
        metrics=metrics,
        tested_as=tested_as,
        seeded=labelled if number == 0 else NOBODY,
    )
    if number < schedule.cycles and len(pool.unlabelled):
        cycle = query(setup, pool, cycle, strategy, model, clock, counts)
    if learner is not None:
        counts["peak_memory_bytes"] = learner.peak_memory()
    return cycle, Costs(clock.seconds, counts)


def query(
    setup: Setup,
    pool: Pool,
    cycle: Cycle,
    strategy: Strategy,
    model: Model | None,
    clock: Clock,
    counts: dict[str, float],
) -> Cycle:
    """The cycle with its query: sub-pool, predictions, scores, and the top of them within the budget."""
    config, train = setup.config, setup.corpus.train
    unit = config.schedule.unit
    costs = costs_of(train.words, unit)
    wanted = target(config.schedule.step, costs, unit)
    assert config.seeds.subsampling is not None
    assert config.seeds.strategy is not None
    with clock.phase("subsample"):
        rng = stream(config.seeds.subsampling, "subsampling", cycle.number)
        pick = candidates(pool, config.subsampling, cycle.number, costs, wanted, unit, rng)
    rng = stream(config.seeds.strategy, "strategy", cycle.number)
    if model is None:  # random draws are no scores to remember
        scores = strategy.score(Predictions.blank(len(pick.ids)), rng, config.strategy.aggregate)
        look = None
    else:
        with clock.phase("predict"):
            look = Look(strategy, config.strategy.aggregate, rng, model, setup.corpus, pool.labelled)
            scores, tokens = look(pick.ids)
        counts |= {"scored_examples": len(pick.ids), "scored_tokens": tokens, **look.compared}
        lost = np.count_nonzero(~np.isfinite(scores))
        if lost:
            raise UserError(
                f"strategy={strategy.name}: {lost} scores in cycle {cycle.number} "
                "are not finite because training diverged; lower acquisition.training.learning_rate"
            )
    with clock.phase("select"):
        order = ranked(pick.ids, scores, rng)
        size = affordable(costs[order], wanted, unit)
    if look is not None and config.rescore:
        with clock.phase("rescore"):
            top = np.sort(order[: math.ceil(config.rescore * size)])
            scores[np.searchsorted(pick.ids, top)], tokens = look(top, exact=True)
            order = ranked(pick.ids, scores, rng)
            size = affordable(costs[order], wanted, unit)
        counts |= {"rescored_examples": len(top), "rescored_tokens": tokens, **look.compared}
    queried = order[:size]
    cycle = replace(
        cycle,
        queried=queried,
        extended=pick.extended,
        query=describe(setup.corpus, queried, scores[np.searchsorted(pick.ids, queried)]),
    )
    if model is None:
        return cycle
    return replace(cycle, scored=pick.ids, scores=scores.astype(np.float32))


class Look:
    """A fitted model's passes over candidates: each part is scored as it comes, and only scores are kept.

    compared: counts of what strategies that compare have looked at, in all passes, of the labelled examples
    """

    def __init__(
        self,
        strategy: Strategy,
        aggregate: str,
        rng: np.random.Generator,
        model: Model,
        corpus: Corpus,
        labelled: np.ndarray,
    ) -> None:
        self._model, self._inputs = model, Unlabelled(corpus.train.inputs)
        self._labelled, self._labels = labelled, corpus.train.labels[labelled]
        self._embeddings = "embeddings" in strategy.needs
        self._score = partial(strategy.score, rng=rng, aggregate=aggregate)
        self.compared: Counter[str] = Counter()

    def __call__(self, ids: np.ndarray, *, exact: bool = False) -> tuple[np.ndarray, int]:
        """((n,) float64 scores, sub-words); exact: in float32 whatever the precision of the run."""
        score, scores, tokens = self._score, np.empty(len(ids)), 0
        if self._embeddings:
            score = partial(score, known=self._known(exact))
        for places, said in self._model.parts(self._inputs, ids, exact=exact, embeddings=self._embeddings):
            scores[places] = score(said)
            tokens += said.tokens
        return scores, tokens

    def _known(self, exact: bool) -> Known:
        said = self._model.predict(self._inputs, self._labelled, exact=exact, embeddings=True)
        self.compared.update(reference_examples=len(said), reference_tokens=said.tokens)
        return Known(said, self._labels)


def fit_seeds(config: RunConfig, cycle: int) -> FitSeeds:
    """The same for every role, so that equal models fitted on equal labels are equal."""
    assert config.seeds.model is not None
    assert config.seeds.order is not None
    return FitSeeds(config.seeds.model, config.seeds.order, cycle)


def describe(corpus: Corpus, queried: np.ndarray, scores: np.ndarray | None = None) -> dict[str, Any]:
    """What was queried, in numbers: examples, words, length, scores, and labels (tagging: entities)."""
    words, gold = corpus.train.words[queried], corpus.train.labels[queried]
    numbers = gold.values if isinstance(gold, Ragged) else gold
    found = np.bincount(numbers, minlength=len(corpus.label_names)).tolist()
    named = dict(zip(corpus.label_names, found, strict=True))
    if corpus.task == "tagging":
        named = {tag[2:]: n for tag, n in named.items() if tag.startswith("B-")}
    said = {"examples": len(queried), "words": int(words.sum()), "mean_words": float(words.mean())}
    if scores is not None:
        said |= {"min_score": float(scores.min()), "mean_score": float(scores.mean())}
        said |= {"max_score": float(scores.max())}
    return {**said, "labels": named}
