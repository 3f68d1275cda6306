"""Folders of text files: one folder per class, one file per example."""

from pathlib import Path

from al_bench.config.schema import DatasetConfig
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
    texts, labels, notes = [], [], []
    for child in class_folders(folder):
        if child.name in without:
            notes.append(f"left out {folder.name}/{child.name}: no class of the test split")
            continue
        for path in sorted(child.glob("*.txt")):
            texts.append(read_text(path, config).strip())
            labels.append(child.name)
    return Raw(folder.name, texts, labels, notes=tuple(notes))
