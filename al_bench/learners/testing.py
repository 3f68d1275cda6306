"""A fitted model on the test split: the one place where test labels are looked at."""

import numpy as np

from al_bench.data.corpus import Corpus
from al_bench.data.metrics import calibration_error, evaluate
from al_bench.data.ragged import Ragged, values_of
from al_bench.learners.base import Model, Unlabelled


def evaluate_on_test(model: Model, corpus: Corpus) -> dict[str, float]:
    """Metrics on the test split, in float32 whatever the precision of the run."""
    predictions = model.predict(Unlabelled(corpus.test.inputs), np.arange(len(corpus.test)), exact=True)
    metrics = evaluate(corpus.task, corpus.label_names, corpus.test.labels, predictions.labels())
    # Of each prediction the confidence, and whether it is right; tagging: of the surviving words.
    probs, gold = values_of(predictions.probs), values_of(corpus.test.labels)
    if isinstance(predictions.probs, Ragged):
        gold = gold[predictions.places()]
    return {**metrics, "ece": calibration_error(probs.max(axis=1), probs.argmax(axis=1) == gold)}
