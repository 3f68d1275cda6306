"""What makes the engine fast, each of it tried on a few random texts before it is relied on."""

from dataclasses import dataclass

import numpy as np

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.encoding import Encoded

EXACT = 1e-4  # an error: rounding in float32 makes 1e-6, texts that see each other 1
ROUGH = 0.02  # what bfloat16 may add to three times the error of autocast
PROBE = (11, 7, 7, 5, 3)  # sub-words, falling


@dataclass(frozen=True)
class Ways:
    """Which ways may be taken; a network that a way is wrong for does without.

    packed: score without padding; cast: compute with weights in bfloat16 rather than under autocast, where the
    precision is bfloat16; graphs: replay each training step as one CUDA graph; host: attend and drop out by `host`
    on a CPU
    """

    packed: bool = True
    cast: bool = True
    graphs: bool = True
    host: bool = True


PLAIN = Ways(packed=False, cast=False, graphs=False, host=False)


def probe(vocabulary: int, pad: int, tagging: bool) -> Encoded:
    """Texts of random sub-words, the same in every process; where words are tagged, each is a word."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, vocabulary - 1, sum(PROBE))
    tokens = Ragged((values + (values >= pad)).astype(np.int32), offsets_of(PROBE))
    if not tagging:
        return Encoded(tokens)
    words = np.concatenate([np.arange(n) for n in PROBE]).astype(np.int32)
    firsts = Ragged(words, tokens.offsets)
    return Encoded(tokens, None, firsts, words, np.array(PROBE))


@dataclass(frozen=True)
class Said:
    """states: (sub-words, width) of the last layer; logits: (units, classes)"""

    states: np.ndarray
    logits: np.ndarray


def error(found: Said, expected: Said) -> float:
    """Of the states, relative to how they differ from sub-word to sub-word; of the logits, relative to their size.

    A new head may say nearly the same of all texts, and then what tells them apart is rounding.
    """
    if not (np.isfinite(found.states).all() and np.isfinite(found.logits).all()):
        return np.inf
    in_logits = np.linalg.norm(found.logits - expected.logits) / max(
        float(np.linalg.norm(expected.logits)), 1e-30
    )
    return max(apart(found.states, expected.states), float(in_logits))


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """How far rows are from the expected ones, relative to how far those are from their mean."""
    spread = float(np.linalg.norm(expected - expected.mean(axis=0)))
    return float(np.linalg.norm(found - expected)) / max(spread, 1e-30)
