"""`al-bench rm` and `run --force`: what goes, what others need, and what a process works on."""

from pathlib import Path

import pytest
from filelock import FileLock


@pytest.fixture
def words(quick_run: list[str]) -> list[str]:
    return [*quick_run, "evaluate_at=last", "seed=1"]


def folders(outputs: Path) -> dict[str, list[str]]:
    kinds = {"runs": "runs/*/*", "trajectories": "trajectories/*", "steps": "steps/*", "cache": "cache"}
    return {kind: sorted(path.name for path in outputs.glob(pattern)) for kind, pattern in kinds.items()}


def test_runs_go_by_name_and_what_nobody_needs_afterwards(al, words, tmp_path):
    """Two runs share a trajectory, and have a step each."""
    for change in ("name=short", "name=other", "successor.max_length=24"):
        assert al("run", *words, change).code == 0
    outputs = tmp_path / "outputs"
    before = folders(outputs)
    assert [len(names) for names in before.values()] == [3, 1, 2, 1]
    refused = al("rm", "short")
    assert refused.code == 1
    assert "add --yes" in refused.err
    assert folders(outputs) == before
    assert al("rm", "short", "--yes").code == 0
    assert al("rm", "--orphans", "--yes").code == 0
    assert [len(names) for names in folders(outputs).values()] == [2, 1, 2, 0], "only the cache was nobody's"
    assert al("rm", "outputs/runs/test", "--yes").code == 0
    done = al("rm", "--orphans", "--yes")
    assert done.code == 0
    assert [len(names) for names in folders(outputs).values()] == [1, 1, 1, 0]
    assert "nothing to remove" in al("rm", "--orphans", "--yes").out
    again = al("run", *words, "name=other")
    assert "already finished" in again.out


def test_what_a_process_works_on_stays(al, words, tmp_path):
    assert al("run", *words).code == 0
    (run,) = tmp_path.glob("outputs/runs/test/*")
    with FileLock(run / ".lock"):
        done = al("rm", run.name, "--yes")
        assert "kept, since a process works on it" in done.out
        assert "is in progress" in al("run", "--force", *words).err
    assert run.exists()


def test_runs_that_failed_go(al, words, tmp_path):
    (tmp_path / "bad.txt").write_text("0 1 999999\n")
    assert al("run", *words, "schedule.seed_set=bad.txt").code == 1
    assert al("run", *words).code == 0
    done = al("rm", "--failed", "--yes")
    assert done.code == 0, done.err
    (left,) = tmp_path.glob("outputs/runs/test/*")
    assert '"finished"' in (left / "status.json").read_text()


def test_force_computes_again_what_no_other_run_needs(al, words, tmp_path):
    for change in ("name=test", "name=other"):
        assert al("run", *words, change).code == 0
    (run,) = tmp_path.glob("outputs/runs/test/*/costs.jsonl")
    (trajectory,) = tmp_path.glob("outputs/trajectories/*/costs.jsonl")
    dates = [path.stat().st_mtime_ns for path in (run, trajectory)]
    assert al("run", "--force", *words, "--cfg", "job").code == 0
    assert run.exists(), "it was only to be shown"
    done = al("run", "--force", *words)
    assert done.code == 0, done.err
    assert "already finished" not in done.out
    assert f"kept, since other runs share it: {trajectory.parent}" in done.out
    assert [path.stat().st_mtime_ns == date for path, date in zip((run, trajectory), dates, strict=True)] == [
        False,
        True,
    ]
    assert al("rm", "other", "--yes").code == 0
    assert al("run", *words, "--force").code == 0
    assert trajectory.stat().st_mtime_ns != dates[1]


@pytest.mark.parametrize(
    "config", ["strategy: {name: [", "no_such_key: 1\n", "- 1\n", "schedule: {seed_set: gone.txt}\n"]
)
def test_a_run_that_nobody_can_read_is_in_the_way_of_orphans(al, tmp_path, config):
    """The remedy helps."""
    run = tmp_path / "outputs" / "runs" / "test" / "odd"
    run.mkdir(parents=True)
    left = run.with_name(".killed.removed")
    left.mkdir()
    (left / "status.json").write_text("{}")
    (run / "status.json").write_text("{}")
    (run / "config.yaml").write_text(config)
    done = al("rm", "--orphans")
    assert done.code == 1
    assert "nobody can tell what it needs" in done.err
    assert len(done.err.splitlines()) == 1
    assert al("rm", "odd", "--yes").code == 0
    assert ".killed.removed" in al("rm", "--orphans", "--yes").out
    assert list(run.parent.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["nothing_like_it"]])
def test_refused(al, arguments):
    done = al("rm", *arguments)
    assert done.code == 1
    assert done.err.startswith("al-bench: rm")
