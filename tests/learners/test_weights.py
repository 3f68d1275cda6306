"""A model that cannot be loaded, or must not be, ends in one line: field, value, rule, remedy."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from tiny import build, save_family

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError
from al_bench.learners.engine.device import resolve_device
from al_bench.learners.engine.weights import fetch, folder_of, identify
from al_bench.learners.transformer import TransformerLearner

Change = Callable[[Path], object]


def line(action: Callable[[], object]) -> str:
    """The message of the `UserError` that the action raises, which is one line."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def edited(name: str, **changes: object) -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    return change


def halved(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


BROKEN: dict[str, tuple[Change, str]] = {
    "config.json is no JSON": (lambda f: (f / "config.json").write_text("{"), "not a valid JSON file"),
    "config.json is a list": (lambda f: (f / "config.json").write_text("[]"), "Unrecognized model"),
    "no config.json": (lambda f: (f / "config.json").unlink(), "the folder has no config.json"),
    "a model type of the future": (edited("config.json", model_type="bert9000"), "bert9000"),
    "no text classifier": (edited("config.json", model_type="resnet"), "ResNetConfig"),
    "weights cut in half": (halved, "incomplete metadata"),
    "weights are no safetensors": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 999), "header"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "header too small"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "tokenizer.json is no JSON": (lambda f: (f / "tokenizer.json").write_text("{"), "line 1"),
    "tokenizer.json is another thing": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    "no tokenizer": (without_tokenizer, "has no tokenizer files; put tokenizer.json beside the weights"),
    "nothing to pad with": (edited("tokenizer_config.json", pad_token=None, unk_token=None), "no token to pad with"),
    "config.json of a smaller model": (edited("config.json", hidden_size=16), "weights lack"),
    "config.json of a deeper model": (edited("config.json", num_hidden_layers=3), "weights lack 16 parameters"),
    "weights of another family": (edited("config.json", model_type="distilbert"), "weights lack"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_ends_in_one_line(
    what: str, bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bert, folder)
    change, reason = BROKEN[what]
    change(folder)
    message = line(lambda: build(folder))
    assert message.startswith(f"acquisition={folder}: ")
    assert reason in message
    assert message.split(": ", 1)[1].count("; ") >= 1, "a remedy follows the rule"
    assert capfd.readouterr() == ("", "")


def test_too_many_layers(bert: Path) -> None:
    build(bert, num_hidden_layers=2)
    assert line(lambda: build(bert, num_hidden_layers=3)) == (
        "acquisition.num_hidden_layers=3: tiny has 2 layers; ask for no more than these"
    )


def test_too_long_inputs(bert: Path, family: Callable[[str], Path]) -> None:
    build(bert, max_length=64)
    assert line(lambda: build(bert, max_length=65)) == (
        "acquisition.max_length=65: tiny has 64 positions; set acquisition.max_length=64 or less"
    )
    assert "has 62 positions" in line(lambda: build(family("roberta"), max_length=63))


def test_the_pinned_hash_is_that_of_the_weights(bert: Path) -> None:
    digest = hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    assert identify("successor", ModelConfig(name="m", path=str(bert)))["weights"] == digest
    assert identify("successor", ModelConfig(name="m", path=str(bert), sha256=digest))["weights"] == digest
    wrong = "0" * 64
    message = line(lambda: identify("successor", ModelConfig(name="m", path=str(bert), sha256=wrong)))
    assert message.startswith(f"successor.sha256={wrong}: {bert / 'model.safetensors'} has {digest}; ")
    assert message.endswith("or set successor.sha256=null")


def test_a_folder_without_safetensors(tmp_path: Path) -> None:
    message = line(lambda: identify("acquisition", ModelConfig(name="m", path=str(tmp_path))))
    assert (
        message == f"acquisition={tmp_path}: the folder has no model.safetensors; save the model with save_pretrained"
    )


def test_adapters_beside_the_weights(bert: Path, tmp_path: Path) -> None:
    """Their weights are in no fingerprint, and count where peft is installed alone."""
    folder = Path(shutil.copytree(bert, tmp_path / "adapted"))
    (folder / "adapter_config.json").write_text("{}")
    message = line(lambda: fetch("acquisition", ModelConfig(name="m", path=str(folder))))
    assert message.startswith(f"acquisition={folder}: the folder has adapters (adapter_config.json)")


INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(bert: Path, tmp_path: Path) -> Path:
    """The same model in several files."""
    folder = tmp_path / "sharded"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    transformers.AutoModel.from_pretrained(bert).save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def test_weights_in_shards_are_those_in_one_file(bert: Path, sharded: Path) -> None:
    one, other = (build(folder).pretrained for folder in (bert, sharded))
    encoder = [key for key in one if key.startswith("bert.")]
    assert all(torch.equal(one[key], other[key]) for key in encoder)


def test_the_pinned_hash_of_shards_is_that_of_all_of_them_one_after_another(sharded: Path) -> None:
    files = sorted(sharded.glob("model-*.safetensors"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert identify("r", ModelConfig(path=str(sharded), sha256=digest))["weights"] == digest
    message = line(lambda: identify("r", ModelConfig(path=str(sharded), sha256="0" * 64)))
    assert f"the {len(files)} files of {sharded / INDEX} together have {digest}; " in message
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    assert identify("r", ModelConfig(path=str(sharded)))["weights"] != digest


def test_one_file_of_weights_comes_before_shards(bert: Path, sharded: Path) -> None:
    shutil.copy(bert / "model.safetensors", sharded)
    assert identify("r", ModelConfig(path=str(sharded))) == identify("r", ModelConfig(path=str(bert)))


def second_shard(folder: Path) -> Path:
    return sorted(folder.glob("model-*.safetensors"))[1]


SHARDS: dict[str, tuple[Change, str]] = {
    "one is missing": (lambda f: second_shard(f).unlink(), f"lacks {{shard}}, which {INDEX} names; "),
    "one is cut": (lambda f: os.truncate(second_shard(f), 5000), "{shard} cannot be loaded (Error while"),
    "an index without names": (edited(INDEX, weight_map={}), f"({INDEX} names no .safetensors files); "),
    "an index of pickles": (edited(INDEX, weight_map={"a": "model.bin"}), f"({INDEX} names no .safetensors files); "),
    "an index of other folders": (edited(INDEX, weight_map={"a": "../m.safetensors"}), "names no .safetensors files"),
    "an index of numbers": (edited(INDEX, weight_map={"a": 1, "b": "c"}), "names no .safetensors files"),
    "an index that is no JSON": (lambda f: (f / INDEX).write_text("{"), "names no .safetensors files"),
    "pickles in shards": (lambda f: (f / INDEX).rename(f / "pytorch_model.bin.index.json"), "has no model.safetensors"),
}


@pytest.mark.parametrize("what", SHARDS)
def test_broken_shards_end_in_one_line_that_names_them(what: str, sharded: Path) -> None:
    change, reason = SHARDS[what]
    reason = reason.format(shard=second_shard(sharded).name)
    change(sharded)
    for action in (lambda: build(sharded), lambda: identify("acquisition", ModelConfig(path=str(sharded)))):
        message = line(action)
        assert message.startswith(f"acquisition={sharded}: ")
        assert reason in message


def test_weights_that_are_not_finite_are_refused(bert: Path, tmp_path: Path) -> None:
    network = transformers.AutoModel.from_pretrained(bert)
    with torch.no_grad():
        network.encoder.layer[1].output.dense.bias[3] = torch.inf
    folder = Path(shutil.copytree(bert, tmp_path / "model"))
    network.save_pretrained(folder)
    message = line(lambda: build(folder))
    assert message == (
        f"acquisition={folder}: its weights are not finite (bert.encoder.layer.1.output.dense.bias); get the right file"
    )


def hub_model(**source: str) -> TransformerLearner:
    from tiny import settings

    model = ModelConfig(name="m", max_length=32, training=settings(), **source)
    return TransformerLearner("acquisition", model, "classification", ("a", "b"), torch.device("cpu"), "float32")


def test_a_hub_name_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Offline, at once: neither a retry nor a traceback."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = line(lambda: hub_model(hub="nobody/no-such-encoder", revision="abc"))
    assert message.startswith("acquisition=nobody/no-such-encoder@abc: cannot be loaded (")
    assert message.endswith("check the name and the network, or set acquisition.path to a folder with the model")


def test_no_hub_name_at_all() -> None:
    assert line(lambda: hub_model(hub="a/b/c")).startswith("acquisition=a/b/c: cannot be loaded (Repo id must be")


@pytest.mark.parametrize(
    ("module", "pip"), [("no_such_thing", "no-such-thing"), ("no_such_thing.inner", "no-such-thing")]
)
def test_a_package_that_is_not_installed(module: str, pip: str) -> None:
    message = line(lambda: fetch("acquisition", ModelConfig(name="m", package=f"{module}:model")))
    assert message == (
        f"acquisition.package={module}:model: the package no_such_thing is not installed; "
        f"pip install {pip}, or set acquisition.path=FOLDER"
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package "carrier" with a model in it."""
    package = tmp_path / "carrier"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('nothing needs to run this')")
    save_family("bert", package / "inner" / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_where_a_model_is_looked_for(installed: Path, bert: Path) -> None:
    """The path, else the package where it is installed, else the hub."""
    everywhere = {"package": "carrier:inner/model", "hub": "owner/name", "revision": "abc"}
    assert folder_of("r", ModelConfig(name="m", path=str(bert), **everywhere)) == bert
    assert folder_of("r", ModelConfig(name="m", **everywhere)) == installed / "inner" / "model"
    elsewhere = {**everywhere, "package": "no_such_thing:model"}
    assert folder_of("r", ModelConfig(name="m", **elsewhere)) is None
    inside = {**everywhere, "package": "no_such_thing.inner:model"}
    assert folder_of("r", ModelConfig(name="m", **inside)) is None
    assert hub_model(package="carrier:inner/model").label_names == ("a", "b")


def test_a_package_without_the_folder(installed: Path) -> None:
    message = line(lambda: fetch("successor", ModelConfig(name="m", package="carrier:outer")))
    assert message == (
        "successor.package=carrier:outer: carrier has no outer; check the path, and which release is installed"
    )


def test_a_file_of_a_package_is_no_model(installed: Path) -> None:
    message = line(lambda: fetch("successor", ModelConfig(name="m", package="carrier:inner/model/config.json")))
    assert message == "successor.package=carrier:inner/model/config.json: is a file; name the folder around it"


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "cuda:200", "cuda:99999999999999"])
def test_a_cuda_device_that_is_not_here(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert line(lambda: resolve_device(name)) == (
        f"device={name}: this machine has 0 CUDA devices; use device=cpu, or device=auto for the best there is"
    )


def test_a_cuda_index_is_counted_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cuda") == torch.device("cuda")
    assert "has 2 CUDA devices" in line(lambda: resolve_device("cuda:2"))


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_is_the_best_device_there_is(cuda: bool, mps: bool, best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == best
    assert resolve_device("cpu").type == "cpu"
    if not mps:
        assert line(lambda: resolve_device("mps")).startswith("device=mps: this machine has no MPS device; ")
