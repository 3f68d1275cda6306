"""A recurrent network over words and their characters with a CRF: a learner for tagging (Lample et al. 2016)."""

from dataclasses import dataclass

import numpy as np

from al_bench.learners import settings
from al_bench.learners.engine.sequence import CrfForward, CrfStepper
from al_bench.learners.engine.word_networks import BilstmCrf, Letters, WordNetwork, WordTable
from al_bench.learners.words import WordLearner


@dataclass(eq=False, repr=False)
class BilstmCrfLearner(settings.BilstmCrf, WordLearner):
    """Characters by convolutions, as in Ma and Hovy 2016.

    Its probabilities are marginals, its labels those of the best paths. Strategies see marginals: `mnlp` of a sentence
    is the mean of its words' own log-probabilities, and not the best path's. With an encoder's table a word has the
    mean of its sub-words.
    """

    title = "a BiLSTM-CRF"
    running, stepping = CrfForward, CrfStepper

    def new_network(self, table: WordTable, split: np.ndarray) -> WordNetwork:
        assert self.config.training.dropout is not None
        letters = Letters(self.lexicon, split, self.characters, self.character_filters)
        facts = (self.hidden, self.layers, len(self.label_names), self.config.training.dropout)
        return BilstmCrf(table, letters, *facts)
