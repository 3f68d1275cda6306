"""Which parts of the acquisition model a run needs: the encoder, and a fit in every cycle. Decided here for all."""

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.acquisition.view import FITTED
from al_bench.config.schema import RunConfig


def query_needs(config: RunConfig) -> frozenset[str]:
    """Of `view.NEEDS`, what the strategy and the candidate pool look at."""
    return frozenset(STRATEGIES[config.strategy.name].needs) | frozenset(CANDIDATE_POOLS[config.subsampling.name].needs)


def seed_needs(config: RunConfig) -> frozenset[str]:
    """What the selection of the seed set looks at: of `view.PRETRAINED`, since nothing is fitted before it."""
    return frozenset(STRATEGIES[config.schedule.seed_by].needs)


def cycle_needs(config: RunConfig) -> frozenset[str]:
    """What a cycle looks at: the selection of its query, and relabelling, which fits models, too."""
    relabelling = frozenset() if config.relabel.action == "none" else frozenset({"predictions"})
    return query_needs(config) | relabelling


def needs_of(config: RunConfig, start: int = 0) -> frozenset[str]:
    """What is looked at of the acquisition model that begins in cycle `start`; the first selects the seed set, too."""
    return cycle_needs(config) | (seed_needs(config) if start == 0 else frozenset())


def acquires(config: RunConfig) -> bool:
    """Whether the run loads an acquisition model: neither a replay nor selections without needs do."""
    return config.replay is None and bool(needs_of(config))


def fits(config: RunConfig) -> bool:
    """Whether it also fits that model in every cycle; an encoder as it comes needs no fit."""
    return config.replay is None and not needs_of(config).isdisjoint(FITTED)
