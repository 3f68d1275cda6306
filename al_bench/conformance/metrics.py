"""What a metric promises."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from al_bench.config.schema import TASKS
from al_bench.conformance.suite import Broken, Suite, require_description, usable
from al_bench.conformance.synthetic import SyntheticLearner, corpus_of, frozen
from al_bench.data.corpus import Corpus
from al_bench.data.metrics import is_shipped
from al_bench.data.ragged import like
from al_bench.errors import reject
from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.metrics import METRICS, measured
from al_bench.learners.predictions import Predictions

Trial = tuple[Corpus, Predictions]


@dataclass(frozen=True)
class Subject:
    name: str

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        METRICS[name].typed({}, "params")
        if params:
            raise reject("params", [*params], "no run sets the settings of a metric", "leave them out")
        return cls(name)

    def values(self, corpus: Corpus, predictions: Predictions) -> dict[str, float]:
        return measured(self.name, predictions, corpus.test.labels, corpus.label_names)

    def trials(self) -> list[Trial]:
        """Of the tasks that it works on."""
        return usable(map(predicted, TASKS), lambda trial: self.values(*trial))


def predicted(task: str) -> Trial:
    """A corpus, and a model's predictions of its test split."""
    corpus = corpus_of(task, test=30)
    learner, ids = SyntheticLearner(task, len(corpus.label_names)), np.arange(20)
    model = learner.fit(Unlabelled(corpus.train.inputs), ids, corpus.train.labels[ids], FitSeeds(0, 0, 0))
    predictions = model.predict(Unlabelled(corpus.test.inputs), np.arange(30), exact=True)
    frozen(predictions.probs), frozen(predictions.kept)
    return corpus, predictions


def measures_predictions(subject: Subject) -> None:
    """Gives a finite number, or several by name, of the predictions of one task or of both."""
    for corpus, predictions in subject.trials():
        subject.values(corpus, predictions)


def says_what_it_is(subject: Subject) -> None:
    """Tells its summary and its code, and has a name of its own."""
    require_description(METRICS[subject.name], {})
    METRICS.code(subject.name)
    if is_shipped(subject.name):
        raise Broken("has the name of a metric that every run has", "give it another name")


def gives_the_same(subject: Subject) -> None:
    """Gives the same of the same predictions, however often."""
    for corpus, predictions in subject.trials():
        if subject.values(corpus, predictions) != subject.values(corpus, predictions):
            raise Broken(f"gives another number each time ({corpus.task})", "draw nothing, and keep no state")


def knows_its_better_end(subject: Subject) -> None:
    """Finds perfect predictions no worse than wrong ones."""
    for corpus, predictions in subject.trials():
        gold = predictions.surviving(corpus.test.labels)
        eye = np.eye(len(corpus.label_names), dtype=np.float32)
        ends = []
        for labels in (gold, (gold + 1) % len(eye)):
            probs = like(predictions.probs, frozen(eye[labels]))
            ends.append(subject.values(corpus, replace(predictions, probs=probs)))
        perfect, wrong = (values.get(subject.name) for values in ends)
        if perfect is None or wrong is None:  # several numbers, by names
            continue
        lower = METRICS[subject.name].lower_is_better
        if perfect > wrong if lower else perfect < wrong:
            broken = f"gives {perfect:g} for perfect predictions, {wrong:g} for wrong ones ({corpus.task})"
            raise Broken(broken, f"declare lower_is_better={not lower}")


SUITE = Suite(METRICS, Subject.of, (measures_predictions, says_what_it_is, gives_the_same, knows_its_better_end))
