"""A model whose outputs are no numbers stops its run in one line: they score nothing, and nothing is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager

from al_bench.config.schema import ModelConfig
from al_bench.errors import reject
from al_bench.learners.families import LEARNERS
from al_bench.learners.predictions import DIVERGED, NotFinite


@contextmanager
def finite_outputs(role: str, model: ModelConfig, cycle: int) -> Iterator[None]:
    """Within, `NotFinite` becomes the line that says whose outputs these are, of which cycle, and what to do."""
    try:
        yield
    except NotFinite as error:
        broken, remedy = verdict(role, model)
        raise reject(role, model.name, f"its outputs in cycle {cycle} {broken}", remedy) from error


def verdict(role: str, model: ModelConfig) -> tuple[str, str]:
    """What is wrong with a model's outputs that are no numbers, and what to do."""
    precision = "set precision=float32 if it is not"
    if {"training", "training.learning_rate"}.isdisjoint(LEARNERS[model.learner].reads):
        return "are not finite", f"{precision}, or choose another model for {role}"
    return DIVERGED, f"lower {role}.training.learning_rate, or {precision}"
