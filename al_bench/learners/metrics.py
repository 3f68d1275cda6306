"""Metrics that a run asks for by name, beside those that every run has. Those from outside have the same rights.

    metric(predictions, gold, label_names) -> a number, or numbers by name

predictions: of the test split; gold: its labels, of tagging one for every word
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from al_bench.data.corpus import Labels
from al_bench.data.metrics import is_shipped
from al_bench.data.ragged import values_of
from al_bench.errors import UserError, first_line, reject
from al_bench.learners.predictions import Predictions
from al_bench.plugins import Component, Registry

SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Metric(Component):
    """lower_is_better: so that tables know which of several is the best"""

    lower_is_better: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("predictions", "gold", "label_names")


def brier(predictions: Predictions, gold: Labels, label_names: Sequence[str]) -> float:
    """squared distance between probabilities and the gold label, 0 to 2; of words in tagging

    The mean of sum_c (p_c - [c is gold])^2 (Brier 1950), over texts or surviving words.
    """
    probs, own = values_of(predictions.probs).astype(np.float64), predictions.surviving(gold)
    return float(np.mean((probs**2).sum(axis=1) - 2 * probs[np.arange(len(own)), own] + 1))


def nll(predictions: Predictions, gold: Labels, label_names: Sequence[str]) -> float:
    """negative log-probability of the gold label in nats; of words in tagging

    The mean over texts or surviving words. A probability that float32 rounds to 0 counts as its smallest number, 87
    nats.
    """
    probs, own = values_of(predictions.probs), predictions.surviving(gold)
    return float(-np.mean(np.log(np.maximum(probs[np.arange(len(own)), own], SMALLEST, dtype=np.float64))))


METRICS = Registry(
    "metric",
    "metrics",
    Metric.of,
    {"brier": Metric.of(brier, lower_is_better=True), "nll": Metric.of(nll, lower_is_better=True)},
)


def measured(name: str, predictions: Predictions, gold: Labels, label_names: Sequence[str]) -> dict[str, float]:
    """What a metric gives: NAME, or NAME_KEY of several. Raises `UserError` for what is no number, and for names that
    other metrics have.
    """
    try:
        given = METRICS[name].call(predictions, gold, label_names)
        several = {f"{name}_{key}": value for key, value in given.items()} if isinstance(given, Mapping) else None
        values = {key: float(value) for key, value in ({name: given} if several is None else several).items()}
    except UserError:
        raise
    except Exception as error:  # whatever a metric of somebody else's raises
        broken = f"fails ({type(error).__name__}: {first_line(error)})"
        raise reject("metrics", name, broken, "mend it, or leave it out") from error
    for key, value in values.items():
        if is_shipped(key):
            raise reject("metrics", name, f"{key} is a metric that every run has", "give it another name")
        if not math.isfinite(value):
            remedy = "mend it, or lower the learning rate if training diverged"
            raise reject("metrics", name, f"{key} is {value} on the test split, which is no finite number", remedy)
    return values


def lower_is_better(name: str) -> bool | None:
    """Of a metric as ledgers name it; None where it comes from outside and is not there."""
    parts = name.split("_")
    for end in range(len(parts), 0, -1):  # NAME_KEY is of NAME
        if (known := "_".join(parts[:end])) in METRICS:
            return METRICS[known].lower_is_better
    return None
