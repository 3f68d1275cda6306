from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Corpus]:
    """Write files, then load the folder (or `path` in it) with the given dataset settings."""

    def write_and_load(files: dict[str, str | bytes], path: str = "", **settings: Any) -> Corpus:
        for name, content in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        settings = {"name": "small", "task": "classification"} | settings
        return load_corpus(DatasetConfig(path=str(tmp_path / path), **settings))

    return write_and_load
