"""A candidate pool: a function that prefers some of the unlabelled examples, and what it needs."""

from dataclasses import dataclass

import numpy as np

from al_bench.config.schema import TASKS
from al_bench.plugins import Component


@dataclass(frozen=True)
class Preference:
    """order: all unlabelled ids, most wanted first; drawn: (n,) bool, which of these make up the part"""

    order: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True)
class CandidatePool(Component):
    """A function (view, rng, **settings) -> `Preference`.

    needs: as of a strategy; needs_scores: reads the last-known scores, so that the strategy must give some
    tasks: that it works on; source: the paper
    """

    needs: tuple[str, ...] = ()
    needs_scores: bool = False
    tasks: tuple[str, ...] = TASKS
    source: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("view", "rng")


candidate_pool = CandidatePool.of
