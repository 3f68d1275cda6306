"""A candidate pool: a function that prefers some of the unlabelled examples, and what it needs."""

from dataclasses import dataclass

import numpy as np

from al_bench.config.schema import TASKS
from al_bench.plugins import Component

SHARED = ("gamma", "temperature")  # settings that `SubsamplingConfig` has for all candidate pools


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
    cost: of a draw, in n unlabelled and m labelled examples
    """

    needs: tuple[str, ...] = ()
    needs_scores: bool = False
    tasks: tuple[str, ...] = TASKS
    source: str = ""
    cost: str = "n log n"

    @property
    def shared(self) -> tuple[str, ...]:
        """Of `SHARED`, what counts for it."""
        return tuple(key for key in SHARED if key in self.parameters)

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("view", "rng")


candidate_pool = CandidatePool.of
