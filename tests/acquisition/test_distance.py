"""Mahalanobis distances and densities of embeddings, against scipy and numbers worked out by hand."""

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from arrays import rows_of, scores_of, soft, vectors, view_of
from scipy.spatial import distance
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from al_bench.acquisition.strategies.distance import Reference, distances, rarities
from al_bench.learners.predictions import Predictions


def labelled(points: np.ndarray | Sequence[Sequence[float]], labels: Sequence[int] | np.ndarray) -> Reference:
    points = np.array(points, dtype=np.float32)
    return Reference(Predictions(np.full((len(points), 2), 0.5), embeddings=points), np.array(labels))


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


# ------------------------------------------------------------------------------------------------- DDU


def rare(points: np.ndarray | Sequence[Sequence[float]], reference: Reference) -> np.ndarray:
    points = np.array(points, dtype=np.float32)
    predictions = Predictions(np.full((len(points), 2), 0.5, dtype=np.float32), embeddings=points)
    return rarities(predictions, reference)


def mixture(seen: np.ndarray, labels: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(share, mean, covariance) of each class, by numpy's covariances."""
    n, width = seen.shape
    groups = [seen[labels == c].astype(np.float64) for c in np.unique(labels)]
    own = [
        np.cov(rows.T, bias=True).reshape(width, width) if len(rows) > 1 else np.zeros((width,) * 2) for rows in groups
    ]
    pooled = sum(len(rows) * each for rows, each in zip(groups, own, strict=True)) / n
    shrunk = [(len(rows) * each + width * pooled) / (len(rows) + width) for rows, each in zip(groups, own, strict=True)]
    ridges = [each + 1e-6 * np.trace(each) / width * np.eye(width) for each in shrunk]
    return [(len(rows) / n, rows.mean(axis=0), each) for rows, each in zip(groups, ridges, strict=True)]


@pytest.mark.parametrize(("width", "classes", "n"), [(1, 2, 12), (2, 1, 8), (4, 3, 60), (16, 5, 40), (32, 3, 9)])
def test_ddu_like_scipy_component_by_component(width, classes, n):
    """A constant apart: the log of all densities at their centres, a bound that no text exceeds."""
    rng = np.random.default_rng(width)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    seen = (rng.normal(size=(n, width)) * (1 + labels[:, None]) + 3 * labels[:, None]).astype(np.float32)
    points = (2 * rng.normal(size=(50, width)) + 3).astype(np.float32)
    parts = [(share, multivariate_normal(mean, covariance)) for share, mean, covariance in mixture(seen, labels)]
    logs = [np.log(share) + density.logpdf(points.astype(np.float64)) for share, density in parts]
    bound = logsumexp([np.log(share) + density.logpdf(density.mean) for share, density in parts])
    expected = bound - logsumexp(logs, axis=0)
    assert rare(points, labelled(seen, labels)) == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-6)
    assert expected.min() > 0


def test_ddu_sees_that_a_class_is_narrow():
    """Between a narrow class at 0 and a wide one at 10: the pooled covariance has both as near, a class's own not."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    seen = rng.normal(size=(400, 1)) * np.where(labels, 3, 0.1)[:, None] + 10 * labels[:, None]
    reference = labelled(seen, labels)
    near_narrow, near_wide = [[2.0]], [[8.0]]
    assert far(near_narrow, reference) == pytest.approx(far(near_wide, reference), rel=0.3)
    assert rare(near_narrow, reference)[0] > 2 * rare(near_wide, reference)[0]


def test_ddu_without_any_spread_ranks_by_distance():
    ones = labelled([[0, 0], [10, 0]], [4, 7])
    assert rare([[0, 3], [4, 0], [9, 1], [10, 0]], ones).argsort().tolist() == [3, 2, 0, 1]


def test_ddu_shows_diverged_embeddings():
    reference = labelled([[0, 0], [1, 0], [0, 1]], [0, 0, 1])
    assert np.isnan(rare([[1, 1], [math.nan, 1]], reference)).tolist() == [False, True]
    broken = labelled([[0, 0], [math.nan, 0], [0, 1]], [0, 0, 1])
    assert np.isnan(rare([[1, 1], [2, 1]], broken)).all()


def test_ddu_of_a_large_pool():
    """20,000 candidates in a few blocks of memory, and a matrix for each class."""
    rng = np.random.default_rng(7)
    reference = labelled(rng.normal(size=(500, 256)), rng.integers(0, 10, 500))
    points = rng.normal(size=(20_000, 256)).astype(np.float32)
    points[4321] += 3
    tracemalloc.start()
    scores = rare(points, reference)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80e6
    assert scores.argmax() == 4321


# ----------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(("aggregate", "of_words"), [("mean", np.mean), ("max", np.max), ("sum", np.sum)])
@pytest.mark.parametrize(("name", "of_units"), [("mahalanobis", far), ("ddu", rare)])
def test_words_are_compared_with_labelled_words_of_their_tag(name, of_units, aggregate, of_words):
    lengths = [4, 3, 5, 2, 1, 3]  # the first three are labelled
    embeddings, tags = vectors(18, 3), np.random.default_rng(0).integers(0, 3, 18)
    view = view_of(
        name,
        rows_of(tags, lengths),
        range(3),
        aggregate,
        probs=rows_of(soft(18, 3), lengths),
        embeddings=rows_of(embeddings, lengths),
    )
    words = rows_of(of_units(embeddings[12:], labelled(embeddings[:12], tags[:12])), lengths[3:])
    assert scores_of(name, view) == pytest.approx([of_words(words.row(i)) for i in range(3)])


@pytest.mark.parametrize("name", ["mahalanobis", "ddu"])
def test_a_sentence_without_words_is_the_nearest(name):
    lengths = [6, 2, 0, 3]
    view = view_of(
        name,
        rows_of(np.arange(11) % 2, lengths),
        [0],
        probs=rows_of(soft(11, 3), lengths),
        embeddings=rows_of(vectors(11, 4), lengths),
    )
    scores = scores_of(name, view)
    assert scores[1] == 0
    assert (scores[[0, 2]] > 0).all()


def test_lost_words_have_no_label():
    """The first word of a labelled sentence did not survive: its tag is not that of the second."""
    words = rows_of(np.array([[1.0], [3], [9]], dtype=np.float32), [2, 1])
    predictions = Predictions(rows_of(soft(3, 2), [2, 1]), np.array([1, 2, 0]), np.array([3, 1]), embeddings=words)
    reference = Reference(predictions, rows_of(np.array([1, 0, 0, 1]), [3, 1]))
    sizes, centroids = reference.centroids
    assert sizes.tolist() == [2, 1]
    assert centroids.ravel().tolist() == [2.0, 9.0]
