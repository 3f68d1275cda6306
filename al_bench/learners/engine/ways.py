"""What makes the engine fast, each of it tried on a few random texts before it is relied on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.engine.encoding import Encoded

log = logging.getLogger(__name__)
EXACT = 1e-4  # an error: rounding in float32 makes 1e-6, texts that see each other 1
ROUGH = 0.02  # what bfloat16 may add to three times the error of autocast
PROBE = (11, 7, 7, 5, 3)  # sub-words, falling
LONGEST = 512  # sub-words of one more text: attention may have windows, which shorter ones lie within


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


def probe(vocabulary: int, pad: int, tagging: bool, longest: int) -> Encoded:
    """Texts of random sub-words, the same in every process; where words are tagged, each is a word.

    longest: how long a text may be
    """
    rng = np.random.default_rng(0)
    lengths = (longest, *PROBE) if longest > PROBE[0] else PROBE
    values = rng.integers(0, vocabulary - 1, sum(lengths))
    tokens = Ragged((values + (values >= pad)).astype(np.int32), offsets_of(lengths))
    if not tagging:
        return Encoded(tokens)
    words = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    firsts = Ragged(words, tokens.offsets)
    return Encoded(tokens, None, firsts, words, np.array(lengths))


@dataclass(frozen=True)
class Said:
    """states: (sub-words, width) of the last layer; logits: (units, classes)

    felt: (parameters,) norm of the gradient of each; None where a way is not learned by
    """

    states: np.ndarray
    logits: np.ndarray
    felt: np.ndarray | None = None


def error(found: Said, expected: Said) -> float:
    """The largest: of the states, relative to how they differ from sub-word to sub-word; of the others, to their size.

    A new head may say nearly the same of all texts, and then what tells them apart is rounding.
    """
    errors = [apart(found.states, expected.states), _relative(found.logits, expected.logits)]
    if found.felt is not None and expected.felt is not None:
        errors.append(_relative(found.felt, expected.felt))
    return max(errors) if np.isfinite(errors).all() else np.inf


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-30)


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """How far rows are from the expected ones, relative to how far those are from their mean."""
    spread = float(np.linalg.norm(expected - expected.mean(axis=0)))
    return float(np.linalg.norm(found - expected)) / max(spread, 1e-30)


def tried(way: str, make: Callable[[], Any], unless: type[Exception] = torch.OutOfMemoryError) -> Any:
    """None where the network is not built for it, in whatever way it says so; a lack of memory is an error.

    unless: what is raised further, too
    """
    try:
        return make()
    except (torch.OutOfMemoryError, unless):
        raise
    except Exception as error:
        log.debug("%s: not for this network (%s)", way, error)
        return None
