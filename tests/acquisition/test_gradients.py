"""EGL and BADGE against gradients that are written out."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from arrays import rows_of, scores_of, selection_of, soft, vectors, view_of
from scipy.special import log_softmax
from scipy.stats import chisquare

from al_bench.acquisition.strategies.gradients import distances
from al_bench.errors import UserError


def of_texts(name: str, probs: Any, embeddings: Any, **facts: Any):
    probs, embeddings = np.array(probs, dtype=np.float32), np.array(embeddings, dtype=np.float32)
    return view_of(name, np.zeros(len(probs), dtype=np.int64), probs=probs, embeddings=embeddings, **facts)


# ------------------------------------------------------------------------------------------------- EGL


def test_egl_by_hand():
    """Two labels: p (1 - p) sqrt(2) for each, twice; (h, 1) has length sqrt(2), 1 and 3. A sure text has none."""
    view = of_texts("egl", [[0.5, 0.5], [0.9, 0.1], [1, 0]], [[1, 0], [0, 0], [2, 2]])
    assert scores_of("egl", view) == pytest.approx([0.5 * 2, 0.18 * np.sqrt(2), 0.0], abs=1e-6)


def test_egl_is_the_length_of_the_numerical_gradient():
    """Central differences of the loss in every weight and bias of the layer."""
    rng, h = np.random.default_rng(0), vectors(1, 3)
    weight = rng.normal(size=(4, 4))  # of 4 labels, by 3 features and a bias

    def losses(weight: np.ndarray) -> np.ndarray:
        return -log_softmax(weight[:, :3] @ h[0] + weight[:, 3])

    gradients, step = np.empty((4, 4, 4)), 1e-5
    for place in np.ndindex(4, 4):
        change = np.zeros((4, 4))
        change[place] = step
        gradients[:, *place] = (losses(weight + change) - losses(weight - change)) / (2 * step)
    probs = np.exp(-losses(weight))
    expected = probs @ np.linalg.norm(gradients.reshape(4, -1), axis=1)
    assert scores_of("egl", of_texts("egl", probs[None], h)) == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize(("aggregate", "of_words"), [("mean", np.mean), ("max", np.max), ("sum", np.sum)])
def test_egl_of_words(aggregate, of_words):
    lengths, probs, embeddings = [2, 3, 1], soft(6, 4), vectors(6, 5)
    words = rows_of(scores_of("egl", of_texts("egl", probs, embeddings)), lengths)
    view = view_of(
        "egl",
        rows_of(np.zeros(6, dtype=np.int64), lengths),
        aggregate=aggregate,
        probs=rows_of(probs, lengths),
        embeddings=rows_of(embeddings, lengths),
    )
    assert scores_of("egl", view) == pytest.approx([of_words(words.row(i)) for i in range(3)])


def test_egl_shows_diverged_predictions():
    view = of_texts("egl", [[np.nan, np.nan], [0.5, 0.5], [0.5, 0.5]], [[1, 1], [np.nan, 1], [1, 1]])
    assert np.isnan(scores_of("egl", view)).tolist() == [True, True, False]


# ----------------------------------------------------------------------------------------------- BADGE


def outer_products(probs: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """(n, classes x width), as the paper has them."""
    rows = []
    for p, h in zip(probs.astype(np.float64), embeddings.astype(np.float64), strict=True):
        label = np.eye(len(p))[p.argmax()]
        rows.append(np.outer(p - label, h).ravel())
    return np.array(rows)


def test_factored_distances_are_those_of_outer_products():
    probs, embeddings = soft(20, 4), vectors(20, 6)
    rows, residuals = outer_products(probs, embeddings), probs - np.eye(4)[probs.argmax(axis=1)]
    for place in range(20):
        expected = np.square(rows - rows[place]).sum(axis=1)
        assert distances(residuals, embeddings, np.square(rows).sum(axis=1), place) == pytest.approx(
            expected, rel=1e-4, abs=1e-6
        )


def test_badge_draws_as_kmeans_plus_plus_does():
    """How often each pair is drawn, against its probability: any first one, the second by squared distance."""
    probs, embeddings = soft(5, 3), vectors(5, 4)
    rows = outer_products(probs, embeddings)
    apart = np.square(rows[:, None] - rows).sum(axis=2)
    expected = apart / apart.sum(axis=1, keepdims=True) / 5
    view, counts = of_texts("badge", probs, embeddings), np.zeros((5, 5))
    for seed in range(3000):
        first, second = selection_of("badge", view, 2, seed).order[:2]
        counts[first, second] += 1
    assert counts.diagonal().sum() == 0
    pairs = ~np.eye(5, dtype=bool)
    assert chisquare(counts[pairs], 3000 * expected[pairs]).pvalue > 1e-3


def test_badge_prefers_uncertain_and_different_texts():
    """Two groups of unsure texts far apart, and sure ones: after either group, the other one is drawn."""
    probs = [[0.5, 0.5]] * 20 + [[0.5, 0.5]] * 20 + [[1 - 1e-6, 1e-6]] * 40
    embeddings = [[10, 0]] * 20 + [[0, 10]] * 20 + [[10, 10]] * 40
    view = of_texts("badge", probs, embeddings)
    for seed in range(20):
        groups = set(selection_of("badge", view, 3, seed).order[:3] // 20)
        assert {0, 1} <= groups


def test_badge_of_copies_draws_at_random():
    """Nothing is far from the first one: the rest is no longer sought, and not the first of the corpus."""
    view = of_texts("badge", [[0.6, 0.4]] * 30, [[1, 2]] * 30)
    orders = [selection_of("badge", view, 6, seed).order for seed in range(4)]
    assert all(len(set(order[:6])) == 6 for order in orders)
    assert len({tuple(order[:6]) for order in orders}) == 4
    assert all(list(order) != sorted(order) for order in orders)


def test_badge_of_the_whole_pool_and_of_one():
    view = of_texts("badge", soft(12, 3), vectors(12, 4))
    assert sorted(selection_of("badge", view, 12).order) == list(range(12))
    assert selection_of("badge", of_texts("badge", soft(1, 3), vectors(1, 4)), 5).order.tolist() == [0]


def test_badge_spends_a_budget_of_words():
    lengths = np.arange(1, 13)
    view = of_texts("badge", soft(12, 3), vectors(12, 4))
    view.corpus.train.inputs[:] = [" ".join(["w"] * int(k)) for k in lengths]
    order = selection_of("badge", view, 20, unit="words").order
    assert view.words[order].sum() > 20 >= view.words[order[:-1]].sum()


def test_badge_refuses_diverged_predictions():
    embeddings = vectors(5, 4)
    embeddings[2, 0] = np.inf
    with pytest.raises(UserError, match="not finite because training diverged"):
        selection_of("badge", of_texts("badge", soft(5, 3), embeddings), 2)


def test_badge_of_a_large_pool():
    """20,000 x 128 in 20 classes: outer products would be 400 MB; each step holds some numbers per text."""
    view = of_texts("badge", soft(20_000, 20), vectors(20_000, 128))
    view.predictions(view.pool)
    tracemalloc.start()
    selection_of("badge", view, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
