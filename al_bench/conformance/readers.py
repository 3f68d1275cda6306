"""What a reader promises. It is tried on a file of the user's, since only its author knows the format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_bench.config.schema import TASKS, DatasetConfig
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.data.readers.formats import READERS, read_by
from al_bench.data.readers.raw import Raw
from al_bench.errors import not_one_of, reject


@dataclass(frozen=True)
class Subject:
    """A reader with its settings, and a file."""

    config: DatasetConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        """params: beside the reader's own `path` and `task`"""
        settings = dict(params)
        path, task = settings.pop("path", None), settings.pop("task", TASKS[0])
        if path is None or not Path(str(path)).exists():
            raise reject("path", path, "a reader is tried on a file, or a folder", f"add path=FILE and task={TASKS[0]}")
        if task not in TASKS:
            raise reject("task", task, *not_one_of(task, TASKS))
        settings = READERS[name].typed(settings, "params")
        return cls(DatasetConfig(name="subject", task=task, path=str(path), format=name, params=settings))

    def read(self) -> Raw:
        """Raises `UserError` for examples that no corpus can have."""
        return read_by(self.config.format, Path(str(self.config.path)), self.config)


def reads_examples(subject: Subject) -> None:
    """Reads texts, or lists of words, each with its label or tags."""
    raw = subject.read()
    if not raw.inputs or raw.labels is None:
        raise Broken(f"reads {len(raw.inputs)} examples, with labels: {raw.labels is not None}", "see the file")


def says_what_it_is(subject: Subject) -> None:
    """Tells its settings as JSON, its summary and its code."""
    require_description(READERS[subject.config.format], subject.config.params)
    READERS.code(subject.config.format)


def gives_the_same(subject: Subject) -> None:
    """Reads the same examples in the same order, however often."""
    one, other = subject.read(), subject.read()
    if (one.inputs, one.labels) != (other.inputs, other.labels):
        raise Broken("reads something else each time", "sort what has no order, and draw nothing")


SUITE = Suite(READERS, Subject.of, (reads_examples, says_what_it_is, gives_the_same))
