"""Files and folders on this machine: which file is which split, and which format it has."""

from collections.abc import Callable
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.conll import read_conll
from al_bench.data.readers.folder import class_folders, read_folder
from al_bench.data.readers.hub import read_saved
from al_bench.data.readers.raw import Raw, bad
from al_bench.data.readers.splits import pick
from al_bench.data.readers.tables import read_csv, read_json, read_parquet
from al_bench.errors import known, reject, shown

FORMATS: dict[str, Callable[[Path, DatasetConfig], Raw]] = {
    "conll": read_conll,
    "csv": read_csv,
    "json": read_json,
    "parquet": read_parquet,
}
EXTENSIONS = {
    ".txt": "conll",
    ".conll": "conll",
    ".conllu": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}


def read_path(config: DatasetConfig) -> dict[str, Raw]:
    return read_local(Path(str(config.path)).expanduser(), config)


def read_local(path: Path, config: DatasetConfig) -> dict[str, Raw]:
    """A file (the training split), or a folder: by `save_to_disk`, of a file per split, of class folders."""
    if path.is_file():
        return {"train": _read_file(path, config)}
    if not path.is_dir():
        raise bad(config, "no such file or folder", f"it is read relative to {Path.cwd()}")
    if (path / "dataset_dict.json").exists() or (path / "dataset_info.json").exists():
        return read_saved(path, config)
    if config.format != "folder":
        files = _split_files(path, config)
        if "train" in files:
            return {role: _read_file(file, config) for role, file in files.items()}
    if config.format in ("auto", "folder"):
        folders = pick([child.name for child in path.iterdir() if child.is_dir()], config.splits)
        if "train" in folders:
            return _read_class_folders({role: path / name for role, name in folders.items()}, config)
        if class_folders(path):
            return {"train": read_folder(path, config)}
    found = shown(known(child.name for child in path.iterdir()) or "nothing")
    wanted = " or ".join(config.splits.train)
    broken = f"holds no training split (a file or folder {wanted}, or a folder per class), but {found}"
    raise bad(config, broken, "set dataset.splits.train=[NAME], or dataset.path to a file")


def _read_file(path: Path, config: DatasetConfig) -> Raw:
    chosen = EXTENSIONS.get(path.suffix.lower()) if config.format == "auto" else config.format
    if chosen is None:
        broken = f"{path.name} has an extension that names no format"
        raise bad(config, broken, f"set dataset.format to one of {known(FORMATS)}")
    if chosen not in FORMATS:
        raise reject("dataset.format", chosen, f"{path.name} is a file", f"use one of {known(FORMATS)}")
    return FORMATS[chosen](path, config)


def _split_files(folder: Path, config: DatasetConfig) -> dict[str, Path]:
    """A split's file has one of its names, with or without the extension."""
    files: dict[str, list[Path]] = {}
    for file in sorted(child for child in folder.iterdir() if child.is_file()):
        extension = EXTENSIONS.get(file.suffix.lower())
        if extension is not None and config.format in ("auto", extension):
            files.setdefault(file.stem, []).append(file)
        files.setdefault(file.name, []).append(file)
    chosen = {}
    for role, name in pick(list(files), config.splits).items():
        if len(files[name]) > 1:
            which = " and ".join(file.name for file in files[name])
            raise bad(config, f"holds {which}", f"set dataset.splits.{role}=[FILE]")
        chosen[role] = files[name][0]
    return chosen


def _read_class_folders(folders: dict[str, Path], config: DatasetConfig) -> dict[str, Raw]:
    without: tuple[str, ...] = ()
    # IMDb as Stanford ships it keeps 50,000 unlabelled reviews beside the two classes.
    if "test" in folders and "unsup" not in {child.name for child in class_folders(folders["test"])}:
        without = ("unsup",)
    return {role: read_folder(folder, config, without) for role, folder in folders.items()}
