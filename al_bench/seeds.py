"""Chance, by name: every random stream is a function of (seed, purpose, cycle), so none needs saving.

A resumed run draws what the uninterrupted one would have drawn, and two purposes never share a stream.
"""

from zlib import crc32

import numpy as np


def stream(seed: int, purpose: str, cycle: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, crc32(purpose.encode()), cycle]))


def number(seed: int, purpose: str, cycle: int = 0) -> int:
    """A whole number below 2**63 for libraries that take one."""
    return int(stream(seed, purpose, cycle).integers(2**63))
