"""What an oracle is, and what it answers."""

from dataclasses import dataclass

import numpy as np

from al_bench.config.schema import PLAIN_TAGGING, TASKS
from al_bench.data.corpus import Labels
from al_bench.plugins import Component


@dataclass(frozen=True)
class Answers:
    """What an oracle would say of each example of the training split.

    labels: as the corpus has them, of all examples; known: (n,) bool, False where it abstains
    """

    labels: Labels
    known: np.ndarray


@dataclass(frozen=True)
class Oracle(Component):
    """A function (corpus, rng, **settings) -> `Answers`.

    It is a pure function of the corpus, its settings and the generator, so that a resumed run needs no state of it.
    Asked again, it gets another generator.

    kinds: of corpora that it can label: tasks, or `PLAIN_TAGGING`
    random: whether it draws from the generator, so that a second answer may differ from the first
    files: which settings are paths of files, which count by their content
    """

    kinds: tuple[str, ...] = (*TASKS, PLAIN_TAGGING)
    random: bool = True
    files: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("corpus", "rng")
