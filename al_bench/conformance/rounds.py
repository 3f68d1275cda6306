"""A query round on synthetic data, as the loop would hold it, and whole runs of a few rounds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from al_bench.acquisition.cycle import Cycle
from al_bench.acquisition.loop import acquire
from al_bench.acquisition.needs import acquires, fits
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.query import view_of
from al_bench.acquisition.selection import Budget, costs_of
from al_bench.acquisition.setup import Setup, fit_seeds
from al_bench.acquisition.view import FITTED, View
from al_bench.config.resolution import resolve
from al_bench.config.rules import validate
from al_bench.config.schema import (
    DatasetConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    StrategyConfig,
    SubsamplingConfig,
)
from al_bench.conformance.suite import Broken
from al_bench.conformance.synthetic import SyntheticLearner, corpus_of, frozen
from al_bench.costs import Clock
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.predictions import Predictions

UNITS = ("examples", "words")
STEP = {"examples": 5, "words": 20}
LABELLED, CYCLES = 12, 3


def config_of(
    task: str,
    unit: str,
    strategy: StrategyConfig,
    subsampling: SubsamplingConfig | None = None,
    acquisition: ModelConfig | None = None,
) -> RunConfig:
    """A validated, resolved config of three queries. Raises `UserError` where the rules refuse it.

    acquisition: None: a model that the synthetic learner stands for
    """
    nowhere = "synthetic/none"
    config = RunConfig(
        dataset=DatasetConfig(name="synthetic", task=task, hub=nowhere),
        acquisition=acquisition or ModelConfig(name="synthetic", hub=nowhere),
        strategy=strategy,
        subsampling=subsampling or SubsamplingConfig(),
        schedule=ScheduleConfig(initial=3 * STEP[unit], step=STEP[unit], cycles=CYCLES, unit=unit),
        evaluate_at="none",
    )
    validate(config)
    return resolve(config)


def cycles_of(config: RunConfig, corpus: Corpus, learner: Learner | None = None) -> list[Cycle]:
    """All cycles of the real loop, of which nothing is written. learner: another one than the synthetic"""
    learner = learner or SyntheticLearner(corpus.task, len(corpus.label_names))
    setup = Setup(config, corpus, (lambda cycle: learner) if acquires(config) else None)
    return [cycle for cycle, _ in acquire(setup, lambda number, queries, compute: compute(None))]


@dataclass
class FrozenView(View):
    """A view of which nothing can be changed."""

    def predictions(self, ids: np.ndarray) -> Predictions:
        predictions = super().predictions(ids)
        frozen(predictions.probs), frozen(predictions.embeddings)
        return predictions

    def samples(self, ids: np.ndarray, draws: int) -> np.ndarray | Ragged:
        return frozen(super().samples(ids, draws))

    def gold(self, ids: np.ndarray) -> Labels:
        return frozen(super().gold(ids))


@dataclass(frozen=True)
class Round:
    """The round of a config in which some examples are labelled, and half of the others have a score.

    left: how many examples are unlabelled; None: all but a few
    diverged: the model's predictions are NaN
    state: another one of the pool
    """

    config: RunConfig
    corpus: Corpus
    left: int | None = None
    diverged: bool = False
    state: Pool | None = None

    @cached_property
    def pool(self) -> Pool:
        if self.state is not None:
            return self.state
        n, labels, rng = len(self.corpus.train), self.corpus.train.labels, np.random.default_rng(1)
        ids = np.sort(rng.permutation(n)[: LABELLED if self.left is None else n - self.left])
        pool = Pool.unlabelled_of(n, labels).ask(ids, values_of(labels[ids]))
        scored = pool.unlabelled[::2]
        pool = pool.remember(scored, rng.random(len(scored)).astype(np.float32))
        frozen(pool.is_labelled), frozen(pool.score), frozen(pool.answers)
        return pool

    @cached_property
    def setup(self) -> Setup:
        learner = SyntheticLearner(self.corpus.task, len(self.corpus.label_names), self.diverged)
        return Setup(self.config, self.corpus, (lambda cycle: learner) if acquires(self.config) else None)

    def view(self, needs: frozenset[str] | None = None) -> FrozenView:
        """A new one. needs: what it lets be looked at; None: what the config needs"""
        model = None
        if self.setup.learner is not None and fits(self.config) and (needs is None or needs & set(FITTED)):
            ids, inputs = self.pool.labelled, Unlabelled(self.corpus.train.inputs)
            model = self.setup.learner(1).fit(inputs, ids, self.pool.answers[ids], fit_seeds(self.config, 1))
        view = view_of(self.setup, self.pool, model, 1, Clock(lambda: None), Counter())
        facts = {f.name: getattr(view, f.name) for f in fields(View) if f.init}
        view = FrozenView(**facts if needs is None else facts | {"needs": needs})
        for array in (view.pool, view.labelled, view.labels, view.words):
            frozen(array)
        return view

    def budget(self, amount: float | None = None) -> Budget:
        unit = self.config.schedule.unit
        return Budget(amount or STEP[unit], unit, frozen(costs_of(self.corpus.train.words, unit)))

    @property
    def where(self) -> str:
        return f"{self.corpus.task}, budget in {self.config.schedule.unit}"

    def poisoned(self) -> "Round":
        """The same with another label for every example that is not labelled."""
        labels = self.corpus.train.labels
        values = values_of(labels).copy()
        places = labels.positions(self.pool.unlabelled) if isinstance(labels, Ragged) else self.pool.unlabelled
        values[places] = (values[places] + 1) % len(self.corpus.label_names)
        return self._with(labels=frozen(like(labels, values)))

    def of_equal_texts(self) -> "Round":
        """The same with one text for every example that is not labelled."""
        same = self.corpus.train.inputs[self.pool.unlabelled[0]]
        inputs: Any = [text if self.pool.is_labelled[i] else same for i, text in enumerate(self.corpus.train.inputs)]
        labels = self.corpus.train.labels
        rows = np.where(self.pool.is_labelled, np.arange(len(inputs)), self.pool.unlabelled[0])
        return self._with(inputs=inputs, labels=frozen(labels[rows]))

    def _with(self, **changes: Any) -> "Round":
        return replace(self, corpus=replace(self.corpus, train=replace(self.corpus.train, **changes)))


def rounds(
    tasks: tuple[str, ...], strategy: StrategyConfig, subsampling: SubsamplingConfig | None = None, **changes: Any
) -> Iterator[Round]:
    """One of every task and unit."""
    for task in tasks:
        for unit in UNITS:
            yield Round(config_of(task, unit, strategy, subsampling), corpus_of(task), **changes)


class HasRounds(Protocol):
    def rounds(self, **changes: Any) -> Iterator[Round]: ...


def runs_in_the_loop(subject: HasRounds) -> None:
    """Runs three rounds of the loop, twice the same."""
    for at in subject.rounds():
        first, again = ([cycle.queried.tolist() for cycle in cycles_of(at.config, at.corpus)] for _ in range(2))
        if first != again:
            raise Broken(f"another run of the same seeds queries something else ({at.where})", "keep no state")
