"""From labels as the source writes them to numbers, which are positions in `label_names`."""

import re
from typing import Any

import numpy as np

from al_bench.config.schema import DatasetConfig
from al_bench.data.ragged import Ragged
from al_bench.data.readers.raw import Raw
from al_bench.data.tags import check_tags, recognise, tag_names, to_iob2, type_of
from al_bench.errors import known, reject

WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]*|0")  # "007" is a name


def number_classes(
    raws: dict[str, Raw], config: DatasetConfig
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names, and each split's (n,) class numbers.

    Names are the source's own, else `config.label_names` (number labels are positions in them, unless they are
    names there), else the labels themselves: numbers sorted by value, names by the alphabet.
    """
    labels = {label for raw in raws.values() for label in raw.labels or []}
    names, numbers = _classes(labels, raws["train"].names, config)
    return names, {
        role: np.array([numbers[label] for label in raw.labels or []], dtype=np.int64)
        for role, raw in raws.items()
    }


def _classes(labels: set[Any], names: Any, config: DatasetConfig) -> tuple[tuple[str, ...], dict[Any, int]]:
    numeric = all(WHOLE_NUMBER.fullmatch(str(label)) for label in labels)
    if names is None and config.label_names is not None:
        names = _checked_names(config.label_names)
        if numeric and not {str(label) for label in labels} <= set(names):
            return tuple(names), {label: _position(int(label), names) for label in labels}
    if names is None:
        names = [str(label) for label in sorted(labels, key=int if numeric else str)]
    # CSV files hold "1" where JSON files hold 1: one class.
    names = tuple(dict.fromkeys(names))
    numbers = {name: number for number, name in enumerate(names)}
    for label in labels:
        if str(label) not in numbers:
            raise reject("dataset.label_names", list(names), f"lacks the label {label!r}", "add it")
    return names, {label: numbers[str(label)] for label in labels}


def number_tags(
    raws: dict[str, Raw], config: DatasetConfig
) -> tuple[tuple[str, ...], dict[str, Ragged], tuple[str, ...]]:
    """IOB2 tag names, each split's tag numbers, and notes on the conversion."""
    tags = {
        role: [[_tag_name(tag, config) for tag in row] for row in raw.labels or []]
        for role, raw in raws.items()
    }
    all_rows = [row for rows in tags.values() for row in rows]
    used = {tag for row in all_rows for tag in row}
    check_tags(sorted(used), config.scheme)
    scheme = recognise(all_rows) if config.scheme == "auto" else config.scheme

    declared = [name for name in raws["train"].names or config.label_names or () if "-" in name]
    names = tag_names(kind for kind in map(type_of, [*used, *declared]) if kind is not None)
    numbers = {name: number for number, name in enumerate(names)}
    ragged = {
        role: Ragged.of([[numbers[tag] for tag in to_iob2(row)] for row in rows])
        for role, rows in tags.items()
    }
    changes = sum(old != new for row in all_rows for old, new in zip(row, to_iob2(row), strict=True))
    return names, ragged, _conversion_notes(scheme, changes)


def _tag_name(tag: str | int, config: DatasetConfig) -> str:
    if isinstance(tag, str):
        return tag
    if config.label_names is None:
        broken = f"the tags are numbers ({tag}) without names"
        raise reject("dataset.label_names", None, broken, "set it to [O,B-...,I-...]")
    return config.label_names[_position(tag, config.label_names)]


def _conversion_notes(scheme: str, changes: int) -> tuple[str, ...]:
    if not changes:
        return ()
    if scheme == "iob2":
        return (f"{changes:,} spans began with I-: their first tag was rewritten as B-",)
    return (f"tags converted from {scheme.upper()} to IOB2 ({changes:,} of them rewritten)",)


def _position(label: int, names: list[str]) -> int:
    if not 0 <= label < len(names):
        broken = f"names {len(names)} labels, 0 to {len(names) - 1}, but the data has {label}"
        raise reject("dataset.label_names", names, broken, "name them all, in order")
    return label


def _checked_names(names: list[str]) -> list[str]:
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise reject("dataset.label_names", names, f"names {known(double)} twice", "name every label once")
    return names
