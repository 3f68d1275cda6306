"""JSON lines that survive a kill: a line is there when its newline is."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from al_bench.errors import UserError


class Ledger:
    """An append-only file of JSON records; appending is the commit of the record."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """All complete records; a torn last line is not one."""
        if not self.path.exists():
            return []
        complete, _, _ = self.path.read_bytes().rpartition(b"\n")
        try:
            return [json.loads(line) for line in complete.splitlines()]
        except ValueError as error:
            raise damaged(self.path, self.path.parent) from error

    def append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        with self.path.open("ab+") as file:
            self._drop_torn_line(file)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def keep(self, count: int) -> None:
        """Drop all but the first records: those that were written for a cycle which was never committed."""
        records = self.read()
        if len(records) > count:
            lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records[:count]]
            write_whole(self.path, "".join(lines).encode())

    @staticmethod
    def _drop_torn_line(file: Any) -> None:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)


def damaged(path: Path, folder: Path) -> UserError:
    """Of a file that was whole once: what a kill leaves behind is no damage. folder: of all that belongs together"""
    return UserError(
        f"{path}: missing or damaged, though the ledger counts on it; "
        f"restore the file or delete {folder} to compute all of it again"
    )


@contextmanager
def turn(lock: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a file lock; `waiting` is called where another process holds it."""
    mine = FileLock(lock)
    try:
        mine.acquire(timeout=0)
    except TimeoutError:
        waiting()
        mine.acquire()
    try:
        yield
    finally:
        mine.release()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
