"""A password in a tracking address reaches the server, and nothing else: no file, no message, no part of MLflow."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from al_bench.config.credentials import VARIABLE, address, conceal, conceal_all, full_address
from al_bench.errors import without_secrets

SECRET = "s3cret!x"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends what a command remembers for its jobs."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def logins() -> Iterator[tuple[str, list[str]]]:
    """The host of a server that refuses everything, and who asked it for something."""
    names: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scheme, _, code = self.headers.get("Authorization", "").partition(" ")
            names.append(base64.b64decode(code).decode() if scheme == "Basic" else "")
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{serving.server_port}", names
    serving.shutdown()
    serving.server_close()


def assert_kept(folder: Path, done: Any) -> None:
    assert SECRET not in done.out + done.err
    assert not [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_on_the_command_line(al, tiny_run, tmp_path, logins, sweep):
    host, names = logins
    quick = [*(word for word in tiny_run if word != "tracking=none"), "schedule.cycles=1", "training.epochs=1"]
    done = al("run", *quick, f"tracking=http://alice:{SECRET}@{host}", *sweep)
    assert done.code == 0
    assert set(names) == {f"alice:{SECRET}"}
    assert f"tracking to http://***@{host} failed (" in done.err
    assert f"`al-bench sync --tracking 'http://***@{host}'` repairs it" in done.err
    assert_kept(tmp_path, done)
    path = next(tmp_path.glob("outputs/runs/test/*/config.yaml"))
    assert f"tracking: http://***@{host}" in path.read_text()
    assert f"tracking=http://***@{host}" in json.loads((path.parent / "provenance.json").read_text())["command"]
    overrides = json.loads((path.parent / "status.json").read_text())["overrides"]
    assert [word for word in overrides if f"//***@{host}" in word.replace("\\", "")]

    names.clear()
    synced = al("sync", "--tracking", f"http://alice:{SECRET}@{host}")
    assert synced.code == 1
    assert f"http://***@{host}" in synced.err
    assert set(names) == {f"alice:{SECRET}"}
    assert_kept(tmp_path, synced)


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_in_an_option_file(al, tiny_run, tmp_path, logins, sweep):
    host, names = logins
    option = tmp_path / "mine/experiment/tracked.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(f"# @package _global_\ntracking: http://alice:{SECRET}@{host}\n")
    quick = [*(word for word in tiny_run if word != "tracking=none"), "schedule.cycles=1", "training.epochs=1"]
    done = al("run", "--config-dir", tmp_path / "mine", "+experiment=tracked", *quick, *sweep)
    assert done.code == 0, done.err
    assert set(names) == {f"alice:{SECRET}"}
    assert_kept(tmp_path / "outputs", done)


def test_in_a_refused_command(al, tmp_path):
    done = al("run", f"tracking=http://alice:{SECRET}@h", "sed=1", "strategy=nothing")
    assert done.code == 1
    assert_kept(tmp_path, done)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("tracking to http://alice:pw@host:5000/x failed", "tracking to http://***@host:5000/x failed"),
        ("https://token@host", "https://***@host"),
        ("http://a:p/w@d@host, b@c", "http://***@host, b@c"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql+psycopg2://***@h/db"),
        ("{'uri': 'http://a:b@h', 'mail': 'x@y'}", "{'uri': 'http://***@h', 'mail': 'x@y'}"),
        ("http://localhost:5000 a@b", "http://localhost:5000 a@b"),
        ("sqlite:////home/a:b@c/mlflow.db", "sqlite:////home/a:b@c/mlflow.db"),
        ("hf://datasets/squad@main/train.csv", "hf://datasets/squad@main/train.csv"),
        ("http://***@host", "http://***@host"),
    ],
)
def test_what_a_secret_is(text, safe):
    assert without_secrets(text) == safe


def test_the_address_is_put_together_again():
    words = ["-m", "tracking='http://a:b@h'", "dataset.path=x://y:z@w", "--tracking=http://c:d@i", "http://e:f@j"]
    assert conceal_all(words[:3]) == ["-m", "tracking='http://***@h'", "dataset.path=x://y:z@w"]
    assert full_address("http://***@h") == full_address("http://h") == "http://a:b@h"
    assert conceal_all(words[3:]) == ["--tracking=http://***@i", "http://***@j"]
    assert full_address("http://***@j") == "http://e:f@j"
    assert full_address("http://***@h") == "http://h", "MLflow may have its own credentials for it"
    assert conceal("http://h") == "http://h"
    assert address("http://a:b@h") == address("http://***@h") == address("http://h")
