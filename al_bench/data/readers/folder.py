"""Folders of text files: one folder per class, one file per example."""

from pathlib import Path

from al_bench.config import DatasetConfig
from al_bench.data.readers.raw import Raw, wants
from al_bench.data.readers.text import read_text


def class_folders(folder: Path) -> list[Path]:
    """The folders in this one that hold .txt files, sorted by name."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and any(child.glob("*.txt")))


def read_folder(folder: Path, config: DatasetConfig, without: tuple[str, ...] = ()) -> Raw:
    """FOLDER/CLASS/*.txt, sorted by class and file name, without the blanks around each text.

    without: class folders to leave out, with a note
    """
    wants(config, "classification", f"a folder per class ({folder.name})")
    classes = class_folders(folder)
    skipped = [child.name for child in classes if child.name in without]
    files = [
        (path, child.name)
        for child in classes
        if child.name not in without
        for path in sorted(child.glob("*.txt"))
    ]
    texts = [read_text(path, config).strip() for path, _ in files]
    notes = tuple(f"left out {folder.name}/{name}: no class of the test split" for name in skipped)
    return Raw(folder.name, texts, [label for _, label in files], notes=notes)
