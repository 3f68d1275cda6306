"""The loss of gold labels, which only brackets may see."""

import numpy as np
import pytest
from arrays import rows_of, scores_of, soft, vectors, view_of
from sklearn.metrics import log_loss

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.errors import UserError


def test_gold_loss_is_the_cross_entropy():
    probs, gold = soft(20, 3), np.random.default_rng(1).integers(0, 3, 20)
    rows = probs.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    expected = [log_loss([label], [row], labels=[0, 1, 2]) for label, row in zip(gold, rows, strict=True)]
    assert scores_of("gold_loss", view_of("gold_loss", gold, probs=probs)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("aggregate", "of_words"), [("mean", np.mean), ("max", np.max), ("sum", np.sum)])
def test_gold_loss_of_words(aggregate, of_words):
    lengths, probs = [2, 3, 1], soft(6, 4)
    gold = rows_of(np.array([0, 1, 2, 3, 0, 1]), lengths)
    losses = rows_of(-np.log(probs[np.arange(6), gold.values].astype(np.float64)), lengths)
    view = view_of("gold_loss", gold, aggregate=aggregate, probs=rows_of(probs, lengths))
    assert scores_of("gold_loss", view) == pytest.approx([of_words(losses.row(i)) for i in range(3)])


def test_a_label_that_the_model_excludes_has_a_finite_loss():
    view = view_of("gold_loss", np.array([1, 0]), probs=np.array([[1, 0], [1, 0]], dtype=np.float32))
    scores = scores_of("gold_loss", view)
    assert scores[1] == 0
    assert 100 < scores[0] < 1000


def test_only_brackets_see_gold_labels():
    assert [name for name, strategy in STRATEGIES.items() if "gold" in strategy.needs] == ["gold_loss"]
    assert STRATEGIES["gold_loss"].bracket
    view = view_of("egl", np.array([1, 0]), probs=soft(2, 2), embeddings=vectors(2, 2))
    with pytest.raises(UserError, match="looks at gold without needing it"):
        view.gold(view.pool)
