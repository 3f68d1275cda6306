"""Files that survive a kill: JSON lines, each of which counts once its newline is written, whole files, and locks."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        """All complete records, without a torn last line."""
        try:
            return [json.loads(line) for line in self._complete().splitlines()]
        except ValueError as error:
            raise damaged(self.path, self.path.parent) from error

    def put(self, number: int, record: dict[str, Any]) -> None:
        """Commit a record at a position, as the last one; the record that stood there is replaced, and all after it."""
        lines = self._complete().splitlines(keepends=True)
        assert number <= len(lines), "records are written in order"
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(self.path, b"".join([*lines[:number], line.encode()]))

    def _complete(self) -> bytes:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]


class CycleLedger:
    """A folder's ledger.jsonl, a line per cycle with what was decided, and costs.jsonl with what it cost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.costs = Ledger(folder / "costs.jsonl")

    def rows(self) -> list[Row]:
        """Every committed cycle."""
        decided, spent = self.ledger.read(), self.costs.read()
        if len(spent) < len(decided):
            raise damaged(self.costs.path, self.folder)
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # or a power cut could undo this renaming, but not the next one
    os.close(folder)


def write_json(path: Path, content: Any) -> None:
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load_record(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none to read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
