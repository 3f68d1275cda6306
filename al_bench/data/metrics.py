"""Metrics of predictions: accuracy and F1 of classes and plain tags, F1 of spans; and what they are without a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from al_bench.config.schema import PLAIN_TAGGING
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.data.tags import are_spans

SHIPPED = ("accuracy", "macro_f1", "micro_f1", "precision", "recall", "f1", "word_accuracy", "ece")
Span = tuple[str, int, int]  # type, first and last word, counted through the corpus


def headline(kind: str) -> str:
    """The metric that tables show by default. kind: a task, or `PLAIN_TAGGING`"""
    return {"tagging": "f1", PLAIN_TAGGING: "word_accuracy"}.get(kind, "accuracy")


def is_shipped(name: str) -> bool:
    """Whether a metric is one that every run has, on some task; f1_TYPE is of an entity type or a tag."""
    return name in SHIPPED or name.startswith("f1_")


def headline_among(metrics: Mapping[str, float]) -> str:
    """The headline of metrics that `evaluate` gave, of whatever task."""
    return next(name for name in ("f1", "accuracy", "word_accuracy") if name in metrics)


def evaluate(task: str, label_names: Sequence[str], gold: Labels, predicted: Labels) -> dict[str, float]:
    """Metrics in [0, 1] by name, always in the same order.

    gold, predicted: (n,) class numbers, or `Ragged` tag numbers of equal lengths

    classification: accuracy, macro_f1 (mean over the classes that occur in gold), micro_f1
    tagging: precision, recall and f1 of spans (conlleval's reading, by seqeval), word_accuracy, and f1_TYPE
    for each type that occurs in gold or in the predictions
    plain tagging: word_accuracy, macro_f1 (mean over the tags that occur in gold), and f1_TAG for each of these
    """
    if task == "tagging":
        assert isinstance(gold, Ragged)
        assert isinstance(predicted, Ragged)
        assert np.array_equal(gold.offsets, predicted.offsets), "one predicted tag per word"
        score = _spans if are_spans(label_names) else _plain_tags
        return score(label_names, gold, predicted)
    from sklearn.metrics import f1_score

    def f1(average: str, labels: np.ndarray) -> float:
        return float(f1_score(gold, predicted, average=average, labels=labels, zero_division=0))

    assert isinstance(gold, np.ndarray)
    assert isinstance(predicted, np.ndarray)
    return {
        "accuracy": float(np.mean(gold == predicted)),
        "macro_f1": f1("macro", np.unique(gold)),
        "micro_f1": f1("micro", np.union1d(gold, predicted)),
    }


def majority(corpus: Corpus) -> dict[str, float]:
    """Metrics on the test split of always predicting the label that is most frequent there; and its examples.

    Of tags that is O nearly always, which finds no span.
    """
    gold = corpus.test.labels
    label = np.bincount(values_of(gold)).argmax()
    constant = like(gold, np.full_like(values_of(gold), label))
    return {**evaluate(corpus.task, corpus.label_names, gold, constant), "examples": len(corpus.test)}


def at_chance(score: Any, baseline: Any, examples: Any) -> Any:
    """Whether a score on a test split of so many examples is not clearly above what `majority` scores there.

    Clearly are 1.645 standard errors of a share, which one sample in twenty exceeds by chance. Where the baseline is 0,
    one hit is enough. Numbers, or arrays of them; NaN is not at chance.
    """
    return score <= baseline + 1.645 * np.sqrt(baseline * (1 - baseline) / examples)


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017).

    confidence: (n,) probability of each prediction; right: (n,) bool
    """
    if not len(confidence):
        return 0.0
    confidence = confidence.astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _spans(label_names: Sequence[str], gold: Ragged, predicted: Ragged) -> dict[str, float]:
    from seqeval.metrics.sequence_labeling import get_entities

    names = np.array(label_names, dtype=object)
    true, guess = (set(get_entities([names[row].tolist() for row in tags.rows()])) for tags in (gold, predicted))
    metrics = dict(zip(("precision", "recall", "f1"), _scores(true, guess), strict=True))
    metrics["word_accuracy"] = float(np.mean(gold.values == predicted.values))
    for kind in sorted({kind for kind, _, _ in true | guess}):
        of_kind = ({span for span in spans if span[0] == kind} for spans in (true, guess))
        metrics[f"f1_{kind}"] = _scores(*of_kind)[2]
    return metrics


def _plain_tags(label_names: Sequence[str], gold: Ragged, predicted: Ragged) -> dict[str, float]:
    from sklearn.metrics import f1_score

    tags = np.unique(gold.values)
    scores = f1_score(gold.values, predicted.values, average=None, labels=tags, zero_division=0)
    of_tags = {f"f1_{label_names[tag]}": float(score) for tag, score in zip(tags, scores, strict=True)}
    accuracy = float(np.mean(gold.values == predicted.values))
    return {"word_accuracy": accuracy, "macro_f1": float(scores.mean()), **of_tags}


def _scores(true: set[Span], guess: set[Span]) -> tuple[float, float, float]:
    """Precision, recall and F1 of exact matches; 0 where nothing can match."""
    hits = len(true & guess)
    return hits / max(len(guess), 1), hits / max(len(true), 1), 2 * hits / max(len(true) + len(guess), 1)
