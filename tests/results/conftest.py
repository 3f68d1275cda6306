"""Run directories that several tests look at; composing their configs takes longer than looking at them."""

from pathlib import Path

import pytest
from sweeps import RIVALS, SWEEP, varied
from synthetic import write_runs


@pytest.fixture(scope="session")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of all kinds of methods on one data set: an output directory, for reading only."""
    folder = tmp_path_factory.mktemp("rivals")
    for command in (SWEEP, *(varied(*changes) for changes in RIVALS)):
        write_runs(folder, command)
    return folder
