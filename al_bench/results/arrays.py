"""Arrays of trajectories, of which a report must survive that some are gone or damaged."""

from pathlib import Path

import numpy as np

from al_bench.ledger.trajectory import array_path


def load_array(trajectory: Path, name: str, cycle: int) -> np.ndarray | None:
    """name: one of `trajectory.ARRAYS`; None where it was not written, or cannot be read"""
    try:
        array = np.load(array_path(trajectory, name, cycle))
    except (OSError, ValueError, EOFError):
        return None
    return array if isinstance(array, np.ndarray) else None
