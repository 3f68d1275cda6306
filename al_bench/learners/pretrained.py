"""What learners on a Hugging Face encoder share, whatever they train."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import Unlabelled
from al_bench.learners.encoding_learner import EncodingLearner
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import dropouts, no_dropout
from al_bench.learners.engine.embedding import MEAN, Embedder, NetworkEmbedder
from al_bench.learners.engine.encoding import Encoded, encode
from al_bench.learners.engine.loading import inspect, last_layer, load_network, set_head_dropout
from al_bench.learners.engine.optimizations import PACKED
from al_bench.learners.engine.surprisal import LanguageModel, surprisal
from al_bench.learners.engine.weights import Source, fetch


@dataclass(eq=False, repr=False)
class PretrainedLearner(EncodingLearner):
    """A network, its tokenizer, and the corpora that they have encoded.

    cache: of encoded corpora and of their vectors
    available: the optimizations to use where the network passes their check
    Raises `UserError` where the model cannot be loaded; `weights.identify` checks that it is the pinned one.

    head_parameters: names of the parameters that each fit draws anew
    fitted_head: those of them that the checkpoint has
    causal: whether the network is a decoder
    """

    trains_network: ClassVar[bool]  # else its encoder is used as it is

    def __post_init__(self) -> None:
        super().__post_init__()
        started = time.perf_counter()
        self.fitted_head: frozenset[str] = frozenset()
        self.causal = False
        self._load(fetch(self.role, self.config))
        self._seconds = {"load": time.perf_counter() - started}
        self._surprisal_seconds: dict[Encoded, float] = {}

    def _load(self, source: Source) -> None:
        """Tokenizer, network and embedder."""
        classes, kind = len(self.label_names), self.kind(self.task)
        with source.reading():
            self.tokenizer, configuration, _ = inspect(source, self.config, self.task, kind, classes)
            self.network, self.head_parameters, self.fitted_head = self.build(source, configuration)
        self.network.to(self.device)
        self.pretrained = self.pristine()
        self.collator = Collator(self.tokenizer, self.network, self.device)
        self.causal = self.collator.causal
        packs = PACKED in self.available
        self._embedder: Embedder = NetworkEmbedder(
            self.network, self.pretrained, self.collator, self.cache, self._pooling(), packs
        )

    def _pooling(self) -> str:
        """Of the encoder's states of a text."""
        return MEAN

    def build(self, source: Source, configuration: Any) -> tuple[Any, frozenset[str], frozenset[str]]:
        """As `load_network`."""
        return load_network(source, configuration, self.kind(self.task))

    def pristine(self) -> dict[str, torch.Tensor]:
        """The weights before any fit, which no fit changes, by their names in the network."""
        return self.network.state_dict()

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
        if cls.trains_network:
            cls.check_network(role, model, network, classes, needs)

    @classmethod
    def check_network(cls, role: str, model: ModelConfig, network: Any, classes: int, needs: frozenset[str]) -> None:
        """As `check`, of a network without weights."""
        if "embeddings" in needs:
            last_layer(network, classes)
        if "samples" in needs:
            assert model.training.dropout is not None
            set_head_dropout(network, model.training.dropout)
            if not dropouts(network):
                raise no_dropout(role, model, network)

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.fitted_head:
            return ()
        return (f"brings a fitted head ({', '.join(sorted(self.fitted_head)[:3])}), which is drawn anew",)

    @property
    def overheads(self) -> dict[str, float]:
        return self._seconds

    def _encode(self, texts: Inputs) -> Encoded:
        return encode(self._read(texts), self.tokenizer, self.max_length, self.cache, causal=self.causal)

    def _read(self, inputs: Inputs) -> Inputs:
        """What the tokenizer is given."""
        return inputs

    def _vectors(self, encoded: Encoded, ids: np.ndarray, precision: str) -> np.ndarray | Ragged:
        """By the encoder as it comes: (n, width) of texts; of sentences a row for each surviving word."""
        return self._embedder(encoded, precision)[0][ids]

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        encoded = self.encoded(inputs)
        vectors = self._vectors(encoded, ids, self.precision)
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
