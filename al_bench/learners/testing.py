"""A fitted model on the test split: the one place where test labels are looked at."""

import numpy as np

from al_bench.data.corpus import Corpus, Labels
from al_bench.data.metrics import calibration_error, evaluate
from al_bench.data.ragged import Ragged
from al_bench.learners.base import Model, Unlabelled
from al_bench.learners.predictions import Predictions


def evaluate_on_test(model: Model, corpus: Corpus) -> tuple[dict[str, float], Labels]:
    """(metrics, predicted labels) on the test split, in float32 whatever the precision of the run."""
    predictions = model.predict(Unlabelled(corpus.test.inputs), np.arange(len(corpus.test)), exact=True)
    labels = predictions.labels()
    metrics = evaluate(corpus.task, corpus.label_names, corpus.test.labels, labels)
    return {**metrics, "ece": calibration_error(*_confidences(predictions, corpus.test.labels))}, labels


def _confidences(predictions: Predictions, gold: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each prediction, and whether it is right; tagging: of each surviving word."""
    if not isinstance(predictions.probs, Ragged):
        return predictions.probs.max(axis=1), predictions.probs.argmax(axis=1) == gold
    assert isinstance(gold, Ragged)
    probs = predictions.probs.values
    return probs.max(axis=1), probs.argmax(axis=1) == gold.values[predictions.places()]
