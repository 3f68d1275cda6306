"""Scores of predictions against numbers worked out by hand, an independent reference, and what all of them owe."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al_bench.acquisition.aggregates import AGGREGATES
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.data.ragged import Ragged
from al_bench.learners.predictions import Predictions

TEXTS = [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.7, 0.2, 0.1]]
WORDS = [[[0.5, 0.5], [0.8, 0.2]], [[0.9, 0.1]], [], [[1.0, 0.0], [0.6, 0.4], [0.5, 0.5]]]
SCORES = [name for name, strategy in STRATEGIES.items() if strategy.form == "by_score"]
UNCERTAINTY = [name for name in SCORES if STRATEGIES[name].needs]


def texts(rows: Sequence[Sequence[float]]) -> Predictions:
    return Predictions(np.array(rows, dtype=np.float32))


def sentences(rows: Sequence[Sequence[Sequence[float]]], tags: int = 2) -> Predictions:
    flat = np.array([word for row in rows for word in row], dtype=np.float32).reshape(-1, tags)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    kept = np.array([i for row in rows for i in range(len(row))], dtype=np.int64)
    return Predictions(Ragged(flat, offsets), kept, np.diff(offsets))


def score(name: str, predictions: Predictions, aggregate: str = "mean", seed: int = 0) -> np.ndarray:
    return STRATEGIES[name].call(predictions, np.random.default_rng(seed), aggregate)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("least_confidence", [0.5, 0.0, 0.3]),
        ("entropy", [1.5 * math.log(2), 0.0, 0.8018185525433372]),
        ("breaking_ties", [0.75, 0.0, 0.5]),
    ],
)
def test_texts_by_hand(name, expected):
    assert score(name, texts(TEXTS)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "aggregate", "expected"),
    [
        ("least_confidence", "mean", [0.35, 0.1, 0.0, 0.3]),
        ("least_confidence", "max", [0.5, 0.1, 0.0, 0.5]),
        ("least_confidence", "sum", [0.7, 0.1, 0.0, 0.9]),
        ("breaking_ties", "mean", [0.7, 0.2, 0.0, 0.6]),
        ("breaking_ties", "max", [1.0, 0.2, 0.0, 1.0]),
        ("breaking_ties", "sum", [1.4, 0.2, 0.0, 1.8]),
        ("entropy", "mean", [0.5967747959, 0.3250829734, 0.0, 0.4553862839]),
        ("entropy", "max", [0.6931471806, 0.3250829734, 0.0, 0.6931471806]),
        ("entropy", "sum", [1.1935495917, 0.3250829734, 0.0, 1.3661588518]),
        ("mnlp", "mean", [0.4581453659, 0.1053605157, 0.0, 0.4013242681]),
    ],
)
def test_sentences_by_hand(name, aggregate, expected):
    assert score(name, sentences(WORDS), aggregate) == pytest.approx(expected, abs=1e-6)


def test_mnlp_is_normalised_by_length_whatever_the_aggregate():
    for aggregate in AGGREGATES:
        assert score("mnlp", sentences(WORDS), aggregate) == pytest.approx(score("mnlp", sentences(WORDS)))


# ------------------------------------------------------------------------- the same in plain Python


def of_row(name: str, p: Sequence[float]) -> float:
    ordered = sorted(p, reverse=True)
    return {
        "least_confidence": lambda: 1 - ordered[0],
        "entropy": lambda: sum(-x * math.log(x) for x in p if x > 0),
        "breaking_ties": lambda: 1 - (ordered[0] - ordered[1]),
        "mnlp": lambda: -math.log(ordered[0]),
    }[name]()


def of_sentence(name: str, rows: Sequence[Sequence[float]], aggregate: str) -> float:
    each = [of_row(name, row) for row in rows]
    if not each:
        return 0.0
    if name == "mnlp" or aggregate == "mean":
        return math.fsum(each) / len(each)
    return max(each) if aggregate == "max" else math.fsum(each)


def distribution(classes: int) -> st.SearchStrategy[list[float]]:
    """Rows that sum to 1, with exact zeros and ones among them, as float32 holds them."""
    weights = st.lists(st.sampled_from([0, 0, 1, 2, 5, 97]), min_size=classes, max_size=classes).filter(any)
    return weights.map(lambda w: (np.array(w) / sum(w)).astype(np.float32).tolist())


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 5).flatmap(lambda c: st.lists(distribution(c), min_size=1, max_size=6)))
@pytest.mark.parametrize("name", [n for n in UNCERTAINTY if "classification" in STRATEGIES[n].tasks])
def test_texts_like_the_reference(name, rows):
    assert score(name, texts(rows)) == pytest.approx([of_row(name, row) for row in rows], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(distribution(3), max_size=4), min_size=1, max_size=6))
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("name", UNCERTAINTY)
def test_sentences_like_the_reference(name, aggregate, rows):
    expected = [of_sentence(name, row, aggregate) for row in rows]
    assert score(name, sentences(rows, 3), aggregate) == pytest.approx(expected, abs=1e-9)


# ----------------------------------------------------------- what every function of predictions owes

CASES = [(name, task) for name in SCORES for task in STRATEGIES[name].tasks]
conformance = pytest.mark.parametrize(("name", "task"), CASES)
looking = pytest.mark.parametrize(("name", "task"), [case for case in CASES if STRATEGIES[case[0]].needs])


def some(task: str, n: int = 40) -> Predictions:
    """Random distributions with exact zeros and ones, and sentences of 0 to 5 words."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(0, 6, n) if task == "tagging" else np.ones(n, dtype=np.int64)
    probs = rng.dirichlet(np.full(4, 0.3), lengths.sum()).astype(np.float32)
    probs[:3] = np.eye(4, dtype=np.float32)[:3]
    if task == "classification":
        return Predictions(probs)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Predictions(Ragged(probs, offsets), np.zeros(len(probs), dtype=np.int64), lengths)


def taken(predictions: Predictions, ids: np.ndarray) -> Predictions:
    return Predictions(predictions.probs[ids], lengths=ids)


@conformance
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_gives_a_finite_number_per_candidate(name, task, aggregate):
    scores = score(name, some(task), aggregate)
    assert scores.shape == (40,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@conformance
def test_no_candidates_no_scores(name, task):
    assert score(name, taken(some(task), np.empty(0, dtype=np.int64))).shape == (0,)


@conformance
def test_leaves_its_input_alone_and_repeats_itself(name, task):
    predictions = some(task)
    probs = predictions.probs.values if task == "tagging" else predictions.probs
    before = probs.copy()
    probs.setflags(write=False)
    first = score(name, predictions)
    assert np.array_equal(probs, before)
    assert np.array_equal(score(name, predictions), first)


@looking
def test_an_example_scores_the_same_in_any_company(name, task):
    predictions = some(task)
    order = np.random.default_rng(1).permutation(40)[:25]
    expected = score(name, predictions)[order]
    assert score(name, taken(predictions, order)) == pytest.approx(expected, abs=1e-12)


@looking
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_the_hard_example_ranks_above_the_easy_one(name, task, aggregate):
    easy, medium, hard = [0.98, 0.01, 0.01], [0.7, 0.2, 0.1], [0.34, 0.33, 0.33]
    if task == "tagging":
        scores = score(name, sentences([[medium] * 2, [easy] * 2, [hard] * 2, []], 3), aggregate)
        assert scores.argsort().tolist() == [3, 1, 0, 2]
    else:
        assert score(name, texts([medium, easy, hard]), aggregate).argsort().tolist() == [1, 0, 2]


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_diverged_probabilities_show(name):
    """The loop refuses a NaN; a strategy must not turn it into a rank."""
    words = sentences([[[math.nan, math.nan]], [[0.5, 0.5]]])
    assert np.isnan(score(name, words)).tolist() == [True, False]


def test_random_prefers_nobody():
    predictions = Predictions.blank(2000)
    first, second = score("random", predictions, seed=1), score("random", predictions, seed=2)
    assert np.array_equal(first, score("random", predictions, seed=1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, np.arange(2000))[0, 1]) < 0.1
