"""The acquisition schedule in a config: how it is written, which rules it keeps, and what it makes another."""

from pathlib import Path
from typing import Any

import pytest
from fakes import changed
from synthetic import jobs

from al_bench.config.digests import digest
from al_bench.config.identity import (
    fit_identity,
    labelled_identity,
    models_of,
    run_folder,
    run_identity,
    trajectory_identity,
)
from al_bench.config.resolution import resolve
from al_bench.config.roles import acquirer, acquiring
from al_bench.config.rules import validate
from al_bench.config.schema import DatasetConfig, ModelConfig, RelabelConfig, RunConfig, ScheduleConfig, StrategyConfig
from al_bench.errors import UserError
from al_bench.planning.units import job_of, units

SMALL, LARGE = ModelConfig(name="small", hub="some/small"), ModelConfig(name="large", hub="some/large")
LINEAR = ModelConfig(name="small_linear", hub="some/small", learner="linear")
BASE = RunConfig(
    dataset=DatasetConfig(name="news", task="classification", hub="some/news", train_examples=500),
    acquisition=SMALL,
    successor=LARGE,
    strategy=StrategyConfig("least_confidence"),
    schedule=ScheduleConfig(10, 10, cycles=6),
)


def config_of(later: dict[str, ModelConfig], **values: Any) -> RunConfig:
    config = changed(BASE, {key.replace("__", "."): value for key, value in values.items()})
    config.acquisition_from = later
    return config


def resolved(later: dict[str, ModelConfig], **values: Any) -> RunConfig:
    config = config_of(later, **values)
    validate(config)
    return resolve(config)


def trajectory(config: RunConfig) -> str:
    return digest(trajectory_identity(config, "float32"))


# -------------------------------------------------------------------------------------------- as it is written


def test_options_by_cycle():
    (job,) = jobs("model@acquisition=minilm_l6_linear +model@acquisition_from.5=minilm_l6 "
                  "+model@acquisition_from.10=mpnet_base acquisition_from.10.training.epochs=3")  # fmt: skip
    assert list(job.acquisition_from) == ["5", "10"], "by number, not by letter"
    assert job.acquisition_from["10"].training.epochs == 3
    assert acquiring(job) == {0: "acquisition", 5: "acquisition_from.5", 10: "acquisition_from.10"}
    names = [acquirer(job, cycle)[1].name for cycle in (0, 4, 5, 9, 10, 15)]
    assert names == ["minilm_l6_linear", "minilm_l6_linear", "minilm_l6", "minilm_l6", "mpnet_base", "mpnet_base"]
    assert job.acquisition_from["5"].max_length == 256, "resolved like any model"


def test_a_sweep_over_what_follows():
    swept = jobs("-m +model@acquisition_from.5=minilm_l6,mpnet_base,none")
    assert [[model.name for model in job.acquisition_from.values()] for job in swept] == [
        ["minilm_l6"], ["mpnet_base"], []
    ]  # fmt: skip
    (plain,) = jobs("seed=42")
    assert run_identity(swept[2]) == run_identity(plain)


def test_in_an_experiments_file(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - /model@acquisition_from.3: mpnet_base\nname: mine\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text + "acquisition_from: {'3': {max_length: 32}}\n")
    (tmp_path / "experiment" / "number.yaml").write_text(text + "acquisition_from: {3: {max_length: 32}}\n")
    (job,) = jobs(f"--config-dir {tmp_path} +experiment=mine")
    assert (job.acquisition_from["3"].name, job.acquisition_from["3"].max_length) == ("mpnet_base", 32)
    with pytest.raises(UserError, match=r"acquisition_from.3: a cycle is text in a file .* write '3' in quotes"):
        jobs(f"--config-dir {tmp_path} +experiment=number")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("model@acquisition_from.5=minilm_l6", "so far; write +model@acquisition_from.5=minilm_l6"),
        ("acquisition_from.5.max_length=32", "acquisition_from.5: no model is chosen there; write +model@acquisition_fro"),
        ("+acquisition_from.5.hub=a/b", "acquisition_from.5: no model is chosen there; write +model@acquisition_from.5"),
        ("+model@acquisition_from=hf", "names no cycle; write +model@acquisition_from.CYCLE=hf"),
        ("+model@acquisition_from.5=[hf,none]", "give one, or run each of them: -m +model@acquisition_from.5=hf,none"),
        ("+model@acquisition_from.5=minilm_l6 acquisition_from.5.max_lenght=8",
         "acquisition_from.5.max_lenght=8: no such key; did you mean acquisition_from.5.max_length?"),
        ("+model@acquisition_from.5=minilm_l6 acquisition_from.5.training.epochs=x",
         "acquisition_from.5.training.epochs=x: must be a whole number or null"),
    ],
)  # fmt: skip
def test_what_does_not_compose(al, words, line):
    done = al("plan", *words.split())
    assert done.code != 0
    assert line in done.out + done.err


# ----------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("later", "values", "line"),
    [
        ({"0": LARGE}, {}, "acquisition_from.0=large: begins in no cycle; write acquisition_from.CYCLE, from 1 on"),
        ({"-1": LARGE}, {}, "acquisition_from.-1"),
        ({"05": LARGE}, {}, "acquisition_from.05=large: begins in no cycle"),
        ({"x": LARGE}, {}, "acquisition_from.x=large: begins in no cycle"),
        ({"7": LARGE}, {}, "acquisition_from.7=large: begins after the last cycle (schedule.cycles=6); set schedule.cyc"),
        ({"2": LARGE}, {"strategy__name": "random"}, "acquisition_from.2=large: acquires, and strategy=random asks no m"),
        ({"2": LARGE}, {"replay": "."}, "acquisition_from.2=large: acquires, and a replay does not; leave it out, or"),
        ({"2": ModelConfig(name="a", path="nowhere")}, {}, "acquisition_from.2.path=nowhere: no such folder"),
        ({"2": ModelConfig(name="a")}, {}, "acquisition_from.2=a: has no source; set acquisition_from.2.path"),
        ({"2": ModelConfig(name="a", learner="neural")}, {}, "acquisition_from.2.learner=neural: must be one of"),
        ({"2": ModelConfig(name="a", hub="a/b", max_length=3)}, {}, "acquisition_from.2.max_length=3: must be at least 8"),
        ({"2": ModelConfig(name="a", path="~no_such_user/x")}, {}, "acquisition_from.2.path=~no_such_user/x: no such home folder"),
        ({"2": ModelConfig(name="a", hub="a/b", params={"x": 1})}, {}, "acquisition_from.2.params"),
    ],
)  # fmt: skip
def test_refused_in_a_line(later, values, line):
    with pytest.raises(UserError) as error:
        validate(config_of(later, **values))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_every_model_gives_what_a_strategy_needs(write_module):
    write_module("giving_nothing", "from al_bench.learners.base import BasicLearner\nclass Plain(BasicLearner): pass\n")
    plain = ModelConfig(name="plain", learner="giving_nothing:Plain")
    resolved({"2": plain}, strategy__name="entropy")
    with pytest.raises(UserError, match=r"strategy=badge: needs embeddings, which acquisition_from.2.learner=giving"):
        validate(config_of({"2": plain}, strategy__name="badge"))


# -------------------------------------------------------------------------------------------------- identity


def test_without_a_schedule_nothing_is_another():
    """So that results from before there was one are found again."""
    config = resolved({})
    assert "acquisition_from" not in run_identity(config)
    assert "acquisition_from" not in trajectory_identity(config, "float32")


def test_what_makes_another():
    base = resolved({"2": LARGE})
    longer = changed(LARGE, {"training.epochs": 3})
    others = [resolved({}), resolved({"3": LARGE}), resolved({"2": longer}), resolved({"2": LARGE, "4": SMALL})]
    assert len({trajectory(config) for config in (base, *others)}) == 5
    assert len({digest(run_identity(config)) for config in (base, *others)}) == 5
    assert trajectory(resolved({"2": LARGE}, schedule__cycles=2)) == trajectory(base), "a longer run continues it"
    assert trajectory(resolved({"2": changed(LARGE, {"name": "big"})})) == trajectory(base), "a name is a label"


def test_what_changes_nothing_is_left_out():
    """A model that begins where it acquires already."""
    assert resolved({"2": SMALL}).acquisition_from == {}
    assert list(resolved({"1": LARGE, "2": LARGE, "4": SMALL}).acquisition_from) == ["1", "4"]


def test_the_engine_counts_where_any_model_is_computed_by_it():
    """A network of its own is not, and the encoder that follows it is."""
    net = ModelConfig(name="net", learner="cnn")

    def counts(later: dict[str, ModelConfig]) -> bool:
        fast, plain = (resolved(later, acquisition=net, engine=engine) for engine in ("fast", "plain"))
        return trajectory(fast) != trajectory(plain)

    assert not counts({})
    assert counts({"2": LARGE})


def test_labels_depend_on_the_models_that_had_a_say():
    """So a successor's fits are shared up to the change: the model of cycle 2 queries after the fit of cycle 2."""
    plain, scheduled = resolved({}), resolved({"2": LARGE, "4": SMALL})
    same = [labelled_identity(plain, "float32", c) == labelled_identity(scheduled, "float32", c) for c in range(6)]
    assert same == [True, True, True, False, False, False]
    first = resolved({"2": LARGE})
    same = [labelled_identity(first, "float32", c) == labelled_identity(scheduled, "float32", c) for c in range(6)]
    assert same == [True] * 5 + [False]
    fits = [fit_identity(config, "float32", 2, "successor") for config in (plain, scheduled)]
    assert fits[0] == fits[1]


def test_relabelling_is_a_say_in_the_same_cycle():
    plain, scheduled = (resolved(later, relabel=RelabelConfig("drop", [2])) for later in ({}, {"2": LARGE}))
    same = [labelled_identity(plain, "float32", c) == labelled_identity(scheduled, "float32", c) for c in range(4)]
    assert same == [True, True, False, False]


def test_of_an_encoder_as_it_comes_its_training_does_not_count():
    tuned = changed(LARGE, {"training.epochs": 3})
    one, other = (resolved({"2": model}, strategy__name="embedding_kmeans") for model in (LARGE, tuned))
    assert trajectory(one) == trajectory(other)
    assert run_identity(one)["acquisition_from"] == run_identity(other)["acquisition_from"]


def test_the_folder_names_the_models():
    name = run_folder(resolved({"2": LARGE}))
    assert Path(name).name.startswith("news-small+large_from_2-least_confidence-none-large-seed42-")


def test_roles_of_the_models_that_are_fitted():
    roles = ["acquisition", "acquisition_from.2", "successor"]
    assert list(models_of(resolved({"2": SMALL}, acquisition=LARGE))) == roles
    assert list(models_of(resolved({"2": LARGE}, successor=None, evaluate_at="none"))) == roles[:2]


# ------------------------------------------------------------------------------------------------------ plan


def test_the_plan_counts_fits_by_model():
    """Cycles 0 and 1 are the first model's; from cycle 2 on the successor is the model that acquires."""
    planned = list(units(resolved({"2": LARGE}), "float32", list(range(7))))
    parts = [(unit.part, unit.model.split()[0]) for unit in planned]
    assert parts.count(("acquisition", "small")) == 2
    assert parts.count(("acquisition", "large")) == 5
    assert parts.count(("successor", "large")) == 2
    assert len({unit.rate for unit in planned if unit.part == "acquisition"}) == 2
    assert len({unit.key for unit in planned}) == 9


def test_a_plan_of_two_schedules_shares_the_successors_before_the_change():
    jobs = [job_of([], resolved(later, successor=SMALL), "float32") for later in ({"2": LARGE}, {"2": LINEAR})]
    keys = [{unit.key for unit in job.asked if unit.part == "successor"} for job in jobs]
    assert len(keys[0]) == len(keys[1]) == 5  # cycles 2 to 6: before, it shares the fits of acquisition
    assert len(keys[0] & keys[1]) == 1
