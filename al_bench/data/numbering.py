"""From labels as the source writes them to numbers, which are positions in `label_names`."""

import re
from typing import Any

import numpy as np

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.data.readers.raw import Raw
from al_bench.data.tags import check_tags, recognise, tag_names, to_iob2, type_of
from al_bench.errors import known, reject

WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]*|0")  # "007" is a name
Numbered = tuple[tuple[str, ...], dict[str, Labels]]


def number_labels(raws: dict[str, Raw], config: DatasetConfig, notes: list[str]) -> Numbered:
    """Label names, and the labels of each split; appends to notes where tags were rewritten."""
    return _tags(raws, config, notes) if config.task == "tagging" else _classes(raws, config)


def _classes(raws: dict[str, Raw], config: DatasetConfig) -> Numbered:
    """Names are the source's own, else `config.label_names` (number labels are positions in them, unless they are
    names there), else the labels themselves: numbers sorted by value, names by the alphabet.
    """
    labels = {label for raw in raws.values() for label in raw.labels or []}
    numeric = all(WHOLE_NUMBER.fullmatch(str(label)) for label in labels)
    names, are_positions = raws["train"].names, False
    if names is None and config.label_names is not None:
        names = _checked_names(config.label_names)
        are_positions = numeric and not {str(label) for label in labels} <= set(names)
    if names is None:
        names = [str(label) for label in sorted(labels, key=int if numeric else str)]
    # CSV files hold "1" where JSON files hold 1: one class.
    names = tuple(dict.fromkeys(names))
    numbers: dict[Any, int] = {}
    for label in labels:
        if not are_positions and str(label) not in names:
            raise reject("dataset.label_names", list(names), f"lacks the label {label!r}", "add it")
        numbers[label] = _position(int(label), list(names)) if are_positions else names.index(str(label))
    return names, {
        role: np.array([numbers[x] for x in raw.labels or []], np.int64) for role, raw in raws.items()
    }


def _tags(raws: dict[str, Raw], config: DatasetConfig, notes: list[str]) -> Numbered:
    """Names are the IOB2 tags of all types that occur or that the source or the config declares."""
    tags = {
        role: [[_tag_name(tag, config) for tag in row] for row in raw.labels or []]
        for role, raw in raws.items()
    }
    rows = [row for split in tags.values() for row in split]
    used = {tag for row in rows for tag in row}
    check_tags(sorted(used), config.scheme)
    scheme = recognise(rows) if config.scheme == "auto" else config.scheme
    changes = sum(old != new for row in rows for old, new in zip(row, to_iob2(row), strict=True))
    if changes and scheme == "iob2":
        notes.append(f"{changes:,} spans began with I-: their first tag was rewritten as B-")
    elif changes:
        notes.append(f"tags converted from {scheme.upper()} to IOB2 ({changes:,} of them rewritten)")

    declared = [name for name in raws["train"].names or config.label_names or () if "-" in name]
    names = tag_names(kind for kind in map(type_of, [*used, *declared]) if kind is not None)
    numbers = {name: number for number, name in enumerate(names)}
    return names, {
        role: Ragged.of([[numbers[tag] for tag in to_iob2(row)] for row in split])
        for role, split in tags.items()
    }


def _tag_name(tag: str | int, config: DatasetConfig) -> str:
    if isinstance(tag, str):
        return tag
    if config.label_names is None:
        broken = f"the tags are numbers ({tag}) without names"
        raise reject("dataset.label_names", None, broken, "set it to [O,B-...,I-...]")
    return config.label_names[_position(tag, config.label_names)]


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
