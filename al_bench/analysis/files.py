"""Files of runs and trajectories, of which a report must survive that some are gone or damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.ledger.trajectory import array_path


def load_array(trajectory: Path, name: str, cycle: int) -> np.ndarray | None:
    """name: one of `trajectory.ARRAYS`; None where it was not written, or cannot be read"""
    try:
        array = np.load(array_path(trajectory, name, cycle))
    except (OSError, ValueError, EOFError):
        return None
    return array if isinstance(array, np.ndarray) else None


def load_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a ledger but for a torn last line, none where one cannot be read."""
    try:
        complete, _, _ = path.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in complete.splitlines()]
    except (OSError, ValueError):
        return []
