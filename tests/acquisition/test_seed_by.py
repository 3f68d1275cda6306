"""Seed sets that a strategy selects: of the whole pool, by what no fit is needed for, and once."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeLearner, changed, collected, config_of, corpus_of, fake_for

from al_bench import plugins
from al_bench.acquisition.loop import acquire
from al_bench.acquisition.needs import acquires, fits, needs_of, query_needs
from al_bench.acquisition.selection import costs_of, seed_set
from al_bench.acquisition.setup import Setup
from al_bench.acquisition.strategies.protocol import Selection, by_score, selecting
from al_bench.config.identity import labelled_identity, models_of, run_identity, trajectory_identity
from al_bench.config.resolution import resolve
from al_bench.config.rules import validate
from al_bench.config.schema import RunConfig
from al_bench.errors import UserError
from al_bench.seeds import stream


class Embedding(FakeLearner):
    """Two directions: even and odd ids."""

    def embed(self, inputs, ids):
        self.events.append("embed")
        return np.stack([ids % 2 == 0, ids % 2 == 1], axis=1).astype(np.float32) + ids[:, None] * np.float32(1e-5)


def seeded(learner: FakeLearner | None, **changes) -> list:
    return [cycle for cycle, _ in collected(config_of(**changes), corpus_of(), learner)]


def test_a_random_seed_set_is_what_it_was():
    """`seed_set` draws it from its own stream; no strategy is asked."""
    corpus, config = corpus_of(), config_of()
    costs = costs_of(corpus.train.words, "examples")
    drawn = seed_set(config.schedule, costs, corpus.train.labels, stream(config.seeds.seed_set, "seed_set"))
    assert seeded(fake_for(corpus))[0].seed_set.tolist() == np.sort(drawn).tolist()


@pytest.mark.parametrize("strategy", ["random", "least_confidence"])
def test_kmeans_selects_one_of_each_direction(strategy):
    learner = Embedding()
    first = seeded(learner, strategy__name=strategy, schedule__seed_by="embedding_kmeans", schedule__initial=2)[0]
    assert sorted(i % 2 for i in first.seed_set.tolist()) == [0, 1]
    assert first.labelled == 2
    assert learner.events.count("embed") == 1, "once, before anything is fitted"
    assert learner.events[0] == "embed"
    assert (learner.fits == []) == (strategy == "random")


def test_seed_sets_depend_on_the_seed_of_seed_sets_alone():
    one, same, other = (
        seeded(Embedding(), schedule__seed_by="coreset_pretrained", **seeds)[0].seed_set.tolist()
        for seeds in ({}, {"seeds__strategy": 9, "seeds__subsampling": 9}, {"seeds__seed_set": 9})
    )
    assert one == same != other


def test_a_recorded_seed_set_is_taken_as_it_is():
    config, learner = config_of(schedule__seed_by="embedding_kmeans", strategy__name="random"), Embedding()
    setup = Setup(config, corpus_of(), lambda cycle: learner, seeded=np.array([5, 3, 8]))
    first, _ = next(acquire(setup, lambda number, queries, compute: compute(None)))
    assert first.seed_set.tolist() == [3, 5, 8]
    assert learner.events == []


def test_it_costs_once_and_is_no_iteration():
    corpus = corpus_of()
    done = collected(config_of(schedule__seed_by="embedding_kmeans"), corpus, Embedding())
    assert ["seed" in costs.seconds for _, costs in done] == [True] + [False] * 4
    plain = collected(config_of(), corpus, fake_for(corpus))
    assert done[0][1].seconds.keys() - plain[0][1].seconds.keys() == {"seed"}
    assert done[0][1].counts.keys() == plain[0][1].counts.keys()


def test_the_stopping_set_has_none_of_it():
    first = seeded(Embedding(), schedule__seed_by="coreset_pretrained", schedule__initial=30)[0]
    assert not set(first.stop_set["ids"]) & set(first.seed_set)


@pytest.fixture
def own(monkeypatch):
    """Registers a strategy for the time of a test."""

    def add(name: str, strategy: object) -> str:
        monkeypatch.setitem(plugins._given["strategy"], name, strategy)
        return name

    return add


def test_one_of_ones_own_that_needs_no_model(own):
    def longest(view, candidates, budget, rng):
        return Selection(candidates[np.argsort(-view.words[candidates], kind="stable")])

    name = own("longest", selecting(longest, needs=()))
    corpus = corpus_of()
    config = config_of(schedule__seed_by=name, strategy__name="random", schedule__unit="words", schedule__initial=20)
    assert not acquires(config)
    first = collected(config, corpus, None)[0][0]
    words = np.sort(corpus.train.words)[::-1]
    assert sorted(corpus.train.words[first.seed_set])[::-1] == words[:3].tolist(), (
        "9 + 9 words, and one more to exceed 20"
    )


def test_a_broken_order_is_refused(own):
    name = own("twice", selecting(lambda view, candidates, budget, rng: Selection(candidates[[0, 0, 1]]), needs=()))
    with pytest.raises(UserError, match=r"strategy=twice: its order has an id twice"):
        seeded(None, schedule__seed_by=name, strategy__name="random")


def test_it_sees_no_label(own):
    def curious(view, candidates, budget, rng):
        assert len(view.labelled) == len(view.labels) == 0
        with pytest.raises(UserError, match="looks at gold without needing it"):
            view.gold(candidates)
        return Selection(candidates)

    seeded(Embedding(), schedule__seed_by=own("curious", selecting(curious, needs=("pretrained",))))


# -------------------------------------------------------------------------------------- rules and identity


def refused(config: RunConfig) -> str:
    """The lines about the key, among those about what a config for fakes lacks."""
    with pytest.raises(UserError) as caught:
        validate(config)
    return "\n".join(line for line in str(caught.value).splitlines() if line.startswith("schedule.seed_by="))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed_by": "mahalanobis"}, "=mahalanobis: needs embeddings, predictions of a fitted model, and none is"),
        ({"seed_by": "embedding_kmean"}, "did you mean embedding_kmeans?"),
        ({"seed_by": "alps", "stratified": True}, "=alps: knows no class to stratify by"),
        ({"seed_by": "alps", "seed_set": __file__}, "=alps: selects the seed set, and schedule.seed_set has it"),
    ],
)
def test_senseless_ones_are_refused(changes, says):
    assert says in refused(config_of(**{f"schedule__{key}": value for key, value in changes.items()}))


def test_one_with_required_settings_or_of_another_task_is_refused(own):
    def demanding(view, candidates, budget, rng, *, share: float):
        return Selection(candidates)

    name = own("demanding", selecting(demanding, needs=()))
    assert "has settings without a default (share)" in refused(config_of(schedule__seed_by=name))
    name = own("of_tags", by_score(lambda p, rng, aggregate: rng.random(len(p)), needs=(), tasks=("tagging",)))
    assert "does not work on classification" in refused(config_of(schedule__seed_by=name))
    assert not refused(config_of("tagging", schedule__seed_by=name))


def test_a_seed_set_needs_the_encoder_and_no_fit():
    config = config_of(strategy__name="random", schedule__seed_by="embedding_kmeans")
    assert (query_needs(config), needs_of(config)) == (frozenset(), {"pretrained"})
    assert acquires(config)
    assert not fits(config)
    assert list(models_of(config)) == ["acquisition"]
    assert not acquires(replace(config, replay="ids.jsonl"))


@pytest.mark.parametrize(
    ("key", "value", "another"),
    [
        ("schedule.seed_by", "coreset_pretrained", True), ("acquisition.hub", "other/model", True),
        ("acquisition.max_length", 64, True), ("seeds.seed_set", 3, True), ("schedule.initial", 9, True),
        ("acquisition.training.epochs", 3, False), ("seeds.model", 3, False), ("seeds.order", 3, False),
    ],
)  # fmt: skip
def test_a_seed_set_depends_on_the_encoder_however_it_would_be_trained(key, value, another):
    """So do runs of random draws after it, and fits on it."""
    base = config_of(strategy__name="random", schedule__seed_by="embedding_kmeans")
    other = resolve(changed(base, {key: value}))
    assert (labelled_identity(base, "float32", 0) != labelled_identity(other, "float32", 0)) == another
    assert (trajectory_identity(base, "float32") != trajectory_identity(other, "float32")) == another
    if not key.startswith("seeds"):
        assert (run_identity(base) != run_identity(other)) == another


def test_a_random_seed_set_depends_on_no_encoder():
    base = config_of()
    other = resolve(changed(base, {"acquisition.hub": "other/model"}))
    assert labelled_identity(base, "float32", 0) == labelled_identity(other, "bfloat16", 0)
    by = (resolve(changed(c, {"schedule.seed_by": "embedding_kmeans"})) for c in (base, base))
    assert len({str(labelled_identity(c, p, 0)) for c, p in zip(by, ("float32", "bfloat16"), strict=True)}) == 2


def test_changed_code_is_another_seed_set(own, monkeypatch):
    name = own("mine", selecting(lambda view, candidates, budget, rng: Selection(candidates), needs=()))
    config = config_of(schedule__seed_by=name)
    before = labelled_identity(config, "float32", 0), run_identity(config)
    monkeypatch.setattr(plugins, "source_hash", lambda function, where: "another")
    assert (labelled_identity(config, "float32", 0), run_identity(config)) != before
    assert run_identity(config)["schedule"]["seed_by"] == {"name": "mine", "code": "another"}
