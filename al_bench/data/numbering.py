"""From labels as the source writes them to numbers, which are positions in `label_names`."""

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.data.readers.raw import Raw
from al_bench.data.tags import UNTYPED, check_tags, recognise, respelled, tag_names, to_iob2, type_of
from al_bench.errors import known, reject

WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]*|0")  # "007" is a name
Numbered = tuple[tuple[str, ...], dict[str, Labels]]  # label names, and the labels of each split


def number_classes(raws: dict[str, Raw], config: DatasetConfig) -> Numbered:
    """Names are the source's own, else `config.label_names` (number labels are positions in them, unless they are
    names there), else the labels themselves: numbers sorted by value, names by the alphabet.
    """
    labels = {label for raw in raws.values() for label in raw.labels or []}
    numeric = all(WHOLE_NUMBER.fullmatch(str(label)) for label in labels)
    names, are_positions = raws["train"].names, False
    if names is None and config.label_names is not None:
        names = config.label_names
        if double := {name for name in names if names.count(name) > 1}:
            raise reject("dataset.label_names", names, f"names {known(double)} twice", "name every label once")
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
    numbered = {role: [numbers[label] for label in raw.labels or []] for role, raw in raws.items()}
    return names, {role: np.array(split, np.int64) for role, split in numbered.items()}


def number_tags(raws: dict[str, Raw], config: DatasetConfig, notes: list[str]) -> Numbered:
    """Names are the IOB2 tags of all types that occur or that the source or the config declares.

    With scheme=none they are these tags themselves. Appends to notes where tags were rewritten.
    """
    rows = [[_tag_name(tag, config) for tag in row] for raw in raws.values() for row in raw.labels or []]
    used = {tag for row in rows for tag in row}
    declared = {name for name in raws["train"].names or config.label_names or () if name != "O"}
    if config.scheme == "none":
        names, converted = tuple(sorted(used | declared)), rows
    else:
        spelling, scheme = respelled(used | declared, config.scheme)
        rows = [[spelling[tag] for tag in row] for row in rows]
        check_tags(sorted({spelling[tag] for tag in used}), config.scheme)
        converted = [to_iob2(row) for row in rows]
        notes += _rewritten(rows, converted, recognise(rows) if scheme == "auto" else scheme)
        if any(spelling[tag] == f"{tag}-{UNTYPED}" for tag in used):
            notes.append(f"the tags name no types: all spans are of the type {UNTYPED}")
        tags = (spelling[tag] for tag in used | declared if "-" in spelling[tag])
        names = tag_names(kind for kind in map(type_of, tags) if kind is not None)
    numbers = {name: number for number, name in enumerate(names)}
    numbered = iter([[numbers[tag] for tag in row] for row in converted])
    return names, {role: Ragged.of([*islice(numbered, len(raw.labels or []))]) for role, raw in raws.items()}


def _rewritten(rows: list[list[str]], converted: list[list[str]], scheme: str) -> Iterator[str]:
    """A note where tags of a scheme became others of IOB2."""
    pairs = zip(chain.from_iterable(rows), chain.from_iterable(converted), strict=True)
    changes = sum(old != new for old, new in pairs)
    if changes and scheme == "iob2":
        yield f"{changes:,} spans began with I-: their first tag was rewritten as B-"
    elif changes:
        yield f"tags converted from {scheme.upper()} to IOB2 ({changes:,} of them rewritten)"


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
