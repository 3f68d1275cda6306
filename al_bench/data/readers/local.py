"""Files and folders on this machine, in installed packages too: the split and the format of each file."""

from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.conll import read_conll
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.raw import Raw, choose_splits, read_text, require_task, source_error
from al_bench.data.readers.tables import read_csv, read_json, read_parquet
from al_bench.errors import known, reject, shown

FORMATS = {"conll": read_conll, "csv": read_csv, "json": read_json, "parquet": read_parquet}
EXTENSIONS = dict.fromkeys((".txt", ".conll", ".conllu", ".iob", ".iob2", ".bio"), "conll")
EXTENSIONS |= dict.fromkeys((".json", ".jsonl", ".ndjson"), "json")
EXTENSIONS |= {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def read_local(path: Path, config: DatasetConfig) -> dict[str, Raw]:
    """A file (the training split), or a folder: from `save_to_disk`, with a file per split, or with class folders."""
    if path.is_file():
        return {"train": _read_file(path, config)}
    if not path.is_dir():
        raise source_error(config, "no such file or folder", f"it is read relative to {Path.cwd()}")
    if (path / "dataset_dict.json").exists() or (path / "dataset_info.json").exists():
        return read_hub(config, saved=path)
    if config.format != "folder" and "train" in (files := _split_files(path, config)):
        return {role: _read_file(file, config) for role, file in files.items()}
    if config.format in ("auto", "folder"):
        folders = choose_splits([child.name for child in path.iterdir() if child.is_dir()], config.splits)
        if "train" in folders:
            excluded = ""
            # IMDb as Stanford ships it keeps 50,000 unlabelled reviews beside the two classes.
            if "test" in folders and "unsup" not in [c.name for c in _class_folders(path / folders["test"])]:
                excluded = "unsup"
            splits = {role: path / name for role, name in folders.items()}
            return {role: _read_class_folders(folder, config, excluded) for role, folder in splits.items()}
        if _class_folders(path):
            return {"train": _read_class_folders(path, config)}
    names = " or ".join(config.splits.train)
    content = shown(known(child.name for child in path.iterdir()) or "nothing")
    broken = f"holds no training split (a file or folder {names}, or a folder per class), but {content}"
    raise source_error(config, broken, "set dataset.splits.train=[NAME], or dataset.path to a file")


def _read_file(path: Path, config: DatasetConfig) -> Raw:
    name = EXTENSIONS.get(path.suffix.lower()) if config.format == "auto" else config.format
    if name is None:
        broken = f"{path.name} has an extension that names no format"
        raise source_error(config, broken, f"set dataset.format to one of {known(FORMATS)}")
    if name not in FORMATS:
        raise reject("dataset.format", name, f"{path.name} is a file", f"use one of {known(FORMATS)}")
    return FORMATS[name](path, config)


def _split_files(folder: Path, config: DatasetConfig) -> dict[str, Path]:
    """The file of each split: its name is one of the split's, with or without an extension."""
    files: dict[str, list[Path]] = {}
    for file in sorted(child for child in folder.iterdir() if child.is_file()):
        extension = EXTENSIONS.get(file.suffix.lower())
        if extension is not None and config.format in ("auto", extension):
            files.setdefault(file.stem, []).append(file)
        files.setdefault(file.name, []).append(file)
    chosen = choose_splits(list(files), config.splits)
    for role, name in chosen.items():
        if len(files[name]) > 1:
            several = " and ".join(file.name for file in files[name])
            raise source_error(config, f"holds {several}", f"set dataset.splits.{role}=[FILE]")
    return {role: files[name][0] for role, name in chosen.items()}


def _class_folders(folder: Path) -> list[Path]:
    """The folders in this one that hold .txt files, sorted by name."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and any(child.glob("*.txt")))


def _read_class_folders(folder: Path, config: DatasetConfig, excluded: str = "") -> Raw:
    """FOLDER/CLASS/*.txt, a text per file, sorted by class and file name, without the blanks around each text.

    excluded: a class folder to leave out, with a note
    """
    require_task(config, "classification", f"a folder per class ({folder.name})")
    classes = _class_folders(folder)
    note = f"left out {folder.name}/{excluded}: no class of the test split"
    notes = [note for child in classes if child.name == excluded]
    files = [path for child in classes if child.name != excluded for path in sorted(child.glob("*.txt"))]
    texts = [read_text(path, config).strip() for path in files]
    return Raw(folder.name, texts, [path.parent.name for path in files], notes=tuple(notes))
