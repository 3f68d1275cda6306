"""Sweeps through the real command line: shared trajectories, failed jobs, launchers."""

import json
from pathlib import Path

import pytest

from al_bench.ledger.ledger import Ledger


def summary(folder: Path) -> list[dict]:
    (path,) = folder.glob("outputs/sweeps/*/summary.json")
    return json.loads(path.read_text())


def acquired(folder: Path) -> list[list[str]]:
    """For each trajectory, the run that computed each of its cycles."""
    paths = sorted(folder.glob("outputs/trajectories/*/costs.jsonl"))
    return [[line["computed_by"] for line in Ledger(path).read()] for path in paths]


def test_successors_share_a_trajectory(al, tiny_run, tmp_path):
    done = al("run", *tiny_run, "-m", "seed=1,2", "successor.num_hidden_layers=1,2", "successor.max_length=24")
    assert done.code == 0, done.err
    assert [row["state"] for row in summary(tmp_path)] == ["finished"] * 4
    assert len(list(tmp_path.glob("outputs/runs/test/*"))) == 4
    trajectories = acquired(tmp_path)
    assert [len(cycles) for cycles in trajectories] == [4, 4]
    assert all(len(set(cycles)) == 1 for cycles in trajectories), "the second job computed cycles again"


def test_same_job_twice_is_one_run(al, tiny_run, tmp_path):
    done = al("run", "-m", *tiny_run, "seed=1", "evaluate_at=last", "progress=plain,none")
    assert done.code == 0, done.err
    assert len(list(tmp_path.glob("outputs/runs/test/*"))) == 1
    assert len(summary(tmp_path)) == 2


def test_a_failed_job_stops_nobody(al, tiny_run, tmp_path):
    done = al("run", "-m", *tiny_run, "seed=1", "schedule.seed_set=null,bad.txt", "evaluate_at=last")
    assert done.code != 0
    (tmp_path / "bad.txt").write_text("0 1 999999\n")
    done = al("run", "-m", *tiny_run, "evaluate_at=last", "schedule.seed_set=bad.txt,null", "output_dir=other")
    assert done.code != 0
    assert "Traceback" not in done.err
    (path,) = (tmp_path / "other").glob("sweeps/*/summary.json")
    failed, finished = json.loads(path.read_text())
    assert (failed["state"], finished["state"]) == ("failed", "finished")
    assert "999999" in failed["error"]
    assert "999999" in done.err
    assert "schedule.seed_set=bad.txt" in done.out
    status = json.loads((Path(failed["directory"]) / "status.json").read_text())
    assert status["state"] == "failed"
    assert "UserError" in (Path(failed["directory"]) / "traceback.txt").read_text()


def test_a_job_whose_config_is_refused_stops_nobody(al, tiny_run, tmp_path):
    done = al("run", "-m", *tiny_run, "evaluate_at=last", "strategy=mnlp,entropy")
    assert done.code != 0
    failed, finished = summary(tmp_path)
    assert (failed["state"], finished["state"]) == ("failed", "finished")
    assert "does not work on classification" in failed["error"]
    assert (Path(failed["directory"]) / "traceback.txt").exists()


def test_sweeps_of_the_same_second_keep_apart(al, tmp_path, monkeypatch):
    """The folder that a sweep keeps its jobs in names its process, and a job of it knows that name."""
    from omegaconf import OmegaConf

    from al_bench.front.jobs import register

    register()
    folders = []
    for process in (111, 222):
        monkeypatch.setattr("al_bench.front.jobs.os.getpid", lambda process=process: process)
        config = OmegaConf.create({"dir": "now-${process:}"})
        folders.append(config.dir)
        monkeypatch.setattr("al_bench.front.jobs.os.getpid", lambda: 999)
        assert config.dir == folders[-1], "also in another process"
    assert folders == ["now-111", "now-222"]
    assert "${process:}" in al("run", "--cfg", "hydra").out


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_parallel_launchers(al, tiny_run, tmp_path, launcher):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    parallel = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else ["hydra.launcher.timeout_min=10"]
    sweep = ["seed=1", "successor.num_hidden_layers=1,2", "successor.max_length=24", "tracking=sqlite"]
    done = al("run", "-m", f"hydra/launcher={launcher}", *parallel, *tiny_run, *sweep)
    assert done.code == 0, done.err
    assert [row["state"] for row in summary(tmp_path)] == ["finished"] * 2
    (cycles,) = acquired(tmp_path)
    assert len(cycles) == 4, "each cycle was computed once, by whichever job came first"
    (costs,) = tmp_path.glob("outputs/trajectories/*/costs.jsonl")
    assert {line["machine"]["jobs"] for line in Ledger(costs).read()} == {2 if launcher == "joblib" else 1}
    logged = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/test/*/mlflow.json")]
    assert [entry["state"] for entry in logged] == ["finished"] * 2
    assert len({entry["run_id"] for entry in logged}) == 2


def test_slurm_that_is_not_there_is_one_line(al, quick_run, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", "")
    done = al("run", "-m", "hydra/launcher=submitit_slurm", *quick_run, "seed=1,2")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("al-bench: hydra/launcher: Slurm is not here")
    assert "hydra/launcher=submitit_local" in line
