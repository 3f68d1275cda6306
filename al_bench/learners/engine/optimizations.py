"""Where the engine departs from transformers, and the random texts on which every network tries it first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from al_bench.data.ragged import Ragged, offsets_of
from al_bench.errors import first_line
from al_bench.learners.engine.encoding import Encoded

PACKED = "packed scoring"  # the pool is scored without padding
BFLOAT16 = "bfloat16 weights"  # a copy of the network computes in bfloat16, without autocast
GRAPHS = "CUDA graphs"  # a training step is one launch
EXACT = 1e-4  # largest error in float32: rounding makes 1e-6, texts that see each other 1
ROUGH = 0.02  # what bfloat16 may add to three times the error of autocast
PROBE_LENGTHS = (11, 7, 7, 5, 3)  # sub-words, falling
LONGEST = 512  # sub-words of one more text: attention may have windows that short texts lie within


def optimizations_of(engine: str, device: torch.device, precision: str) -> frozenset[str]:
    """Those that save at least 8 % of an iteration on this kind of device (docs/performance.md).

    engine: "fast" or "plain", which takes none; precision: "float32" or "bfloat16"
    """
    if engine == "plain" or device.type != "cuda":
        return frozenset()
    # The kernel that knows where packed texts end computes in bfloat16 alone.
    return frozenset({GRAPHS, PACKED, BFLOAT16} if precision == "bfloat16" else {GRAPHS})


def probe_texts(vocabulary: int, pad: int, tagging: bool, longest: int) -> Encoded:
    """Texts of random sub-words, the same in every process; in tagging each sub-word is a word.

    longest: how long a text may be
    """
    rng = np.random.default_rng(0)
    lengths = (longest, *PROBE_LENGTHS) if longest > PROBE_LENGTHS[0] else PROBE_LENGTHS
    values = rng.integers(0, vocabulary - 1, sum(lengths))
    tokens = Ragged((values + (values >= pad)).astype(np.int32), offsets_of(lengths))
    if not tagging:
        return Encoded(tokens)
    words = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    firsts = Ragged(words, tokens.offsets)
    return Encoded(tokens, None, firsts, words, np.array(lengths))


@dataclass(frozen=True)
class Outputs:
    """What a network computes of the probe texts.

    states: (sub-words, width) of the last layer; logits: (units, classes)
    gradient_norms: (parameters,) of some loss; None where only scoring is tried
    """

    states: np.ndarray
    logits: np.ndarray
    gradient_norms: np.ndarray | None = None


def output_error(outputs: Outputs, expected: Outputs) -> float:
    """The largest of the errors of states (`row_error`), logits and gradient norms (relative to their size).

    A new head may give nearly equal logits to all texts, and then what tells them apart is rounding.
    """
    errors = [row_error(outputs.states, expected.states), _relative(outputs.logits, expected.logits)]
    if outputs.gradient_norms is not None and expected.gradient_norms is not None:
        errors.append(_relative(outputs.gradient_norms, expected.gradient_norms))
    return max(errors) if np.isfinite(errors).all() else np.inf


def _relative(values: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(values - expected)) / max(float(np.linalg.norm(expected)), 1e-30)


def row_error(rows: np.ndarray, expected: np.ndarray) -> float:
    """Distance of rows from the expected ones, relative to the distance of the expected ones from their mean."""
    spread = float(np.linalg.norm(expected - expected.mean(axis=0)))
    return float(np.linalg.norm(rows - expected)) / max(spread, 1e-30)


def rough_bound(error_of_autocast: float) -> float:
    """The largest error that an optimization may have in bfloat16."""
    return 3 * error_of_autocast + ROUGH


def rejection(error: Callable[[], float], bound: float) -> str | None:
    """Why a network cannot take an optimization: its error, or the first line of what the trial raises; else None.

    A lack of memory is raised: it says nothing about the optimization.
    """
    try:
        deviation = error()
    except torch.OutOfMemoryError:
        raise
    except Exception as failure:  # networks that are built otherwise fail in every way there is
        return first_line(failure)
    return None if deviation <= bound else f"its outputs differ by {deviation:.2g}, allowed is {bound:.2g}"
