"""A real server of MLflow, behind a proxy that cuts requests before or after the server has them."""

import http.client
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sweeps import varied
from synthetic import write_runs

from al_bench.config.credentials import VARIABLE
from al_bench.ledger.ledger import read_json
from al_bench.ledger.mlflow_store import connect
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker, metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture
def port(empty_database: Path, tmp_path: Path) -> Iterator[int]:
    """Of a server with its own database and artifacts."""
    home = tmp_path / "server"
    home.mkdir()
    shutil.copy(empty_database, home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(number), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow.db'}",
        "--artifacts-destination",
        str(home / "files"),
    ]
    with (home / "log").open("w") as log, subprocess.Popen(command, cwd=home, stdout=log, stderr=log) as serving:
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", number, timeout=1)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                time.sleep(0.2)
        yield number
        serving.terminate()


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a port; the n-th one is cut, before it is passed on or in place of its answer."""

    daemon_threads = True

    def __init__(self, port: int, cut_at: int, after: bool) -> None:
        self.port, self.cut_at, self.after, self.requests = port, cut_at, after, 0
        self.names: set[str] = set()
        super().__init__(("127.0.0.1", 0), Passing)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Passing(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        proxy = self.server
        proxy.requests += 1
        proxy.names.add(self.headers.get("Authorization", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        cut = proxy.requests == proxy.cut_at
        if cut and not proxy.after:
            self.close_connection = True
            return
        upstream = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
        upstream.request(self.command, self.path, body, {**dict(self.headers), "Connection": "close"})
        answer = upstream.getresponse()
        content = answer.read()
        if cut:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("retries", ["0", "1"])
def test_requests_that_are_cut(port, tmp_path, monkeypatch, capfd, retries):
    """At every third request, before and after: then one sync, and each run is there once, whole, and without a password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", retries)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv(VARIABLE, "")
    client = connect(f"http://127.0.0.1:{port}")
    from mlflow.tracking._tracking_service import utils

    cuts, cut_at, unbroken = 0, 0, False
    while not unbroken:
        cut_at += 3
        for after in (False, True):
            (folder,) = write_runs(tmp_path / f"{cut_at}{after}" / "outputs", varied("seed=1"))
            run, output_dir, lines = RunDirectory(folder), folder.parent.parent.parent, []
            proxy = Proxy(port, cut_at, after)
            Tracker(run, f"http://alice:s3cret@127.0.0.1:{proxy.server_port}", output_dir, None, lines.append).sync()
            proxy.shutdown()
            proxy.server_close()
            monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())  # as in the process that syncs
            unbroken = proxy.requests < cut_at
            cuts += not unbroken
            assert proxy.names == {"Basic YWxpY2U6czNjcmV0"}
            assert "s3cret" not in "".join(lines)
            assert Tracker(run, f"http://127.0.0.1:{port}", output_dir, None, print).sync()

            record = read_json(folder / "mlflow.json")
            (logged,) = client.search_runs([record["experiment"]], f"tags.`al_bench.directory` = '{folder}'")
            assert logged.info.status == "FINISHED"
            assert len(logged.data.params) > 100
            assert "s3cret" not in str(logged.data)
            for name in metrics_of(*run.rows()[0]):
                steps = [point.step for point in client.get_metric_history(logged.info.run_id, name)]
                assert len(steps) == len(set(steps))
            assert [point.step for point in client.get_metric_history(logged.info.run_id, "labelled")] == [0, 1, 2, 3]
            assert len(client.list_artifacts(logged.info.run_id)) == 6
    assert cuts > 8
    assert "s3cret" not in "".join(capfd.readouterr())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
