"""The result of every reader, and what the readers share: errors, decoding, names of splits."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from al_bench.config.schema import DatasetConfig, SplitNames
from al_bench.errors import UserError, reject

HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Raw:
    """The examples of one split.

    where: the file or split, for messages
    inputs: n texts, or n lists of words
    labels: n class names or numbers, or n lists of tags, one per word; None where no example has one
    names: the source's own label names in its own order, if it has them; `labels` then holds names
    notes: what the user should know
    answers: of another annotator, like `labels`, None where there is none; None where the source has no such column
    """

    where: str
    inputs: list[Any]
    labels: list[Any] | None
    names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    answers: list[Any] | None = None


@dataclass(frozen=True)
class Table:
    """One split with named columns, which are read on demand.

    classes: label names of the columns that hold label numbers (negative: unlabelled)
    hint: what else to try where a column is missing
    notes: what the user should know
    """

    where: str
    columns: Sequence[str]
    read: Callable[[str], Sequence[Any]]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hint: str = ""
    notes: tuple[str, ...] = ()


def source_of(config: DatasetConfig) -> str:
    """The first of the keys path, package and hub that is set. Raises `UserError` if none is."""
    if given := [source for source in ("path", "package", "hub") if getattr(config, source) is not None]:
        return given[0]
    raise reject("dataset", config.name, "has no source", "set dataset.path, dataset.package or dataset.hub")


def source_error(config: DatasetConfig, broken: str, remedy: str) -> UserError:
    """An error in the source itself."""
    source = source_of(config)
    return reject(f"dataset.{source}", getattr(config, source), broken, remedy)


def require_task(config: DatasetConfig, task: str, where: str) -> None:
    """Raise `UserError` if the config asks for another task than the source serves."""
    if config.task != task:
        raise reject("dataset.task", config.task, f"{where} holds {task} data", f"set dataset.task={task}")


def whole(text: str) -> str:
    """The text with U+FFFD in place of halves of surrogate pairs (an emoji cut in two), which no tokenizer takes."""
    return text if text.isascii() else HALF_A_PAIR.sub("\ufffd", text)


def choose_splits(available: Sequence[str], names: SplitNames) -> dict[str, str]:
    """{"train" | "dev" | "test": the first of its names that is available}, no name twice.

    Test chooses before dev, so that `splits.test=[validation]` takes it away from dev.
    """
    chosen: dict[str, str] = {}
    for role in ("train", "test", "dev"):
        if free := [name for name in getattr(names, role) if name in available and name not in chosen.values()]:
            chosen[role] = free[0]
    return chosen
