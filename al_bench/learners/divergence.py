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
        raise reject(role, model.name, f"its outputs in cycle {cycle} {DIVERGED}", remedy(role, model)) from error


def remedy(role: str, model: ModelConfig) -> str:
    precision = "set precision=float32 if it is not"
    if {"training", "training.learning_rate"}.isdisjoint(LEARNERS[model.learner].reads):
        return f"{precision}, or choose another {role}"
    return f"lower {role}.training.learning_rate, or {precision}"
