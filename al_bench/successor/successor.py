"""Fit the successor on the examples that a cycle has labelled, and evaluate it: a function of the ledger."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from al_bench.acquisition.setup import fit_seeds
from al_bench.config.identity import fit_identity
from al_bench.config.schema import RunConfig
from al_bench.costs import Clock, Costs, Listener, happens_once
from al_bench.data.corpus import Corpus, Labels
from al_bench.learners.base import UNWATCHED, Learner, Model, Unlabelled, Watch, evaluate_on_test, setup_seconds
from al_bench.learners.divergence import finite_outputs
from al_bench.ledger.store import Step, Steps


@dataclass(frozen=True)
class Succession:
    """All that a successor's results are computed from.

    learner: builds a role's learner, or gives the one built before
    steps: records results, of this run and of others
    answers: of the oracle for what is labelled; None where that are the gold labels
    """

    config: RunConfig
    corpus: Corpus
    precision: str
    learner: Callable[[str], Learner]
    steps: Steps
    listener: Listener | None = None
    answers: Labels | None = None

    def labels(self, ids: np.ndarray) -> Labels:
        """Of labelled examples."""
        return (self.corpus.train.labels if self.answers is None else self.answers)[ids]

    @property
    def pool(self) -> Unlabelled:
        return Unlabelled(self.corpus.train.inputs)

    def clock(self, learner: Learner | None, prefix: str = "") -> Clock:
        """learner: whose work is timed; None: work on no device"""
        listener, wait = self.listener, (lambda: None) if learner is None else learner.synchronise
        return Clock(wait, listener and (lambda name: listener(prefix + name)))


@dataclass
class Fit:
    """One fit of a role's model, made only if a result is asked for that no earlier run has recorded.

    roles: the fit's own, and those whose weights its training set depends on
    identity: of the fit, as `identity.fit_identity` gives it
    ids: rising; labels: one per id, numbers or distributions; weights: (n,) of their losses; None: equal
    part: the name of the fit in this run; its costs are PART_train, PART_evaluate, PART_steps, ...
    """

    s: Succession
    roles: tuple[str, ...]
    cycle: int
    identity: dict[str, Any]
    ids: np.ndarray
    labels: Labels
    weights: np.ndarray | None = None
    watch: Watch = UNWATCHED
    part: str = "successor"

    @cached_property
    def learner(self) -> Learner:
        return self.s.learner(self.roles[0])

    @cached_property
    def clock(self) -> Clock:
        return self.s.clock(self.learner, f"{self.part}_")

    @cached_property
    def model(self) -> Model:
        """Fitted now; valid until the role's learner fits again."""
        seeds = fit_seeds(self.s.config, self.cycle)
        self.clock.seconds |= setup_seconds(self.learner, self.s.pool)
        with self.clock.phase("train"), self.stopping():
            model = self.learner.fit(self.s.pool, self.ids, self.labels, seeds, weights=self.weights, watch=self.watch)
        self.clock.move(model.costs.capture_seconds, "train", "capture")
        return model

    def stopping(self) -> AbstractContextManager[None]:
        """Within, outputs of the model have to be finite."""
        role = self.roles[0]
        return finite_outputs(role, getattr(self.s.config, role), self.cycle)

    def evaluated(self) -> Step:
        """Its metrics on the test split, computed or read."""

        def evaluate() -> Step:
            model = self.model
            with self.clock.phase("evaluate"), self.stopping():
                metrics = evaluate_on_test(model, self.s.corpus, self.s.config.metrics)
            return Step(metrics, costs=self.spent())

        step = self.s.steps.get(self.identity, self.roles, evaluate)
        return replace(step, costs=named(step.costs, self.part))

    def spent(self) -> Costs:
        """The costs so far, without the part's name: the same fit may be another part in another run."""
        fit = self.model.costs
        counts = {"steps": fit.steps, "tokens": fit.tokens, "trained_parameters": fit.parameters}
        return Costs(dict(self.clock.seconds), {**counts, "peak_memory_bytes": self.learner.peak_memory()})


def named(costs: Costs, part: str) -> Costs:
    """The same costs with the part's name before each; the peak of memory is the process's."""
    counts = {key if key == "peak_memory_bytes" else f"{part}_{key}": value for key, value in costs.counts.items()}
    # The first successor and the last have one learner, which is set up once.
    once = part.removeprefix("first_")
    parts = {phase: once if happens_once(phase) else part for phase in costs.seconds}
    seconds = {f"{parts[phase]}_{phase}": value for phase, value in costs.seconds.items()}
    return Costs(seconds, counts, costs.machine)


def on_gold(s: Succession, labelled: np.ndarray, cycle: int, role: str, part: str) -> Fit:
    """The fit of a role's model on the gold labels of `labelled` alone, ids of the training split, rising."""
    identity = fit_identity(s.config, s.precision, cycle, role)
    return Fit(s, (role,), cycle, identity, labelled, s.labels(labelled), part=part)


def succeed(s: Succession, labelled: np.ndarray, cycle: int) -> tuple[dict[str, float], Costs]:
    """Test metrics of a successor fitted on gold labels, and their costs.

    cycle: picks the fit's random streams, the same as the acquisition model's
    """
    step = on_gold(s, labelled, cycle, "successor", "successor").evaluated()
    return step.values, step.costs
