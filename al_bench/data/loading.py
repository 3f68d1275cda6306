"""From a dataset's config to a `Corpus`: read, number, cut a missing test split, limit, check."""

import codecs
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.numbering import number_classes, number_tags
from al_bench.data.oddities import repeated, similar
from al_bench.data.ragged import Ragged, values_of
from al_bench.data.readers import read
from al_bench.data.readers.raw import Raw, source_error, whole
from al_bench.errors import known, reject
from al_bench.seeds import stream

CONTROL = re.compile("[\x80-\x9f]")
_fingerprints: dict[tuple[Any, ...], str] = {}


def load_corpus(config: DatasetConfig) -> Corpus:
    """The corpus of a config. Raises `UserError` where it cannot be loaded.

    The same config and the same source give the same corpus, to the byte.
    """
    raws = read(config)
    notes = [note for raw in raws.values() for note in raw.notes]
    if raws["train"].labels is None:
        raise source_error(config, f"{raws['train'].where} has no labels", f"{config.task} needs a label per example")
    # Such as the test split of a shared task.
    notes += [f"left out {raw.where} ({role}): it has no labels" for role, raw in raws.items() if raw.labels is None]
    raws = {
        role: _with_words(_mended(raw, config, notes), notes) for role, raw in raws.items() if raw.labels is not None
    }
    if empty := [raw.where for raw in raws.values() if not raw.inputs]:
        raise source_error(config, f"{empty[0]} has no examples", "check the file, and dataset.where if it is set")
    tagging = config.task == "tagging"
    names, labels = number_tags(raws, config, notes) if tagging else number_classes(raws, config)
    notes += similar(names)
    if config.answers is not None and raws["train"].answers is None:
        broken = f"{raws['train'].where} has no such column"
        raise reject("dataset.answers", config.answers, broken, "name a column of the table, or set oracle.params.file")
    splits = {role: Split(raw.inputs, labels[role], raw.answers) for role, raw in raws.items()}
    if "test" not in splits:
        splits["train"], splits["test"] = _cut(splits["train"], raws["train"].where, config, notes)
    for role, split in splits.items():
        limit = getattr(config.limit, role)
        if limit is not None and limit < len(split):
            ids = stream(config.split_seed, f"limit {role}").choice(len(split), limit, replace=False)
            notes.append(f"kept {limit:,} of {len(split):,} {role} examples (dataset.limit.{role}={limit})")
            splits[role] = split.take(np.sort(ids))
    _check(splits["train"], config)
    seen = values_of(splits["train"].labels)
    for role, split in splits.items():
        if unseen := known(names[label] for label in np.setdiff1d(values_of(split.labels), seen)):
            notes.append(f"labels of {role} that no training example has: {unseen}")
    notes += repeated(splits)
    digest = fingerprint(config.task, names, splits)
    return Corpus(config.name, config.task, names, **splits, notes=tuple(notes), fingerprint=digest)


def fingerprint_of(config: DatasetConfig) -> str:
    """The fingerprint of a config's corpus. The jobs of a sweep read files once that do not change meanwhile."""
    root = Path(config.path or os.devnull).expanduser()
    files = [(file, file.stat()) for file in (root, *sorted(root.rglob("*"))) if file.exists()]
    key = (repr(config), *((file, facts.st_size, facts.st_mtime_ns) for file, facts in files))
    if key not in _fingerprints:
        _fingerprints[key] = load_corpus(config).fingerprint
    return _fingerprints[key]


def _mended(raw: Raw, config: DatasetConfig, notes: list[str]) -> Raw:
    """Without halves of surrogate pairs, which JSON can write. Appends to notes where characters look wrong."""
    inputs, labels = ([_each(whole, item) for item in items] for items in (raw.inputs, raw.labels or []))
    if changed := sum(old != new for old, new in zip(raw.inputs + (raw.labels or []), inputs + labels, strict=True)):
        notes.append(f"replaced halves of characters by U+FFFD in {changed:,} texts or labels of {raw.where}")
    if codecs.lookup(config.encoding).name == "iso8859-1" and any(CONTROL.search(str(item)) for item in inputs):
        broken = f"{raw.where} has control characters where Windows writes quotes and dashes"
        notes.append(f"{broken}; try dataset.encoding=cp1252 in place of {config.encoding}")
    names = raw.names and [whole(name) for name in raw.names]
    return replace(raw, inputs=inputs, labels=labels, names=names)


def _each(change: Callable[[str], str], item: Any) -> Any:
    """A text, or every text in a list, changed."""
    if isinstance(item, list):
        return [_each(change, part) for part in item]
    return change(item) if isinstance(item, str) else item


def _with_words(raw: Raw, notes: list[str]) -> Raw:
    """The examples that have a word."""
    kept = [i for i, item in enumerate(raw.inputs) if (item.strip() if isinstance(item, str) else item)]
    total, labels = len(raw.inputs), raw.labels or []
    if len(kept) == total:
        return raw
    notes.append(f"dropped {total - len(kept):,} of {total:,} examples of {raw.where}: they have no words")
    answers = None if raw.answers is None else [raw.answers[i] for i in kept]
    return replace(raw, inputs=[raw.inputs[i] for i in kept], labels=[labels[i] for i in kept], answers=answers)


def _cut(split: Split, where: str, config: DatasetConfig, notes: list[str]) -> tuple[Split, Split]:
    """(train, test): a seeded random share becomes the test split; both keep the source's order."""
    total = len(split)
    size = round(total * config.test_share)
    settings = f"dataset.test_share={config.test_share:g}, dataset.split_seed={config.split_seed}"
    if not 0 < size < total:
        broken = f"cuts {size} of {total} examples for the missing test split"
        raise reject("dataset.test_share", config.test_share, broken, "give a test split, more data or another share")
    order = stream(config.split_seed, "test split").permutation(total)
    if isinstance(split.labels, np.ndarray) and np.unique(split.labels, return_counts=True)[1].min() > 1:
        order = order[np.argsort(split.labels[order], kind="stable")]
    # Evenly spaced picks from an order sorted by class take each class's share, give or take one.
    test = np.zeros(total, dtype=bool)
    test[order[(np.arange(size) * total + total // 2) // size]] = True
    notes.append(f"no test split in {where}: cut {size:,} of {total:,} examples ({settings})")
    return split.take(np.flatnonzero(~test)), split.take(np.flatnonzero(test))


def _check(train: Split, config: DatasetConfig) -> None:
    """Raise `UserError` if there is nothing to learn."""
    labels, tagging = values_of(train.labels), config.task == "tagging"
    if len(np.unique(labels)) > 1 or (tagging and labels.any()):
        return
    one_tag = "has one tag only" if config.scheme == "none" else "has no entity, only O"
    broken = one_tag if tagging else "has one class only"
    remedy = "check dataset.tag_column" if tagging else "check dataset.label and dataset.where"
    limit = "" if config.limit.train is None else " or raise dataset.limit.train"
    raise source_error(config, f"the training split {broken}", remedy + limit)


def fingerprint(task: str, label_names: tuple[str, ...], splits: dict[str, Split]) -> str:
    """Hex sha256 over all of it. The length of every text precedes it, so that no two corpora look the same."""
    digest = hashlib.sha256()

    def add(texts: list[str]) -> None:
        digest.update(np.array([len(texts), *map(len, texts)], dtype="<i8").tobytes())
        digest.update("".join(texts).encode("utf-8", "surrogatepass"))

    add([task, *label_names])
    for role, split in sorted(splits.items()):
        add([role])
        if isinstance(split.labels, Ragged):
            digest.update(split.labels.lengths.astype("<i8").tobytes())
            add([word for words in split.inputs for word in words])
        else:
            add(list(map(str, split.inputs)))
        digest.update(values_of(split.labels).astype("<i8").tobytes())
        if split.answers is not None:
            add([repr(answer) for answer in split.answers])
    return digest.hexdigest()
