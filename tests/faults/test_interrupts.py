"""Ctrl-C, SIGTERM and SIGKILL, sent to real processes: what they leave, how soon they end, and what they say."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
QUICK = ["schedule.cycles=1", "training.epochs=1", "evaluate_at=last"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
LONG = ["schedule.cycles=8", "training.epochs=100", "evaluate_at=last", "progress=plain"]


class Process:
    """Python in a process of its own, whose output can be waited for."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log = folder / "log.txt"
        with self.log.open("w") as file:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
            self.popen = subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                # The tests may run in a shell's background, where Ctrl-C is ignored.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def until(self, *words: str) -> None:
        end = time.monotonic() + 400
        while not all(word in self.text for word in words):
            assert time.monotonic() < end, self.text
            assert self.popen.poll() is None, self.text
            time.sleep(0.02)

    def end(self, number: int) -> float:
        """Send the signal; returns the seconds until the process ended."""
        began = time.monotonic()
        self.popen.send_signal(number)
        self.popen.wait(60)
        return time.monotonic() - began


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start_one(*words: str) -> Process:
        program = ["-m", "al_bench"] if words[0] != "-c" else []
        processes.append(Process(tmp_path, *program, *words))
        return processes[-1]

    yield start_one
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)
        process.popen.wait()


def states(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["state"] for path in sorted(folder.glob("outputs/runs/test/*/status.json"))]


def rows(folder: Path) -> list[dict]:
    (path,) = folder.glob("outputs/sweeps/*/summary.json")
    return json.loads(path.read_text())


# A run whose main thread is in one call that hears no signal, as in a long gradient step.
BUSY = """
import hashlib, json, os, sys
from pathlib import Path
from al_bench.front.interrupts import interrupts
from al_bench.ledger.ledger import write_json
from al_bench.ledger.rundir import RunDirectory
interrupts.run = RunDirectory(Path("."))
write_json(Path("status.json"), {"state": "running", "started_at": 0.0, "pid": os.getpid(), "overrides": ["a=b"]})
with interrupts.handled():
    print("busy")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("twice", [False, True])
def test_a_run_ends_soon_even_in_the_middle_of_a_step(start, tmp_path, twice):
    run = start("-c", BUSY)
    run.until("busy")
    if twice:
        run.popen.send_signal(signal.SIGTERM)
        run.until("interrupted: ")
    assert run.end(signal.SIGTERM) < (2 if twice else 6)
    assert run.popen.returncode == 143
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["overrides"]) == ("interrupted", ["a=b"])


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_run_ends_soon_and_says_how_it_goes_on(start, tiny_run, tmp_path, number):
    """Tracking is on, and MLflow was not imported: no farewell is worth its import."""
    tracked = [word for word in tiny_run if word != "tracking=none"]
    run = start("run", *tracked, *LONG)
    run.until("trajectory ")
    assert run.end(number) < 6
    assert run.popen.returncode == CODES[number]
    assert "interrupted: " in run.text
    assert "the same command continues" in run.text
    assert "Traceback" not in run.text
    assert states(tmp_path) == ["interrupted"]
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_a_sweep_is_summed_up(al, tiny_run, tmp_path, interrupt_successor):
    interrupt_successor(3)
    command = ["run", "-m", *tiny_run, *QUICK, "seed=1,2,3"]
    done = al(*command)
    assert done.code == 130
    assert [row["state"] for row in rows(tmp_path)] == ["finished", "interrupted", "not started"]
    assert "1 of 3 jobs finished; the same command continues" in done.err
    first = rows(tmp_path)[0]
    assert f"accuracy {first['scores']['successor']['accuracy']:.4f}" in done.out
    assert "next: al-bench report" in done.out
    assert al(*command).code == 0


def test_a_sweep_is_summed_up_with_a_damaged_file(al, tiny_run, tmp_path, monkeypatch):
    import al_bench.run as job

    evaluate = job.evaluate_successor

    def damaging(*arguments: object) -> object:
        for path in tmp_path.glob("outputs/runs/test/*/status.json"):
            if '"finished"' in path.read_text():
                path.write_text(path.read_text()[:40])
        return evaluate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(job, "evaluate_successor", damaging)
    done = al("run", "-m", *tiny_run, *QUICK, "seed=1,2")
    assert done.code == 1
    assert [row["state"] for row in rows(tmp_path)] == ["damaged", "finished"]
    assert "job 0 (seed=1) damaged: its status.json is damaged" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_parallel_jobs_are_interrupted_with_their_sweep(start, tiny_run, tmp_path, number):
    """Ctrl-C reaches every process of a terminal, SIGTERM perhaps the first alone."""
    sweep = start("run", "-m", *JOBLIB, *tiny_run, *LONG, "seed=1,2,3")
    sweep.until("job 0: cycle 0/8", "job 1: cycle 0/8")
    if number == signal.SIGINT:
        os.killpg(sweep.popen.pid, number)
        sweep.popen.wait(6)
    else:
        assert sweep.end(number) < 6
    assert sweep.popen.returncode == CODES[number]
    assert [row["state"] for row in rows(tmp_path)] == ["interrupted", "interrupted", "not started"]
    assert states(tmp_path) == ["interrupted"] * 2
    assert "0 of 3 jobs finished; the same command continues" in sweep.text
    assert "Traceback" not in sweep.text


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_job_of_a_sweep_is_ended(start, tiny_run, tmp_path, number):
    """joblib takes the others along where it was SIGKILL; the outcome of a job that had finished is kept."""
    sweep = start("run", "-m", *JOBLIB, *tiny_run, *LONG, "schedule.cycles=0,8", "seed=1,2")
    sweep.until("job 0: run directory", "job 1: run directory", "job 2: cycle 0/8", "job 3: cycle 0/8")
    (card,) = tmp_path.glob("outputs/sweeps/*/jobs/0003.json")
    status = Path(json.loads(card.read_text())["directory"], "status.json")
    os.kill(json.loads(status.read_text())["pid"], number)
    if number == signal.SIGTERM:
        sweep.until("job 2: cycle 1/8")
        sweep.end(signal.SIGTERM)
    sweep.popen.wait(60)
    last = "killed" if number == signal.SIGKILL else "interrupted"
    third = "stopped" if number == signal.SIGKILL else "interrupted"
    assert [row["state"] for row in rows(tmp_path)] == ["finished", "finished", third, last]
    assert "Traceback" not in sweep.text
    if number == signal.SIGKILL:
        assert sweep.popen.returncode == 1
        assert "job 3 (schedule.cycles=8 seed=2) killed: its process was killed by a signal" in sweep.text


@pytest.mark.slow
def test_a_job_that_is_queued_again_has_not_failed(start, tiny_run, tmp_path):
    """As submitit does it before a time limit: a signal, and the same job once more."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = [*tiny_run, "training.epochs=100", "evaluate_at=last", "progress=plain"]
    sweep = start("run", "-m", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=60", *words, "seed=1")
    status, seen, first = tmp_path / "none", [], 0
    while sweep.popen.poll() is None:
        status = next(tmp_path.glob("outputs/runs/test/*/status.json"), status)
        record = json.loads(status.read_text()) if status.exists() else {}
        if record and record["state"] not in seen[-1:]:
            seen.append(record["state"])
        if len(seen) == 1 and not first and list(tmp_path.glob("outputs/runs/test/*/ledger.jsonl")):
            first = record["pid"]
            os.kill(first, signal.SIGUSR2)
        time.sleep(0.05)
    assert seen == ["running", "interrupted", "running", "finished"]
    assert sweep.popen.returncode == 0
