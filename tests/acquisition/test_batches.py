"""Stochastic batches against their closed forms, the opposite batch, and sentences without an entity."""

from itertools import permutations

import numpy as np
import pytest
from fakes import collected, config_of, corpus_of, fake_for, later_is_harder
from scipy.stats import chisquare, rankdata

from al_bench.acquisition.aggregates import aggregated, is_aggregate
from al_bench.acquisition.strategies.batches import STOCHASTIC, keys
from al_bench.config.rules import validate
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError

SCORES = np.array([0.1, 0.4, 0.2, 0.9])
DRAWS = 4000


def weights(batch: str, beta: float, scores: np.ndarray = SCORES) -> np.ndarray:
    """Kirsch et al. (2023), table 1, not normalised."""
    ranks = rankdata(-scores)
    return {"power": scores**beta, "softmax": np.exp(beta * scores), "soft_rank": ranks**-beta}[batch]


def orders(batch: str, beta: float, seed: int = 0) -> np.ndarray:
    """(draws, n) orders of the candidates."""
    rng = np.random.default_rng(seed)
    return np.array([np.argsort(-keys(SCORES, batch, beta, rng)) for _ in range(DRAWS)])


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("batch", STOCHASTIC)
def test_the_first_draw_has_the_probabilities_of_the_paper(batch, beta):
    counts = np.bincount(orders(batch, beta)[:, 0], minlength=4)
    expected = DRAWS * weights(batch, beta) / weights(batch, beta).sum()
    assert chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize("batch", STOCHASTIC)
def test_whole_orders_are_draws_without_replacement(batch):
    """Gumbel-top-k: each next one with a probability in proportion to its weight among those that are left."""
    w = weights(batch, 1.0)
    every = list(permutations(range(4)))
    p = [np.prod([w[i] / w[list(order[place:])].sum() for place, i in enumerate(order)]) for order in every]
    drawn = [tuple(order) for order in orders(batch, 1.0, seed=1).tolist()]
    counts = [drawn.count(order) for order in every]
    assert sum(p) == pytest.approx(1)
    assert chisquare(counts, DRAWS * np.array(p)).pvalue > 1e-3


@pytest.mark.parametrize("batch", STOCHASTIC)
def test_a_large_beta_is_the_top(batch):
    assert (orders(batch, 1e4)[:50] == [3, 1, 2, 0]).all()


def test_power_never_prefers_a_score_of_zero_and_refuses_one_below():
    rng = np.random.default_rng(0)
    firsts = [int(np.argmax(keys(np.array([0.0, 0.01]), "power", 1.0, rng))) for _ in range(200)]
    assert set(firsts) == {1}
    with pytest.raises(UserError, match="not negative"):
        keys(np.array([-0.1, 1.0]), "power", 1.0, rng)


def test_equal_scores_share_a_rank():
    rng = np.random.default_rng(0)
    firsts = [int(np.argmax(keys(np.array([1.0, 5.0, 5.0]), "soft_rank", 4.0, rng))) for _ in range(4000)]
    expected = 4000 * np.array([3.0**-4, 1.5**-4, 1.5**-4]) / (3.0**-4 + 2 * 1.5**-4)
    assert chisquare(np.bincount(firsts, minlength=3), expected).pvalue > 1e-3


def test_the_bottom_is_the_opposite():
    corpus = corpus_of(train=80)
    config = config_of(strategy__batch="bottom")
    for cycle, _ in collected(config, corpus, fake_for(corpus, later_is_harder))[:-1]:
        assert cycle.queried.tolist() == cycle.scored[:5].tolist()


def test_a_stochastic_batch_is_drawn_by_its_seed_and_remembers_the_scores():
    corpus = corpus_of(train=80)
    one, again, other = (
        [c for c, _ in collected(config_of(strategy__batch="power", seeds__strategy=s), corpus, fake_for(corpus))]
        for s in (1, 1, 2)
    )
    assert one[0].queried.tolist() == again[0].queried.tolist() != other[0].queried.tolist()
    top = collected(config_of(), corpus, fake_for(corpus))[0][0]
    assert one[0].scores.tolist() == top.scores.tolist(), "noise is no part of a score"


def test_random_draws_are_the_same_in_any_batch():
    """Their identity does not have it."""
    draws = [
        [
            c.queried.tolist()
            for c, _ in collected(config_of(strategy__name="random", strategy__batch=b), corpus_of(), None)
        ]
        for b in ("top", "bottom", "power")
    ]
    assert draws[0] == draws[1] == draws[2]


# ------------------------------------------------------------------------------ sentences without an entity


def test_sentences_without_an_entity_come_last():
    def opinion(fit, n: int) -> np.ndarray:
        """The greater the id, the less sure; every third sentence has a name."""
        top = np.linspace(0.95, 0.4, n)
        probs = np.column_stack([top, *[(1 - top) / 4] * 4])
        names = np.arange(n) % 3 == 0
        probs[names] = probs[names][:, [1, 0, 2, 3, 4]]
        return probs

    corpus = corpus_of("tagging", train=60)
    changes = {"schedule__initial": 6, "schedule__step": 12, "schedule__cycles": 2, "strategy__no_entity": "last"}
    cycles = [c for c, _ in collected(config_of("tagging", **changes), corpus, fake_for(corpus, opinion))]
    for cycle in cycles[:-1]:
        # The fake loses the first word of each fifth sentence: a sentence of one word is then without an entity, too.
        lost = (cycle.scored % 5 == 0) & (corpus.train.words[cycle.scored] == 1)
        with_names = cycle.scored[(cycle.scored % 3 == 0) & ~lost]
        others = np.setdiff1d(cycle.scored, with_names)
        score = dict(zip(cycle.scored.tolist(), cycle.scores.tolist(), strict=True))
        expected = sorted(with_names.tolist(), key=lambda i: -score[i]) + sorted(others, key=lambda i: -score[i])
        assert cycle.queried.tolist()[: len(with_names)] == expected[: min(12, len(with_names))]
        assert set(cycle.queried.tolist()) == set(expected[:12])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strategy__no_entity": "last"}, "strategy.no_entity=last: is of tagging with entities; set it to score"),
        ({"strategy__name": "coreset", "strategy__batch": "power"}, "strategy.batch=power: draws by scores"),
        ({"strategy__name": "coreset", "rescore": 2.0}, "rescore=2.0: computes scores again"),
        ({"strategy__batch": "softmax", "rescore": 2.0}, "rescore=2.0: looks at the top"),
        ({"strategy__aggregate": "top0"}, "strategy.aggregate=top0: must be one of"),
        ({"strategy__beta": 0.0}, "strategy.beta=0.0: must be at least 1e-06"),
    ],
)
def test_senseless_batches_are_refused(changes, says):
    with pytest.raises(UserError) as caught:
        validate(config_of(**changes))
    assert says in str(caught.value)


# ------------------------------------------------------------------------------------------- top-k aggregates


@pytest.mark.parametrize(("name", "expected"), [("top1", [5, 2, 0]), ("top2", [4, 2, 0]), ("top9", [3, 2, 0])])
def test_top_k_by_hand(name, expected):
    """The mean of the k highest words, of all where there are fewer; nothing where no word survived."""
    assert aggregated(Ragged.of([[1, 5, 3], [2], []], float), name) == pytest.approx(expected)


def test_top_k_between_max_and_mean():
    rng = np.random.default_rng(0)
    rows = Ragged.of([rng.random(n).tolist() for n in rng.integers(0, 9, 50)], float)
    assert aggregated(rows, "top1") == pytest.approx(aggregated(rows, "max"))
    assert aggregated(rows, "top8") == pytest.approx(aggregated(rows, "mean"))
    by_hand = [np.mean(sorted(row, reverse=True)[:3]) if len(row) else 0 for row in rows.rows()]
    assert aggregated(rows, "top3") == pytest.approx(by_hand)


@pytest.mark.parametrize(("name", "is_one"), [("top3", True), ("top12", True), ("top0", False), ("top", False),
                                              ("top03", False), ("top3x", False), ("max", True)])  # fmt: skip
def test_which_aggregates_there_are(name, is_one):
    assert is_aggregate(name) == is_one
