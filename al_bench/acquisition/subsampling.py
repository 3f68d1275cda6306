"""Which part of the pool a query round scores: pure functions of the pool, settings and a generator.

UPS, unlabelled pool subsampling: Tsvigun et al., "Towards Computationally Feasible Deep Active Learning"
(Findings of NAACL 2022), section 4.1.
"""

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import prefix, ranked
from al_bench.config.schema import SubsamplingConfig


def candidates(
    pool: Pool, settings: SubsamplingConfig, cycle: int, costs: np.ndarray, budget: float, unit: str, rng: Generator
) -> tuple[np.ndarray, int]:
    """Ids, rising, that a cycle may query: the whole pool in refresh rounds, else a part of it.

    A draw that cannot fill the query is extended along its order of preference; with it comes by how many.
    costs: (n,) of the whole training split
    budget, unit: the query's, which the part must be able to fill
    """
    if settings.name == "none" or settings.refresh == "all" or cycle in settings.refresh:
        return pool.unlabelled, 0
    order, drawn = draw(pool, settings, rng)
    sample, rest = order[drawn], order[~drawn]
    missing = budget - float(costs[sample].sum())
    short = missing > 0 or (unit == "words" and missing == 0)
    added = rest[: prefix(costs[rest], missing, unit) if short else 0]
    return np.sort(np.concatenate([sample, added])), len(added)


def draw(pool: Pool, settings: SubsamplingConfig, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unlabelled ids in the order in which the subsampling prefers them, and which of these it draws: (n,) bool.

    random: a share or a count, uniformly without replacement
    naive: the top share or count by last-known score
    ups: each i with probability exp(-max(0, r_i - gamma) / T), independently; r_i is i's rank by falling last-known
        score divided by the pool's size: 0 is the most uncertain
    """
    unlabelled, gamma, temperature = pool.unlabelled, settings.gamma, settings.temperature
    assert gamma is not None
    if settings.name == "random":
        order = rng.permutation(unlabelled)
    else:  # examples that were never scored come before all others, since they may be the best
        order = ranked(unlabelled, np.nan_to_num(pool.score[unlabelled], nan=np.inf), rng)
    if settings.name == "ups":
        assert temperature is not None
        rank = np.arange(len(order)) / max(len(order), 1)
        keep = np.exp(-np.maximum(0.0, rank - gamma) / max(temperature, 1e-8))
        return order, rng.random(len(order)) < keep
    count = gamma if isinstance(gamma, int) else round(gamma * len(order))
    return order, np.arange(len(order)) < count
