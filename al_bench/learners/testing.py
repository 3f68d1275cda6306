"""A fitted model on the test split: the one place where test labels are looked at."""

import numpy as np

from al_bench.data.corpus import Corpus, Labels
from al_bench.data.metrics import calibration_error, evaluate
from al_bench.data.ragged import Ragged
from al_bench.learners.base import Model, Unlabelled
from al_bench.learners.predictions import Predictions


def tested(model: Model, corpus: Corpus) -> dict[str, float]:
    """Metrics on the test split, in float32 whatever the precision of the run."""
    said = model.predict(Unlabelled(corpus.test.inputs), np.arange(len(corpus.test)), exact=True)
    metrics = evaluate(corpus.task, corpus.label_names, corpus.test.labels, said.labels())
    return {**metrics, "ece": calibration_error(*_confidences(said, corpus.test.labels))}


def _confidences(said: Predictions, gold: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each prediction, and whether it is right; tagging: of each surviving word."""
    if not isinstance(said.probs, Ragged):
        return said.probs.max(axis=1), said.probs.argmax(axis=1) == gold
    assert isinstance(gold, Ragged)
    probs = said.probs.values
    return probs.max(axis=1), probs.argmax(axis=1) == gold.values[said.places()]
