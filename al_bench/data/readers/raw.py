"""What every reader hands on: examples of one split, with labels still as the source writes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.errors import UserError, reject

SOURCES = ("path", "package", "hub")  # a config's fields that say where its corpus is; the first that is set


@dataclass(frozen=True)
class Raw:
    """where: the file or split, for messages
    inputs: n texts, or n lists of words
    labels: n class names or numbers, or n lists of tags, aligned with the words; None where no row has one
    names: the source's own label names in its own order, if it has them; `labels` then holds names
    notes: what the user should hear
    """

    where: str
    inputs: list[Any]
    labels: list[Any] | None
    names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One split with named columns, read only where asked for.

    classes: label names of the columns that hold their numbers (-1: unlabelled)
    """

    where: str
    columns: Sequence[str]
    read: Callable[[str], Sequence[Any]]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def source_of(config: DatasetConfig) -> str:
    """Which of `SOURCES` the corpus comes from; raise `UserError` if none is set."""
    for source in SOURCES:
        if getattr(config, source) is not None:
            return source
    raise reject("dataset", config.name, "has no source", "set dataset.path, dataset.package or dataset.hub")


def bad(config: DatasetConfig, broken: str, remedy: str) -> UserError:
    """An error in the source itself."""
    source = source_of(config)
    return reject(f"dataset.{source}", getattr(config, source), broken, remedy)


def wants(config: DatasetConfig, task: str, where: str) -> None:
    """Raise `UserError` if the config asks for another task than the one this source can serve."""
    if config.task != task:
        raise reject("dataset.task", config.task, f"{where} holds {task} data", f"set dataset.task={task}")
