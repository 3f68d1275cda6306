"""The shipped config tree: all of it composes, passes the rules and says what it is."""

import copy
from collections.abc import Iterator
from dataclasses import Field, asdict, fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.catalog import KINDS
from al_bench.config.roles import ROLES
from al_bench.config.rules import validate
from al_bench.config.schema import RunConfig, shipped_configs
from al_bench.errors import UserError
from al_bench.front.jobs import checked, register

CONFIGS = shipped_configs()
OPTIONS = {
    group: sorted(
        path.relative_to(CONFIGS / group).with_suffix("").as_posix() for path in (CONFIGS / group).rglob("*.yaml")
    )
    for group in KINDS.values()
}


def composed(*overrides: str) -> RunConfig:
    """Validated and resolved; nothing is loaded or downloaded for it."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return checked(compose("config", list(overrides), return_hydra_config=True))


def test_every_group_of_the_tree_is_listed():
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    assert folders == set(KINDS.values())
    assert all(OPTIONS.values())


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_experiment(name):
    config = composed(f"+experiment={name}")
    assert config.name == name.partition("/")[0]
    assert config.successor is not None
    assert config.seeds.model == config.seed


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_experiment_opens_with_its_command(name):
    lines = (CONFIGS / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    opening = list(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])
    assert opening[0] == "# @package _global_"
    assert any(line.startswith("# al-bench run ") and name in line for line in opening[2:])


def test_debug_shrinks_another_experiment():
    config = composed("+experiment=[conll_distil,debug]")
    assert (config.dataset.name, config.strategy.name) == ("conll2003", "mnlp")
    assert (config.dataset.limit.train, config.schedule.cycles, config.training.epochs) == (200, 2, 1)


# Weights that a script makes have no source but the user's folder.
FETCHED = [name for name in OPTIONS["model"] if name.startswith(("e5_small_en", "e5_small_q4"))]


@pytest.mark.parametrize("name", FETCHED)
def test_a_model_that_a_script_makes(name):
    config = composed(f"model@acquisition={name}", "acquisition.path=.", "acquisition.sha256=null")
    assert (config.acquisition.name, config.acquisition.hub) == (name, None)
    with pytest.raises(UserError, match=r"^acquisition=\.: the folder has no model.safetensors"):
        composed(f"model@acquisition={name}", "acquisition.path=.")  # whose hash is compared
    with pytest.raises(UserError, match=r"^acquisition=.*set acquisition\.path"):
        composed(f"model@acquisition={name}")


# Of these nothing is pretrained.
NEW = {"cnn": ("classification", 20), "bilstm_crf": ("tagging", 30)}


@pytest.mark.parametrize("name", NEW)
def test_a_model_that_is_new(name):
    task, epochs = NEW[name]
    config = composed(
        f"model@acquisition={name}", f"model@successor={name}", f"dataset.task={task}", "strategy=entropy"
    )
    assert config.acquisition == config.successor
    assert config.acquisition.training.epochs == epochs
    shorter = composed(f"model@acquisition={name}", f"dataset.task={task}", "strategy=entropy", "training.epochs=1")
    assert shorter.acquisition.training.epochs == 1


@pytest.mark.parametrize("name", sorted({*OPTIONS["model"]} - {"hf", "none", *FETCHED, *NEW}))
def test_model(name):
    """As acquisition model with its settings, and as successor beside it."""
    config = composed(f"model@acquisition={name}", f"model@successor={name}")
    assert config.acquisition == config.successor
    assert config.acquisition.name == name
    assert (config.acquisition.max_length, config.acquisition.training.epochs) == (256, 10)
    hub, revision = config.acquisition.hub, config.acquisition.revision
    assert hub is not None
    assert revision is not None
    assert len(revision) == 40, "a branch moves"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("path=models/small_bert/", "small_bert"),
        ("path=.", Path.cwd().name),
        ("hub=owner/large-bert", "large-bert"),
        ("package=some_models.inner:large", "some_models.inner"),
    ],
)
def test_a_model_of_ones_own_is_called_after_its_source(source, name, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    config = composed("+experiment=demo", "model@successor=hf", f"successor.{source}")
    assert config.successor.name == name
    assert (config.successor.sha256, config.successor.max_length) == (None, 256)
    assert composed("model@successor=hf", f"successor.{source}", "successor.name=mine").successor.name == "mine"


def test_no_model_in_a_role():
    config = composed("+experiment=demo", "model@successor=none", "model@verifier=none", "model@pseudo_labeler=none")
    assert (config.successor, config.verifier, config.pseudo_labeler, config.evaluate_at) == (None, None, None, [])


@pytest.mark.parametrize("name", sorted({*OPTIONS["dataset"]} - {"local"}))
def test_dataset(name):
    config = composed(f"dataset={name}")
    assert config.dataset.name == name
    assert config.dataset.package or (config.dataset.hub and config.dataset.revision)
    assert composed(f"dataset={name}", "dataset.path=.").dataset.path == str(Path.cwd())


@pytest.mark.parametrize("group", ["subsampling", "schedule"])
def test_subsamplings_and_schedules(group):
    for name in OPTIONS[group]:
        config = composed(f"{group}={name}")
        if group == "subsampling":
            assert config.subsampling.name == ("random" if name == "constant" else name)
            refresh = config.subsampling.refresh
            assert refresh == "all" if name == "none" else set(refresh) <= set(range(config.schedule.cycles))


def test_strategies_are_the_table():
    assert set(OPTIONS["strategy"]) == set(STRATEGIES)
    for name, strategy in STRATEGIES.items():
        content = yaml.safe_load((CONFIGS / "strategy" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert content.get("params", {}) == strategy.defaults, "each can be set without a plus"
        assert (
            composed(
                f"strategy={name}", f"dataset={'conll2003' if 'classification' not in strategy.tasks else 'ag_news'}"
            ).strategy.name
            == name
        )


def test_the_schema_fits_the_tree():
    """Every top-level key of the schema is set by a group or has a default, so the bare command composes."""
    config = composed()
    assert set(asdict(config)) == set(asdict(RunConfig()))


@pytest.mark.parametrize("kind", KINDS)
def test_listing(al, kind):
    """`al-bench ls KIND` names exactly the files, each with the summary it opens with."""
    head, *lines = al("ls", kind).out.strip().splitlines()
    listed = dict(line.strip().split(maxsplit=1) for line in lines)
    assert head.startswith(f"{kind} (")
    assert sorted(listed) == OPTIONS[KINDS[kind]]
    for name, summary in listed.items():
        text = (CONFIGS / KINDS[kind] / f"{name}.yaml").read_text(encoding="utf-8")
        first = next(line for line in text.splitlines() if not line.startswith("# @"))
        assert first == f"# {summary}"
        assert len(summary) >= 10


def test_the_models_usage_names_every_role(al):
    assert all(f"model@{role}=NAME" in al("ls", "models").out for role in ROLES)


def test_no_file_says_what_the_schema_says():
    """An option file with a null or an unknown top-level key would hide what it does not set."""
    for path in CONFIGS.rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content, path
        assert None not in content.values(), path


PAPER = {
    "classification": {
        "learning_rate": 2e-5, "weight_decay": 0.01, "epochs": 10, "min_steps": 350, "batch_size": 16,
        "min_batch_size": 4, "warmup": 0.1, "clip": 1.0, "dropout": 0.0, "dev_share": 0.0, "patience": 5,
    },
    "tagging": {
        "learning_rate": 5e-5, "weight_decay": 0.01, "epochs": 15, "min_steps": 1000, "batch_size": 16,
        "min_batch_size": 4, "warmup": 0.1, "clip": 1.0, "dropout": 0.0, "dev_share": 0.0, "patience": 5,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("experiment", "task", "budget", "length"),
    [
        ("ag_news_distil", "classification", (0.01, 0.01, 15, "examples"), 256),
        ("conll_distil", "tagging", (0.02, 0.02, 15, "words"), 512),
        ("conll_distil_ups", "tagging", (0.02, 0.02, 15, "words"), 512),
    ],
)
def test_the_papers_settings(experiment, task, budget, length):
    config = composed(f"+experiment={experiment}")
    schedule = config.schedule
    assert (schedule.initial, schedule.step, schedule.cycles, schedule.unit) == budget
    for model in (config.acquisition, config.successor):
        assert model is not None
        assert asdict(model.training) == PAPER[task]
        assert model.max_length == length
    assert config.evaluate_at == "all"


def test_the_papers_subsampling():
    sub = composed("+experiment=conll_distil_ups").subsampling
    assert (sub.gamma, sub.temperature, sub.refresh) == (0.1, 0.01, [0, 1, 4, 8])


def test_a_setting_reaches_both_roles_unless_a_role_has_its_own():
    config = composed("training.epochs=3", "successor.training.epochs=7", "acquisition.max_length=99")
    assert config.successor is not None
    assert (config.acquisition.training.epochs, config.successor.training.epochs) == (3, 7)
    assert (config.acquisition.max_length, config.successor.max_length) == (99, 256)
    assert config.acquisition.training.batch_size == 16


def test_seeds_follow_the_seed_unless_set():
    seeds = composed("seed=7", "seeds.order=3").seeds
    assert asdict(seeds) == {"seed_set": 7, "model": 7, "order": 3, "subsampling": 7, "strategy": 7, "oracle": 7}


def declared(group: object, parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field]]:
    """Every key whose values the schema limits."""
    for key in fields(group):
        if key.metadata:
            yield (*parents, key.name), key
        value = getattr(group, key.name)
        if is_dataclass(value):
            yield from declared(value, (*parents, key.name))


def test_every_limit_that_the_schema_declares_is_a_rule():
    config = composed("training.epochs=3", "subsampling=ups")
    keys = dict(declared(config))
    assert {("acquisition", "training", "warmup"), ("seeds", "order"), ("dataset", "task")} <= set(keys)
    for path, key in keys.items():
        low, high, remedy = key.metadata.get("between", (0, 0, "did you mean|choose one of"))
        for value in ["none of these"] if "one_of" in key.metadata else {low - 1, high + 1} - {float("inf")}:
            changed = copy.deepcopy(config)
            group = changed
            for name in path[:-1]:
                group = getattr(group, name)
            setattr(group, path[-1], value)
            name = ".".join(path).removesuffix(".name")
            with pytest.raises(UserError) as refusal:
                validate(changed)
            lines = [line for line in str(refusal.value).splitlines() if line.startswith(f"{name}={value}: must")]
            assert len(lines) == 1, (path, value)
            assert any(hint in lines[0] for hint in remedy.split("|"))
