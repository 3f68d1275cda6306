"""How many labels a filter drops, and which."""

import numpy as np

from al_bench.config.schema import FilterConfig
from al_bench.filters.protocol import Suspicion


def dropped(chosen: FilterConfig, suspicion: Suspicion, kept: np.ndarray, quality: float | None) -> np.ndarray:
    """(n,) bool: which of the examples that are still kept the filter drops.

    kept: (n,) bool; quality: the labeller's dev score, None where there was no dev split
    """
    if chosen.threshold is not None:
        return kept & (1.0 - suspicion.score <= chosen.threshold)
    count = drop_count(chosen, kept, quality)
    if count is None:
        assert suspicion.contradicts is not None, "a rule of the config"
        return kept & suspicion.contradicts
    drop = np.zeros(len(kept), dtype=bool)
    candidates = np.flatnonzero(kept)
    drop[candidates[np.argsort(-suspicion.score[candidates], kind="stable")[:count]]] = True
    return drop


def drop_count(chosen: FilterConfig, kept: np.ndarray, quality: float | None) -> int | None:
    """How many of all n examples the filter drops at most; None where a threshold or its own verdict decides.

    A share is of all n; adaptive: the labeller's errors by its dev score, less those that were dropped before.
    """
    if chosen.threshold is not None or chosen.drop == "disagreement":
        return None
    if chosen.drop != "adaptive":
        return round(float(chosen.drop) * len(kept))
    errors = 0 if quality is None else round((1.0 - quality) * len(kept))
    return max(0, errors - int(np.count_nonzero(~kept)))
