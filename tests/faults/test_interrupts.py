"""Ctrl-C, SIGTERM and SIGKILL, sent to real processes: what they leave, how soon they end, and what they say."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = ["schedule.cycles=8", "training.epochs=400", "evaluate_at=last", "progress=plain"]


class Process:
    """`al-bench` in a process of its own, whose output can be waited for."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log = folder / "log.txt"
        with self.log.open("w") as file:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
            command = [sys.executable, "-m", "al_bench", *words]
            self.popen = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)

    @property
    def text(self) -> str:
        return self.log.read_text()

    def until(self, *words: str) -> None:
        end = time.monotonic() + 120
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
        processes.append(Process(tmp_path, *words))
        return processes[-1]

    yield start_one
    for process in processes:
        process.popen.kill()
        process.popen.wait()


def states(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["state"] for path in sorted(folder.glob("outputs/runs/test/*/status.json"))]


def rows(folder: Path) -> list[dict]:
    (path,) = folder.glob("outputs/sweeps/*/summary.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("number", CODES)
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
