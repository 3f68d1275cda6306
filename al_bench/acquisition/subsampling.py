"""Which part of the pool a query round looks at: candidate pools, as functions of a view, a generator and settings.

A candidate pool prefers some of the unlabelled examples. What all candidate pools have in common is here: rounds that
look at the whole pool, and the extension of a part that cannot fill the query.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.candidates import CandidatePool, Preference, candidate_pool
from al_bench.acquisition.neighbourhoods import anchoral, seals
from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.view import View
from al_bench.config.schema import SubsamplingConfig
from al_bench.errors import reject
from al_bench.plugins import Registry


@dataclass(frozen=True)
class Candidates:
    """ids: rising; extended: how many of them were added because the part could not fill the query"""

    ids: np.ndarray
    extended: int = 0


def propose(
    chosen: SubsamplingConfig, cycle: int, view: View, budget: Budget, rng: Generator, *, stale: bool = False
) -> Candidates:
    """What a cycle may query: the whole pool in refresh rounds, else a part of it.

    A part that cannot fill the query is extended along its order of preference.
    stale: the last-known scores are another model's, so that a candidate pool that reads them is given new ones first
    """
    kind = CANDIDATE_POOLS[chosen.name]
    refreshes = chosen.refresh == "all" or cycle in chosen.refresh or (stale and kind.needs_scores)
    if chosen.name == "none" or refreshes:
        return Candidates(view.pool)
    preference = kind.call(view, rng, **settings(chosen))
    order, drawn = preference.order, preference.drawn
    part, rest = order[drawn], order[~drawn]
    left = replace(budget, amount=budget.amount - float(budget.costs[part].sum()))
    added = rest[: 0 if budget.is_spent(part) else left.size(rest)]
    return Candidates(np.sort(np.concatenate([part, added])), len(added))


def shared_settings(chosen: SubsamplingConfig) -> dict[str, Any]:
    """The settings of all candidate pools that count for this one."""
    return {key: getattr(chosen, key) for key in CANDIDATE_POOLS[chosen.name].shared}


def settings(chosen: SubsamplingConfig) -> dict[str, Any]:
    """What its function takes, with defaults. Raises `UserError` as `Component.typed` does."""
    shared = shared_settings(chosen)
    for name in shared.keys() & chosen.params.keys():
        broken, remedy = "stands beside params, not in it", f"set subsampling.{name}"
        raise reject(f"subsampling.params.{name}", chosen.params[name], broken, remedy)
    return CANDIDATE_POOLS[chosen.name].typed({**chosen.params, **shared}, "subsampling.params")


def own_params(chosen: SubsamplingConfig) -> dict[str, Any]:
    """As `settings`, without those of all candidate pools."""
    return {name: value for name, value in settings(chosen).items() if name not in shared_settings(chosen)}


def whole(view: View, rng: Generator) -> Preference:
    """All unlabelled examples."""
    return Preference(view.pool, np.ones(len(view.pool), dtype=bool))


def random(view: View, rng: Generator, *, gamma: Any = 0.1) -> Preference:
    """A share or a count, drawn uniformly without replacement."""
    return first(rng.permutation(view.pool), gamma)


def naive(view: View, rng: Generator, *, gamma: Any = 0.1) -> Preference:
    """The top share or count by last-known score."""
    return first(by_last_score(view, rng), gamma)


def ups(view: View, rng: Generator, *, gamma: float = 0.1, temperature: float = 0.01) -> Preference:
    """Each i with probability exp(-max(0, r_i - gamma) / T), independently.

    r_i: i's rank by falling last-known score divided by the pool's size; 0 is the most uncertain
    """
    order = by_last_score(view, rng)
    rank = np.arange(len(order)) / max(len(order), 1)
    keep = np.exp(-np.maximum(0.0, rank - gamma) / max(temperature, 1e-8))
    return Preference(order, rng.random(len(order)) < keep)


def by_last_score(view: View, rng: Generator) -> np.ndarray:
    """Unlabelled ids by falling last-known score; those never scored come first, since they may be the best."""
    return ranked(view.pool, np.nan_to_num(view.scores[view.pool], nan=np.inf), rng)


def first(order: np.ndarray, gamma: int | float) -> Preference:
    """The first of an order: a count (int) or a share (float)."""
    count = gamma if isinstance(gamma, int) else round(gamma * len(order))
    return Preference(order, np.arange(len(order)) < count)


UPS = 'Tsvigun et al., "Towards Computationally Feasible Deep Active Learning" (Findings of NAACL 2022), section 4.1'
CANDIDATE_POOLS = Registry(
    "subsampling",
    "subsampling",
    CandidatePool.of,
    {
        "none": candidate_pool(whole),
        "random": candidate_pool(random),
        "naive": candidate_pool(naive, needs_scores=True),
        "ups": candidate_pool(ups, needs_scores=True, source=UPS),
        "seals": seals,
        "anchoral": anchoral,
    },
)
