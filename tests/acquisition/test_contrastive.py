"""CAL against scipy, and what it says of hand-made neighbours."""

import numpy as np
import pytest
from arrays import scores_of, soft, vectors, view_of
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from al_bench.errors import UserError


def view(probs: np.ndarray, embeddings: np.ndarray, labelled: int):
    """The first ones are labelled."""
    return view_of("cal", np.zeros(len(probs), dtype=np.int64), range(labelled), probs=probs, embeddings=embeddings)


@pytest.mark.parametrize("neighbours", [1, 3, 10, 50])
def test_cal_like_scipy_pair_by_pair(neighbours):
    probs, embeddings = soft(40, 4), vectors(40, 5)
    expected = []
    for i in range(12, 40):
        nearest = cdist(embeddings[i : i + 1], embeddings[:12])[0].argsort()[:neighbours]
        expected.append(np.mean([entropy(probs[k], probs[i]) for k in nearest]))
    assert scores_of("cal", view(probs, embeddings, 12), neighbours=neighbours) == pytest.approx(expected, rel=1e-4)


def test_cal_by_hand():
    """Of two labelled texts, the nearer one counts: the same prediction scores 0, the opposite one the most."""
    probs = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]], dtype=np.float32)
    embeddings = np.array([[0.0], [10], [1], [2], [3]], dtype=np.float32)
    expected = [0.0, 0.8 * np.log(9), 0.9 * np.log(1.8) + 0.1 * np.log(0.2)]
    assert scores_of("cal", view(probs, embeddings, 2), neighbours=1) == pytest.approx(expected, abs=1e-6)


def test_cal_with_labels_that_are_impossible():
    """0 log 0 is 0; a prediction that excludes what a neighbour is sure of scores much, and not infinity."""
    probs = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    scores = scores_of("cal", view(probs, np.zeros((3, 1), dtype=np.float32), 1))
    assert scores[0] == 0
    assert 100 < scores[1] < 1000


@pytest.mark.parametrize("place", [0, 9])
def test_cal_refuses_diverged_embeddings(place):
    embeddings = vectors(10, 3)
    embeddings[place] = np.nan
    with pytest.raises(UserError, match="not finite because training diverged"):
        scores_of("cal", view(soft(10, 3), embeddings, 4))
