"""Probabilities back to labels, one for each word that the sentence had."""

import numpy as np

from al_bench.data.ragged import Ragged
from al_bench.learners.predictions import Predictions

# Rows whose largest entry is the tag that their number says.
TAG = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]], dtype=np.float32)


def tagged(tags: list[list[int]], kept: list[int], lengths: list[int]) -> list[list[int]]:
    probs = Ragged(TAG[[t for row in tags for t in row]].reshape(-1, 3), Ragged.of(tags).offsets)
    said = Predictions(probs, np.array(kept, dtype=np.int32), np.array(lengths, dtype=np.int64)).labels()
    assert isinstance(said, Ragged)
    return [row.tolist() for row in said.rows()]


def test_texts() -> None:
    predictions = Predictions(TAG[[2, 0, 1]])
    assert len(predictions) == 3
    np.testing.assert_array_equal(predictions.labels(), [2, 0, 1])


def test_words_that_all_survived() -> None:
    assert tagged([[1, 2], [2, 2, 1]], [0, 1, 0, 1, 2], [2, 3]) == [[1, 2], [2, 2, 1]]


def test_words_that_were_truncated_are_outside() -> None:
    assert tagged([[1, 2], [2]], [0, 1, 0], [5, 2]) == [[1, 2, 0, 0, 0], [2, 0]]


def test_words_that_vanished_do_not_shift_the_others() -> None:
    assert tagged([[1, 2], [1]], [1, 3, 2], [4, 3]) == [[0, 1, 0, 2], [0, 0, 1]]


def test_sentences_without_a_surviving_word_and_without_words() -> None:
    assert tagged([[], [1], [], [2], []], [0, 1], [2, 1, 0, 2, 1]) == [[0, 0], [1], [], [0, 2], [0]]


def test_no_sentences() -> None:
    assert tagged([], [], []) == []


def test_blank_predictions_have_a_length_only() -> None:
    assert len(Predictions.blank(7)) == 7
    assert Predictions.blank(7).tokens == 0
