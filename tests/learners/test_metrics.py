"""Metrics that a run chooses: the shipped ones against scikit-learn and by hand, and what is refused."""

import numpy as np
import pytest
from fakes import corpus_of, fake_for
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import UserError
from al_bench.learners.base import FitSeeds, Unlabelled, evaluate_on_test
from al_bench.learners.metrics import brier, lower_is_better, measured, nll
from al_bench.learners.predictions import Predictions
from al_bench.plugins import _given

NAMES = ("a", "b", "c")


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 30))
def test_of_texts(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 5.0), n).astype(np.float32)
    gold = rng.integers(0, classes, n)
    predictions, names = Predictions(probs), tuple("abcdef"[:classes])
    assert nll(predictions, gold, names) == pytest.approx(log_loss(gold, probs, labels=range(classes)), rel=1e-4)
    target = np.eye(classes)[gold]
    assert brier(predictions, gold, names) == pytest.approx(np.mean(np.sum((probs - target) ** 2, axis=1)), abs=1e-6)


def test_of_words_that_survived() -> None:
    """The first sentence lost its middle word, the second all of its words."""
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], dtype=np.float32)
    predictions = Predictions(Ragged(probs, offsets_of([2, 0, 1])), np.array([0, 2, 0]), np.array([3, 2, 1]))
    gold = Ragged.of([[0, 1, 0], [1, 1], [0]])
    assert nll(predictions, gold, NAMES) == pytest.approx(-(np.log(0.9) + np.log(0.4) + np.log(0.8)) / 3)
    assert brier(predictions, gold, NAMES) == pytest.approx((0.02 + 0.72 + 0.08) / 3)


def test_the_best_and_the_worst() -> None:
    certain = Predictions(np.eye(3, dtype=np.float32))
    right, wrong = np.arange(3), (np.arange(3) + 1) % 3
    assert (brier(certain, right, NAMES), nll(certain, right, NAMES)) == (0, 0)
    assert brier(certain, wrong, NAMES) == 2
    assert 87 < nll(certain, wrong, NAMES) < 88, "no infinity, which no ledger could hold"


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_beside_those_that_every_run_has(task: str) -> None:
    corpus = corpus_of(task)
    model = fake_for(corpus).fit(Unlabelled(corpus.train.inputs), np.arange(9), corpus.train.labels, FitSeeds(0, 0, 0))
    usual = evaluate_on_test(model, corpus)
    assert evaluate_on_test(model, corpus, []) == usual
    more = evaluate_on_test(model, corpus, ["nll", "brier"])
    assert list(more) == [*usual, "nll", "brier"]
    assert {name: more[name] for name in usual} == usual


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch):
    return lambda function: monkeypatch.setitem(_given["metric"], "own", function)


PREDICTIONS, GOLD = Predictions(np.full((4, 3), 1 / 3, dtype=np.float32)), np.zeros(4, dtype=np.int64)


def test_several_numbers_of_one_metric(own) -> None:
    own(lambda predictions, gold, label_names: {name: np.float32(len(gold)) for name in label_names})
    assert measured("own", PREDICTIONS, GOLD, NAMES) == {"own_a": 4, "own_b": 4, "own_c": 4}
    assert lower_is_better("own_a") is False


def test_which_is_the_best() -> None:
    assert lower_is_better("brier") is True
    assert lower_is_better("gone_with_its_module") is None
    assert lower_is_better("no.such.module:metric_of") is None


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (np.nan, "own is nan on the test split"),
        ({"x": np.inf}, "own_x is inf on the test split"),
        ("high", "fails (ValueError: could not convert string to float: 'high')"),
        (None, "fails (TypeError"),
        (np.arange(3.0), "fails (TypeError"),
    ],
)
def test_what_is_no_number(own, answer, rule: str) -> None:
    own(lambda predictions, gold, label_names: answer)
    with pytest.raises(UserError) as error:
        measured("own", PREDICTIONS, GOLD, NAMES)
    assert str(error.value).startswith(f"metrics=own: {rule}")
    assert "\n" not in str(error.value)


def test_an_error_of_its_own_is_one_line_and_chained(own) -> None:
    def broken(predictions, gold, label_names):
        raise KeyError("price\nlist")

    own(broken)
    with pytest.raises(UserError, match=r"metrics=own: fails \(KeyError: ") as error:
        measured("own", PREDICTIONS, GOLD, NAMES)
    assert isinstance(error.value.__cause__, KeyError)


def test_a_name_that_is_taken(monkeypatch) -> None:
    monkeypatch.setitem(_given["metric"], "macro", lambda predictions, gold, label_names: {"f1": 0.5})
    with pytest.raises(UserError, match="metrics=macro: macro_f1 is a metric that every run has; give it another name"):
        measured("macro", PREDICTIONS, GOLD, NAMES)
    corpus = corpus_of()
    model = fake_for(corpus).fit(Unlabelled(corpus.train.inputs), np.arange(9), corpus.train.labels, FitSeeds(0, 0, 0))
    monkeypatch.setitem(_given["metric"], "own", lambda predictions, gold, label_names: {"x": 0.5})
    monkeypatch.setitem(_given["metric"], "own_x", lambda predictions, gold, label_names: 0.5)
    with pytest.raises(UserError, match="metrics=own_x: own_x is there already"):
        evaluate_on_test(model, corpus, ["own", "own_x"])
