"""Scores against numbers worked out by hand, an independent reference, and what every strategy owes."""

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from al_bench.acquisition.aggregates import AGGREGATES
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.distance import Reference, distances
from al_bench.data.ragged import Ragged
from al_bench.learners.predictions import Predictions

TEXTS = [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.7, 0.2, 0.1]]
WORDS = [[[0.5, 0.5], [0.8, 0.2]], [[0.9, 0.1]], [], [[1.0, 0.0], [0.6, 0.4], [0.5, 0.5]]]
UNCERTAINTY = [name for name, strategy in STRATEGIES.items() if strategy.form == "by_score" and strategy.needs]


def texts(rows: Sequence[Sequence[float]]) -> Predictions:
    """The embeddings of a text are its probabilities."""
    probs = np.array(rows, dtype=np.float32)
    return Predictions(probs, embeddings=probs)


def labelled(points: np.ndarray | Sequence[Sequence[float]], labels: Sequence[int] | np.ndarray) -> Reference:
    points = np.array(points, dtype=np.float32)
    return Reference(Predictions(np.full((len(points), 2), 0.5), embeddings=points), np.array(labels))


def sentences(rows: Sequence[Sequence[Sequence[float]]], tags: int = 2) -> Predictions:
    flat = np.array([word for row in rows for word in row], dtype=np.float32).reshape(-1, tags)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    kept = np.array([i for row in rows for i in range(len(row))], dtype=np.int64)
    return Predictions(Ragged(flat, offsets), kept, np.diff(offsets))


def score(name: str, predictions: Predictions, aggregate: str = "mean", seed: int = 0) -> np.ndarray:
    function = STRATEGIES[name].call
    if name == "mahalanobis":
        assert isinstance(predictions.probs, np.ndarray)
        classes = predictions.probs.shape[1]
        corners = np.concatenate([np.eye(classes), 0.95 * np.eye(classes) + 0.05 / classes])
        return distances(predictions, labelled(corners, [*range(classes)] * 2))
    return function(predictions, np.random.default_rng(seed), aggregate)


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


# ------------------------------------------------------------------------------------- distances


def far(points: np.ndarray | Sequence[Sequence[float]], reference: Reference) -> np.ndarray:
    points = np.array(points, dtype=np.float32)
    predictions = Predictions(np.full((len(points), 2), 0.5, dtype=np.float32), embeddings=points)
    return distances(predictions, reference)


def pair_by_pair(points: np.ndarray, reference: Reference, ridge: float = 0.0) -> list[float]:
    """The definition in float64, with scipy's distance of two vectors."""
    seen = reference.predictions.embeddings.astype(np.float64)
    centroids = {c: seen[reference.labels == c].mean(axis=0) for c in reference.labels}
    residuals = np.array([x - centroids[c] for x, c in zip(seen, reference.labels, strict=True)])
    covariance = sum(np.outer(r, r) for r in residuals) / len(seen)
    covariance = covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    return [
        min(distance.mahalanobis(x.astype(np.float64), m, inverse) ** 2 for m in centroids.values()) for x in points
    ]


def test_mahalanobis_by_hand_on_a_line():
    """Means 1 and 12; variance (1 + 1 + 4 + 4) / 4."""
    reference = labelled([[0], [2], [10], [14]], [0, 0, 1, 1])
    assert far([[1], [4], [7], [-9]], reference) == pytest.approx([0.0, 3.6, 10.0, 40.0], rel=1e-5, abs=1e-9)


def test_mahalanobis_by_hand_in_the_plane():
    """Means (0, 0) and (10, 0); variances 2 / 5 and 8 / 5. A class of one example has a mean, and no spread."""
    reference = labelled([[1, 0], [-1, 0], [10, 0], [0, 2], [0, -2]], [2, 2, 0, 2, 2])
    points = [[2, 2], [10, 4], [10, 0], [6, 0], [4, 0]]
    assert far(points, reference) == pytest.approx([12.5, 10.0, 0.0, 40.0, 40.0], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("width", "classes", "n"), [(1, 2, 12), (2, 1, 8), (4, 3, 60), (16, 20, 200)])
def test_mahalanobis_like_scipy_pair_by_pair(width, classes, n):
    rng = np.random.default_rng(width)
    mixing = rng.normal(size=(width, width))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    reference = labelled(rng.normal(size=(n, width)) @ mixing + 3 * labels[:, None], labels)
    points = (rng.normal(size=(50, width)) @ mixing + 3).astype(np.float32)
    assert far(points, reference) == pytest.approx(pair_by_pair(points, reference), rel=1e-3)
    assert far(points, reference) == pytest.approx(pair_by_pair(points, reference, ridge=1e-6), rel=1e-8)


@pytest.mark.parametrize("n", [3, 10, 30])
def test_mahalanobis_with_fewer_texts_than_directions(n):
    rng = np.random.default_rng(n)
    reference = labelled(rng.normal(size=(n, 32)), np.arange(n) % 2)
    points = rng.normal(size=(20, 32)).astype(np.float32)
    assert far(points, reference) == pytest.approx(pair_by_pair(points, reference, ridge=1e-6), rel=1e-6)


def test_mahalanobis_on_collinear_embeddings():
    """Labelled texts differ along (1, 2) alone: who leaves the line is farther than who stays on it."""
    steps = np.array([-2, -1, 1, 2, 8, 9, 11, 12])
    reference = labelled(steps[:, None] * [1, 2], steps > 5)
    on_the_line, off = [[5, 10], [-3, -6], [20, 40]], [[0, 1], [10, 19]]
    scores = far(on_the_line + off, reference)
    assert scores[:3] == pytest.approx([25 / 2.5, 9 / 2.5, 100 / 2.5], rel=1e-5)
    assert scores[3:].min() > scores[:3].max()
    points = np.array(on_the_line + off, dtype=np.float32)
    assert scores == pytest.approx(pair_by_pair(points, reference, ridge=1e-6), rel=1e-6)


def test_mahalanobis_without_any_spread_is_euclidean():
    ones = labelled([[0, 0], [10, 0]], [4, 7])
    assert far([[0, 3], [4, 0], [9, 1], [10, 0]], ones) == pytest.approx([9, 16, 2, 0], abs=1e-12)
    repeated = labelled([[0.1, 0.7]] * 3 + [[10.3, 0.7]] * 7, [0] * 3 + [1] * 7)
    scores = far([[0.1, 3.7], [4.1, 0.7], [10.3, 0.7]], repeated)
    assert scores == pytest.approx([9, 16, 0], rel=1e-5, abs=1e-9), "rounding in a mean is no spread"


@pytest.mark.parametrize("n", [6, 40, 400])
def test_mahalanobis_ranks_a_far_away_text_first(n):
    """Also where it is far in a direction in which no labelled text differs."""
    rng = np.random.default_rng(n)
    labels = np.arange(n) % 3
    centres = 5 * np.eye(3, 64)
    seen, points = (centres[labels] + rng.normal(size=(n, 64)) for _ in range(2))
    seen[:, 60:] = points[:, 60:] = 0.5
    points[n // 2, 61] += 30
    assert far(points, labelled(seen, labels)).argmax() == n // 2


def test_mahalanobis_does_not_depend_on_units_origin_or_names_of_classes():
    rng = np.random.default_rng(5)
    seen, points, labels = rng.normal(size=(30, 6)), rng.normal(size=(20, 6)), np.arange(30) % 4
    expected = far(points, labelled(seen, labels))
    assert far(points * 1e-3, labelled(seen * 1e-3, labels)) == pytest.approx(expected, rel=1e-4)
    assert far(points + 100, labelled(seen + 100, labels)) == pytest.approx(expected, rel=1e-3)
    assert far(points, labelled(seen, 90 - 30 * labels)) == pytest.approx(expected, rel=1e-9)


def test_mahalanobis_computes_in_float64():
    """Variances of 1e-2 and 1e-8 around 50: in float32 the small one would drown."""
    rng = np.random.default_rng(6)
    seen, points = (50 + rng.normal(size=(k, 2)) * [0.1, 1e-4] for k in (40, 10))
    reference = labelled(seen, np.arange(40) % 2)
    points = points.astype(np.float32)
    scores = far(points, reference)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(pair_by_pair(points, reference, ridge=1e-6), rel=1e-6)


def test_mahalanobis_shows_diverged_embeddings():
    reference = labelled([[0, 0], [1, 0], [0, 1]], [0, 0, 1])
    assert np.isnan(far([[1, 1], [math.nan, 1]], reference)).tolist() == [False, True]
    broken = labelled([[0, 0], [math.nan, 0], [0, 1]], [0, 0, 1])
    assert np.isnan(far([[1, 1], [2, 1]], broken)).all()


def test_mahalanobis_leaves_what_is_known_alone():
    reference = labelled([[0, 0], [1, 0], [0, 1]], [0, 0, 1])
    before = reference.predictions.embeddings.copy()
    reference.predictions.embeddings.setflags(write=False)
    reference.labels.setflags(write=False)
    far([[1, 1]], reference)
    assert np.array_equal(reference.predictions.embeddings, before)


def test_mahalanobis_of_a_large_pool():
    """20,000 candidates in a few blocks of memory: 20,000 x 20,000 would be 3 GB, a row per class 2.5 GB."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 20, 1000)
    reference = labelled(rng.normal(size=(1000, 768)), labels)
    points = rng.normal(size=(20_000, 768)).astype(np.float32)
    points[4321] += 1
    probs = np.full((len(points), 2), 0.5, dtype=np.float32)
    predictions = Predictions(probs, embeddings=points)
    tracemalloc.start()
    scores = distances(predictions, reference)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert scores.argmax() == 4321
    some_of_each = [0, 4095, 4096, 19_999]
    assert scores[some_of_each] == pytest.approx(pair_by_pair(points[some_of_each], reference, 1e-6), rel=1e-6)


# --------------------------------------------------------------------------- what every strategy owes

SCORING = ["random", *UNCERTAINTY, "mahalanobis"]
CASES = [(name, task) for name in SCORING for task in STRATEGIES[name].tasks]
conformance = pytest.mark.parametrize(("name", "task"), CASES)
looking = pytest.mark.parametrize(("name", "task"), [case for case in CASES if STRATEGIES[case[0]].needs])


def some(task: str, n: int = 40) -> Predictions:
    """Random distributions with exact zeros and ones, and sentences of 0 to 5 words."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(0, 6, n) if task == "tagging" else np.ones(n, dtype=np.int64)
    probs = rng.dirichlet(np.full(4, 0.3), lengths.sum()).astype(np.float32)
    probs[:3] = np.eye(4, dtype=np.float32)[:3]
    if task == "classification":
        return Predictions(probs, embeddings=probs)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Predictions(Ragged(probs, offsets), np.zeros(len(probs), dtype=np.int64), lengths)


def taken(predictions: Predictions, ids: np.ndarray) -> Predictions:
    seen = predictions.embeddings
    return Predictions(predictions.probs[ids], lengths=ids, embeddings=None if seen is None else seen[ids])


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
