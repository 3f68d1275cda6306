"""kill -9 at random moments of a real process, again and again: what was decided is the same to the byte."""

import os
import random
import subprocess
import sys
import time

import pytest
from made import decided

from al_bench.ledger.ledger import Ledger

KILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(checkout, tiny_model, tiny_run, tmp_path):
    words = [word for word in tiny_run if not word.startswith(("tracking", "schedule.cycles"))]
    words += ["tracking=sqlite", "subsampling=ups", "subsampling.refresh=[0,2]", "schedule.cycles=4", "progress=plain"]
    words += ["pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", f"pseudo_labeler.path={tiny_model}"]
    words += ["pseudo_labeler.sha256=null", "pseudo_labeler.max_length=32", "evaluate_at=[1,3,4]"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}

    def start(outputs: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "al_bench", "run", *words, f"output_dir={outputs}"]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    began = None
    whole = start("whole")
    assert whole.stdout is not None
    for line in whole.stdout:
        began = time.monotonic() if line.startswith("trajectory ") else began
    whole.communicate()
    assert whole.returncode == 0
    assert began is not None
    length = time.monotonic() - began

    rng, kills, rounds = random.Random(0), 0, 0
    while kills < KILLS:
        rounds += 1
        outputs = f"killed{rounds}"
        while True:
            process = start(outputs)
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(("trajectory ", "already finished")):
                    break
            began = time.monotonic()
            if kills < KILLS:
                # Any moment of the first half is as likely; so a round has many kills before it is through.
                time.sleep(rng.random() * length / 2)
                process.kill()
            process.communicate()
            if process.returncode == 0:
                length = min(length, time.monotonic() - began)  # the machine is faster now
                break
            assert process.returncode == -9
            kills += 1
        assert decided(tmp_path / outputs) == decided(tmp_path / "whole")
        for name in ("runs/**/costs.jsonl", "trajectories/*/costs.jsonl"):
            for path in (tmp_path / outputs).glob(name):
                assert [line["cycle"] for line in Ledger(path).read()] == list(range(5))
    assert len(decided(tmp_path / "whole")) > 10
