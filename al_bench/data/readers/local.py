"""Files and folders on this machine, in installed packages too: the split and the format of each file."""

from collections.abc import Sequence
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.files import SHARD, name_of, read_text, visible
from al_bench.data.readers.formats import BY_EXTENSION, READERS, is_outside, read_by
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.raw import Raw, choose_splits, require_task, source_error
from al_bench.errors import known, reject, shown


def read_local(path: Path, config: DatasetConfig) -> dict[str, Raw]:
    """A file (the training split), or a folder: from `save_to_disk`, with files per split, or with class folders.

    A reader of folders gets one per split, or the whole as the training split.
    """
    if not path.is_dir():
        if not path.exists() and not path.is_symlink():
            raise source_error(config, "no such file or folder", f"it is read relative to {Path.cwd()}")
        return {"train": _read_file(path, config)}
    outside = is_outside(config.format)
    if outside and READERS[config.format].folders:
        chosen = choose_splits([child.name for child in visible(path, config) if child.is_dir()], config.splits)
        parts = {role: path / name for role, name in chosen.items()} if "train" in chosen else {"train": path}
        return {role: read_by(config.format, part, config) for role, part in parts.items()}
    if not outside and ((path / "dataset_dict.json").exists() or (path / "dataset_info.json").exists()):
        return read_hub(config, saved=path)
    children = visible(path, config)
    folders = [child for child in children if child.is_dir()]
    if config.format != "folder":
        # In a cloned repository of the hub they lie in a folder of it.
        for folder in (path, *(folders if len(folders) == 1 else ())):
            if "train" in (files := _split_files(folder, config)):
                return {role: _joined([_read_file(file, config) for file in files[role]], config) for role in files}
    if config.format in ("auto", "folder"):
        chosen = choose_splits([folder.name for folder in folders], config.splits)
        if "train" in chosen:
            excluded = ""
            # IMDb as Stanford ships it keeps 50,000 unlabelled reviews beside the two classes.
            if "test" in chosen and "unsup" not in [c.name for c in _class_folders(path / chosen["test"], config)]:
                excluded = "unsup"
            return {role: _read_class_folders(path / name, config, excluded) for role, name in chosen.items()}
        if _class_folders(path, config):
            return {"train": _read_class_folders(path, config)}
    names = " or ".join(config.splits.train)
    content = shown(known(child.name for child in children) or "nothing")
    broken = f"holds no training split (a file or folder {names}, or a folder per class), but {content}"
    raise source_error(config, broken, "set dataset.splits.train=[NAME], or dataset.path to a file")


def _format(path: Path, config: DatasetConfig) -> str | None:
    """What the extension says, to the shipped readers or to the config's own.

    The cells of a table in text are no lists of words, so such a file is CoNLL's.
    """
    extension = name_of(path)[1]
    if is_outside(config.format):
        extensions = READERS[config.format].extensions
        return config.format if extension in (extensions or [extension]) else None
    return "conll" if config.task == "tagging" and extension == ".tsv" else BY_EXTENSION.get(extension)


def _read_file(path: Path, config: DatasetConfig) -> Raw:
    name = _format(path, config) if config.format == "auto" else config.format
    if name is None:
        broken = f"{path.name} has an extension that names no format"
        raise source_error(config, broken, f"set dataset.format to one of {known(READERS)}")
    if name == "folder" or READERS[name].folders:
        raise reject("dataset.format", name, f"{path.name} is a file", f"use one of {known(READERS.shipped)}")
    return read_by(name, path, config)


def _split_files(folder: Path, config: DatasetConfig) -> dict[str, list[Path]]:
    """The file of each split, or its shards: the name is one of the split's, with or without an extension."""
    files: dict[str, list[Path]] = {}
    for file in visible(folder, config):
        if file.is_dir():
            continue
        names = {file.name}
        if (own := _format(file, config)) is not None and config.format in ("auto", own):
            stem = name_of(file)[0]
            names |= {stem, SHARD.sub("", stem)}
        for name in names:
            files.setdefault(name, []).append(file)
    chosen = choose_splits(list(files), config.splits)
    for role, name in chosen.items():
        marks = [SHARD.search(name_of(file)[0]) for file in files[name]]
        numbers = sorted(int(mark[1]) for mark in marks if mark is not None)
        several = " and ".join(file.name for file in files[name])
        if SHARD.search(name) or not numbers:
            if len(marks) > 1:
                raise source_error(config, f"holds {several}", f"set dataset.splits.{role}=[FILE]")
        elif marks[0] is None or numbers != list(range(int(marks[0][2]))):
            broken = f"holds other parts of the split {name} than all, each once: {several}"
            raise source_error(config, broken, f"complete them, or set dataset.splits.{role}=[FILE]")
    return {role: files[name] for role, name in chosen.items()}


def _joined(parts: Sequence[Raw], config: DatasetConfig) -> Raw:
    """The shards of a split, one after the other."""
    first, *others = parts
    if not others:
        return first
    for other in others:
        if other.names != first.names or (other.labels is None) != (first.labels is None):
            broken = f"{other.where} and {first.where} differ in the names of their labels"
            raise source_error(config, broken, "write them again from one data set")
    labels = None if first.labels is None else [label for part in parts for label in part.labels or []]
    inputs = [item for part in parts for item in part.inputs]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Raw(f"{first.where} and {len(others)} more", inputs, labels, first.names, notes)


def _class_folders(folder: Path, config: DatasetConfig) -> list[Path]:
    """The folders in this one that hold .txt files, sorted by name."""
    return [child for child in visible(folder, config) if child.is_dir() and _texts(child, config)]


def _texts(folder: Path, config: DatasetConfig) -> list[Path]:
    return [file for file in visible(folder, config) if file.suffix == ".txt"]


def _read_class_folders(folder: Path, config: DatasetConfig, excluded: str = "") -> Raw:
    """FOLDER/CLASS/*.txt, a text per file, sorted by class and file name, without the blanks around each text.

    excluded: a class folder to leave out, with a note
    """
    require_task(config, "classification", f"a folder per class ({folder.name})")
    classes = _class_folders(folder, config)
    note = f"left out {folder.name}/{excluded}: no class of the test split"
    notes = [note for child in classes if child.name == excluded]
    files = [path for child in classes if child.name != excluded for path in _texts(child, config)]
    texts = [read_text(path, config).strip() for path in files]
    return Raw(folder.name, texts, [path.parent.name for path in files], notes=tuple(notes))
