"""The committed scripts: every experiment of the paper is in one block, and each block's plan works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from al_bench.catalog import listing

SCRIPTS = Path(__file__).parent.parent / "scripts"
BLOCKS = sorted(SCRIPTS.glob("reproduce_*.sh"))


def experiments(script: Path) -> list[str]:
    return [
        line.strip() for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("    ")
    ]


def test_every_experiment_is_in_one_block():
    named = [name for script in BLOCKS for name in experiments(script)]
    shipped = [
        name for name in listing("experiment", None) if name.startswith("paper/") and name != "paper/base"
    ]
    assert sorted(named) == sorted(shipped)


@pytest.mark.parametrize("script", BLOCKS, ids=lambda path: path.stem)
def test_a_block_plans_with_overrides(script, tmp_path):
    program = tmp_path / "al-bench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m al_bench "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PLAN": "only"}
    done = subprocess.run(
        [script, "seed=7", f"output_dir={tmp_path}/out"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 refused" not in done.stdout
    for name in experiments(script):
        assert f"al-bench run seed=7 output_dir={tmp_path}/out +experiment={name}" in done.stdout
