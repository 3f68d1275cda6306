"""A hash that an option brings never hides that its source was replaced."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from al_bench.config.identity import fit_identity
from al_bench.config.resolution import resolve
from al_bench.config.rules import validate
from al_bench.config.schema import DatasetConfig, ModelConfig, RunConfig, StrategyConfig
from al_bench.errors import UserError
from al_bench.learners.engine import weights

CONTENT = save({"weight": np.arange(4)})
RIGHT = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Whose files are enough to know which model it is."""
    path = tmp_path / "models" / "mine"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(CONTENT)
    (path / "config.json").write_text("{}")
    return path


def config_of(successor: ModelConfig) -> RunConfig:
    return RunConfig(
        dataset=DatasetConfig(name="news", task="classification", hub="some/news"),
        acquisition=ModelConfig(name="small", hub="some/small"),
        successor=successor,
        strategy=StrategyConfig("entropy"),
    )


def test_the_hash_of_another_file(folder):
    with pytest.raises(UserError) as error:
        validate(config_of(ModelConfig(name="m", path=str(folder), sha256="0" * 64)))
    line = f"successor.sha256={'0' * 64}: {folder / 'model.safetensors'} has {RIGHT}; "
    assert str(error.value).startswith(line)
    assert "set successor.sha256=null" in str(error.value)
    validate(config_of(ModelConfig(name="m", path=str(folder))))


def test_the_right_weights_wherever_they_are(folder, tmp_path):
    """As users of `scripts/fetch_mpnet.py` do, or with a copy, or a link to it."""
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "config.json").write_text("{}")
    (tmp_path / "copy" / "model.safetensors").symlink_to(folder / "model.safetensors")
    for path in (folder, tmp_path / "link", tmp_path / "copy"):
        validate(config_of(ModelConfig(name="m", path=str(path), hub="some/m", sha256=RIGHT)))


def test_each_file_is_read_once(folder):
    weights._sha256.cache_clear()
    for _ in range(3):
        validate(config_of(ModelConfig(name="m", path=str(folder), sha256=RIGHT)))
    assert weights._sha256.cache_info().misses == 1
    (folder / "model.safetensors").write_bytes(save({"weight": np.arange(5)}))
    with pytest.raises(UserError, match=r"successor\.sha256"):
        validate(config_of(ModelConfig(name="m", path=str(folder), sha256=RIGHT)))


@pytest.mark.parametrize(
    ("source", "words", "line"),
    [
        ({"hub": "owner/other"}, ["hub=owner/other"], "successor.hub=owner/other: is another source than that of succes"),
        ({"hub": "owner/other", "package": "m:x"}, ["hub=owner/other"], "its weights, and successor.package=null, which"),
        ({"hub": "owner/m", "revision": "v2"}, ["revision=v2"], "successor.revision=v2: is another source than that of"),
        ({"package": "n:x"}, ["package=n:x"], "set successor.sha256=null or to the hash of its weights"),
        # The remedies: no hash, or one that the user gives; and a package that is left out has the hub's file.
        ({"hub": "owner/other", "sha256": None}, ["hub=owner/other", "sha256=null"], None),
        ({"hub": "owner/other"}, ["hub=owner/other", f"sha256={RIGHT}"], None),
        ({"hub": "owner/m"}, ["package=null"], None),
        ({"hub": "owner/m"}, ["name=other", "training.epochs=3"], None),
    ],
)  # fmt: skip
def test_another_source_on_the_command_line(source, words, line):
    config = config_of(ModelConfig(**{"name": "m", "sha256": RIGHT, **source}))
    overrides = [f"successor.{word}" for word in words]
    if line is None:
        validate(config, overrides)
        return
    with pytest.raises(UserError) as error:
        validate(config, overrides)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_two_models_are_two_in_a_plan(folder):
    """Which counted half the fits where both had the hash of the option."""
    path = str(folder)
    sources = [ModelConfig(name="m", hub="some/m", sha256="0" * 64), ModelConfig(name="m", path=path, sha256=RIGHT)]
    fits = [fit_identity(resolve(config_of(model)), "float32", 0, "successor") for model in sources]
    assert fits[0] != fits[1]
    with pytest.raises(UserError):
        validate(config_of(ModelConfig(name="m", hub="some/m", path=path, sha256="0" * 64)))


def test_a_run_is_refused_before_it_begins(al, folder, tmp_path):
    done = al("run", "successor.path=models/mine", "tracking=none")
    assert done.code != 0
    assert "set successor.sha256=null" in done.err
    assert not list(tmp_path.glob("outputs/**/ledger.jsonl"))
