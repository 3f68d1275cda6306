"""Every strategy and candidate pool keeps what its kind promises; each promise can be broken; and who goes with whom."""

from itertools import product

import numpy as np
import pytest

from al_bench import plugins
from al_bench.acquisition.selection import costs_of
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import Selection, by_score, by_view, selecting
from al_bench.acquisition.subsampling import CANDIDATE_POOLS, Preference, candidate_pool
from al_bench.config.schema import TASKS, StrategyConfig, SubsamplingConfig
from al_bench.conformance import pools, strategies
from al_bench.conformance.rounds import CYCLES, STEP, UNITS, config_of, cycles_of
from al_bench.conformance.suite import breach
from al_bench.conformance.suites import SUITES
from al_bench.conformance.synthetic import corpus_of
from al_bench.errors import UserError

# Of those that are nothing without some.
SETTINGS = {"noisy_confusion": {"matrix": {"music": {"sport": 0.5}}}}
OF_FILES = ("column",)  # the synthetic corpus has none; learners are tried with files of theirs elsewhere


@pytest.mark.parametrize(
    ("kind", "name", "promise"),
    [
        pytest.param(kind, name, promise, id=f"{kind}-{name}-{promise.__name__}")
        for kind, suite in SUITES.items()
        if kind not in ("reader", "learner")
        for name in suite.registry.shipped
        if name not in OF_FILES
        for promise in suite.promises
    ],
)
def test_every_shipped_component_keeps_every_promise(kind, name, promise):
    assert breach(promise, SUITES[kind].prepare(name, SETTINGS.get(name, {}))) == ""


# ------------------------------------------------------------------- strategy x candidate pool x task x unit


def pool_config(name: str) -> SubsamplingConfig:
    """A candidate pool with its own settings, which looks at the whole pool in the first round."""
    chosen = pools.Subject.of(name, {}).chosen
    chosen.refresh = [0]
    return chosen


def refusal(strategy: str, pool: str, task: str) -> str | None:
    """The reason that the rules must give, by what the components declare; None where they go together."""
    chosen, candidates = STRATEGIES[strategy], CANDIDATE_POOLS[pool]
    if task not in chosen.tasks:
        return rf"strategy={strategy}: does not work on {task}"
    if pool != "none" and not chosen.needs:
        return rf"subsampling={pool}: saves nothing: strategy={strategy} scores no pool"
    if candidates.needs_scores and not chosen.scores:
        return rf"subsampling={pool}: reads last-known scores, and strategy={strategy} gives none"
    if task not in candidates.tasks:
        return rf"subsampling={pool}: does not work on {task}"
    return None


COMBINATIONS = [*product(STRATEGIES.shipped, CANDIDATE_POOLS.shipped, TASKS)]


@pytest.mark.parametrize(("strategy", "pool", "task"), [c for c in COMBINATIONS if refusal(*c)])
def test_what_makes_no_sense_is_refused_with_the_reason(strategy, pool, task):
    with pytest.raises(UserError, match=refusal(strategy, pool, task)):
        config_of(task, "examples", StrategyConfig(strategy), pool_config(pool))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("strategy", "pool", "task"), [c for c in COMBINATIONS if not refusal(*c)])
def test_three_rounds_of_all_that_go_together(strategy, pool, task, unit):
    config = config_of(task, unit, StrategyConfig(strategy), pool_config(pool))
    corpus = corpus_of(task)
    costs = costs_of(corpus.train.words, unit)
    *rounds, last = cycles_of(config, corpus)
    assert len(rounds) == CYCLES
    assert len(last.queried) == 0
    labelled = rounds[0].seed_set.tolist()
    for cycle in rounds:
        assert cycle.labelled == len(labelled)
        queried = cycle.queried.tolist()
        spent, before = costs[queried].sum(), costs[queried[:-1]].sum()
        assert spent == STEP[unit] if unit == "examples" else spent > STEP[unit] >= before
        assert len(set(queried)) == len(queried)
        assert not set(queried) & set(labelled)
        if len(cycle.scored):
            assert set(queried) <= set(cycle.scored.tolist())
            assert not set(cycle.scored.tolist()) & set(labelled)
            assert np.isfinite(cycle.scores).all()
        labelled += queried


# ------------------------------------------------------------------------------ each promise can be broken


def doubt(predictions) -> np.ndarray:
    return 1 - predictions.probs.max(axis=1).astype(np.float64)


def twice(view, candidates, budget, rng):
    """takes one twice"""
    return Selection(np.concatenate([candidates, candidates[:1]]))


def labelled_ones(view, candidates, budget, rng):
    """takes labelled ones"""
    return Selection(view.labelled)


def too_few(view, candidates, budget, rng):
    """takes one"""
    return Selection(rng.permutation(candidates)[:1])


def not_all(view, candidates, budget, rng):
    """takes what an ordinary budget buys"""
    return Selection(rng.permutation(candidates)[:30])


def in_order(view, candidates, budget, rng):
    """takes them as they come"""
    return Selection(candidates)


def by_label(view, candidates, budget, rng):
    """cheats"""
    labels = view.corpus.train.labels[candidates]
    return Selection(candidates[np.lexsort((rng.random(len(candidates)), labels))])


def undeclared(view, ids, rng):
    """looks at what it does not need"""
    return view.embeddings(ids, of="pretrained")[:, 0]


def overwriting(view, ids, rng):
    """writes into the predictions"""
    probs = view.predictions(ids).probs
    probs[:] = 0.5
    return probs[:, 0]


def hiding(predictions, rng, aggregate):
    """hides NaN"""
    return np.nan_to_num(doubt(predictions))


def relative(predictions, rng, aggregate):
    """compares with the part"""
    return doubt(predictions) / doubt(predictions).max()


def infinite(predictions, rng, aggregate):
    """divides by zero"""
    scores = doubt(predictions)
    scores[0] = np.inf
    return scores


def global_chance(predictions, rng, aggregate):
    """draws from elsewhere"""
    return np.random.default_rng().random(len(predictions))


def fitted_ones(view, ids, rng):
    """looks at embeddings of the fitted model without needing them"""
    return view.embeddings(ids)[:, 0]


def listed(view, candidates, budget, rng):
    """orders a list"""
    return Selection([int(i) for i in rng.permutation(candidates)])


def zeros_of_numpy(view, ids, rng):
    """raises in numpy"""
    return np.linalg.inv(np.zeros((2, 2)))


TEXTS = {"tasks": ("classification",)}
BROKEN_STRATEGIES = [
    (strategies.selects_what_the_budget_buys, selecting(twice), "has an id twice"),
    (strategies.selects_what_the_budget_buys, selecting(labelled_ones), "that are no candidates"),
    (strategies.selects_what_the_budget_buys, selecting(too_few), "do not use up the budget"),
    (strategies.selects_what_the_budget_buys, by_view(overwriting, **TEXTS), "changes what it was given (test_"),
    (strategies.selects_what_the_budget_buys, by_view(undeclared, **TEXTS), "looks at pretrained without needing it"),
    (strategies.selects_what_the_budget_buys, by_view(fitted_ones, **TEXTS), "looks at embeddings without needing it"),
    (strategies.selects_what_the_budget_buys, by_view(zeros_of_numpy, **TEXTS), "Singular matrix (test_conformance.py"),
    (strategies.says_what_it_is, by_score(lambda predictions, rng, aggregate: doubt(predictions)), "has no summary"),
    (strategies.says_what_it_is, by_score(hiding, tasks=("translation",)), "give some of classification, tagging"),
    (strategies.scores_every_candidate, by_score(infinite, **TEXTS), "of 48 scores are not finite"),
    (strategies.scores_alone, by_score(relative, **TEXTS), "use by_view"),
    (strategies.seeds_decide, by_score(global_chance, needs=()), "draw from `rng` alone"),
    (strategies.ties_are_drawn, selecting(in_order, needs=()), "all generators select the same one first"),
    (strategies.refuses_a_diverged_model, by_score(hiding, **TEXTS), "selects where all predictions are NaN"),
    (strategies.comes_to_an_end, selecting(not_all, needs=()), "do not use up the budget"),
    (strategies.has_an_opposite, selecting(not_all, **TEXTS), "has 30 of 48 candidates, which do not use up"),
    (strategies.knows_no_other_labels, selecting(by_label, **TEXTS), "reads labels that nobody has given"),
    (strategies.needs_what_it_declares, selecting(in_order, needs=("samples",)), "never looks at samples"),
    (strategies.runs_in_the_loop, by_score(global_chance, needs=()), "queries something else"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("promise", "strategy"),
    [
        (strategies.knows_no_other_labels, by_score(global_chance, needs=())),  # differs, and not by the labels
        (strategies.seeds_decide, selecting(listed, needs=())),
        (strategies.comes_to_an_end, selecting(listed, needs=())),
    ],
)
def test_a_strategy_that_keeps_a_promise(monkeypatch, promise, strategy):
    monkeypatch.setitem(plugins._given["strategy"], "theirs", strategy)
    assert breach(promise, strategies.Subject(StrategyConfig("theirs"))) == ""


@pytest.mark.parametrize(
    ("facts", "function", "reason"),
    [
        ({"needs": ("gold",)}, hiding, "declare bracket=True"),
        ({"needs": "predictions"}, hiding, r"write needs=\('predictions',\)"),
        ({"needs": ("prediction",)}, hiding, "it has embeddings, gold, predictions"),
        ({}, doubt, r"doubt takes \(predictions\).*, not \(predictions, rng, aggregate\)"),
        ({}, lambda predictions, rng, aggregate, power=2.0: power, r"its settings after a \*"),
    ],
)
def test_what_can_be_no_strategy_is_refused(facts, function, reason):
    with pytest.raises(TypeError, match=reason):
        by_score(function, **facts).refuse_other_arguments()


@pytest.mark.parametrize(("promise", "strategy", "broken"), BROKEN_STRATEGIES)
def test_a_strategy_that_breaks_a_promise(monkeypatch, promise, strategy, broken):
    monkeypatch.setitem(plugins._given["strategy"], "theirs", strategy)
    subject = strategies.Subject(StrategyConfig("theirs"))
    assert broken in breach(promise, subject)


def some(order: np.ndarray) -> Preference:
    return Preference(order, np.arange(len(order)) < 9)


def incomplete(view, rng):
    """leaves some out"""
    return some(rng.permutation(view.pool)[:20])


def unsure(view, rng):
    """draws by numbers"""
    return Preference(view.pool, np.ones(len(view.pool)))


def first_ones(view, rng):
    """draws the first ones"""
    return some(view.pool)


def peeking(view, rng):
    """draws by labels"""
    return some(view.pool[np.lexsort((rng.random(len(view.pool)), view.corpus.train.labels[view.pool]))])


def by_scores(view, rng):
    """draws by scores"""
    return some(view.pool[np.lexsort((rng.random(len(view.pool)), view.scores[view.pool]))])


def shuffled(view, rng):
    """draws"""
    return some(rng.permutation(view.pool))


def chance(view, rng):
    """draws from elsewhere"""
    return some(np.random.default_rng().permutation(view.pool))


BROKEN_POOLS = [
    (pools.prefers_unlabelled_examples, candidate_pool(incomplete), "does not hold each unlabelled example once"),
    (pools.prefers_unlabelled_examples, candidate_pool(unsure), "drawn is float64"),
    (pools.says_what_it_is, candidate_pool(lambda view, rng: some(view.pool)), "has no summary"),
    (pools.seeds_decide, candidate_pool(chance), "draw from `rng` alone"),
    (pools.ties_are_drawn, candidate_pool(first_ones), "all generators draw the same ones"),
    (pools.knows_no_other_labels, candidate_pool(peeking, **TEXTS), "reads labels that nobody has given"),
    (pools.needs_what_it_declares, candidate_pool(by_scores), "declare needs_scores=True"),
    (pools.needs_what_it_declares, candidate_pool(shuffled, needs_scores=True), "never reads view.scores"),
    (pools.needs_what_it_declares, candidate_pool(shuffled, needs=("pretrained",)), "never looks at pretrained"),
    (pools.runs_in_the_loop, candidate_pool(chance), "queries something else"),
]


@pytest.mark.parametrize(("promise", "pool", "broken"), BROKEN_POOLS)
def test_a_candidate_pool_that_breaks_a_promise(monkeypatch, promise, pool, broken):
    monkeypatch.setitem(plugins._given["subsampling"], "theirs", pool)
    assert broken in breach(promise, pools.Subject(SubsamplingConfig("theirs")))
