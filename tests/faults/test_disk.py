"""A disk that is full wherever a run writes, and an output folder of two users."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made import decided

KNN = ["pseudo_labeling=plasm", "pseudo_labeling.filters=[{by:knn,drop:0.1}]", "pseudo_labeler.max_length=32"]
LINEAR = ["acquisition.learner=linear", "successor.learner=linear", "pseudo_labeler.learner=linear"]


@pytest.fixture
def command(tiny_run, tiny_model) -> list[str]:
    """A run whose learners and filter share vectors through the cache."""
    words = [*tiny_run, "schedule.cycles=1", "training.epochs=1", "evaluate_at=last", "subsampling=ups", *KNN, *LINEAR]
    words += ["model@pseudo_labeler=minilm_l6", f"pseudo_labeler.path={tiny_model}", "pseudo_labeler.sha256=null"]
    return ["run", *words]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own at the output folder."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_at_every_size(al, command, small_disk, tmp_path):
    """The run goes as far as there is room, says so in a line, and goes on with more; the bytes are the same."""
    assert al(*command, "output_dir=elsewhere").code == 0
    stopped = set()
    for size in range(8, 1000, 28):
        subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True)
        done = al(*command)
        if done.code == 0:
            break
        (line,) = done.err.splitlines()
        where, _, said = line.partition(": No space left on device")
        assert said == "; make room, then the same command continues"
        stopped.add(Path(where).name)
        assert not list(small_disk.rglob(".*.tmp"))
    assert decided(small_disk) == decided(tmp_path / "elsewhere")
    assert len(stopped) > 3, stopped


@pytest.mark.parametrize("size", [8, 48])
def test_a_sweep_on_a_full_disk_ends_in_lines(al, command, small_disk, size):
    subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True)
    done = al(*command, "-m", "seed=1,2")
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if not line.startswith("Error executing job")]  # Hydra's own
    assert all(line.startswith("al-bench: ") for line in lines), done.err
    assert "No space left on device; make room, then the same command continues" in lines[-1]


# ------------------------------------------------------------------------------------------------ two users

NOBODY = 65534


@pytest.fixture
def shared_folder(tiny_model, review_folder) -> Iterator[Path]:
    """A folder that every user can reach, with the model and the data."""
    places = [place for root in (sys.prefix, __file__) for place in Path(root).parents]
    if not all(place.stat().st_mode & 0o001 for place in places):
        pytest.skip("another user cannot read this environment")
    if os.geteuid() != 0:
        pytest.skip("running as somebody else needs root")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in (tiny_model, review_folder):
            shutil.copytree(source, folder / source.name)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        yield folder


def as_nobody(umask: int, err: Path, command: Callable[[], Any]) -> int:
    """The command's exit code in a fork that belongs to another user of this group, who may import nothing more."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            signal.alarm(300)
            os.setgroups([])
            os.setgid(os.getgid())
            os.setuid(NOBODY)
            os.umask(umask)
            done = command()
            err.write_text(done.err)
            code = done.code
        finally:
            os._exit(code)  # or two processes would go on with the tests
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("umask", [0o002, 0o022])
def test_two_users_of_one_output_folder(al, command, shared_folder, tiny_model, review_folder, monkeypatch, umask):
    """The second user's run shares what the first one's computed, where the first lets the group write."""
    words = [word.replace(str(tiny_model), str(shared_folder / tiny_model.name)) for word in command]
    words = [word.replace(str(review_folder), str(shared_folder / review_folder.name)) for word in words]
    words.append(f"output_dir={shared_folder}/outputs")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # or a fork is warned of
    before = os.umask(umask)
    try:
        assert al(*words).code == 0
    finally:
        os.umask(before)
    cached = {path: path.stat().st_mtime_ns for path in shared_folder.glob("outputs/cache/encodings/*/*")}
    code = as_nobody(umask, shared_folder / "err", lambda: al(*words, "seed=7"))
    err = (shared_folder / "err").read_text()
    if umask == 0o002:
        assert code == 0, err
        assert cached
        assert {path: path.stat().st_mtime_ns for path in cached} == cached
    else:
        (line,) = err.splitlines()
        assert "Permission denied; set output_dir to a folder that can be written" in line
