"""Files that survive a kill, and show their damage: JSON lines that count once written, whole files, and locks.

Whatever is read back has a checksum: a record's is its last key, a line's also covers all lines before it.
"""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from al_bench.errors import UserError

Row = tuple[dict[str, Any], dict[str, Any]]  # (decided, spent) of a cycle


class Ledger:
    """A file of JSON records, a line each. Replacing the file by one with another line is that line's commit."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """All complete records, without a torn last line. Raises `UserError` where one is not what was written."""
        records, damage = self.scan()
        if damage is not None:
            raise damaged(self.path, self.path.parent)
        return records

    def scan(self) -> tuple[list[dict[str, Any]], int | None]:
        """The records before the first damaged line, and that line's number, counted from 1."""
        bodies, damage = self._bodies()
        return [json.loads(body) for body in bodies], damage

    def put(self, number: int, record: dict[str, Any]) -> None:
        """Commit a record at a position, as the last one; the record that stood there is replaced, and all after it."""
        bodies, damage = self._bodies()
        if damage is not None and damage <= number:
            raise damaged(self.path, self.path.parent)
        assert number <= len(bodies), "records are written in order"
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        write_whole(self.path, b"".join(sealed([*bodies[:number], line.encode()])))

    def _bodies(self) -> tuple[list[bytes], int | None]:
        """The lines without their checks; as in `scan`."""
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        bodies = [line[:-_SEAL] + b"}" for line in lines]
        for number, (line, written) in enumerate(zip(lines, sealed(bodies), strict=True)):
            if line != written:
                return bodies[:number], number + 1
        return bodies, None


_SEAL = len(b', "check": "0123456789abcdef"}\n')


def sealed(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of JSON objects, each with a check of itself and of all before it: lost lines show, too."""
    check = b""
    for body in bodies:
        check = hashlib.sha256(check + body).hexdigest()[:16].encode()
        yield body[:-1] + b', "check": "' + check + b'"}\n'


class CycleLedger:
    """A folder's ledger.jsonl, a line per cycle with what was decided, and costs.jsonl with what it cost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.costs = Ledger(folder / "costs.jsonl")

    @property
    def begun(self) -> bool:
        """Whether a cycle was ever committed."""
        return self.ledger.path.exists()

    def rows(self) -> list[Row]:
        """Every committed cycle."""
        decided, spent = self.ledger.read(), self.costs.read()
        if len(spent) < len(decided):
            raise damaged(self.costs.path, self.folder)
        if len(spent) > len(decided) + 1:  # a kill between the two leaves one
            raise damaged(self.ledger.path, self.folder)
        return list(zip(decided, spent, strict=False))

    def commit(self, decided: dict[str, Any], spent: dict[str, Any]) -> None:
        """Costs first: the ledger's line makes both count."""
        self.costs.put(decided["cycle"], spent)
        self.ledger.put(decided["cycle"], decided)


def damaged(path: Path, folder: Path) -> UserError:
    """The error for a file that was once complete. A kill leaves no such file. folder: of all that belongs together"""
    return UserError(
        f"{path}: missing or damaged, though the ledger counts on it; "
        f"restore the file or delete {folder} to compute all of it again"
    )


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a file lock; `waiting` is called where another process holds it."""
    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=0)
    except TimeoutError:
        waiting()
        held = lock.acquire()
    with held:
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock right now."""
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except TimeoutError:
        return True


def write_whole(path: Path, *content: bytes | memoryview) -> None:
    """Write a file so that it is there whole or not at all; content: its parts, one after the other"""
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names none
        raise


def sync_folder(folder: Path) -> None:
    """Without it, a power cut could undo a renaming in the folder, but not the next one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Where this process writes what is then renamed; `remove_leftovers` knows the form of the name."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")


def remove_leftovers(output_dir: Path) -> None:
    """Remove what processes were writing when they were killed: of this machine, and of others what is a day old."""
    for folder, inside, files in os.walk(output_dir):
        inside[:] = [name for name in inside if name != "mlartifacts"]  # copies, of thousands of runs
        for name in (name for name in [*inside, *files] if name.startswith(".") and name.endswith(".tmp")):
            path, pid = Path(folder, name), name.split(".")[-2]
            with suppress(OSError):  # another process removed it, or owns it
                if name.endswith(f".{platform.node()}.{pid}.tmp"):
                    in_use = pid.isdecimal() and _is_alive(int(pid))
                else:
                    in_use = time.time() - path.stat().st_mtime < 24 * 3600
                if not in_use:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_alive(pid: int) -> bool:
    """Whether another process has this number: this one is writing nothing yet."""
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except OSError:
        return False
    return pid != os.getpid()


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps({**content, "sha256": _sha256(content)}, indent=2, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode())


def read_json(path: Path) -> dict[str, Any]:
    """A record. Raises `UserError` where it is not there, or not what was written."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") == _sha256(content):
            return content
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise damaged(path, path.parent) from error
    raise damaged(path, path.parent)


def load_record(path: Path) -> dict[str, Any]:
    """A record, empty where there is none to read."""
    with suppress(OSError, UserError):
        return read_json(path)
    return {}


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
