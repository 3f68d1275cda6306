"""A learner on trial: built from its settings for a synthetic corpus, fitted, and asked for predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from al_bench.config.schema import SOURCE, ModelConfig, RunConfig, StrategyConfig, TrainingConfig
from al_bench.conformance.rounds import config_of
from al_bench.conformance.synthetic import corpus_of, frozen
from al_bench.data.corpus import Corpus
from al_bench.errors import reject
from al_bench.learners.base import UNWATCHED, FitSeeds, Learner, Model, Unlabelled, Watch
from al_bench.learners.families import LEARNERS, LearnerKind
from al_bench.learners.predictions import Predictions
from al_bench.plugins import Component

SEEDS, LABELLED = FitSeeds(1, 2, 0), 40
# Few steps, from which a small encoder with random weights learns.
TRAINING = {"learning_rate": 1e-3, "epochs": 10, "min_steps": 0}


@dataclass(frozen=True)
class Trial:
    """config: as a role of a run has it, with open values"""

    config: ModelConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Trial":
        """params: the learner's own settings, and keys of `ModelConfig`, such as path=FOLDER or training.epochs=3"""
        kind = LEARNERS[name]
        keys = {one.name for one in fields(ModelConfig)} - {"name", "learner", "params"} - set(kind.parameters)
        settings = {key: value for key, value in params.items() if key in keys}
        own = kind.typed({key: value for key, value in params.items() if key not in keys}, "params")
        if kind.has_source(ModelConfig()) and not settings.keys() & set(SOURCE):
            raise reject("check", name, "reads a model's files", f"say which: al-bench check {name} path=FOLDER")
        training = _typed(TrainingConfig, {**TRAINING, **settings.pop("training", {})}, "training")
        model = _typed(ModelConfig, {**settings, "name": "subject", "learner": name, "params": own}, "check")
        trial = cls(replace(model, training=training))
        trial.check()
        return trial

    def check(self) -> None:
        """Raise `UserError` where its models could not be built."""
        for corpus in self.corpora():
            model, needs = self.run(corpus.task).acquisition, frozenset(self.kind.gives)
            self.kind.learner.check("acquisition", model, corpus.task, len(corpus.label_names), needs)

    @property
    def kind(self) -> LearnerKind:
        return LEARNERS[self.config.learner]

    def run(self, task: str) -> RunConfig:
        """Of three queries, which the model acquires."""
        return config_of(task, "examples", StrategyConfig("least_confidence"), acquisition=self.config)

    def learner(self, corpus: Corpus, precision: str = "float32") -> Learner:
        model = self.run(corpus.task).acquisition
        facts: Any = ("acquisition", model, corpus.task, corpus.label_names, self.device, precision, None, frozenset())
        return self.kind.learner(*facts, **model.params)

    @cached_property
    def device(self) -> Any:
        if not self.kind.source:
            return "cpu"
        import torch  # one of numpy alone needs none

        return torch.device("cpu")

    def corpora(self) -> Iterator[Corpus]:
        yield from (corpus_of(task) for task in self.kind.tasks)

    def fitted(
        self,
        corpus: Corpus,
        watch: Watch = UNWATCHED,
        weights: np.ndarray | None = None,
        *,
        learner: Learner | None = None,
        seeds: FitSeeds = SEEDS,
        start: int = 0,
    ) -> Model:
        """On 40 examples. learner: another than a new one; start: the first example"""
        ids = frozen(np.arange(start, min(start + LABELLED, len(corpus.train))))
        learner = learner or self.learner(corpus)
        labels = frozen(corpus.train.labels[ids])
        return learner.fit(Unlabelled(corpus.train.inputs), ids, labels, seeds, weights=weights, watch=watch)

    def predictions(self, corpus: Corpus, ids: np.ndarray | None = None, **facts: Any) -> Predictions:
        """By a model that is fitted as `facts` say."""
        ids = np.arange(len(corpus.train)) if ids is None else ids
        return self.fitted(corpus, **facts).predict(Unlabelled(corpus.train.inputs), frozen(ids))


def _typed(kind: Any, values: Mapping[str, Any], key: str) -> Any:
    """A dataclass of the config's schema. Raises `UserError` for a value of another type."""
    of_type = Component(kind, params=kind).typed(values, key)
    return kind(**{name: of_type[name] for name in values})
