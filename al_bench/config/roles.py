"""The models of a run by role: the key of the config that a model stands under.

Of the acquisition models there may be several, one after the other: `acquisition`, and by their first cycles those of
`acquisition_from`, the acquisition schedule, such as acquisition_from.5.
"""

from collections.abc import Iterable

from al_bench.config.schema import ModelConfig, RunConfig

ROLES = ("acquisition", "successor", "pseudo_labeler", "verifier")
SCHEDULED = "acquisition_from"


def models_by_role(config: RunConfig) -> dict[str, ModelConfig]:
    """Every model of the config, first those of acquisition."""
    every = {ROLES[0]: config.acquisition}
    every |= {f"{SCHEDULED}.{start}": model for start, model in config.acquisition_from.items()}
    return every | {role: model for role in ROLES[1:] if (model := getattr(config, role)) is not None}


def acquiring(config: RunConfig) -> dict[int, str]:
    """The roles of the acquisition models, by the cycle from which each acquires."""
    return {0: ROLES[0], **{int(start): f"{SCHEDULED}.{start}" for start in config.acquisition_from}}


def start_of(starts: Iterable[int], cycle: int) -> int:
    """The cycle in which the model began that acquires in `cycle`; starts: those of all acquisition models"""
    return max(start for start in starts if start <= cycle)


def acquirer(config: RunConfig, cycle: int) -> tuple[str, ModelConfig]:
    """(role, model) that acquires in a cycle"""
    starts = acquiring(config)
    role = starts[start_of(starts, cycle)]
    return role, models_by_role(config)[role]


def is_acquiring(role: str) -> bool:
    return role.partition(".")[0] in (ROLES[0], SCHEDULED)


def title(role: str) -> str:
    """A role in words."""
    name, _, start = role.partition(".")
    return f"acquisition (from cycle {start})" if name == SCHEDULED else name.replace("_", "-")
