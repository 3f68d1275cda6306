"""The loop with learners that remember what they were asked: who is queried, and who knows what."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeLearner, FakeModel, changed, collected, config_of, corpus_of, fake_for, later_is_harder, moody

from al_bench import plugins
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import stop_set
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import by_view
from al_bench.config.schema import SubsamplingConfig
from al_bench.data.corpus import Corpus
from al_bench.data.metrics import calibration_error, evaluate
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled

SUBSAMPLINGS = {
    "none": SubsamplingConfig("none"),
    "random": SubsamplingConfig("random", 0.3, refresh="none"),
    "naive": SubsamplingConfig("naive", 0.3, refresh=[0, 2]),
    "ups": SubsamplingConfig("ups", 0.1, 0.1, refresh=[0, 2]),
    "ups, never refreshed": SubsamplingConfig("ups", 0.1, 0.1, refresh="none"),
}
EVERY = [
    pytest.param(name, task, unit, subsampling, id=f"{name}-{task}-{unit}-{subsampling}")
    for name, strategy in STRATEGIES.items()
    if strategy.scores and set(strategy.needs) <= {"predictions", "embeddings"}
    for task in strategy.tasks
    for unit in ("examples", "words")
    for subsampling in (SUBSAMPLINGS if strategy.needs else ["none"])
]


@pytest.mark.parametrize(("strategy", "task", "unit", "subsampling"), EVERY)
def test_every_strategy_with_every_subsampling(strategy, task, unit, subsampling):
    corpus = corpus_of(task)
    config = config_of(task, strategy__name=strategy, subsampling=SUBSAMPLINGS[subsampling],
                       schedule__unit=unit, schedule__initial=12, schedule__step=9)  # fmt: skip
    learner = fake_for(corpus) if STRATEGIES[strategy].needs else None
    done = collected(config, corpus, learner)
    assert [cycle.number for cycle, _ in done] == [0, 1, 2, 3, 4]

    n, words = len(corpus.train), corpus.train.words
    labelled: list[int] = []
    for cycle, _ in done:
        if cycle.number == 0:
            labelled += cycle.seed_set.tolist()
        pool = set(range(n)) - set(labelled)
        assert len(set(labelled)) == len(labelled) == cycle.labelled
        assert cycle.words == words[labelled].sum()
        queried = cycle.queried.tolist()
        assert len(set(queried)) == len(queried)
        assert set(queried) <= pool
        if learner is not None:
            fit = learner.fits[cycle.number]
            assert fit.ids.tolist() == sorted(labelled), "all that is labelled, once, and nothing else"
            gold = corpus.train.labels[fit.ids]
            assert np.array_equal(flat(fit.labels), flat(gold))
            assert fit.seeds.cycle == cycle.number
        if cycle.number == 4:
            assert queried == []
            continue
        cost = np.ones(n, dtype=int) if unit == "examples" else words
        spent = cost[queried].sum()
        assert spent == 9 if unit == "examples" else spent > 9 >= cost[queried[:-1]].sum()
        if learner is not None:
            assert cycle.scored.tolist() == learner.asked[cycle.number].tolist()
            if learner.compared:
                assert learner.compared[cycle.number].tolist() == sorted(labelled)
            assert set(queried) <= set(cycle.scored.tolist()) <= pool
            top = cycle.scores[np.searchsorted(cycle.scored, queried)]
            others = np.isin(cycle.scored, queried, invert=True)
            assert (np.diff(top) <= 0).all()
            assert top[-1] >= cycle.scores[others].max(initial=-np.inf)
        labelled += queried


def flat(labels) -> np.ndarray:
    return labels.values if isinstance(labels, Ragged) else labels


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("strategy", ["least_confidence", "entropy", "breaking_ties", "mahalanobis"])
def test_queried_are_the_last_ids_of_those_scored(strategy, subsampling):
    """With scores that rise with the id, a position that was taken for an id shows at once."""
    corpus = corpus_of(train=200)
    config = config_of(strategy__name=strategy, subsampling=SUBSAMPLINGS[subsampling])
    for cycle, _ in collected(config, corpus, fake_for(corpus, later_is_harder))[:-1]:
        assert cycle.queried.tolist() == cycle.scored[-5:][::-1].tolist()


def test_only_the_asked_share_is_scored_and_stale_scores_stay():
    corpus = corpus_of(train=400)
    config = config_of(subsampling=SUBSAMPLINGS["naive"])
    learner = fake_for(corpus)
    done = [cycle for cycle, _ in collected(config, corpus, learner)]
    assert [len(cycle.scored) for cycle in done] == [392, round(0.3 * 387), 382, round(0.3 * 377), 0]
    # Round 1 scored the top of the scores that round 0 gave to the examples still in the pool.
    scores = dict(zip(done[0].scored.tolist(), done[0].scores.tolist(), strict=True))
    left = sorted(set(scores) - set(done[0].queried.tolist()), key=lambda i: -scores[i])
    assert done[1].scored.tolist() == sorted(left[: len(done[1].scored)])


def test_a_round_of_ups_at_the_size_of_ag_news():
    n = 120_000
    small = corpus_of(test=4)
    labels = np.random.default_rng(0).integers(0, 3, n)
    corpus = replace(small, train=replace(small.train, inputs=["word " * 40] * n, labels=labels))
    config = config_of(
        subsampling=SubsamplingConfig("ups", 0.1, 0.01, refresh=[0]),
        schedule__initial=0.01, schedule__step=0.01, schedule__cycles=2,
    )  # fmt: skip
    first, second, _ = (cycle for cycle, _ in collected(config, corpus, fake_for(corpus)))
    assert len(first.scored) == 118_800
    assert len(second.scored) / 117_600 == pytest.approx(0.11, abs=0.001)
    assert second.extended == 0
    assert len(second.queried) == 1200
    assert np.isin(second.queried, second.scored).all()
    ranks = np.argsort(np.argsort(-first.scores))[np.searchsorted(first.scored, second.scored)]
    assert (ranks < 0.22 * 118_800).all(), "nobody from the confident four fifths"


# ------------------------------------------------------------------------------------------- label leaks


@pytest.mark.parametrize(
    ("task", "strategy"),
    [("classification", "least_confidence"), ("tagging", "least_confidence"), ("classification", "mahalanobis")],
)
@pytest.mark.parametrize("subsampling", ["none", "ups"])
def test_labels_that_were_not_asked_for_change_nothing(task, strategy, subsampling):
    corpus = corpus_of(task)
    config = config_of(task, strategy__name=strategy, subsampling=SUBSAMPLINGS[subsampling])
    honest = [cycle for cycle, _ in collected(config, corpus, fake_for(corpus))]
    known = np.concatenate([honest[0].seed_set, *(cycle.queried for cycle in honest)])
    poisoned = poison(corpus, known)
    again = [cycle for cycle, _ in collected(config, poisoned, fake_for(corpus))]
    for one, other in zip(honest, again, strict=True):
        for name in ("seed_set", "queried", "scored", "scores"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert one.query == other.query
    assert [cycle.metrics for cycle in honest] != [cycle.metrics for cycle in again]

    # The same poison on one label that was asked for changes the scores: the fake learner does look at labels.
    spoiled = [cycle for cycle, _ in collected(config, poison(corpus, known[1:]), fake_for(corpus))]
    assert not np.array_equal(spoiled[0].scores, honest[0].scores)


def test_a_strategy_sees_the_labels_of_labelled_ids_alone(monkeypatch):
    """The learner here forgets its labels, so a difference in scores is the strategy's."""
    corpus, config = corpus_of(), config_of(strategy__name="mahalanobis")
    labels_seen = []

    @by_view(needs=STRATEGIES["mahalanobis"].needs)
    def spy(view, ids, rng):
        labels_seen.append(view.labels)
        return STRATEGIES["mahalanobis"].call(view, ids, rng)

    monkeypatch.setitem(plugins._given["strategy"], "spy", spy)
    learner = fake_for(corpus, later_is_harder)
    honest = [cycle for cycle, _ in collected(config_of(strategy__name="spy"), corpus, learner)]
    assert len(labels_seen) == 4
    for labels, fit in zip(labels_seen, learner.fits, strict=False):
        assert labels.tolist() == corpus.train.labels[fit.ids].tolist()

    seeds = honest[0].seed_set
    again = next(c for c, _ in collected(config, poison(corpus, seeds), fake_for(corpus, later_is_harder)))
    assert np.array_equal(again.scores, honest[0].scores)
    spoiled = next(c for c, _ in collected(config, poison(corpus, seeds[1:]), fake_for(corpus, later_is_harder)))
    assert not np.array_equal(spoiled.scores, honest[0].scores)


def poison(corpus: Corpus, known: np.ndarray) -> Corpus:
    """Every label of the test split is wrong, and every label of the training split but those of `known`."""

    def wrong(labels, spared: np.ndarray):
        values = flat(labels).copy()
        rows = np.arange(len(labels))
        where = np.setdiff1d(rows, spared)
        where = labels.positions(where) if isinstance(labels, Ragged) else where
        values[where] = (values[where] + 1) % 3
        return Ragged(values, labels.offsets) if isinstance(labels, Ragged) else values

    train = replace(corpus.train, labels=wrong(corpus.train.labels, known))
    return replace(corpus, train=train, test=replace(corpus.test, labels=wrong(corpus.test.labels, known[:0])))


def test_metrics_are_of_the_test_split():
    corpus = corpus_of()
    learner = fake_for(corpus)
    done = collected(config_of(), corpus, learner)
    for (cycle, _), fit in zip(done, learner.fits, strict=True):
        probs = moody(fit, len(corpus.test)).astype(np.float32)
        labels = probs.argmax(axis=1)
        expected = evaluate("classification", corpus.label_names, corpus.test.labels, labels)
        expected["ece"] = calibration_error(probs.max(axis=1), labels == corpus.test.labels)
        assert cycle.metrics == expected


# ----------------------------------------------------------------------------------------- the stopping set


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_test_inputs_and_labels_are_for_metrics_alone(task):
    """With another test split, of another size, the metrics differ and nothing else does."""
    corpus = corpus_of(task)
    other = replace(corpus, test=corpus_of(task, test=31, seed=5).test)
    one, two = ([cycle for cycle, _ in collected(config_of(task), c, fake_for(c))] for c in (corpus, other))
    assert [cycle.metrics for cycle in one] != [cycle.metrics for cycle in two]
    for a, b in zip(one, two, strict=True):
        for name in ("seed_set", "queried", "scored", "scores", "stop_labels"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert (a.query, a.stop_set) == (b.query, b.stop_set)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("dev", [0, 20])
def test_stop_labels_are_the_models_labels_of_the_stopping_set(task, dev):
    corpus = corpus_of(task, train=100)
    if dev:
        corpus = replace(corpus, dev=corpus_of(task, train=dev, seed=3).train)
    split = corpus.dev if dev else corpus.train
    learner = fake_for(corpus)
    done = [cycle for cycle, _ in collected(config_of(task), corpus, learner)]
    chosen = done[0].stop_set
    ids = np.array(chosen["ids"])
    assert chosen["split"] == ("dev" if dev else "pool")
    assert chosen["examples"] == len(ids) == len(set(ids)) == (20 if dev else 10)
    assert (np.diff(ids) > 0).all()
    assert chosen["words"] == split.words[ids].tolist()
    assert dev or not set(ids) & set(done[0].seed_set), "never of the seed set"
    assert [cycle.stop_set for cycle in done[1:]] == [None] * 4
    texts = Unlabelled([split.inputs[i] for i in ids])
    for cycle, fit in zip(done, learner.fits, strict=True):
        expected = FakeModel(learner, fit).predict(texts, np.arange(len(ids)), exact=True).labels()
        assert cycle.stop_labels.dtype == np.int16
        assert cycle.stop_labels.tolist() == flat(expected).tolist()


def test_the_stopping_set_is_a_seeded_draw_that_changes_no_query():
    corpus = corpus_of(train=100)
    with_dev = replace(corpus, dev=corpus_of(train=30, seed=3).train)
    one, again, other, dev = (
        collected(config_of(**changes), c, fake_for(c))
        for c, changes in (
            (corpus, {}), (corpus, {}), (corpus, {"seeds__seed_set": 7}), (with_dev, {}),
        )
    )  # fmt: skip
    assert one[0][0].stop_set == again[0][0].stop_set
    assert one[0][0].stop_set != other[0][0].stop_set
    assert ids_of(one) == ids_of(dev)
    assert set(one[0][0].stop_set["ids"]) & set(np.concatenate([c.scored for c, _ in one])), "still in the pool"


def test_sizes_of_the_stopping_set():
    def stop(train: int, dev: int | None = None, seed_ids=()):
        corpus = corpus_of(train=train)
        if dev is not None:
            corpus = replace(corpus, dev=corpus_of(train=dev).train)
        return stop_set(corpus, np.array(seed_ids, dtype=int), np.random.default_rng(0))

    assert [len(stop(n).inputs) for n in (4, 60, 30_000)] == [1, 6, 2000]
    assert [len(stop(60, dev).inputs) for dev in (1, 1999, 2500)] == [1, 1999, 2000]
    assert stop(20, seed_ids=range(19)).record["ids"] == [19]
    nothing = stop(20, seed_ids=range(20))
    assert nothing.record["examples"] == 0
    assert nothing.labels(None) is None, "no model is asked"


def test_a_seed_set_from_a_file_has_one_stopping_set_for_all_seeds(tmp_path):
    """`seeds.seed_set` draws nothing then and is no part of the trajectory's identity."""
    (tmp_path / "ids.txt").write_text("1 2 3")
    corpus = corpus_of()
    one, other = (
        collected(
            config_of(schedule__seed_set=str(tmp_path / "ids.txt"), seeds__seed_set=seed), corpus, fake_for(corpus)
        )
        for seed in (1, 2)
    )
    assert one[0][0].stop_set == other[0][0].stop_set


# ------------------------------------------------------------------------------------ phases and their costs


def test_evaluation_is_a_phase_of_its_own():
    corpus = corpus_of()
    learner = fake_for(corpus)
    config = config_of(schedule__cycles=1)
    done = collected(config, corpus, learner, lambda phase: learner.events.append(f"[{phase}]"))
    cycle = ["[train]", "fit", "[evaluate]", "predict test", "predict stop"]
    query = ["[subsample]", "[select]", "[predict]", "look at pool"]
    assert learner.events == [*cycle, *query, *cycle]
    assert list(done[0][1].seconds) == ["prepare", "train", "evaluate", "subsample", "predict", "select"]
    assert list(done[1][1].seconds) == ["train", "evaluate"]
    assert done[0][1].counts == {"train_steps": 1, "train_tokens": 1, "trained_parameters": 0, "scored_examples": 52,
                                 "scored_tokens": 52, "peak_memory_bytes": 1}  # fmt: skip


@pytest.mark.parametrize(("strategy", "seconds"), [("alps", 48.0), ("embedding_kmeans", 17.0), ("entropy", 16.0)])
@pytest.mark.parametrize("key", ["strategy__name", "schedule__seed_by"])
def test_what_is_computed_once_for_a_pretrained_encoder_is_no_query(key, strategy, seconds):
    if key == "schedule__seed_by" and strategy == "entropy":
        return
    done = collected(config_of(**{key: strategy}), corpus_of(), fake_for(corpus_of()))
    assert [costs.seconds.get("prepare") for _, costs in done] == [seconds, *[None] * (len(done) - 1)]


def test_a_look_back_at_the_labelled_is_paid_for_as_prediction():
    corpus = corpus_of()
    learner = fake_for(corpus)
    config = config_of(strategy__name="mahalanobis", schedule__cycles=1)
    done = collected(config, corpus, learner, lambda phase: learner.events.append(f"[{phase}]"))
    cycle = ["[train]", "fit", "[evaluate]", "predict test", "predict stop"]
    query = ["[subsample]", "[select]", "[predict]", "look back", "[predict]", "look at pool"]
    assert learner.events == [*cycle, *query, *cycle], "the last cycle queries nothing and compares nothing"
    counts = {"train_steps": 1, "train_tokens": 1, "trained_parameters": 0, "peak_memory_bytes": 1}
    assert done[1][1].counts == counts
    scored = {"scored_examples": 52, "scored_tokens": 52}
    assert done[0][1].counts == {**counts, **scored, "reference_examples": 8, "reference_tokens": 8}


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("strategy", ["least_confidence", "entropy", "breaking_ties"])
def test_scores_in_parts_are_scores_of_the_whole(strategy, task):
    """The fake hands its predictions over in two halves, the later one first."""
    corpus = corpus_of(task)
    learner = fake_for(corpus)
    cycle = collected(config_of(task, strategy__name=strategy), corpus, learner)[0][0]
    whole = FakeModel(learner, learner.fits[0]).predict(Unlabelled(corpus.train.inputs), cycle.scored)
    expected = STRATEGIES[strategy].call(whole, np.random.default_rng(0), "mean")
    np.testing.assert_array_equal(cycle.scores, expected.astype(np.float32))


def test_rescoring_looks_at_the_top_again_in_float32():
    """52 candidates, 5 queried, so the top 10 are looked at again, and these alone get new scores."""
    corpus, learner = corpus_of(), fake_for(corpus_of())
    config = config_of(rescore=2.0, schedule__cycles=1)
    done = collected(config, corpus, learner, lambda phase: learner.events.append(f"[{phase}]"))
    first, again = learner.asked
    assert learner.events[5:12] == ["[subsample]", "[select]", "[predict]", "look at pool", "[rescore]", "[rescore]",
                                    "look at pool exactly"]  # fmt: skip
    cycle, costs = done[0]
    scores = cycle.scores[np.searchsorted(first, again)]
    assert len(again) == costs.counts["rescored_examples"] == 10
    assert scores.min() >= np.delete(cycle.scores, np.searchsorted(first, again)).max()
    assert set(cycle.queried) < set(again)
    assert (costs.counts["scored_tokens"], costs.counts["rescored_tokens"]) == (52, 10)


def test_rescoring_compares_like_with_like():
    """Distances of float32 embeddings are to float32 ones of the labelled examples, which are looked at again."""
    corpus, learner = corpus_of(), fake_for(corpus_of())
    config = config_of(strategy__name="mahalanobis", rescore=2.0, schedule__cycles=1)
    costs = collected(config, corpus, learner)[0][1]
    assert [event for event in learner.events if event.startswith("look")] == [
        "look back", "look at pool", "look back exactly", "look at pool exactly",
    ]  # fmt: skip
    assert costs.counts["reference_examples"] == 16


def test_rescoring_decides_the_query():
    """By rounded scores the highest ids are queried; in float32 it is the other way round, among the top 10."""

    class Rounded(FakeModel):
        def parts(self, inputs, ids, *, exact=False, embeddings=False):
            if not exact:
                return super().parts(inputs, ids, exact=exact, embeddings=embeddings)
            turned = len(inputs) - 1 - np.arange(len(inputs))
            turned[ids] = ids[::-1]
            return super().parts(inputs, turned[ids], exact=exact, embeddings=embeddings)

    class Learner(FakeLearner):
        def fit(self, *arguments, **options):
            return Rounded(self, super().fit(*arguments, **options).fit)

    corpus = corpus_of()

    def first(**changes):
        config = config_of(schedule__cycles=1, **changes)
        return collected(config, corpus, Learner(opinion=later_is_harder))[0][0]

    plain, again = first(), first(rescore=2.0)
    top = plain.scored[np.argsort(-plain.scores)][:10]
    assert plain.queried.tolist() == top[:5].tolist()
    assert again.queried.tolist() == top[::-1][:5].tolist()


def test_random_fits_nothing():
    corpus = corpus_of()
    done = collected(config_of(strategy__name="random"), corpus, None)
    for cycle, costs in done:
        assert cycle.metrics is None
        assert cycle.stop_set is cycle.stop_labels is None
        assert len(cycle.scored) == 0, "draws are no scores to remember"
        assert not {"train", "predict", "evaluate"} & set(costs.seconds)
    assert len(done) == 5


def test_the_acquisition_room_needs_no_torch():
    code = (
        "import sys, al_bench.acquisition.loop, al_bench.ledger.trajectory, al_bench.ledger.replay\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------------------------------- ends and errors


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("unit", ["examples", "words"])
def test_a_pool_that_runs_out_ends_the_run(subsampling, unit):
    corpus = corpus_of(train=20)
    step = 5 if unit == "examples" else 30
    config = config_of(subsampling=SUBSAMPLINGS[subsampling], schedule__unit=unit, schedule__step=step,
                       schedule__cycles=15)  # fmt: skip
    learner = fake_for(corpus)
    done = [cycle for cycle, _ in collected(config, corpus, learner)]
    assert done[-1].labelled == 20
    assert len(done[-1].queried) == 0
    assert all(len(cycle.queried) for cycle in done[:-1])
    assert len(done) < 16
    assert len(learner.fits[-1].ids) == 20


def test_a_seed_set_of_everything_is_one_cycle():
    corpus = corpus_of(train=20)
    done = collected(config_of(schedule__initial=1.0), corpus, fake_for(corpus))
    assert [cycle.labelled for cycle, _ in done] == [20]


def test_no_queries_is_one_cycle():
    corpus = corpus_of()
    (only,) = collected(config_of(schedule__cycles=0), corpus, fake_for(corpus))
    assert (only[0].labelled, len(only[0].queried)) == (8, 0)


@pytest.mark.parametrize("strategy", ["least_confidence", "mahalanobis"])
def test_a_seed_set_of_one_class_works(strategy):
    corpus = corpus_of()
    one = replace(corpus, train=replace(corpus.train, labels=np.zeros(60, dtype=np.int64)))
    assert len(collected(config_of(strategy__name=strategy), one, fake_for(one))) == 5


@pytest.mark.parametrize(
    ("task", "strategy"),
    [("classification", "least_confidence"), ("tagging", "least_confidence"), ("classification", "mahalanobis")],
)
def test_diverged_training_is_an_error_that_says_so(task, strategy):
    def broken(fit, n: int) -> np.ndarray:
        probs = moody(fit, n)
        probs[n // 2 :] = np.nan
        return probs

    corpus = corpus_of(task)
    with pytest.raises(UserError, match=r"are not finite because training diverged; lower .*learning_rate"):
        collected(config_of(task, strategy__name=strategy), corpus, fake_for(corpus, broken))


# ----------------------------------------------------------------------------------------------- chance


def ids_of(done) -> list[list[int]]:
    return [done[0][0].seed_set.tolist(), *(cycle.queried.tolist() for cycle, _ in done)]


def fixed(fit, n: int) -> np.ndarray:
    """Three levels of certainty, the same for every fit: ties everywhere."""
    top = np.array([0.4, 0.6, 0.8])[np.arange(n) % 3]
    return np.column_stack([top, 1 - top, np.zeros(n)])


@pytest.mark.parametrize("key", ["seed_set", "model", "order", "subsampling", "strategy"])
def test_each_seed_rules_its_own_chance(key):
    corpus = corpus_of()
    config = config_of(subsampling=SUBSAMPLINGS["random"])
    other = changed(config, {f"seeds.{key}": 7})
    learners = fake_for(corpus, fixed), fake_for(corpus, fixed)
    before, after = (collected(c, corpus, f) for c, f in zip((config, other), learners, strict=True))
    assert (before[0][0].seed_set.tolist() == after[0][0].seed_set.tolist()) == (key != "seed_set")
    scored = [done[0][0].scored.tolist() for done in (before, after)]
    assert (scored[0] == scored[1]) == (key not in ("seed_set", "subsampling"))
    queried = [done[0][0].queried.tolist() for done in (before, after)]
    assert (queried[0] == queried[1]) == (key in ("model", "order"))
    seeds = [(f.fits[0].seeds.model, f.fits[0].seeds.order) for f in learners]
    assert [a == b for a, b in zip(*seeds, strict=True)] == [key != "model", key != "order"]


def test_a_run_is_a_function_of_its_seeds():
    corpus = corpus_of()
    runs = [ids_of(collected(config_of(seed=seed), corpus, fake_for(corpus))) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    draws = [ids_of(collected(config_of(seed=seed, strategy__name="random"), corpus, None)) for seed in (1, 2)]
    assert draws[0] != draws[1]


def test_draws_differ_from_cycle_to_cycle():
    """Generators that restart in every round draw the same positions again."""
    pools, picks = [], []
    corpus = corpus_of(train=60)
    labelled = Pool.unlabelled_of(60)
    for cycle, _ in collected(config_of(strategy__name="random"), corpus, None)[:-1]:
        labelled = labelled.label(cycle.seed_set) if cycle.number == 0 else labelled
        pools.append(labelled.unlabelled)
        picks.append(np.searchsorted(labelled.unlabelled, cycle.queried).tolist())
        labelled = labelled.label(cycle.queried)
    assert len({tuple(pick) for pick in picks}) == len(picks)


# ------------------------------------------------------------------------------------------------ the pool


def test_an_example_is_labelled_once():
    pool = Pool.unlabelled_of(5).label(np.array([1, 3]))
    with pytest.raises(AssertionError):
        pool.label(np.array([3]))
    with pytest.raises(AssertionError):
        pool.label(np.array([2, 2]))


def test_the_pool_is_a_value():
    before = Pool.unlabelled_of(5)
    after = before.label(np.array([1])).remember(np.array([0, 2]), np.array([0.5, 0.25]))
    assert before.unlabelled.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(before.score).all()
    assert after.labelled.tolist() == [1]
    assert np.isnan(after.score).tolist() == [False, True, False, True, True]
    assert after.score[[0, 2]].tolist() == [0.5, 0.25]


def test_what_was_queried_is_described():
    corpus = corpus_of("tagging")
    learner: FakeLearner = fake_for(corpus)
    for cycle, _ in collected(config_of("tagging", strategy__name="mnlp"), corpus, learner)[:-1]:
        tags = np.concatenate([corpus.train.labels.row(i) for i in cycle.queried])
        words = corpus.train.words[cycle.queried]
        assert cycle.query["labels"] == {"PER": (tags == 1).sum(), "LOC": (tags == 3).sum()}
        assert cycle.query["examples"] == 5
        assert cycle.query["words"] == words.sum() == len(tags)
        assert cycle.query["mean_words"] == pytest.approx(words.mean())
        top = cycle.scores[np.searchsorted(cycle.scored, cycle.queried)]
        assert cycle.query["min_score"] == pytest.approx(top.min())
        assert cycle.query["mean_score"] == pytest.approx(top.mean())
        assert cycle.query["max_score"] == pytest.approx(top.max())
