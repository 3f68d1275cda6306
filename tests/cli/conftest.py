"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

QUICK = ["schedule.cycles=1", "training.epochs=1"]


@pytest.fixture
def quick_run(tiny_run: list[str]) -> list[str]:
    """The least that is a run: two cycles of one epoch each, about a second."""
    return [*tiny_run, *QUICK]


@pytest.fixture
def quick_tagging_run(tiny_tagging_run: list[str]) -> list[str]:
    return [*tiny_tagging_run, *QUICK]


@pytest.fixture
def checkout() -> Path:
    return Path(__file__).parent.parent.parent
