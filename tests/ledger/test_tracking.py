"""MLflow as a copy of the run directory, on a real SQLite store."""

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from al_bench.config.schema import RunConfig
from al_bench.ledger.ledger import Ledger, read_json, write_json
from al_bench.ledger.tracking import connect, metrics_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def client_of(folder: Path):
    return connect(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")


def run_folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("outputs/runs/test/*/status.json"))


def points(client, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


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
    assert not (tmp_path / "outputs" / "mlflow.db").exists()
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
    """Stopped after a cycle was logged but before that was remembered: no point twice, no second run."""
    from mlflow.tracking import MlflowClient

    interrupt_successor(2)
    command = ["run", *tracked(tiny_run), "seed=5"]
    assert al(*command).code == 130
    (folder,) = run_folders(tmp_path)
    first = read_json(folder / "mlflow.json")
    assert (first["logged"], first["state"]) == (1, "interrupted")
    write_json(folder / "mlflow.json", {**first, "logged": 0, "state": "running"})
    batches = []
    log = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda self, run, **k: (batches.append(k), log(self, run, **k))[1])
    assert al(*command).code == 0
    last = json.loads((folder / "mlflow.json").read_text())
    assert last["run_id"] == first["run_id"]
    client = client_of(tmp_path)
    assert [step for step, _ in points(client, last["run_id"], "successor/accuracy")] == [0, 1, 2]
    steps = [{metric.step for metric in batch["metrics"]} for batch in batches]
    assert steps == [{0}, {1}, {2}], "one batch a cycle"
    assert client.get_run(last["run_id"]).info.status == "FINISHED"


def test_a_failing_store_warns_once_and_sync_repairs(al, tiny_run, tmp_path, monkeypatch):
    import al_bench.ledger.tracking as tracking

    def broken(uri):
        raise ConnectionError("nobody there")

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "connect", broken)
        done = al("run", *tracked(tiny_run), "seed=6")
    assert done.code == 0
    assert (done.out + done.err).count("nobody there") == 1
    assert "1 runs logged" in al("sync").out
