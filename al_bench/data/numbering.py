"""From labels as the source writes them to positions in `label_names`."""

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

    Names are the source's own, else `config.label_names` (which number labels point into, unless they are
    names there), else the labels themselves: numbers by value, names by the alphabet.
    """
    found = {label for raw in raws.values() for label in raw.labels or []}
    names, of_label = _classes(found, raws["train"].names, config)
    return names, {
        role: np.array([of_label[label] for label in raw.labels or []], dtype=np.int64)
        for role, raw in raws.items()
    }


def _classes(found: set[Any], given: Any, config: DatasetConfig) -> tuple[tuple[str, ...], dict[Any, int]]:
    numeric = all(WHOLE_NUMBER.fullmatch(str(label)) for label in found)
    if given is None and config.label_names is not None:
        given = _checked_names(config.label_names)
        if numeric and not {str(label) for label in found} <= set(given):
            return tuple(given), {label: _position(int(label), given) for label in found}
    if given is None:
        given = [str(label) for label in sorted(found, key=int if numeric else str)]
    # CSV files hold "1" where JSON files hold 1: one class.
    names = tuple(dict.fromkeys(given))
    numbers = {name: number for number, name in enumerate(names)}
    for label in found:
        if str(label) not in numbers:
            raise reject("dataset.label_names", list(names), f"lacks the label {label!r}", "add it")
    return names, {label: numbers[str(label)] for label in found}


def number_tags(
    raws: dict[str, Raw], config: DatasetConfig
) -> tuple[tuple[str, ...], dict[str, Ragged], tuple[str, ...]]:
    """IOB2 tag names, each split's tag numbers, and notes on how the tags were rewritten."""
    tags = {
        role: [[_tag_name(tag, config) for tag in row] for row in raw.labels or []]
        for role, raw in raws.items()
    }
    used = {tag for rows in tags.values() for row in rows for tag in row}
    check_tags(sorted(used), config.scheme)
    scheme = config.scheme
    if scheme == "auto":
        scheme = recognise(row for rows in tags.values() for row in rows)
    converted = {role: [to_iob2(row) for row in rows] for role, rows in tags.items()}

    declared = [name for name in raws["train"].names or config.label_names or () if "-" in name]
    names = tag_names(kind for kind in map(type_of, [*used, *declared]) if kind is not None)
    numbers = {name: number for number, name in enumerate(names)}
    ragged = {
        role: Ragged.of([[numbers[tag] for tag in row] for row in rows]) for role, rows in converted.items()
    }
    return names, ragged, _rewritten(scheme, _changes(tags, converted))


def _tag_name(tag: str | int, config: DatasetConfig) -> str:
    if isinstance(tag, str):
        return tag
    if config.label_names is None:
        broken = f"the tags are numbers ({tag}) without names"
        raise reject("dataset.label_names", None, broken, "set it to [O,B-...,I-...]")
    return config.label_names[_position(tag, config.label_names)]


def _changes(tags: dict[str, list[list[str]]], converted: dict[str, list[list[str]]]) -> int:
    return sum(
        before != after
        for role in tags
        for old, new in zip(tags[role], converted[role], strict=True)
        for before, after in zip(old, new, strict=True)
    )


def _rewritten(scheme: str, changes: int) -> tuple[str, ...]:
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
