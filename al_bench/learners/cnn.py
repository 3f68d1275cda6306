"""Convolutions over word vectors: a learner for classification (Kim 2014)."""

from dataclasses import dataclass

import numpy as np

from al_bench.config.schema import ModelConfig
from al_bench.errors import reject
from al_bench.learners import settings
from al_bench.learners.engine.word_networks import Cnn, WordNetwork, WordTable
from al_bench.learners.words import WordLearner


@dataclass(eq=False, repr=False)
class CnnLearner(settings.Cnn, WordLearner):
    """Of an encoder's table the units are its sub-words."""

    title = "a CNN"

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        widths = model.params["widths"]
        if not widths or min(widths) < 1:
            raise reject(f"{role}.params.widths", widths, "must be whole numbers from 1 on", "[3, 4, 5] is usual")
        super().check(role, model, task, classes, needs)

    def new_network(self, table: WordTable, split: np.ndarray) -> WordNetwork:
        assert self.config.training.dropout is not None
        return Cnn(table, self.widths, self.filters, len(self.label_names), self.config.training.dropout)
