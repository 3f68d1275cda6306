"""BALD against scipy, BatchBALD against all labels that a batch can have."""

import itertools
import tracemalloc

import numpy as np
import pytest
from arrays import rows_of, scores_of, selection_of, soft, view_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from al_bench.acquisition.strategies.bayesian import Known, information
from al_bench.errors import UserError


def drawn(n: int, draws: int, classes: int, seed: int = 0) -> np.ndarray:
    return soft(n * draws, classes, seed).reshape(n, draws, classes)


def joint_information(probs: np.ndarray) -> float:
    """Of (b, draws, classes): the entropy of the whole label vector less the mean one of each draw."""
    b, draws, classes = probs.shape
    each = np.array(
        [
            [np.prod([probs[i, d, y] for i, y in enumerate(labels)]) for d in range(draws)]
            for labels in itertools.product(range(classes), repeat=b)
        ]
    )
    return entropy(each.mean(axis=1)) - np.mean([entropy(each[:, d]) for d in range(draws)])


def bald_view(samples: np.ndarray, name: str = "bald"):
    return view_of(name, np.zeros(len(samples), dtype=np.int64), drawn=samples)


# ------------------------------------------------------------------------------------------------ BALD


def test_bald_by_hand():
    """Draws that agree tell nothing, however unsure; draws that are sure of different labels tell log 2."""
    samples = np.array([[[0.5, 0.5], [0.5, 0.5]], [[1, 0], [0, 1]], [[1, 0], [0.5, 0.5]]], dtype=np.float32)
    expected = [0.0, np.log(2), entropy([0.75, 0.25]) - np.log(2) / 2]
    assert scores_of("bald", bald_view(samples), draws=2) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 5])
def test_bald_like_scipy(classes):
    samples = drawn(30, 7, classes)
    expected = [entropy(rows.mean(axis=0)) - np.mean(entropy(rows, axis=1)) for rows in samples.astype(np.float64)]
    assert scores_of("bald", bald_view(samples), draws=7) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("aggregate", "of_words"), [("mean", np.mean), ("max", np.max), ("sum", np.sum)])
def test_bald_of_words_is_aggregated_as_the_config_says(aggregate, of_words):
    lengths = [3, 1, 4, 2]
    samples = drawn(10, 4, 3)
    words = rows_of(information(samples), lengths)
    view = view_of("bald", rows_of(np.zeros(10, dtype=np.int64), lengths), aggregate=aggregate,
                   drawn=rows_of(samples, lengths))  # fmt: skip
    expected = [of_words(words.row(i)) for i in range(4)]
    assert scores_of("bald", view, draws=4) == pytest.approx(expected, rel=1e-9)


def test_bald_refuses_diverged_samples():
    samples = drawn(3, 2, 3)
    samples[1, 0, 0] = np.nan
    with pytest.raises(UserError, match="training diverged"):
        scores_of("bald", bald_view(samples), draws=2)


# ------------------------------------------------------------------------------------------- BatchBALD


def greedy(samples: np.ndarray, b: int) -> tuple[list[int], float]:
    """By all label vectors of every batch."""
    chosen: list[int] = []
    for _ in range(b):
        rest = [i for i in range(len(samples)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: joint_information(samples[[*chosen, i]].astype(np.float64))))
    return chosen, joint_information(samples[chosen].astype(np.float64))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 3), draws=st.integers(2, 6))
def test_batch_bald_is_the_greedy_batch_by_all_labels(seed, classes, draws):
    samples = drawn(6, draws, classes, seed)
    order = selection_of("batch_bald", bald_view(samples, "batch_bald"), 3, draws=draws).order
    expected, best = greedy(samples, 3)
    assert joint_information(samples[order[:3]].astype(np.float64)) == pytest.approx(best, rel=1e-6)
    assert order[:2].tolist() == expected[:2]


@pytest.mark.parametrize("limit", [8, 40])
def test_configurations_that_are_sampled_give_the_entropy_without_bias(limit):
    """H(y | labels before) is a mean over 3^4 label vectors; samples of fewer average to it."""
    samples = np.random.default_rng(0).dirichlet(np.full(3, 0.4), (6, 5))  # some configurations are much likelier

    def after(limit: int, seed: int) -> np.ndarray:
        known, rng = Known.nothing(5), np.random.default_rng(seed)
        for probs in samples[:4]:
            known = known.observe(probs, limit, rng)
        assert len(known.weights) <= limit
        return known.entropies(samples[4:])

    exact = after(3**4, 0)
    joint = [joint_information(samples[[0, 1, 2, 3, i]]) - joint_information(samples[:4]) for i in (4, 5)]
    assert exact - entropy(samples[4:], axis=2).mean(axis=1) == pytest.approx(joint, rel=1e-6)
    estimates = np.array([after(limit, seed) for seed in range(300)])
    errors = np.abs(estimates.mean(axis=0) - exact)
    assert (errors < 4 * estimates.std(axis=0) / np.sqrt(300)).all()


def test_batch_bald_leaves_out_what_others_give_away():
    """Copies of the most informative text are worth less than another one, which BALD alone ranks last."""
    one = np.array([[0.99, 0.01]] * 4 + [[0.01, 0.99]] * 4)
    other = np.tile([[0.9, 0.1], [0.1, 0.9]], (4, 1))
    samples = np.array([one, one, one, other], dtype=np.float32)
    view = bald_view(samples, "batch_bald")
    assert scores_of("bald", bald_view(samples), draws=8).argmin() == 3
    for seed in range(5):
        order = selection_of("batch_bald", view, 2, seed, draws=8).order
        assert order[1] == 3
        assert sorted(order) == [0, 1, 2, 3]


def test_batch_bald_seeks_in_the_shortlist_and_orders_the_rest_by_bald():
    samples = drawn(40, 4, 3)
    view = bald_view(samples, "batch_bald")
    by_bald = np.argsort(-information(samples))
    order = selection_of("batch_bald", view, 3, draws=4, shortlist=5).order
    assert set(order[:5]) == set(by_bald[:5])
    assert order[5:].tolist() == by_bald[5:].tolist()
    assert selection_of("batch_bald", view, 1, draws=4, shortlist=1).order.tolist() == by_bald.tolist()
    whole = selection_of("batch_bald", view, 40, draws=4, shortlist=1, configurations=20).order
    assert sorted(whole) == list(range(40))


def test_batch_bald_goes_on_by_bald_where_nothing_is_left_to_tell():
    """The label of one text tells which of the two draws is right, and all others tell nothing after it."""
    doubts = np.random.default_rng(0).permutation(20) / 50
    samples = np.array([[[1, 0], [0, 1]], *([[0.9, 0.1], [0.9 - d, 0.1 + d]] for d in doubts)], dtype=np.float32)
    by_bald = np.argsort(-information(samples))
    assert by_bald[0] == 0
    assert selection_of("batch_bald", bald_view(samples, "batch_bald"), 9, draws=2).order.tolist() == by_bald.tolist()


def test_batch_bald_does_not_prefer_the_first_of_equals():
    samples = np.repeat(drawn(1, 4, 3), 20, axis=0)
    firsts = {
        selection_of("batch_bald", bald_view(samples, "batch_bald"), 2, seed, draws=4).order[0] for seed in range(9)
    }
    assert len(firsts) > 4


def test_batch_bald_refuses_diverged_samples():
    samples = drawn(5, 2, 3)
    samples[1, 0, 0] = np.nan
    with pytest.raises(UserError, match="not finite because training diverged"):
        selection_of("batch_bald", bald_view(samples, "batch_bald"), 2, draws=2)


def test_batch_bald_in_bounded_memory():
    """Beside the samples, which the view holds."""
    samples = drawn(20_000, 4, 5)
    view = bald_view(samples, "batch_bald")
    view.samples(view.pool, 4)
    tracemalloc.start()
    selection_of("batch_bald", view, 12, draws=4, configurations=2000, shortlist=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6, "all candidates x configurations x labels at once would be 40 MB, those of a pool 1.6 GB"
