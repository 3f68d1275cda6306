"""MLflow as a copy of the run directory, on a real SQLite store."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from sweeps import varied
from synthetic import write_runs

from al_bench.config.schema import RunConfig
from al_bench.ledger import mlflow_store
from al_bench.ledger.ledger import Ledger, read_json, write_json
from al_bench.ledger.mlflow_store import connect
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker, fit, metrics_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("database"),
]


def client_of(folder: Path):
    return connect(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")


def run_folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("outputs/runs/test/*/status.json"))


def points(client, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


def synced(folder: Path, tracking: str = "sqlite") -> tuple[bool, bool]:
    """Whether all of a run is in the store, and whether anything had to be logged."""
    output_dir = folder.parent.parent.parent
    tracker = Tracker(RunDirectory(folder), tracking, output_dir, None, print)
    return tracker.sync(), tracker.changed


def tracked(tiny_run: list[str]) -> list[str]:
    return [*(word for word in tiny_run if word != "tracking=none"), "schedule.cycles=2", "training.epochs=1"]


def test_a_sweep_in_mlflow(al, tiny_run, tmp_path):
    done = al("run", "-m", *tracked(tiny_run), "seed=1,2")
    assert done.code == 0, done.err
    client = client_of(tmp_path)
    (experiment,) = [e for e in client.search_experiments() if e.name == "test"]
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert "summary.json" in {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    for folder in run_folders(tmp_path):
        run_id = json.loads((folder / "mlflow.json").read_text())["run_id"]
        logged = client.get_run(run_id)
        lines, costs = Ledger(folder / "ledger.jsonl").read(), Ledger(folder / "costs.jsonl").read()
        by_cycle = [metrics_of(d, s) for d, s in zip(lines, costs, strict=True)]
        for key in by_cycle[0]:
            expected = [(cycle, values[key]) for cycle, values in enumerate(by_cycle) if key in values]
            assert points(client, run_id, key) == expected
        assert logged.data.params["seed"] in ("1", "2")
        assert logged.data.params["acquisition.training.epochs"] == "1"
        assert logged.data.params["schedule.cycles"] == "2"
        assert set(vars(RunConfig())) == set(OmegaConf.load(folder / "config.yaml"))
        assert (
            logged.data.tags["al_bench.trajectory"]
            == json.loads((folder / "identity.json").read_text())["fingerprints"]["trajectory"]
        )
        files = {file.path for file in client.list_artifacts(run_id)}
        assert {"config.yaml", "ledger.jsonl", "costs.jsonl", "provenance.json", "queries"} <= files


def test_tracking_none_then_sync_then_nothing_new(al, tiny_run, tmp_path):
    done = al("run", *tracked(tiny_run), "tracking=none")
    assert done.code == 0, done.err
    assert not client_of(tmp_path).get_experiment_by_name("test")
    assert "1 runs logged" in al("sync").out
    (folder,) = run_folders(tmp_path)
    run_id = json.loads((folder / "mlflow.json").read_text())["run_id"]
    client = client_of(tmp_path)
    assert [step for step, _ in points(client, run_id, "successor/accuracy")] == [0, 1, 2]
    again = al("sync")
    assert "already logged" in again.out
    assert "0 runs logged" in again.out
    assert al("sync", "nowhere").code == 1


def test_damaged_runs_are_named_and_the_others_logged(al, tiny_run, tmp_path):
    """In the order of their names, so that every damaged one stands before the last that is whole."""
    assert al("run", *tracked(tiny_run), "tracking=none").code == 0
    (folder,) = run_folders(tmp_path)
    damages = {
        "status.json": [None, "{", "[]", "{}"],
        "identity.json": [None, "{", '{"fingerprints": {}}'],
        "provenance.json": ["", "[1]"],
        "config.yaml": [None, "- 1", "{"],
        "ledger.jsonl": ["{\n"],
        "costs.jsonl": [None],
    }
    copies = []
    for name, contents in damages.items():
        for number, content in enumerate(contents):
            copy = folder.parent / f"a-{name}-{number}"
            shutil.copytree(folder, copy)
            (copy / name).unlink()
            if content is not None:
                (copy / name).write_text(content)
            copies.append((copy, name))
    listed = folder.parent / "b"
    shutil.copytree(folder, listed)
    (listed / "mlflow.json").write_text("[1]")
    moved = folder.parent / "c"
    shutil.copytree(folder, moved)
    write_json(moved / "status.json", {**read_json(moved / "status.json"), "sweep": "/nowhere/sweeps/x"})
    done = al("sync")
    assert done.code == 1
    assert "Traceback" not in done.err
    lines = done.err.strip().splitlines()
    for line, (copy, name) in zip(lines, sorted(copies), strict=True):
        assert line.startswith(f"al-bench: {copy}: not logged, since {name} ")
        assert "restore it, or delete the folder and give its command again" in line
    assert "3 runs logged" in done.out


def test_an_interrupted_run_continues_its_mlflow_run(al, tiny_run, tmp_path, monkeypatch, interrupt_successor):
    """One batch a cycle, no point twice, no second run, whatever mlflow.json says of the store."""
    from mlflow.tracking import MlflowClient

    interrupt_successor(2)
    command = ["run", *tracked(tiny_run), "seed=5"]
    assert al(*command).code == 130
    (folder,) = run_folders(tmp_path)
    first = read_json(folder / "mlflow.json")
    assert first["state"] == "interrupted"
    client = client_of(tmp_path)
    assert client.get_run(first["run_id"]).info.status == "KILLED"
    write_json(folder / "mlflow.json", {"id": first["id"]})
    batches = []
    log = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda self, run, **k: (batches.append(k), log(self, run, **k))[1])
    assert al(*command).code == 0
    last = read_json(folder / "mlflow.json")
    assert last["run_id"] == first["run_id"]
    assert [step for step, _ in points(client, last["run_id"], "successor/accuracy")] == [0, 1, 2]
    steps = [{metric.step for metric in batch["metrics"]} for batch in batches]
    assert steps == [{1}, {2}]
    assert client.get_run(last["run_id"]).info.status == "FINISHED"


def test_sync_asks_the_store(tmp_path, database):
    """A run without most of its params and cycles, a file cut short, a wrong end, a duplicate; then a store that is gone."""
    (folder,) = write_runs(tmp_path / "outputs", varied("seed=1"))
    assert synced(folder) == (True, True)
    client, record = client_of(tmp_path), read_json(folder / "mlflow.json")
    logged = client.get_run(record["run_id"])
    assert synced(folder) == (True, False)
    with closing(sqlite3.connect(database)) as tables, tables:
        tables.execute("DELETE FROM params WHERE key > 'b'")
        tables.execute("DELETE FROM metrics WHERE step = 2")
        tables.execute("UPDATE runs SET status = 'RUNNING'")
    (tmp_path / "outputs/mlartifacts/x" / record["run_id"] / "artifacts/ledger.jsonl").write_text("{")
    client.create_run(record["experiment"], tags={"al_bench.id": record["id"]})
    assert synced(folder) == (True, True)
    (again,) = client.search_runs([record["experiment"]])
    assert (again.info.run_id, again.info.status) == (record["run_id"], "FINISHED")
    assert again.data.params == logged.data.params
    assert [step for step, _ in points(client, record["run_id"], "successor/accuracy")] == [0, 1, 2, 3]
    (size,) = [f.file_size for f in client.list_artifacts(record["run_id"]) if f.path == "ledger.jsonl"]
    assert size == (folder / "ledger.jsonl").stat().st_size
    assert synced(folder) == (True, False)

    client.delete_run(record["run_id"])
    assert synced(folder) == (True, True), "it was deleted in the store"
    assert len(client.search_runs([record["experiment"]])) == 1


def test_a_job_hangs_under_the_last_sweep_that_ran_it(al, tiny_run, tmp_path, interrupt_successor):
    """The parent of the sweep that was stopped is closed, and has its numbers, as soon as the sweep is given again."""
    interrupt_successor(2)
    command = ["run", "-m", *tracked(tiny_run), "seed=1,2"]
    assert al(*command).code != 0
    (old,) = (tmp_path / "outputs/sweeps").iterdir()
    client, record = client_of(tmp_path), read_json(old / "mlflow.json")
    client.update_run(record["run_id"], status="RUNNING")  # as a kill leaves it
    (old / "summary.json").unlink(missing_ok=True)
    assert al(*command).code == 0
    (new,) = set((tmp_path / "outputs/sweeps").iterdir()) - {old}
    parent = client.get_run(read_json(new / "mlflow.json")["run_id"])
    jobs = client.search_runs([record["experiment"]], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert len(jobs) == 2
    assert client.get_run(record["run_id"]).info.status == "KILLED"
    scores = [job.data.metrics["successor/accuracy"] for job in jobs]
    assert parent.data.metrics == {
        "jobs": 2, "finished": 2, "failed": 0,
        "successor/accuracy/best": max(scores), "successor/accuracy/mean": pytest.approx(sum(scores) / 2),
    }  # fmt: skip
    assert "seconds/iteration" in jobs[0].data.metrics


def test_sync_closes_a_killed_sweep(al, tiny_run, tmp_path):
    assert al("run", "-m", *tracked(tiny_run), "seed=1").code == 0
    (sweep,) = (tmp_path / "outputs/sweeps").iterdir()
    client, record = client_of(tmp_path), read_json(sweep / "mlflow.json")
    client.update_run(record["run_id"], status="RUNNING")
    (sweep / "summary.json").unlink()
    assert "already logged" in al("sync").out
    assert client.get_run(record["run_id"]).info.status == "FINISHED"


NAMES = {
    "f1_R&D": "f1_R_26_D",
    "f1_GPE(city)": "f1_GPE_28_city_29_",
    "dataset.where.size (cm)": "dataset.where.size _28_cm_29_",
    "f1_地/名": "f1_地/名",
    "a//b": "a/_/b",
    "a/./..": "a/_2e_/_2e__2e_",
    "/a/": "_/a/_",
    "": "_",
    "a\nb\t": "a_a_b_9_",
    "x" * 300: None,
    "successor/f1": "successor/f1",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_mlflow_refuses(name):
    from mlflow.utils.validation import _validate_length_limit, _validate_metric_name

    fitting = fit(name)
    assert NAMES[name] in (None, fitting)
    _validate_metric_name(fitting)
    _validate_length_limit("name", 250, fitting)
    assert fit(fitting) == fitting


def test_a_failing_store_warns_once_and_sync_repairs(al, tiny_run, tmp_path, monkeypatch):
    """Also where nothing else is shown."""

    def broken(uri):
        raise ConnectionError("nobody there")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_store, "connect", broken)
        done = al("run", *tracked(tiny_run), "seed=6", "progress=none")
    assert done.code == 0
    assert not done.out
    assert done.err.splitlines() == [
        f"tracking to {tmp_path}/outputs/mlflow.db failed (nobody there); the run goes on, `al-bench sync` repairs it"
    ]
    assert "1 runs logged" in al("sync").out
