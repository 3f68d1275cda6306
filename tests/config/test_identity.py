"""Which keys make another trajectory and another run: all of them, one by one."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import changed

from al_bench.config.component_identity import model_identity
from al_bench.config.digests import differences, digest
from al_bench.config.identity import (
    fit_identity,
    labelled_identity,
    pseudo_labels_identity,
    run_folder,
    run_identity,
    suspicion_identity,
    trajectory_identity,
)
from al_bench.config.resolution import resolve
from al_bench.config.schema import (
    DatasetConfig,
    FilterConfig,
    ModelConfig,
    OracleConfig,
    PseudoLabelingConfig,
    RunConfig,
    ScheduleConfig,
    StrategyConfig,
    SubsamplingConfig,
)

BASE = RunConfig(
    dataset=DatasetConfig(name="news", task="classification", hub="some/news"),
    acquisition=ModelConfig(name="small", hub="some/small"),
    successor=ModelConfig(name="large", hub="some/large"),
    strategy=StrategyConfig("least_confidence"),
    subsampling=SubsamplingConfig("ups", 0.1, 0.01, refresh=[0]),
    pseudo_labeling=PseudoLabelingConfig("plasm", filters=[FilterConfig("tracin"), FilterConfig("verifier")]),
    pseudo_labeler=ModelConfig(name="full", hub="some/full"),
    verifier=ModelConfig(name="second", hub="some/second"),
    schedule=ScheduleConfig(0.01, 0.01, cycles=15),
)
TRAJECTORY_AND_RUN, RUN, NOTHING = (True, True), (False, True), (False, False)

# The value that a key is changed to, and what that makes another.
DATASET = {
    "name": ("other", NOTHING),  # a label in folders and tables
    "task": ("tagging", TRAJECTORY_AND_RUN),
    "path": ("data", TRAJECTORY_AND_RUN),
    "format": ("csv", TRAJECTORY_AND_RUN),
    "params": ({}, NOTHING),  # of readers from outside
    "package": ("some:file.csv", TRAJECTORY_AND_RUN),
    "hub": ("other/news", TRAJECTORY_AND_RUN),
    "hub_config": ("large", TRAJECTORY_AND_RUN),
    "revision": ("abc", TRAJECTORY_AND_RUN),
    "splits.train": (["a"], TRAJECTORY_AND_RUN),
    "splits.dev": (["a"], TRAJECTORY_AND_RUN),  # in the fingerprint of the data, which a trajectory insists on
    "splits.test": (["a"], TRAJECTORY_AND_RUN),  # a trajectory keeps the acquisition model's metrics
    "text": (["a"], TRAJECTORY_AND_RUN),
    "label": (["a"], TRAJECTORY_AND_RUN),
    "words": (["a"], TRAJECTORY_AND_RUN),
    "tags": (["a"], TRAJECTORY_AND_RUN),
    "answers": ("crowd", TRAJECTORY_AND_RUN),
    "header": (False, TRAJECTORY_AND_RUN),
    "quoting": (False, TRAJECTORY_AND_RUN),
    "missing": ("drop", TRAJECTORY_AND_RUN),
    "word_column": (1, TRAJECTORY_AND_RUN),
    "tag_column": (1, TRAJECTORY_AND_RUN),
    "scheme": ("iob1", TRAJECTORY_AND_RUN),
    "label_names": (["a", "b"], TRAJECTORY_AND_RUN),
    "where": ({"split": "a"}, TRAJECTORY_AND_RUN),
    "delimiter": (";", TRAJECTORY_AND_RUN),
    "encoding": ("latin-1", TRAJECTORY_AND_RUN),
    "limit.train": (100, TRAJECTORY_AND_RUN),
    "limit.dev": (100, TRAJECTORY_AND_RUN),
    "limit.test": (100, TRAJECTORY_AND_RUN),
    "test_share": (0.3, TRAJECTORY_AND_RUN),
    "split_seed": (1, TRAJECTORY_AND_RUN),
    "train_examples": (9, NOTHING),  # for plans
    "train_words": (9, NOTHING),
}
TRAINING = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "epochs": 3,
    "min_steps": 7,
    "batch_size": 8,
    "min_batch_size": 2,
    "warmup": 0.2,
    "clip": 2.0,
    "dropout": 0.5,
    "dev_share": 0.2,
    "patience": 2,
}
MODEL = {
    "learner": "linear",
    "params": {},  # of a learner of one's own
    "path": "weights",
    "package": "some:weights",
    "hub": "other/model",
    "revision": "abc",
    "sha256": "0" * 64,
    "num_hidden_layers": 2,
    "max_length": 64,
    "regularization": 2.0,  # of the linear learner
    **{f"training.{key}": value for key, value in TRAINING.items()},
}


def model(role: str, changes: tuple[bool, bool]) -> dict[str, tuple[Any, tuple[bool, bool]]]:
    """A model's name is a label; its weights are what counts."""
    rows = {f"{role}.name": ("other", NOTHING)}
    return rows | {
        f"{role}.{key}": (value, NOTHING if key in ("regularization", "params") else changes)
        for key, value in MODEL.items()
    }


TABLE: dict[str, tuple[Any, tuple[bool, bool]]] = {
    "name": ("other", NOTHING),
    **{f"dataset.{key}": row for key, row in DATASET.items()},
    **model("acquisition", TRAJECTORY_AND_RUN),
    "acquisition_from": ({"3": ModelConfig("later", hub="some/later")}, TRAJECTORY_AND_RUN),
    **model("successor", RUN),  # one acquisition, many successors
    "strategy.name": ("entropy", TRAJECTORY_AND_RUN),
    "strategy.aggregate": ("max", TRAJECTORY_AND_RUN),
    "strategy.batch": ("bottom", TRAJECTORY_AND_RUN),
    "strategy.beta": (2.0, NOTHING),  # of stochastic batches
    "strategy.no_entity": ("last", TRAJECTORY_AND_RUN),
    "strategy.params": ({}, NOTHING),  # this strategy has none
    "subsampling.name": ("none", TRAJECTORY_AND_RUN),
    "subsampling.gamma": (0.2, TRAJECTORY_AND_RUN),
    "subsampling.temperature": (0.1, TRAJECTORY_AND_RUN),
    "subsampling.refresh": ([0, 1], TRAJECTORY_AND_RUN),
    "subsampling.params": ({}, NOTHING),
    "oracle.name": ("noisy", TRAJECTORY_AND_RUN),
    "oracle.params": ({}, NOTHING),  # gold has none
    "oracle.price.example": (0.1, RUN),  # the run's ledger counts money
    "oracle.price.word": (0.1, RUN),
    "relabel.action": ("drop", TRAJECTORY_AND_RUN),
    "relabel.at": ([1], NOTHING),  # of a relabelling, and there is none
    "relabel.filter.by": ("aum", NOTHING),
    "relabel.filter.drop": (0.2, NOTHING),
    "relabel.filter.threshold": (0.5, NOTHING),
    "relabel.filter.checkpoints": (2, NOTHING),
    "relabel.filter.neighbours": (2, NOTHING),
    "relabel.filter.params": ({}, NOTHING),
    "relabel.folds": (3, NOTHING),
    "relabel.oracle": (OracleConfig("noisy"), NOTHING),
    "price.hour": (2.0, NOTHING),
    "price.currency": ("EUR", NOTHING),
    "pseudo_labeling.name": ("other", NOTHING),
    "pseudo_labeling.labels": ("soft", RUN),
    "pseudo_labeling.smoothing": (0.1, RUN),
    "pseudo_labeling.gold_weight": (2.0, RUN),
    "pseudo_labeling.filters": ([FilterConfig("verifier", "disagreement")], RUN),
    **model("pseudo_labeler", RUN),
    **model("verifier", RUN),
    "schedule.initial": (100, TRAJECTORY_AND_RUN),
    "schedule.step": (100, TRAJECTORY_AND_RUN),
    "schedule.cycles": (14, RUN),  # a longer run continues the trajectory of a shorter one
    "schedule.unit": ("words", TRAJECTORY_AND_RUN),
    "schedule.stratified": (True, TRAJECTORY_AND_RUN),
    "schedule.seed_set": ("ids.txt", TRAJECTORY_AND_RUN),
    "schedule.seed_by": ("embedding_kmeans", TRAJECTORY_AND_RUN),
    **{f"training.{key}": (value, TRAJECTORY_AND_RUN) for key, value in TRAINING.items()},
    "evaluate_at": ("last", RUN),
    "metrics": (["brier"], TRAJECTORY_AND_RUN),
    "rescore": (2.0, TRAJECTORY_AND_RUN),
    "replay": ("ids.jsonl", RUN),
    "seed": (1, TRAJECTORY_AND_RUN),
    "seeds.seed_set": (1, TRAJECTORY_AND_RUN),
    "seeds.model": (1, TRAJECTORY_AND_RUN),
    "seeds.order": (1, TRAJECTORY_AND_RUN),
    "seeds.subsampling": (1, TRAJECTORY_AND_RUN),
    "seeds.strategy": (1, TRAJECTORY_AND_RUN),
    "seeds.oracle": (1, NOTHING),  # gold draws nothing
    "device": ("cpu", NOTHING),
    "precision": ("float32", RUN),  # a trajectory depends on the precision it resolves to
    "engine": ("plain", TRAJECTORY_AND_RUN),
    "output_dir": ("elsewhere", NOTHING),
    "tracking": ("none", NOTHING),
    "progress": ("none", NOTHING),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("1 2 3")
    return tmp_path


def leaves(node: Any, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for field in fields(node):
        value = getattr(node, field.name)
        if is_dataclass(value):
            keys += leaves(value, f"{prefix}{field.name}.")
        else:
            keys.append(prefix + field.name)
    return keys


def resolved(base: RunConfig = BASE, **values: Any) -> RunConfig:
    return resolve(changed(base, {key.replace("__", "."): value for key, value in values.items()}))


def trajectory(config: RunConfig, precision: str = "float32") -> str:
    return digest(trajectory_identity(config, precision))


def run(config: RunConfig) -> str:
    return digest(run_identity(config))


def test_the_table_is_complete():
    assert list(TABLE) == leaves(BASE)


@pytest.mark.parametrize("key", TABLE)
def test_what_a_key_makes_another(key):
    value, (another_trajectory, another_run) = TABLE[key]
    before, after = resolved(), resolve(changed(BASE, {key: value}))
    assert (trajectory(before) != trajectory(after)) == another_trajectory
    assert (run(before) != run(after)) == another_run
    changed_keys = differences(run_identity(before), run_identity(after))
    assert bool(changed_keys) == another_run
    if another_run and not key.startswith(("training", "seed")):
        assert any(key in name for name in changed_keys), "the refusal names the key"


def test_runs_that_differ_never_share_a_folder():
    configs = [resolved(), *(resolve(changed(BASE, {key: value})) for key, (value, _) in TABLE.items())]
    identities: dict[str, str] = {}
    for config in configs:
        assert identities.setdefault(run_folder(config), run(config)) == run(config)
    assert set(identities.values()) == {run(config) for config in configs}
    another = [key for key, (_, (_, another_run)) in TABLE.items() if another_run]
    assert len(set(identities.values())) == 1 + len(another)


def test_names_show_in_the_folder():
    folder = run_folder(resolved(name="study", acquisition__name="org/small", dataset__name="../news"))
    assert folder.startswith("runs/study/_news-org_small-least_confidence-ups-plasm-full-large-seed42-")
    assert "acquire_only" in run_folder(resolved(successor=None, evaluate_at="none"))
    assert run_folder(resolved(replay="ids.jsonl")).startswith("runs/run/news-replay-plasm-full-large-seed42-")


def test_identities_are_what_json_gives_back():
    for identity in (run_identity(resolved()), trajectory_identity(resolved(), "float32")):
        again = json.loads(json.dumps(identity))
        assert differences(again, identity) == []
        assert digest(again) == digest(identity)


def test_the_format_counts(monkeypatch):
    before = trajectory(resolved()), run(resolved())
    monkeypatch.setattr("al_bench.config.identity.FORMAT", 99)
    assert trajectory(resolved()) != before[0]
    assert run(resolved()) != before[1]


def test_resolved_precision_counts():
    assert trajectory(resolved(), "float32") != trajectory(resolved(), "bfloat16")


def test_the_engine_counts_where_it_rounds_differently():
    """In what is fine-tuned, and in frozen embeddings, wherever these are looked at."""
    knn = [FilterConfig("knn", 0.1)]
    for learner in ("transformer", "linear"):
        fast, plain = (
            resolved(
                engine=engine, acquisition__learner=learner, successor__learner=learner,
                schedule__seed_by="embedding_kmeans", pseudo_labeling__filters=knn,
            )
            for engine in ("fast", "plain")
        )  # fmt: skip
        assert trajectory(fast) != trajectory(plain)
        for identity in (
            lambda config: fit_identity(config, "float32", 0, "successor"),
            lambda config: labelled_identity(config, "float32", 0),
            lambda config: suspicion_identity(config, "float32", 0, 0),
        ):
            assert identity(fast) != identity(plain)


@pytest.mark.parametrize(("key", "value"), [("pooling", "cls"), ("prompt", "query: "), ("normalize", True)])
def test_how_a_text_is_embedded_counts(key, value):
    """Also where nothing is fitted."""
    linear = {"acquisition__learner": "linear", "successor__learner": "linear"}
    for strategy in ("least_confidence", "embedding_kmeans"):
        base = resolved(**linear, strategy=StrategyConfig(strategy))
        other = resolved(base, acquisition__params={**base.acquisition.params, key: value})
        assert trajectory(base) != trajectory(other)
        assert fit_identity(base, "float32", 0, "successor") == fit_identity(other, "float32", 0, "successor")
    other = resolved(base, successor__params={**base.successor.params, key: value})
    assert fit_identity(base, "float32", 0, "successor") != fit_identity(other, "float32", 0, "successor")


@pytest.mark.parametrize("key", ["schedule.initial", "schedule.step", "subsampling.gamma"])
def test_one_example_is_not_the_whole_split(key):
    one, every = (resolve(changed(BASE, {key: value})) for value in (1, 1.0))
    assert run(one) != run(every)
    assert trajectory(one) != trajectory(every)
    assert differences(run_identity(one), run_identity(every)) == [key]


@pytest.mark.parametrize("subsampling", ["none", "ups"])
@pytest.mark.parametrize("refresh", ["all", "none", [0, 1, 9]])
def test_cycles_are_no_part_of_a_trajectory_by_any_way(subsampling, refresh):
    """Also where the whole pool is scored in all rounds; and steps of equal cycles are shared."""
    short, long = (
        resolved(subsampling__name=subsampling, subsampling__refresh=refresh, schedule__cycles=cycles)
        for cycles in (5, 10)
    )
    assert trajectory(short) == trajectory(long)
    assert run(short) != run(long)
    for role, filters in (("successor", None), ("successor", []), ("pseudo_labeler", None)):
        fits = [fit_identity(config, "float32", 3, role, filters) for config in (short, long)]
        assert fits[0] == fits[1]
    listed = resolved(subsampling__name="ups", subsampling__refresh=[0, 1, 2, 3, 4], schedule__cycles=5)
    every = resolved(subsampling__name="ups", subsampling__refresh="all", schedule__cycles=5)
    assert trajectory(listed) != trajectory(every), "they part in round 5"


# --------------------------------------------------------------------- keys that matter only sometimes


MODEL_ONLY = ("acquisition.", "acquisition_from", "training.", "subsampling.", "strategy.")
MODEL_ONLY += ("seeds.model", "seeds.order", "seeds.subsampling", "rescore", "engine", "metrics")


@pytest.mark.parametrize("key", [key for key in TABLE if key != "strategy.name"])
def test_random_depends_on_no_model(key):
    """What a strategy that fits nothing draws depends on the data, the schedule and its own seeds."""
    base = changed(BASE, {"strategy.name": "random", "subsampling": SubsamplingConfig()})
    value, (another, _) = TABLE[key]
    before, after = resolve(base), resolve(changed(base, {key: value}))
    assert (trajectory(before) != trajectory(after)) == (another and not key.startswith(MODEL_ONLY))
    assert trajectory(before, "float32") == trajectory(before, "bfloat16")


@pytest.mark.parametrize("key", [key for key in TABLE if key.startswith("acquisition.")])
def test_a_run_of_random_draws_depends_on_no_acquisition_model(key):
    base = changed(BASE, {"strategy.name": "random", "subsampling": SubsamplingConfig()})
    after = resolve(changed(base, {key: TABLE[key][0]}))
    assert run(resolve(base)) == run(after)
    assert run_folder(resolve(base)) == run_folder(after)


@pytest.mark.parametrize("key", [key for key in TABLE if key.startswith(("pseudo_labeling.", "verifier."))][1:])
def test_without_pseudo_labels_their_settings_do_not_matter(key):
    base = changed(BASE, {"pseudo_labeling.name": "none", "pseudo_labeler": None})
    assert run(resolve(base)) == run(resolve(changed(base, {key: TABLE[key][0]})))


def test_a_verifier_counts_only_where_a_filter_asks_it():
    base = changed(BASE, {"pseudo_labeling.filters": [FilterConfig("tracin")]})
    assert run(resolve(base)) == run(resolve(changed(base, {"verifier.hub": "some/other"})))


@pytest.mark.parametrize(
    ("by", "key", "value", "matters"),
    [
        ("tracin", "checkpoints", 1, True), ("knn", "checkpoints", 1, False), ("knn", "neighbours", 3, True),
        ("tracin", "neighbours", 3, False), ("tracin", "drop", 0.1, True), ("confidence", "threshold", 0.5, True),
    ],
)  # fmt: skip
def test_what_a_filter_reads(by, key, value, matters):
    one, other = FilterConfig(by), FilterConfig(by)
    setattr(other, key, value)
    runs = [run(resolve(changed(BASE, {"pseudo_labeling.filters": [chosen]}))) for chosen in (one, other)]
    assert (runs[0] != runs[1]) == matters


@pytest.mark.parametrize(("by", "matters"), [("verifier", True), ("aum", False)])
def test_folds_count_where_a_model_is_cross_validated(by, matters):
    relabelled = {"relabel.action": "drop", "relabel.filter": FilterConfig(by, 0.1)}
    one, other = (resolve(changed(BASE, relabelled | {"relabel.folds": folds})) for folds in (3, 5))
    assert (trajectory(one) != trajectory(other)) == (run(one) != run(other)) == matters


# ------------------------------------------------------------------- steps behind the loop, shared by runs


def test_before_the_first_query_the_seed_set_is_all_that_counts():
    """So strategies, subsamplings and acquisition models share what is fitted on it; later they do not."""
    for key in ("strategy.name", "subsampling.gamma", "acquisition.hub", "seeds.strategy", "schedule.step"):
        other = resolve(changed(BASE, {key: TABLE[key][0]}))
        seed_sets = [labelled_identity(config, "float32", 0) for config in (resolved(), other)]
        later = [labelled_identity(config, "float32", 1) for config in (resolved(), other)]
        assert seed_sets[0] == seed_sets[1], key
        assert later[0] != later[1], key
    for key in ("seeds.seed_set", "schedule.initial", "schedule.unit", "dataset.hub"):
        other = resolve(changed(BASE, {key: TABLE[key][0]}))
        assert labelled_identity(resolved(), "float32", 0) != labelled_identity(other, "float32", 0), key


def test_filters_share_the_pseudo_labels_and_the_first_fit():
    """A fit depends on the filters before it only, and pseudo-labels on none."""
    filters = [FilterConfig("confidence"), FilterConfig("tracin", 0.1)]
    one, other = (
        resolve(changed(BASE, {"pseudo_labeling.filters": [filters[0], FilterConfig("tracin", drop)]}))
        for drop in (0.1, 0.2)
    )
    labels = [pseudo_labels_identity(config, "float32", 3) for config in (resolved(), one, other)]
    assert labels[0] == labels[1] == labels[2]
    for count, equal in ((0, True), (1, True), (2, False)):
        fits = [
            fit_identity(config, "float32", 3, "successor", config.pseudo_labeling.filters[:count])
            for config in (one, other)
        ]
        assert (fits[0] == fits[1]) == equal
    assert fit_identity(one, "float32", 3, "successor") != fit_identity(one, "float32", 3, "successor", [])
    assert fit_identity(one, "float32", 3, "successor") != fit_identity(one, "float32", 4, "successor")
    assert fit_identity(one, "float32", 3, "successor") != fit_identity(one, "bfloat16", 3, "successor")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pseudo_labeler.training.epochs", 3),
        ("pseudo_labeler.hub", "other/full"),
        ("pseudo_labeling.labels", "soft"),
        ("seeds.model", 7),
    ],
)
def test_a_fit_on_pseudo_labels_depends_on_who_gave_them(key, value):
    one, other = resolve(BASE), resolve(changed(BASE, {key: value}))
    fits = [fit_identity(config, "float32", 3, "successor", []) for config in (one, other)]
    assert digest(fits[0]) != digest(fits[1])


@pytest.mark.parametrize("key", ["gamma", "temperature", "refresh"])
def test_without_subsampling_its_settings_do_not_matter(key):
    base = changed(BASE, {"subsampling": SubsamplingConfig("none", 0.1, 0.01)})
    value = TABLE[f"subsampling.{key}"][0]
    assert trajectory(resolve(base)) == trajectory(resolve(changed(base, {f"subsampling.{key}": value})))
    assert trajectory(resolve(base)) == trajectory(resolve(changed(base, {"seeds.subsampling": 1})))


@pytest.mark.parametrize(
    ("key", "value"), [("schedule.initial", 0.5), ("schedule.stratified", True), ("seeds.seed_set", 9)]
)
@pytest.mark.parametrize("identify", [trajectory, run])
def test_with_a_given_seed_set_nothing_is_drawn(key, value, identify):
    base = changed(BASE, {"schedule.seed_set": "ids.txt"})
    assert identify(resolve(base)) == identify(resolve(changed(base, {key: value})))


@pytest.mark.parametrize("identify", [trajectory, run, run_folder])
def test_a_given_seed_set_counts_by_content(here, identify):
    config = resolved(schedule__seed_set="ids.txt")
    before = identify(config)
    (here / "copy.txt").write_text("1 2 3")
    assert identify(resolved(schedule__seed_set=str(here / "copy.txt"))) == before
    (here / "ids.txt").write_text("1 2 4")
    assert identify(config) != before


def test_pinned_weights_count_by_their_hash():
    """The same weights from a folder, a package or the hub, under any name, are one model."""
    pinned = ModelConfig(name="m", hub="some/m", sha256="1" * 64)
    for key in ("hub", "path", "package", "revision", "name"):
        same = {key: "elsewhere"}
        other = ModelConfig(**{"name": "m", "sha256": "1" * 64, **same})
        assert digest(model_identity(other)) == digest(model_identity(pinned))
    for another in ({"sha256": "2" * 64}, {"num_hidden_layers": 3}, {"max_length": 9}):
        other = ModelConfig(**{"name": "m", "hub": "some/m", "sha256": "1" * 64, **another})
        assert digest(model_identity(other)) != digest(model_identity(pinned))


@pytest.mark.parametrize("key", ["dataset.path", "acquisition.path", "successor.path", "replay"])
@pytest.mark.parametrize("identify", [trajectory, run])
def test_a_relative_path_is_the_absolute_one(here, key, identify):
    relative, absolute = (resolve(changed(BASE, {key: value})) for value in ("inside", str(here / "inside")))
    assert identify(relative) == identify(absolute)


def test_shared_training_set_on_every_model_is_nothing_new():
    """`training` counts through the models: the same values by another way are the same run."""
    shared = resolved(training__epochs=3)
    every = {f"{role}.training.epochs": 3 for role in ("acquisition", "successor", "pseudo_labeler", "verifier")}
    overridden = changed(BASE, every)
    by_hand = resolve(overridden)
    assert run(shared) == run(by_hand)
    assert run(resolve(changed(overridden, {"training.epochs": 9}))) == run(by_hand)


def test_seed_counts_through_the_seeds():
    own = {f"seeds.{name}": 5 for name in ("seed_set", "model", "order", "subsampling", "strategy")}
    assert trajectory(resolve(changed(BASE, own))) == trajectory(resolved(seed=5))
    assert run(resolve(changed(BASE, {**own, "seed": 1}))) == run(resolve(changed(BASE, {**own, "seed": 2})))


def test_a_run_does_not_depend_on_its_successor_being_named_where_none_is():
    """No successor is an identity too, and another one than any successor's."""
    assert run(resolved(successor=None, evaluate_at="none")) != run(resolved(evaluate_at="none"))
    assert trajectory(resolved(successor=None, evaluate_at="none")) == trajectory(resolved())


NOISY = {"oracle__name": "noisy", "oracle__params": {"rate": 0.2}}


def test_whatever_changes_the_labels_makes_other_fits(here):
    """Not only other trajectories: the seed set alone is labelled by somebody, too."""
    (here / "answers.csv").write_text("id,label\n")
    column = {"oracle__name": "column", "oracle__params": {"file": "answers.csv"}}

    def fits() -> list[str]:
        again = OracleConfig("noisy")
        several = [{}, NOISY, {**NOISY, "oracle__params": {"rate": 0.3}}, {**NOISY, "seeds__oracle": 7}, column]
        several += [{"replay": "ids.jsonl"}, {"replay": "ids.jsonl", **NOISY}]
        several += [{**NOISY, "relabel__action": action} for action in ("drop", "ask")]
        several += [{**NOISY, "relabel__action": "ask", "relabel__oracle": again}]
        several += [{"relabel__action": "ask", "relabel__oracle": again, "seeds__oracle": seed} for seed in (1, 2)]
        return [digest(fit_identity(resolved(**changes), "float32", 0, "successor")) for changes in several]

    (here / "ids.jsonl").write_text("[1]")
    before = fits()
    assert len(set(before)) == len(before)
    (here / "answers.csv").write_text("id,label\n0,a\n")
    after = fits()
    assert [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other] == [4]


def test_a_price_counts_where_it_is_the_budget():
    prices = [{"oracle__price__example": price} for price in (0.1, 0.2)]
    assert len({trajectory(resolved(**price)) for price in prices}) == 1
    assert len({run(resolved(**price)) for price in prices}) == 2
    in_money = [resolved(**price, schedule__unit="money", schedule__initial=5, schedule__step=5) for price in prices]
    assert len({trajectory(config) for config in in_money}) == 2
