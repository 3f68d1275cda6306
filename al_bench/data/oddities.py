"""What is odd about a corpus that can be read: labels that may be meant as one, and texts that occur twice."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from al_bench.data.corpus import Split
from al_bench.data.ragged import Ragged


def similar(names: Sequence[str]) -> Iterator[str]:
    """A note for the labels that differ in blanks, case or the notation of a number alone."""
    groups = defaultdict(list)
    for name in names:
        groups[_normal(name)].append(repr(name))
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if alike:
        yield f"labels that may be meant as one: {', '.join(alike)}"


def _normal(name: str) -> Hashable:
    try:
        return float(name)
    except ValueError:
        return " ".join(name.split()).casefold()


def repeated(splits: dict[str, Split]) -> Iterator[str]:
    """Notes on texts that the training split shares with the test split, or has with several labels."""
    labels_of: defaultdict[Any, set[Any]] = defaultdict(set)
    train, test = splits["train"], splits["test"]
    for text, label in zip(map(_key, train.inputs), _labels(train), strict=True):
        labels_of[text].add(label)
    if shared := sum(_key(text) in labels_of for text in test.inputs):
        yield f"{shared:,} of {len(test):,} test examples have a text that is also in the training split"
    if several := sum(len(labels) > 1 for labels in labels_of.values()):
        yield f"{several:,} texts of the training split occur with more than one label"


def _key(item: Any) -> Any:
    return item if isinstance(item, str) else tuple(item)


def _labels(split: Split) -> list[Any]:
    labels = split.labels
    return [tuple(row.tolist()) for row in labels.rows()] if isinstance(labels, Ragged) else labels.tolist()
