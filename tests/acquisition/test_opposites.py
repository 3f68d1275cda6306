"""The opposite of a strategy that gives no scores: the end of its order, or what it leaves of all but a batch."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import collected, config_of, corpus_of, fake_for
from fixed import FixedView, of_examples
from hypothesis import given
from hypothesis import strategies as st

from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import Selection, by_view, selecting
from al_bench.config.schema import StrategyConfig
from al_bench.errors import UserError

BOTTOM = StrategyConfig("theirs", batch="bottom")


def height(view, ids, rng):
    """(n,) first number of each vector."""
    return view.embeddings(ids)[:, 0].astype(np.float64)


def highest(view, candidates, budget, rng):
    """The same as a selection: all candidates in order."""
    return Selection(ranked(candidates, height(view, candidates, rng), rng))


def highest_alone(view, candidates, budget, rng):
    """The first of these that use up the budget, and nothing else."""
    order = highest(view, candidates, budget, rng).order
    return Selection(order[: 1 + next((i for i in range(len(order)) if budget.is_spent(order[: i + 1])), len(order))])


def queried(strategy, view, budget, seed: int = 0, candidates: np.ndarray | None = None) -> list[int]:
    candidates = view.pool if candidates is None else candidates
    order = strategy.select(view, candidates, budget, np.random.default_rng(seed), BOTTOM).order
    return order[: budget.size(order)].tolist()


@pytest.mark.parametrize("function", [highest, highest_alone])
@given(data=st.data())
def test_of_scores_it_is_the_bottom(function, data):
    """In examples, words and money, from a part of the pool too."""
    n = data.draw(st.integers(1, 25))
    numbers = np.random.default_rng(data.draw(st.integers(0, 99)))
    view = FixedView(numbers.permutation(n)[:, None])
    unit = data.draw(st.sampled_from(["examples", "words", "money"]))
    costs = np.ones(n, dtype=np.int64) if unit == "examples" else numbers.integers(1, 9, n)
    amount = data.draw(st.integers(1, n + 3)) if unit == "examples" else data.draw(st.floats(0.5, 1.2 * costs.sum()))
    candidates = np.sort(numbers.permutation(n)[: data.draw(st.integers(1, n))])
    budget = Budget(amount, unit, costs)
    strategy, scored = selecting(function, needs=("embeddings",)), by_view(height, needs=("embeddings",))
    assert set(queried(strategy, view, budget, 1, candidates)) == set(queried(scored, view, budget, 2, candidates))


def test_what_is_left_comes_in_random_order():
    view = FixedView(np.arange(40)[:, None])
    strategy = selecting(highest_alone, needs=("embeddings",))
    orders = {tuple(queried(strategy, view, of_examples(8, 40), seed)) for seed in range(5)}
    assert {frozenset(order) for order in orders} == {frozenset(range(8))}
    assert len(orders) == 5
    assert not any(list(order) == sorted(order) for order in orders)


def test_an_order_too_short_for_all_but_a_batch_is_refused():
    strategy = selecting(lambda view, candidates, budget, rng: Selection(candidates[:9]), needs=("embeddings",))
    view = FixedView(np.arange(20)[:, None])
    with pytest.raises(UserError, match="strategy=theirs: its order has 9 of 20 candidates, which do not use up"):
        queried(strategy, view, of_examples(5, 20))


def test_what_looks_at_nothing_is_as_random_from_the_bottom():
    """Its identity has no batch, as that of random draws."""
    strategy = selecting(lambda view, candidates, budget, rng: Selection(candidates), needs=())
    assert queried(strategy, FixedView(np.arange(9)[:, None]), of_examples(3, 9)) == [0, 1, 2]


# ------------------------------------------------------------------------------------------ by hand


def opposite(name: str, view: FixedView, amount: int, seed: int = 0, **params) -> list[int]:
    strategy, config = STRATEGIES[name], StrategyConfig(name, batch="bottom")
    config = replace(config, params=strategy.typed(params, "params"))
    budget = of_examples(amount, len(view.vectors))
    order = strategy.select(view, view.pool, budget, np.random.default_rng(seed), config).order
    return order[:amount].tolist()


@pytest.mark.parametrize("name", ["coreset", "coreset_pretrained"])
def test_the_opposite_of_a_cover_is_next_to_what_is_labelled_or_chosen(name):
    """On a line, 0 is labelled: 40 is chosen, then 20, then 10 and 30; 9 and 31 are left, each 1 from one of these."""
    view = FixedView(np.array([0, 9, 10, 20, 31, 30, 40])[:, None], labelled=np.array([0]), labels=np.array([0]))
    assert {tuple(opposite(name, view, 2, seed)) for seed in range(12)} == {(1, 4), (4, 1)}


def test_the_opposite_of_badge_are_copies():
    """Of equal gradients one is drawn, of all texts that the model is sure of as well: theirs are zero."""
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 1], [1, 2], [5, 5]])
    view = FixedView(vectors, probs=np.array([[0.6, 0.4]] * 6 + [[1, 0]] * 2))
    for seed in range(5):
        assert [i // 2 for i in sorted(opposite("badge", view, 4, seed))] == [0, 1, 2, 3]


def test_the_opposite_of_bait_is_missed_the_least():
    """What its backward steps leave out first: of texts on a line, those near 0, which tell the least."""
    view = FixedView(np.array([3.0, 0.1, -4, 0.2, 5, -3])[:, None], probs=np.full((6, 2), 0.5))
    assert set(opposite("bait", view, 2)) == {1, 3}


def test_the_opposite_of_cluster_margin_is_sure():
    """It orders all candidates; behind its shortlist they come by their margins, so that the end is the largest."""
    top = np.linspace(0.5, 0.95, 12)
    view = FixedView(np.random.default_rng(0).normal(size=(12, 2)), probs=np.stack([top, 1 - top], axis=1))
    assert opposite("cluster_margin", view, 3, shortlist=2) == [11, 10, 9]


def test_the_opposite_of_embedding_kmeans_is_far_from_the_centres():
    """Of two clusters by direction, the members that are the farthest from theirs."""
    angles = np.radians([0, 1, 2, 30, 90, 91, 92, 120])
    view = FixedView(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert set(opposite("embedding_kmeans", view, 2)) == {3, 7}


# ------------------------------------------------------------------------------------------ in the loop


@pytest.mark.parametrize("unit", ["examples", "words"])
def test_queries_of_the_opposite(unit):
    """Of a random part of the pool; drawn by the seed, and without a score to remember."""
    corpus = corpus_of(train=80)
    changes = {"strategy__name": "badge", "schedule__unit": unit, "schedule__step": 5 if unit == "examples" else 20}
    changes |= {"subsampling__name": "random", "subsampling__gamma": 30}
    top, one, again = (
        [c for c, _ in collected(config_of(**changes, strategy__batch=batch), corpus, fake_for(corpus))]
        for batch in ("top", "bottom", "bottom")
    )
    assert [c.queried.tolist() for c in one] == [c.queried.tolist() for c in again]
    assert one[0].queried.tolist() != top[0].queried.tolist()
    assert len(one[0].queried) == 5 or unit == "words"
    assert all(not len(c.scored) for c in one)
