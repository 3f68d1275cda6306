"""Arrays that are computed once: by one process, read by all, computed again where they are damaged."""

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from al_bench.learners.base import Arrays
from al_bench.ledger.cache import ArrayCache

ARRAYS: Arrays = {
    "tokens": np.arange(1000, dtype=np.int32),
    "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
    "empty": np.empty((0, 3), dtype=np.float32),
    "seconds": np.asarray(1.5),
}


def compute() -> Arrays:
    return ARRAYS


def never() -> Arrays:
    raise AssertionError("computed twice")


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, notes: list[str]) -> ArrayCache:
    return ArrayCache(tmp_path / "cache", notes.append)


def assert_whole(arrays: Arrays) -> None:
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_arrays_come_back_as_they_were(cache: ArrayCache, notes: list[str]) -> None:
    for how in (compute, never):
        arrays = cache("key", how)
        assert_whole(arrays)
        assert not arrays["tokens"].flags.writeable
    np.save(cache.root / "expected.npy", ARRAYS["vectors"])
    assert (cache.root / "key/vectors.npy").read_bytes() == (cache.root / "expected.npy").read_bytes()
    assert notes == []


@pytest.mark.parametrize("name", ["tokens.npy", "vectors.npy", "seconds.npy", "index.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone", "other"])
def test_what_is_damaged_is_computed_again(cache: ArrayCache, notes: list[str], name: str, damage: str) -> None:
    cache("key", compute)
    path = cache.root / "key" / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    other = {"index.json": b"null"}.get(name, (cache.root / "key/empty.npy").read_bytes())
    contents = {"flipped": content, "cut": content[:-7], "empty": b"", "other": other}
    path.unlink() if damage == "gone" else path.write_bytes(contents[damage])
    assert_whole(cache("key", compute))
    assert notes == [f"note: {cache.root / 'key'} is damaged; it is computed again"]
    assert_whole(cache("key", never))


def test_what_is_large_is_noted_once(cache: ArrayCache, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In GB, with the command that removes it."""
    size = sum(array.nbytes for array in ARRAYS.values())
    monkeypatch.setattr("al_bench.ledger.cache.LARGE", size + 1)
    cache("small", compute)
    assert notes == []
    monkeypatch.setattr("al_bench.ledger.cache.LARGE", size)
    for how in (compute, never):
        cache("large", how)
    assert notes == [f"note: {cache.root / 'large'} takes 0.0 GB; al-bench rm --orphans removes the cache"]


def test_a_full_disk_leaves_nothing(cache: ArrayCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*tokens\.npy'"):
            cache("key", compute)
    assert [path.name for path in cache.root.iterdir()] == ["key.lock"]
    assert_whole(cache("key", compute))


def test_a_kill_leaves_nothing_that_counts(
    cache: ArrayCache, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: os._exit(9))
        child = os.fork()
        if child == 0:
            cache("key", compute)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [path.name for path in cache.root.glob("key*")] == ["key.lock"]
    assert_whole(cache("key", compute))
    assert notes == []


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_permissions_are_the_users(cache: ArrayCache, umask: int) -> None:
    before = os.umask(umask)
    try:
        cache("key", compute)
    finally:
        os.umask(before)
    for path in (cache.root, *cache.root.rglob("*")):
        whole = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == whole & ~umask, path


RIVAL = """
import sys, time
from pathlib import Path
import numpy as np
from al_bench.ledger.cache import ArrayCache
here = Path(sys.argv[1])

def compute():
    (here / f"computing-{sys.argv[2]}").touch()
    while not (here / "go").exists():
        time.sleep(0.001)
    return {"tokens": np.arange(3)}

(here / f"began-{sys.argv[2]}").touch()
print(ArrayCache(here / "cache", print)("key", compute)["tokens"].tolist())
"""


def test_two_processes_compute_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RIVAL, str(tmp_path)]
    jobs = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("began-*"))) < 2 or not list(tmp_path.glob("computing-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)  # by now the other waits
    (tmp_path / "go").touch()
    assert [job.communicate(timeout=60)[0] for job in jobs] == ["[0, 1, 2]\n"] * 2
    assert len(list(tmp_path.glob("computing-*"))) == 1
