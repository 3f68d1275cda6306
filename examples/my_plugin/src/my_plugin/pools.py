"""Candidate pools: what a query strategy looks at."""

import numpy as np

from al_bench.acquisition.subsampling import Preference, candidate_pool
from al_bench.acquisition.view import View


@candidate_pool
def short(view: View, rng: np.random.Generator, *, words: int = 30) -> Preference:
    """examples of so many words at most"""
    order = rng.permutation(view.pool)
    order = order[np.argsort(view.words[order] > words, kind="stable")]
    return Preference(order, view.words[order] <= words)
