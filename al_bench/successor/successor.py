"""Fit the successor on the examples labelled by a cycle, and evaluate it: a function of the ledger."""

from collections.abc import Callable

import numpy as np

from al_bench.acquisition.loop import Costs, fit_seeds
from al_bench.config import RunConfig
from al_bench.data.corpus import Corpus
from al_bench.data.metrics import evaluate
from al_bench.learners.base import Learner, Unlabelled
from al_bench.timing import Clock, Listener


def succeed(
    config: RunConfig,
    corpus: Corpus,
    learner: Callable[[], Learner],
    labelled: np.ndarray,
    number: int,
    listener: Listener | None = None,
) -> tuple[dict[str, float], Costs]:
    """Test metrics of a successor fitted from scratch on `labelled`, and what they cost.

    labelled: ids of the training split, rising
    number: the cycle; it picks the fit's random streams, the same as the acquisition model's
    """
    model_of = learner()
    clock = Clock(model_of.synchronise, listener)
    with clock.phase("successor_train"):
        model = model_of.fit(
            Unlabelled(corpus.train.inputs),
            labelled,
            corpus.train.labels[labelled],
            fit_seeds(config, number),
        )
    with clock.phase("successor_evaluate"):
        said = model.predict(Unlabelled(corpus.test.inputs), np.arange(len(corpus.test)), exact=True)
        metrics = evaluate(corpus.task, corpus.label_names, corpus.test.labels, said.labels())
    counts = {"successor_steps": model.costs.steps, "successor_tokens": model.costs.tokens}
    return metrics, Costs(clock.seconds, {**counts, "peak_memory_bytes": model_of.peak_memory()})
