"""What can happen to a store of MLflow, really caused: it is never lost, and `al-bench sync` completes it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sweeps import varied
from synthetic import write_runs

from al_bench.ledger import database as databases
from al_bench.ledger import mlflow_store
from al_bench.ledger.ledger import read_json
from al_bench.ledger.mlflow_store import connect
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker, metrics_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A finished run of four cycles, not logged yet."""
    (folder,) = write_runs(tmp_path / "outputs", varied("seed=1"))
    return RunDirectory(folder)


def track(run: RunDirectory, tracking: str = "sqlite", sweep: Path | None = None) -> tuple[bool, list[str]]:
    """Whether all of the run is in the store now, and the lines for the user."""
    lines: list[str] = []
    done = Tracker(run, tracking, run.folder.parent.parent.parent, sweep, lines.append).sync()
    return done, lines


def assert_logged(client: Any, run: RunDirectory, *, every_point: bool = True) -> None:
    """Once, with every param, every point once, every file, and its end."""
    record = read_json(run.folder / "mlflow.json")
    runs = client.search_runs([record["experiment"]], f"tags.`al_bench.directory` = '{run.folder}'")
    (logged,) = runs
    assert logged.info.run_id == record["run_id"]
    assert logged.info.status == "FINISHED"
    assert len(logged.data.params) > 100
    rows = [(decided["cycle"], metrics_of(decided, spent)) for decided, spent in run.rows()]
    for name in {name for _, metrics in rows for name in metrics} if every_point else {"labelled", "seconds/iteration"}:
        points = [(point.step, point.value) for point in client.get_metric_history(record["run_id"], name)]
        assert sorted(points) == [(cycle, metrics[name]) for cycle, metrics in rows if name in metrics]
    files = {file.path for file in client.list_artifacts(record["run_id"])}
    assert files == {"config.yaml", "ledger.jsonl", "costs.jsonl", "identity.json", "provenance.json", "status.json"}


# ------------------------------------------------------------------------------------------ the database of a folder


@pytest.fixture
def quick_migrations(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migrations of a new file take seconds; here they are a copy of their result."""

    def copy(path: Path, artifacts: str) -> None:
        if not path.exists():
            shutil.copy(empty_database, path)

    monkeypatch.setattr(databases, "_complete", copy)


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as tables, tables:
        tables.execute(statement)


# As a kill leaves a file that MLflow migrates in place, or a full disk, or somebody else.
RUINS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no database": (lambda path: path.write_bytes(b"SQLite, said nobody" * 100), "file is not a database"),
    "cut off": (lambda path: os.truncate(path, path.stat().st_size // 2), "database disk image is malformed"),
    "before its first revision": (lambda path: edit(path, "DELETE FROM alembic_version"), ""),
    "between two revisions": (
        lambda path: edit(path, "UPDATE alembic_version SET version_num = '27a6a02d2cf1'"),
        "duplicate column name: run_link",
    ),
    "within a revision": (
        lambda path: [
            edit(path, "UPDATE alembic_version SET version_num = '90e64c465722'"),
            edit(path, "CREATE TABLE _alembic_tmp_runs (run_uuid TEXT)"),
        ],
        "",
    ),
}


@pytest.mark.usefixtures("quick_migrations")
@pytest.mark.parametrize("ruin", [r if i < 2 else pytest.param(r, marks=pytest.mark.slow) for i, r in enumerate(RUINS)])
def test_a_ruined_database_is_set_aside(run, database, ruin):
    assert track(run) == (True, [])
    spoil, reason = RUINS[ruin]
    spoil(database)
    content = database.read_bytes()
    done, (note,) = track(run)
    assert done
    assert reason in note
    assert f"{database} cannot be opened (" in note
    assert (database.parent / "mlflow.db.ruined-1").read_bytes() == content
    assert_logged(connect(f"sqlite:///{database}"), run)


@pytest.mark.usefixtures("quick_migrations")
def test_an_empty_file_is_no_ruin(run, database):
    database.write_bytes(b"")
    assert track(run) == (True, [])


@pytest.mark.usefixtures("quick_migrations")
def test_a_deleted_database_is_filled_again(run, database):
    """Also in one process, which still has connections to the deleted file."""
    assert track(run) == (True, [])
    database.unlink()
    assert track(run) == (True, [])
    assert_logged(connect(f"sqlite:///{database}"), run)


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (lambda path: path.write_text("my notes" * 100), "MLflow cannot open it (file is not a database)"),
    "mine": (lambda path: edit(path, "CREATE TABLE mine (x)"), "is no database of this version of MLflow; `mlflow db"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_the_users_stays(run, tmp_path, kind):
    """`tracking=sqlite:///FILE` may name anything by mistake."""
    path = tmp_path / "mine"
    make, reason = OTHERS[kind]
    make(path)
    content = path.read_bytes()
    done, (line,) = track(run, f"sqlite:///{path}")
    assert not done
    assert reason in line
    assert path.read_bytes() == content
    assert sorted(tmp_path.glob("mine*")) == [path]


def test_the_database_of_another_version_stays(run, database):
    edit(database, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    content = database.read_bytes()
    done, (line,) = track(run)
    assert not done
    assert "another version of MLflow wrote it (revision ffffffffffff); use that version, or move the file away" in line
    assert database.read_bytes() == content


def test_a_migration_that_fails_leaves_no_database(run, tmp_path, monkeypatch):
    """As on a full disk; the next try makes a new one."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    statements = 0

    def fail(*arguments: Any) -> None:
        nonlocal statements
        statements += 1
        if statements == 150:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        done, (line,) = track(run)
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
    assert not done
    assert "failed (database or disk is full)" in line
    assert not (tmp_path / "outputs/mlflow.db").exists()


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from al_bench.ledger.database import prepare

seen = 0

@event.listens_for(Engine, "before_cursor_execute")
def count(*arguments):
    global seen
    seen += 1
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

prepare(Path(sys.argv[1]), "file:///nowhere", print, own=True)
print(seen)
"""


@pytest.mark.slow
def test_the_database_of_an_older_version_is_upgraded(run, database):
    """With its runs, in a copy: a kill on the way leaves the file as it is."""
    from alembic import command
    from alembic.config import Config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    database.unlink()
    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    config = Config()
    config.set_main_option("script_location", databases._migrations().dir)
    config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
    command.upgrade(config, "acf3f17fdcc7")
    engine.dispose()
    edit(database, "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('old', 'x', 'active')")
    content = database.read_bytes()
    done, (note,) = track(run)
    assert done
    assert "is of an older MLflow and was upgraded; it is kept as mlflow.db.old-1" in note
    assert (database.parent / "mlflow.db.old-1").read_bytes() == content
    client = connect(f"sqlite:///{database}")
    assert client.get_experiment_by_name("old") is not None
    assert_logged(client, run)


def test_a_new_database_is_made_without_a_word(tmp_path):
    """MLflow sets the level of its log when it is imported, and then logs every step."""
    code = "import sys; from pathlib import Path; from al_bench.ledger.mlflow_store import MlflowStore"
    code += "; store = MlflowStore('sqlite', Path(sys.argv[1]), print); store.client()"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_kills_while_the_database_is_made(run, tmp_path):
    """At 20 moments, evenly over all statements of the migrations."""
    path = tmp_path / "outputs/mlflow.db"

    def prepare(statement: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-c", KILLED_AT, str(path), str(statement)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    statements = int(prepare(-1).stdout.split()[-1])
    path.unlink()
    assert statements > 500
    for moment in range(20):
        assert prepare(1 + moment * (statements - 1) // 19).returncode == -9
        assert not path.exists() or moment == 19
    assert track(run) == (True, [])
    assert_logged(connect(f"sqlite:///{path}"), run)


@pytest.mark.parametrize("name", ["what?", "50%25", "a#b", "ü b&c", "plain"])
def test_output_folders_of_any_name(empty_database, tmp_path, monkeypatch, name):
    """The database and the artifacts are in the folder, also after it was moved, and nothing is beside it."""
    from mlflow.tracking._tracking_service import utils

    output_dir = tmp_path / name
    (folder,) = write_runs(output_dir, varied("seed=1"))
    shutil.copy(empty_database, output_dir)
    assert track(RunDirectory(folder)) == (True, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    artifacts = read_json(folder / "mlflow.json")["run_id"] + "/artifacts"
    assert (output_dir / "mlartifacts/x" / artifacts / "ledger.jsonl").exists()

    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())  # as in the next process
    moved = tmp_path / "moved" / name
    moved.parent.mkdir()
    output_dir.rename(moved)
    run = RunDirectory(moved / folder.relative_to(output_dir))
    (moved / "mlartifacts/x" / artifacts / "ledger.jsonl").unlink()
    done, (note,) = track(run)
    assert done
    assert "the output folder was moved or copied from file:///" in note
    assert (moved / "mlartifacts/x" / artifacts / "ledger.jsonl").exists()
    assert track(run) == (True, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


def test_a_locked_database_is_one_line(run, database, monkeypatch, capfd):
    monkeypatch.setattr(databases, "PATIENCE", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done, (line,) = track(run)
    assert not done
    assert line.startswith(f"tracking to {database} failed (database is locked); the run goes on, `al-bench sync")
    assert capfd.readouterr().err == ""
    assert track(run) == (True, [])


def test_a_database_that_locks_during_the_run_is_one_line(run, database, monkeypatch, capfd):
    """MLflow logs a traceback of ninety lines there."""
    others = []
    enter = mlflow_store.enter

    def enter_and_lock(*arguments: Any, **options: Any) -> Any:
        run = enter(*arguments, **options)
        others.append(sqlite3.connect(database, isolation_level=None))
        others[0].execute("BEGIN IMMEDIATE")
        return run

    monkeypatch.setattr("al_bench.ledger.tracking.enter", enter_and_lock)
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def impatient(connection: Any, cursor: Any, statement: str, *arguments: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), arguments[0]

    event.listen(Engine, "before_cursor_execute", impatient, retval=True)
    try:
        done, (line,) = track(run)
    finally:
        event.remove(Engine, "before_cursor_execute", impatient)
        others[0].close()
    assert not done
    assert "failed (database is locked)" in line
    assert capfd.readouterr().err == ""


def test_a_place_that_takes_no_database(run, capfd):
    done, (line,) = track(run, "sqlite:////proc/x.db")
    assert not done
    assert "tracking to /proc/x.db failed ([Errno" in line
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------- a client that fails at its n-th call


class Flaky:
    """A client whose n-th call fails, before it takes effect or after."""

    def __init__(self, client: Any, fails_at: int, after: bool) -> None:
        self.client, self.fails_at, self.after, self.calls = client, fails_at, after, 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.fails_at and not self.after:
                raise ConnectionError("cut before")
            answer = getattr(self.client, name)(*arguments, **options)
            if self.calls == self.fails_at:
                raise ConnectionError("cut after")
            return answer

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_failures_at_every_call(run, database, tmp_path, monkeypatch, step, after):
    """Whatever call is cut: then one sync, and the run and its sweep are there once, and whole."""
    sweep = tmp_path / "outputs/sweeps/s"
    (sweep / "jobs").mkdir(parents=True)
    empty = database.read_bytes()
    fails_at, cut = 1 - step + after, True
    while cut:
        fails_at += step
        database.write_bytes(empty)
        for folder in (run.folder, sweep):
            (folder / "mlflow.json").unlink(missing_ok=True)
        client = Flaky(connect(f"sqlite:///{database}"), fails_at, after)
        with monkeypatch.context() as patch:
            patch.setattr(mlflow_store, "connect", lambda uri, client=client: client)
            done, lines = track(run, sweep=sweep)
        cut = not done
        assert cut == (client.calls >= fails_at)
        assert [line.count("cut") for line in lines] == [1] * cut
        assert track(run, sweep=sweep) == (True, [])
        assert_logged(client.client, run, every_point=fails_at % 4 == 0)
        everything = client.client.search_runs([read_json(run.folder / "mlflow.json")["experiment"]])
        assert len(everything) == 2
        assert sum("mlflow.parentRunId" in one.data.tags for one in everything) == 1
    assert fails_at > 20


# --------------------------------------------------------------------------------------------------------- servers


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address of a server that answers every request in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.daemon_threads = True
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


@pytest.mark.usefixtures("few_retries")
def test_a_server_that_fails(run):
    with server(lambda request: request.send_error(500)) as host:
        done, (line,) = track(run, f"http://{host}")
    assert not done
    assert line.startswith(f"tracking to http://{host} failed (too many 500 error responses); the run goes on, ")
    assert f"`al-bench sync --tracking http://{host} --output-dir " in line


@pytest.mark.usefixtures("few_retries")
def test_a_server_that_does_not_answer(run):
    silence = threading.Event()
    with server(lambda request: silence.wait(30)) as host:
        done, (line,) = track(run, f"http://{host}")
        silence.set()
    assert not done
    assert "failed (timed out)" in line
