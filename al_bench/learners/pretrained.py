"""What learners on a Hugging Face encoder share, whatever they train."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from safetensors import safe_open

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import Unlabelled
from al_bench.learners.encoding_learner import EncodingLearner
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import dropouts, no_dropout
from al_bench.learners.engine.embedding import Embedder
from al_bench.learners.engine.encoding import Encoded, encode
from al_bench.learners.engine.loading import inspect, last_layer, load_network, set_head_dropout
from al_bench.learners.engine.surprisal import LanguageModel, surprisal
from al_bench.learners.engine.weights import fetch


@dataclass(eq=False, repr=False)
class PretrainedLearner(EncodingLearner):
    """A network, its tokenizer, and the corpora that they have encoded.

    cache: of encoded corpora and of their vectors
    available: the optimizations to use where the network passes their check
    Raises `UserError` where the model cannot be loaded; `weights.identify` checks that it is the pinned one.

    head_parameters: names of the network's parameters that the checkpoint lacks
    """

    trains_network: ClassVar[bool]  # else its encoder is used as it is

    def __post_init__(self) -> None:
        super().__post_init__()
        started, classes = time.perf_counter(), len(self.label_names)
        source, kind = fetch(self.role, self.config), self.kind(self.task)
        with source.reading():
            self.tokenizer, configuration, _ = inspect(source, self.config, self.task, kind, classes)
            self.network, self.head_parameters = load_network(source, configuration, kind)
        self.network.to(self.device)
        self.pretrained = self.network.state_dict()
        if self.trains_network:
            self.pretrained = {name: weights.clone() for name, weights in self.pretrained.items()}
        self.collator = Collator(self.tokenizer, self.network, self.device)
        self._embedder = Embedder(self.network, self.pretrained, self.collator, self.cache)
        self._seconds = {"load": time.perf_counter() - started}
        self._surprisal_seconds: dict[Encoded, float] = {}

    @classmethod
    def kind(cls, task: str) -> str:
        """The network's, of `loading.KINDS`."""
        return task if cls.trains_network else "encoder"

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        """Reads no weights but their table."""
        source = fetch(role, model)
        with source.reading():
            _, _, network = inspect(source, model, task, cls.kind(task), classes)
            if source.weights.suffix == ".safetensors":
                with safe_open(source.weights, framework="pt"):
                    pass  # a file that was cut is refused
        if not cls.trains_network:
            return
        if "embeddings" in needs:
            last_layer(network, classes)
        if "samples" in needs:
            assert model.training.dropout is not None
            set_head_dropout(network, model.training.dropout)
            if not dropouts(network):
                raise no_dropout(role, model)

    @property
    def overheads(self) -> dict[str, float]:
        return self._seconds

    def _encode(self, inputs: Inputs) -> Encoded:
        return encode(inputs, self.tokenizer, self.max_length, self.cache)

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        encoded = self.encoded(inputs)
        vectors = self._embedder(encoded, self.precision)[0][ids]
        if not isinstance(vectors, Ragged):
            return vectors
        assert encoded.lengths is not None
        offsets = offsets_of(encoded.lengths[ids])
        rows = np.zeros((offsets[-1], vectors.values.shape[1]), dtype=np.float32)
        rows[encoded.places(ids)] = vectors.values
        return Ragged(rows, offsets)

    @cached_property
    def language_model(self) -> LanguageModel:
        started = time.perf_counter()
        model = LanguageModel(fetch(self.role, self.config), self.collator)
        self._seconds["load"] += time.perf_counter() - started
        return model

    def prepare_surprisal(self, encoded: Encoded) -> float:
        """Compute what `surprisal` draws from. Returns the seconds that it takes, or took."""
        if encoded not in self._surprisal_seconds:
            model, started = self.language_model, time.perf_counter()
            model.losses(encoded, self.precision)
            self._surprisal_seconds[encoded] = time.perf_counter() - started
        return self._surprisal_seconds[encoded]

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        encoded = self.encoded(inputs)
        losses = self.language_model.losses(encoded, self.precision)
        return surprisal(losses, encoded.tokens, self.tokenizer.all_special_ids, ids, seed, self.max_length)
