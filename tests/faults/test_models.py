"""Models that change, that cannot be trained, that bring code of their own, or that a hub does not give."""

import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from time import perf_counter
from typing import Any

import pytest
import torch

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError

QUICK = ["schedule.cycles=1", "training.epochs=1"]


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def other_activation(folder: Path) -> None:
    edited(folder / "config.json", lambda config: config.update(hidden_act="relu"))


def other_case(folder: Path) -> None:
    edited(folder / "tokenizer.json", lambda tokenizer: tokenizer["normalizer"].update(lowercase=False))


def other_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


CHANGES = {"config": other_activation, "tokenizer": other_case, "weights": other_weight}


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may change."""
    return Path(shutil.copytree(tiny_model, tmp_path / "own_model"))


@pytest.fixture
def own_run(tiny_run: list[str], own_model: Path) -> list[str]:
    """Two cycles with a model of one's own that acquires, and the tiny one as its successor."""
    return ["run", *tiny_run, *QUICK, f"acquisition.path={own_model}", "acquisition.max_length=32"]


def ledgers(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("ledger.jsonl")}


def refused(done: Any) -> str:
    """The one line of a refusal."""
    assert done.code == 1, done.out
    assert len(done.err.splitlines()) == 1, done.err
    return done.err


# ------------------------------------------------------------------------------------------------- that change


@pytest.mark.parametrize("part", CHANGES)
def test_a_changed_model_is_named_and_its_results_are_not_shown(al, own_run, own_model, tmp_path, part):
    assert al(*own_run).code == 0
    before = ledgers(tmp_path)
    kept = Path(shutil.copytree(own_model, tmp_path / "kept"))
    CHANGES[part](own_model)
    for command in (
        own_run,
        [*own_run, "schedule.cycles=2"],
    ):  # the finished run, and one that continues its trajectory
        assert f"acquisition.{part} changed since it was begun" in refused(al(*command))
    assert ledgers(tmp_path) == before
    assert al(*own_run, "output_dir=elsewhere").code == 0, "the first remedy"
    shutil.rmtree(own_model)
    kept.rename(own_model)
    assert "already finished" in al(*own_run).out, "the other remedy"


def test_force_removes_nothing_where_it_could_not_compute_again(al, own_run, own_model, review_folder, tmp_path):
    for name in ("test", "other"):
        assert al(*own_run, f"name={name}").code == 0
    before = ledgers(tmp_path)
    other_activation(own_model)
    line = refused(al(*own_run, "--force"))
    assert "acquisition.config changed since, and other runs share it; remove those runs, too" in line
    assert ledgers(tmp_path) == before
    assert al("rm", "other", "--yes").code == 0, "the remedy"
    data = next(path for path in sorted(review_folder.iterdir()) if path.is_file())
    content = data.read_bytes()
    data.write_bytes(b"\xff\xfe\xfd")
    refused(al(*own_run, "--force"))
    assert ledgers(tmp_path).items() <= before.items()
    assert list(tmp_path.glob("outputs/runs/test/*/ledger.jsonl"))
    data.write_bytes(content)
    assert al(*own_run, "--force").code == 0
    assert "already finished" in al(*own_run).out


def test_an_interrupted_run_goes_on_with_the_same_model_only(al, own_run, own_model, interrupt_successor):
    interrupt_successor(2)
    assert al(*own_run).code == 130
    other_case(own_model)
    assert "acquisition.tokenizer changed" in refused(al(*own_run))


def test_what_decides_nothing_may_change(al, own_run, own_model):
    assert al(*own_run).code == 0
    edited(own_model / "config.json", lambda config: config.update(transformers_version="9.9", architectures=["Mine"]))
    edited(own_model / "tokenizer_config.json", lambda config: config.update(name_or_path="/somewhere/else"))
    assert "already finished" in al(*own_run).out


def test_pinned_weights_in_another_folder_are_not_all_of_a_model(al, own_run, own_model, tmp_path):
    from al_bench.learners.engine.weights import identify

    pinned = f"acquisition.sha256={identify('r', ModelConfig(path=str(own_model)))['weights']}"
    assert al(*own_run, pinned).code == 0
    copy = Path(shutil.copytree(own_model, tmp_path / "copy"))
    assert "already finished" in al(*own_run, pinned, f"acquisition.path={copy}").out
    other_case(copy)
    assert "acquisition.tokenizer changed" in refused(al(*own_run, pinned, f"acquisition.path={copy}"))


def test_a_sweep_says_which_results_are_of_another_model(al, own_run, own_model, tmp_path):
    sweep = [*own_run, "-m", "seed=1,2"]
    assert al(*sweep).code == 0
    other_case(own_model)
    done = al(*sweep)
    assert done.code == 1
    refusals = [line for line in done.err.splitlines() if " refused: " in line]
    assert ["acquisition.tokenizer changed" in line for line in refusals] == [True, True], done.err
    assert {json.loads(path.read_text())["state"] for path in tmp_path.rglob("status.json")} == {"finished"}


def test_changed_data_of_a_finished_run(al, own_run, review_folder):
    assert al(*own_run).code == 0
    with (review_folder / "train.csv").open("a") as file:
        file.write("one more film,pos\n")
    assert "data changed since it was begun" in refused(al(*own_run))


def test_a_finished_run_is_shown_where_its_model_is_gone(al, own_run, own_model, monkeypatch):
    from al_bench.learners.engine import weights

    monkeypatch.setattr(weights, "_snapshot", lambda hub, revision: own_model)
    command = [*own_run, "acquisition.path=null", "acquisition.package=null", "acquisition.hub=some/encoder"]
    assert al(*command).code == 0

    def gone(hub: str, revision: str | None) -> Path:
        raise ConnectionError("no network")

    monkeypatch.setattr(weights, "_snapshot", gone)
    done = al(*command)
    assert done.code == 0, done.err
    assert "note: not compared with the data and the models of now: acquisition=some/encoder" in done.out
    assert "already finished" in done.out
    assert "successor accuracy" in done.out


def test_other_threads_are_said_when_a_run_goes_on(al, own_run, interrupt_successor):
    threads = torch.get_num_threads()
    interrupt_successor(2)
    try:
        torch.set_num_threads(2)
        assert al(*own_run).code == 130
        torch.set_num_threads(1)
        done, again, longer = al(*own_run), al(*own_run), al(*own_run, "schedule.cycles=2")
    finally:
        torch.set_num_threads(threads)
    note = "note: threads=1, before 2; the cycles from here on may differ"
    assert [outcome.out.count(note) for outcome in (done, again, longer)] == [1, 0, 1], done.err


def test_a_head_of_another_task_is_said_to_be_drawn_anew(al, own_run, own_model):
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(own_model, num_labels=2).save_pretrained(own_model)
    done = al(*own_run, "evaluate_at=none")
    assert done.code == 0, done.err
    note = "note: acquisition=tiny brings a fitted head (classifier.bias, classifier.weight), which is drawn anew"
    assert note in done.out.splitlines()


# --------------------------------------------------------------------------------------- that cannot be trained


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def without_padding(folder: Path) -> None:
    edited(folder / "tokenizer_config.json", lambda config: config.update(pad_token=None, unk_token=None))


def with_more_tokens(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<url>", "<user>"])
    tokenizer.save_pretrained(folder)


def of_an_unknown_kind(folder: Path) -> None:
    edited(folder / "config.json", lambda config: config.update(model_type="bert9000"))


def cut_in_half(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


UNFIT = {
    "acquisition": (with_more_tokens, "embeddings"),
    "successor": (cut_in_half, "cannot be loaded"),
    "pseudo_labeler": (without_tokenizer, "has no tokenizer files; put tokenizer.json beside the weights"),
    "verifier": (without_padding, "its tokenizer has no token to pad with"),
}


@pytest.mark.parametrize("role", UNFIT)
def test_every_role_is_checked_before_the_first_cycle(al, tiny_run, tiny_model, own_model, tmp_path, role):
    command = ["run", *tiny_run, *QUICK, "pseudo_labeling=plasm_verifier", "evaluate_at=last"]
    for other in ("pseudo_labeler", "verifier"):
        command += [f"model@{other}=hf", f"{other}.path={tiny_model}", f"{other}.max_length=32"]
    change, reason = UNFIT[role]
    change(own_model)
    done = al(*command, f"{role}.path={own_model}")
    line = refused(done)
    assert line.startswith(f"al-bench: {role}={own_model}: ")
    assert reason in line
    assert "cycle 0" not in done.out
    assert not list(tmp_path.rglob("ledger.jsonl"))
    shutil.rmtree(own_model)
    shutil.copytree(tiny_model, own_model)
    if role == "acquisition":  # nothing is in the way of the mended model
        assert al(*command, f"{role}.path={own_model}").code == 0


def test_an_architecture_that_is_not_known(al, own_run, own_model):
    of_an_unknown_kind(own_model)
    assert "bert9000" in refused(al(*own_run))


# ------------------------------------------------------------------------------------- that bring code of their own

PLANTED = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = "own_thing"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_in_a_model_folder_is_never_run(al, own_run, own_model, tmp_path, monkeypatch, where):
    """However often the user's terminal, or what is piped into it, says yes."""
    mark = tmp_path / "it ran"
    (own_model / "planted.py").write_text(PLANTED.format(mark=str(mark)))
    own = {"AutoConfig": "planted.OwnConfig", "AutoModel": "planted.OwnModel", "AutoTokenizer": ["planted.Own", None]}
    own |= {f"AutoModelFor{kind}Classification": "planted.OwnModel" for kind in ("Sequence", "Token")}
    changes = {"auto_map": own, "model_type": "own_thing"} if where == "config.json" else {"auto_map": own}
    edited(own_model / where, lambda config: config.update(changes, tokenizer_class="Own"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 100))
    done = al(*own_run)
    assert not mark.exists()
    if where == "config.json":
        assert "comes with code of its own (auto_map), which is not run; choose another model" in refused(done)
    else:
        assert done.code == 0, "tokenizer.json needs no code"
    assert sys.stdin.readline() == "y\n", "nobody was asked"


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("source", ["folder", "hub"])
def test_pickled_weights_run_nothing(al, own_run, own_model, tmp_path, monkeypatch, source):
    from al_bench.learners.engine import weights

    mark = tmp_path / "it ran"
    (own_model / "model.safetensors").unlink()
    with (own_model / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"bert.embeddings.word_embeddings.weight": Bomb(mark)}, file)
    if source == "hub":
        monkeypatch.setattr(weights, "_snapshot", lambda hub, revision: own_model)
        own_run = [*own_run, "acquisition.path=null", "acquisition.package=null", "acquisition.hub=some/encoder"]
    assert ("has no model.safetensors" if source == "folder" else "cannot be loaded") in refused(al(*own_run))
    assert not mark.exists()


# ----------------------------------------------------------------------------------------- that a hub does not give


class Hub(BaseHTTPRequestHandler):
    """The least of a hub: one repository, owner/encoder, with the files of a folder."""

    folder: Path
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.asked.append(self.path)
        name = self.path.rpartition("/")[2].partition("?")[0]
        files = {path.name: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        headers = {}
        if "/api/models/owner/encoder/revision/" in self.path:
            content = json.dumps({"id": "owner/encoder", "sha": self.commit, "siblings": []}).encode()
        elif "/api/models/owner/encoder/tree/" in self.path:
            paths = [path for path in self.folder.rglob("*") if path.is_file()]
            rows = [
                {
                    "type": "file",
                    "path": str(path.relative_to(self.folder)),
                    "size": path.stat().st_size,
                    "oid": path.name,
                }
                for path in paths
            ]
            content = json.dumps(rows).encode()
        elif "/owner/encoder/resolve/" in self.path and name in files:
            content = files[name]
            headers = {"ETag": f'"{name}"', "X-Repo-Commit": self.commit}
        elif self.path == "/":
            content = b""
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Sets the hub's address, with an empty cache and nothing remembered."""
    from huggingface_hub import close_session, constants

    from al_bench.data import network
    from al_bench.learners.engine import weights

    def at(url: str) -> None:
        network._silence.cache_clear()
        weights._snapshot.cache_clear()
        close_session()
        for key, value in {
            "ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(tmp_path / "hub"),
        }.items():  # fmt: skip
            monkeypatch.setattr(constants, key, value)

    yield at
    network._silence.cache_clear()
    weights._snapshot.cache_clear()


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[ThreadingHTTPServer]:
    class Ours(Hub):
        folder, asked = tiny_model, []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ours)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_of_a_hub_is_fetched_once_and_works_without_network(al, tiny_run, tiny_model, hub, endpoint, tmp_path):
    from al_bench.learners.engine.weights import fetch, identify

    endpoint(f"http://127.0.0.1:{hub.server_port}")
    model = ModelConfig(hub="owner/encoder")
    online = identify("acquisition", model)
    assert online == identify("acquisition", ModelConfig(path=str(tiny_model))), "as in a folder"
    assert fetch("acquisition", model).folder.parent.parent.parent == tmp_path / "hub"
    asked = len(hub.RequestHandlerClass.asked)
    endpoint("http://127.0.0.1:9")
    assert identify("acquisition", model) == online
    assert len(hub.RequestHandlerClass.asked) == asked
    command = [
        "run",
        *tiny_run,
        *QUICK,
        "model@acquisition=hf",
        "acquisition.path=null",
        "acquisition.hub=owner/encoder",
    ]
    assert al(*command, "acquisition.sha256=null", "evaluate_at=none").code == 0


def test_a_hubs_shards_and_a_tokenizer_in_a_sub_folder(tiny_model, hub, endpoint, tmp_path):
    """The shards are downloaded that the index names, and no others."""
    from transformers import AutoModel

    from al_bench.learners.engine.weights import fetch, identify

    folder = Path(shutil.copytree(tiny_model, tmp_path / "published"))
    (folder / "model.safetensors").unlink()
    AutoModel.from_pretrained(tiny_model).save_pretrained(folder, max_shard_size="30KB")
    (folder / "tokenizer").mkdir()
    for path in folder.glob("tokenizer*.json"):
        path.rename(folder / "tokenizer" / path.name)
    shutil.copy(tiny_model / "model.safetensors", folder / "another.safetensors")
    hub.RequestHandlerClass.folder = folder
    endpoint(f"http://127.0.0.1:{hub.server_port}")
    model = ModelConfig(hub="owner/encoder")
    assert identify("acquisition", model) == identify("acquisition", ModelConfig(path=str(folder)))
    loaded = fetch("acquisition", model).folder
    assert {path.name for path in loaded.glob("*.safetensors")} == {path.name for path in folder.glob("model-*")}


def test_what_a_hub_does_not_have(hub, endpoint):
    from al_bench.learners.engine.weights import fetch

    endpoint(f"http://127.0.0.1:{hub.server_port}")
    with pytest.raises(UserError, match=r"^acquisition=owner/other: cannot be loaded \(.*check the name"):
        fetch("acquisition", ModelConfig(hub="owner/other"))


@pytest.mark.parametrize("fault", ["refuses", "never answers", "has no address", "is out of order"])
@pytest.mark.parametrize("kind", ["model", pytest.param("dataset", marks=pytest.mark.slow)])
def test_no_network_is_said_soon(al, tiny_run, endpoint, monkeypatch, fault, kind):
    """Within five seconds, in one line with what to do."""

    class Broken(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    with create_server(("127.0.0.1", 0)) as silent, ThreadingHTTPServer(("127.0.0.1", 0), Broken) as broken:
        Thread(target=broken.serve_forever, daemon=True).start()
        address = {
            "refuses": "127.0.0.1:9", "has no address": "no-such-host.invalid",
            "never answers": f"127.0.0.1:{silent.getsockname()[1]}", "is out of order": f"127.0.0.1:{broken.server_port}",
        }[fault]  # fmt: skip
        endpoint(f"http://{address}")
        began = perf_counter()
        if kind == "model":
            own = ["model@acquisition=hf", "acquisition.path=null", "acquisition.sha256=null", "acquisition.hub=o/n"]
            done = al("run", *tiny_run, *own)
        else:
            done = al("run", *tiny_run, "dataset.path=null", "dataset.package=null", "dataset.hub=o/n")
        seconds = perf_counter() - began
        broken.shutdown()
    line = refused(done)
    assert f"http://{address} " in line
    assert "no whole copy in the cache" in line
    assert "the network" in line
    assert seconds < 12, "the promise is five, on a machine that does nothing else"


def test_patience_keeps_the_promise():
    from al_bench.data import network

    assert network.PATIENCE < 5


# ------------------------------------------------------------------------------------------- blank and absent models


def test_a_model_of_ones_own_needs_its_path_alone(al, tiny_run, own_model, tmp_path):
    words = [word for word in tiny_run if not word.startswith(("acquisition.", "successor."))]
    command = [
        "run",
        *words,
        *QUICK,
        "model@acquisition=hf",
        f"acquisition.path={own_model}",
        "acquisition.max_length=32",
    ]
    done = al(*command, "model@successor=none")
    assert done.code == 0, done.err
    folder = next((tmp_path / "outputs" / "runs").rglob("ledger.jsonl")).parent
    assert folder.name.startswith("tiny-own_model-breaking_ties-none-acquire_only-seed")
    assert all(json.loads(line)["successor"] is None for line in (folder / "ledger.jsonl").read_text().splitlines())


@pytest.mark.parametrize(("option", "extra"), [("joblib", "joblib"), ("submitit_slurm", "slurm")])
def test_an_extra_that_is_missing_is_named(option, extra):
    from hydra.errors import MissingConfigException

    from al_bench.front.messages import explain

    error = MissingConfigException("", missing_cfg_file=f"hydra/launcher/{option}", options=["basic"])
    assert explain(error) == f"hydra/launcher={option}: needs the extra {extra}; pip install 'al-bench[{extra}]'"
