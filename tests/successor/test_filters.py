"""Which pseudo-labels look wrong, and how many are dropped: numbers worked by hand, and brute force."""

import numpy as np
import pytest

from al_bench.config.schema import FilterConfig
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.filters.dropping import drop_count, dropped
from al_bench.filters.opinions import of_confidence, of_neighbours, of_verifier
from al_bench.filters.protocol import Suspicion
from al_bench.learners.predictions import Predictions

EVERYBODY = np.ones(10, dtype=bool)
RISING = Suspicion(np.arange(10) / 10)


@pytest.mark.parametrize(
    ("drop", "n", "before", "quality", "count"),
    [
        (0.1, 100, 0, None, 10),
        (0.1, 100, 40, 0.5, 10),  # a share is of all, whatever was dropped before
        (0.0, 100, 0, 0.5, 0),
        ("adaptive", 100, 0, 0.8, 20),
        ("adaptive", 100, 15, 0.8, 5),
        ("adaptive", 100, 30, 0.8, 0),  # more were dropped than should be
        ("adaptive", 100, 0, 1.0, 0),
        ("adaptive", 100, 0, None, 0),  # the labeller's quality is not known
    ],
)
def test_how_many(drop, n, before, quality, count):
    assert drop_count(FilterConfig("tracin", drop), np.arange(n) >= before, quality) == count


def test_a_threshold_and_a_verdict_count_nothing_in_advance():
    assert drop_count(FilterConfig("confidence", 0.0, threshold=0.5), EVERYBODY, 1.0) is None
    assert drop_count(FilterConfig("knn", "disagreement"), EVERYBODY, 1.0) is None


def test_the_most_suspicious_go_first():
    suspects = dropped(FilterConfig("tracin", 0.3), RISING, EVERYBODY, None)
    assert np.flatnonzero(suspects).tolist() == [7, 8, 9]


def test_only_who_is_left_can_go():
    kept = EVERYBODY.copy()
    kept[[8, 9]] = False
    suspects = dropped(FilterConfig("tracin", 0.3), RISING, kept, None)
    assert np.flatnonzero(suspects).tolist() == [5, 6, 7]
    assert np.flatnonzero(dropped(FilterConfig("tracin", "adaptive"), RISING, kept, 0.7)).tolist() == [7]


def test_a_threshold_is_of_confidence():
    """Kept is what is above it: a confidence of exactly 0.5 is dropped."""
    chosen = FilterConfig("confidence", threshold=0.5)
    doubt = Suspicion(np.array([0.1, 0.5, 0.6, 0.49]))
    assert dropped(chosen, doubt, np.ones(4, dtype=bool), 0.0).tolist() == [False, True, True, False]


def test_disagreement_is_the_filters_own_verdict():
    chosen = FilterConfig("verifier", "disagreement")
    verdict = Suspicion(np.array([0.9, 0.2, 0.3]), np.array([False, True, True]))
    assert dropped(chosen, verdict, np.array([True, True, False]), None).tolist() == [False, True, False]


def test_confidence_of_texts_and_sentences():
    probs = np.array([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]], dtype=np.float32)
    assert of_confidence(Predictions(probs)) == pytest.approx([0.3, 0.5, 0.1])
    words = Predictions(Ragged(probs, offsets_of([2, 1])), np.array([0, 1, 0]), np.array([2, 1]))
    assert of_confidence(words) == pytest.approx([-(np.log(0.7) + np.log(0.5)) / 2, -np.log(0.9)])


def test_verifier_of_texts():
    probs = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3]], dtype=np.float32)
    suspicion = of_verifier(Predictions(probs), np.array([0, 2]))
    assert suspicion.score == pytest.approx([0.3, 0.7])
    assert suspicion.contradicts is not None
    assert suspicion.contradicts.tolist() == [False, True]


def test_verifier_of_sentences():
    """Of the surviving words only; one contradicted word is a contradicted sentence."""
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], dtype=np.float32)
    # The first sentence lost its middle word, the second all of its words, the third has one.
    predictions = Predictions(Ragged(probs, offsets_of([2, 0, 1])), np.array([0, 2, 0]), np.array([3, 2, 1]))
    labels = Ragged.of([[0, 1, 0], [1, 1], [0]])
    suspicion = of_verifier(predictions, labels)
    assert suspicion.score == pytest.approx([(0.1 + 0.6) / 2, 0, 0.2])
    assert suspicion.contradicts is not None
    assert suspicion.contradicts.tolist() == [True, False, False]


def test_neighbours_by_brute_force():
    rng = np.random.default_rng(0)
    gold, asked = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(12, 5)).astype(np.float32)
    gold_labels, labels = rng.integers(0, 3, 30), rng.integers(0, 3, 12)
    suspicion = of_neighbours(gold, gold_labels, asked, labels, 3, k=7)
    for i in range(12):
        cosine = gold @ asked[i] / np.linalg.norm(gold, axis=1) / np.linalg.norm(asked[i])
        votes = np.bincount(gold_labels[np.argsort(-cosine)[:7]], minlength=3) / 7
        assert suspicion.score[i] == pytest.approx(1 - votes[labels[i]])
        assert suspicion.contradicts is not None
        assert suspicion.contradicts[i] == (votes.max() > votes[labels[i]])


def test_neighbours_of_words():
    gold = Ragged(np.array([[1.0, 0], [0, 1], [1, 0.1]]), offsets_of([2, 1]))
    asked = Ragged(np.array([[1.0, 0], [0, 2], [0.1, 1]]), offsets_of([1, 2]))
    suspicion = of_neighbours(gold, Ragged.of([[0, 1], [0]]), asked, Ragged.of([[0], [1, 0]]), 2, k=1)
    assert suspicion.score == pytest.approx([0, 0.5])
    assert suspicion.contradicts is not None
    assert suspicion.contradicts.tolist() == [False, True]


def test_fewer_gold_examples_than_neighbours():
    suspicion = of_neighbours(np.ones((1, 2)), np.array([1]), np.ones((3, 2)), np.array([1, 0, 1]), 2, k=10)
    assert suspicion.score == pytest.approx([0, 1, 0])
