"""Fit the successor on what was labelled by a cycle, and evaluate it: a function of the ledger."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from al_bench.acquisition.loop import fit_seeds
from al_bench.config.identity import fit_identity
from al_bench.config.schema import RunConfig
from al_bench.costs import Clock, Costs, Listener, happens_once
from al_bench.data.corpus import Corpus, Labels
from al_bench.learners.base import UNWATCHED, Learner, Model, Unlabelled, Watch, setup_seconds
from al_bench.learners.testing import tested
from al_bench.ledger.steps import Step, Steps


@dataclass(frozen=True)
class Succession:
    """All that a successor's results are computed from.

    learner: builds a role's learner, or gives the one built before
    steps: remembers what was computed, by this run or another
    listener: told the name of each phase
    """

    config: RunConfig
    corpus: Corpus
    precision: str
    learner: Callable[[str], Learner]
    steps: Steps
    listener: Listener | None = None

    @property
    def pool(self) -> Unlabelled:
        return Unlabelled(self.corpus.train.inputs)

    def clock(self, learner: Learner, prefix: str = "") -> Clock:
        listener = self.listener
        return Clock(learner.synchronise, listener and (lambda name: listener(prefix + name)))


@dataclass(frozen=True)
class TrainingSet:
    """ids: rising; labels: one per id, numbers or distributions; weights: (n,) of their losses, None: all alike."""

    ids: np.ndarray
    labels: Labels
    weights: np.ndarray | None = None


class Fit:
    """One fit of a role's model, made only if somebody asks for something that no earlier run has recorded.

    identity: of the fit, as `identity.fit_identity` gives it
    roles: whose weights the training set depends on, beside the role's own
    part: what the fit is in this run; its costs are PART_train, PART_evaluate, PART_steps, ...
    """

    def __init__(
        self,
        s: Succession,
        role: str,
        cycle: int,
        identity: dict[str, Any],
        training_set: TrainingSet,
        *,
        roles: tuple[str, ...] = (),
        watch: Watch = UNWATCHED,
        part: str = "successor",
    ) -> None:
        self.identity, self.training_set = identity, training_set
        self._s, self._role, self._cycle, self._watch, self._part = s, role, cycle, watch, part
        self.roles = (role, *(other for other in roles if other != role))
        self._clock: Clock | None = None

    @cached_property
    def learner(self) -> Learner:
        return self._s.learner(self._role)

    @cached_property
    def model(self) -> Model:
        """Fitted now; valid until the role's learner fits again."""
        self._clock = self._s.clock(self.learner, f"{self._part}_")
        self._clock.seconds |= setup_seconds(self.learner, self._s.pool)
        chosen = self.training_set
        with self._clock.phase("train"):
            model = self.learner.fit(
                self._s.pool,
                chosen.ids,
                chosen.labels,
                fit_seeds(self._s.config, self._cycle),
                weights=chosen.weights,
                watch=self._watch,
            )
        self._clock.move(model.costs.capture_seconds, "train", "capture")
        return model

    def spent(self) -> Costs:
        """What the fit cost by now, in seconds, steps and sub-words."""
        return named(self._costs(), self._part)

    def evaluated(self) -> Step:
        """Its metrics on the test split, computed or remembered."""
        step = self._s.steps.get(self.identity, self.roles, self._evaluate)
        return replace(step, costs=named(step.costs, self._part))

    def _evaluate(self) -> Step:
        model = self.model
        assert self._clock is not None
        with self._clock.phase("evaluate"):
            metrics, _ = tested(model, self._s.corpus)
        return Step(metrics, costs=self._costs())

    def _costs(self) -> Costs:
        """Without the part's name: another run may know the same fit as another part."""
        assert self._clock is not None, "the fit is made"
        counts = {"steps": self.model.costs.steps, "tokens": self.model.costs.tokens}
        return Costs(dict(self._clock.seconds), {**counts, "peak_memory_bytes": self.learner.peak_memory()})


def named(costs: Costs, part: str) -> Costs:
    """The same costs with the part's name before each; the peak of memory is the process's."""
    counts = {
        key if key == "peak_memory_bytes" else f"{part}_{key}": value for key, value in costs.counts.items()
    }
    seconds = {
        # The first successor and the last have one learner, which is set up once.
        f"{part.removeprefix('first_') if happens_once(phase) else part}_{phase}": value
        for phase, value in costs.seconds.items()
    }
    return Costs(seconds, counts, costs.machine)


def succeed(s: Succession, labelled: np.ndarray, cycle: int) -> tuple[dict[str, float], Costs]:
    """Test metrics of a successor fitted from scratch on the gold labels of `labelled`, and what they cost.

    labelled: ids of the training split, rising
    cycle: picks the fit's random streams, the same as the acquisition model's
    """
    identity = fit_identity(s.config, s.precision, cycle, "successor")
    step = Fit(s, "successor", cycle, identity, gold(s, labelled)).evaluated()
    return step.values, step.costs


def gold(s: Succession, labelled: np.ndarray) -> TrainingSet:
    return TrainingSet(labelled, s.corpus.train.labels[labelled])
