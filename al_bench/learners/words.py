"""What learners share whose networks look words up in a table of vectors."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs
from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import no_dropout
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.lexicon import Lexicon
from al_bench.learners.engine.training import Examples, Stepper
from al_bench.learners.engine.vector_files import read_vectors
from al_bench.learners.engine.vectors import FileVectors, RandomVectors, SubwordTable, Vectors, inspect_table
from al_bench.learners.engine.weights import fetch
from al_bench.learners.engine.word_networks import WordNetwork, WordTable
from al_bench.learners.families import LEARNERS
from al_bench.learners.network import NetworkLearner
from al_bench.learners.settings import WordVectors
from al_bench.seeds import number


@dataclass(eq=False, repr=False)
class WordLearner(WordVectors, NetworkLearner):
    """Each fit draws a new network. It computes in float32 whatever the precision of the run."""

    title: ClassVar[str]  # of the network, for the user
    running: ClassVar[type[Forward]] = Forward
    stepping: ClassVar[type[Stepper]] = Stepper

    def __post_init__(self) -> None:
        super().__post_init__()
        started = time.perf_counter()
        self.lexicon = Lexicon(self._source(), self.lowercase)
        self.collator = Collator(self.lexicon, torch.nn.Module(), self.device)
        self.network: WordNetwork | None = None
        self._seconds = {"load": time.perf_counter() - started}

    def _source(self) -> Vectors:
        if self.vectors is not None:
            return FileVectors(f"{self.role}.params.vectors", self.vectors)
        if LEARNERS[self.config.learner].has_source(self.config):
            return SubwordTable(self.role, self.config, self.task)
        return RandomVectors(self.width)

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        if model.params["vectors"] is not None:
            read_vectors(f"{role}.params.vectors", model.params["vectors"])
        elif LEARNERS[model.learner].has_source(model):
            with fetch(role, model).reading():
                inspect_table(role, model, task)
        if "samples" in needs and not model.training.dropout:
            raise no_dropout(role, model)

    @property
    def computes(self) -> str:
        known = self.lexicon.known[1:]
        if not known.any():
            return f"{self.title}, random vectors of {len(known):,} words"
        return f"{self.title}, vectors for {known.mean():.0%} of {len(known):,} words"

    @property
    def overheads(self) -> dict[str, float]:
        return self._seconds

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        return self.encoded(inputs).seconds

    def _encode(self, inputs: Inputs) -> Encoded:
        encoded = self.lexicon.encode(inputs, self.max_length)
        if self.network is not None:
            self.network.extend(self.lexicon)
        return encoded

    def start(self, examples: Examples, seeds: FitSeeds) -> None:
        """The vocabulary is that of the split that the examples are of, labelled or not."""
        split = examples.encoded.tokens
        with torch.random.fork_rng([]):
            torch.manual_seed(number(seeds.model, "head", seeds.cycle))
            table = WordTable(self.lexicon, split.values, split[examples.ids].values, self.freeze)
            self.network = self.new_network(table, split.values).to(self.device)
        tagging, plain = self.task == "tagging", frozenset[str]()
        self.forward = self.running(self.network, tagging, self.collator, "float32", plain, self.max_length)
        self.stepper = self.stepping(self.forward, self.config.training)

    def new_network(self, table: WordTable, split: np.ndarray) -> WordNetwork:
        """With random weights, on the host. split: spellings of the training split"""
        raise NotImplementedError
