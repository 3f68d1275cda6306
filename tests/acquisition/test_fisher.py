"""BAIT against matrices that are written out and inverted anew for every candidate."""

import tracemalloc

import numpy as np
import pytest
from arrays import selection_of, soft, vectors, view_of

from al_bench.acquisition.strategies.fisher import Parameters, covariances, information, reduced
from al_bench.errors import UserError


def fisher(points: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Sum of the expected outer products of the gradient, label by label."""
    total = np.zeros((points.shape[1] * probs.shape[1],) * 2)
    for x, q in zip(points, probs.astype(np.float64), strict=True):
        for label, weight in enumerate(q):
            gradient = np.outer(x, q - np.eye(len(q))[label]).ravel()
            total += weight * np.outer(gradient, gradient)
    return total


def loss(state: Parameters) -> float:
    return float(np.trace(state.inverse @ state.fisher))


def state_of(points: np.ndarray, probs: np.ndarray, labelled: int, ridge: float = 1.0) -> Parameters:
    """The first ones are labelled."""
    precision = fisher(points[:labelled], probs[:labelled]) + ridge * np.eye(points.shape[1] * probs.shape[1])
    return Parameters(np.linalg.inv(precision), fisher(points[labelled:], probs[labelled:]) / (len(points) - labelled))


def view(probs: np.ndarray, embeddings: np.ndarray, labelled: int):
    return view_of("bait", np.zeros(len(probs), dtype=np.int64), range(labelled), probs=probs, embeddings=embeddings)


def test_information_is_the_expected_outer_product_of_gradients():
    points, probs = vectors(30, 4).astype(np.float64), soft(30, 3)
    assert information(points, probs) == pytest.approx(fisher(points, probs), rel=1e-5, abs=1e-5)


def test_effects_are_differences_of_the_trace():
    points, probs = vectors(20, 3).astype(np.float64), soft(20, 4).astype(np.float64)
    state = state_of(points, probs, 5)
    assert information(points, probs).shape == (12, 12)
    for i, (gain, changed) in enumerate(
        zip(state.effects(points, probs), map(state.changed, points, probs), strict=True)
    ):
        exact = np.linalg.inv(np.linalg.inv(state.inverse) + fisher(points[i : i + 1], probs[i : i + 1]))
        assert changed.inverse == pytest.approx(exact, abs=1e-6)
        assert gain == pytest.approx(loss(state) - np.trace(exact @ state.fisher), rel=1e-6)
        assert changed.effects(points, probs, sign=-1)[i] == pytest.approx(gain, rel=1e-6), "back to where it was"
        assert changed.changed(points[i], probs[i], sign=-1).inverse == pytest.approx(state.inverse, abs=1e-9)


def by_hand(points: np.ndarray, probs: np.ndarray, labelled: int, b: int) -> list[int]:
    """Forward to 2 b and backward to b, places among the unlabelled, by inverting each matrix."""
    start = state_of(points, probs, labelled)
    points, probs = points[labelled:], probs[labelled:]

    def after(chosen: list[int]) -> float:
        inverse = np.linalg.inv(np.linalg.inv(start.inverse) + fisher(points[chosen], probs[chosen]))
        return float(np.trace(inverse @ start.fisher))

    chosen: list[int] = []
    while len(chosen) < min(2 * b, len(points)):
        chosen.append(min((i for i in range(len(points)) if i not in chosen), key=lambda i: after([*chosen, i])))
    while len(chosen) > b:
        chosen.remove(min(chosen, key=lambda i: after([j for j in chosen if j != i])))
    return chosen


@pytest.mark.parametrize(("n", "b", "seed"), [(12, 2, 0), (14, 4, 0), (9, 3, 0), (12, 2, 13), (14, 4, 1), (20, 3, 9)])
def test_bait_is_the_greedy_batch_of_explicit_matrices(n, b, seed):
    """In the last three cases, the batch is not what forward steps alone find."""
    probs, embeddings = soft(n, 3, seed), 3 * vectors(n, 2, seed)
    points = np.column_stack([embeddings, np.ones(n)]).astype(np.float64)
    points[:, :2] -= embeddings[4:].mean(axis=0)  # a rotation of these changes no trace
    order = selection_of("bait", view(probs, embeddings, 4), b, seed).order
    assert (order[:b] - 4).tolist() == by_hand(points, probs, 4, b)


def test_bait_seeks_what_the_pool_needs():
    """Most of the pool differs along one axis, labelled texts along the other: the batch is of the first kind."""
    probs = np.full((30, 2), 0.5, dtype=np.float32)
    embeddings = np.zeros((30, 2), dtype=np.float32)
    embeddings[:10, 1] = 3  # labelled
    embeddings[10:14, 1] = 3
    embeddings[14:, 0] = 3
    assert selection_of("bait", view(probs, embeddings, 10), 3).order[:3].min() >= 14


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    pool, other = vectors(50, 8) * np.arange(1, 9), vectors(6, 8, 1)
    pool = pool.astype(np.float32) + 5
    expected = PCA(3).fit(pool)
    for rows, mine in zip((pool, other), reduced(3, pool, other), strict=True):
        assert np.abs(mine[:, :3]) == pytest.approx(np.abs(expected.transform(rows)), abs=1e-3)
        assert (mine[:, 3] == 1).all()
    assert reduced(99, pool)[0].shape == (50, 9)


def test_covariances_of_one_hot_rows():
    q = np.array([[0.2, 0.3, 0.5]])
    assert covariances(q)[0] == pytest.approx(np.diag(q[0]) - np.outer(q[0], q[0]))


@pytest.mark.parametrize(("n", "amount"), [(1, 3), (7, 7), (7, 20), (30, 30)])
def test_bait_at_the_end_of_the_pool(n, amount):
    order = selection_of("bait", view(soft(n + 3, 3), vectors(n + 3, 4), 3), amount).order
    assert sorted(order) == list(range(3, n + 3))


def test_bait_spends_a_budget_of_words():
    some = view(soft(30, 3), vectors(30, 4), 5)
    some.corpus.train.inputs[:] = [" ".join(["w"] * (i % 9 + 1)) for i in range(30)]
    order = selection_of("bait", some, 20, unit="words").order
    assert some.words[order].sum() > 20
    assert len(order) < 25
    assert len(set(order)) == len(order)


def test_bait_of_equals_is_a_random_batch():
    some = view(np.full((40, 2), 0.5, dtype=np.float32), np.ones((40, 3), dtype=np.float32), 5)
    batches = {tuple(selection_of("bait", some, 3, seed, shortlist=1).order[:3]) for seed in range(6)}
    assert len(batches) == 6


def test_bait_seeks_in_the_shortlist():
    probs, embeddings = soft(60, 3), vectors(60, 4)
    some = view(probs, embeddings, 10)
    points, labelled = reduced(16, embeddings[10:], embeddings[:10])
    state = Parameters(
        np.linalg.inv(information(labelled, probs[:10]) + np.eye(15)), information(points, probs[10:]) / 50
    )
    best = 10 + np.argsort(-state.effects(points, probs[10:]))
    assert set(selection_of("bait", some, 4, shortlist=1).order[:4]) <= set(best[:8])
    assert set(selection_of("bait", some, 4, shortlist=9).order[:4]) <= set(best[:9])


def test_bait_refuses_diverged_predictions():
    embeddings = vectors(9, 4)
    embeddings[0] = np.nan
    with pytest.raises(UserError, match="not finite because training diverged"):
        selection_of("bait", view(soft(9, 3), embeddings, 2), 2)


def test_bait_of_a_large_pool():
    """20,000 x 256 in 10 classes: matrices of classes x classes for each text would be 16 MB, gradients 400 MB."""
    some = view(soft(20_000, 10), vectors(20_000, 256), 100)
    some.predictions(some.pool)
    some.predictions(some.labelled)
    tracemalloc.start()
    selection_of("bait", some, 3, width=8, shortlist=50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6
