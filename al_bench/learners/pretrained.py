"""What learners on a Hugging Face encoder share, whatever they train."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from safetensors import safe_open

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs, Labels, likeliest
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.data.tags import kind_of
from al_bench.learners.base import UNWATCHED, BasicLearner, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import dropouts, no_dropout
from al_bench.learners.engine.embedding import MEAN, Embedder, NetworkEmbedder
from al_bench.learners.engine.encoding import Encoded, encode
from al_bench.learners.engine.loading import inspect, last_layer, load_network, set_head_dropout
from al_bench.learners.engine.optimizations import PACKED
from al_bench.learners.engine.surprisal import LanguageModel, surprisal
from al_bench.learners.engine.training import Examples
from al_bench.learners.engine.weights import Source, fetch
from al_bench.learners.predictions import Predictions
from al_bench.seeds import stream


@dataclass(eq=False, repr=False)
class PretrainedLearner(BasicLearner):
    """A network, its tokenizer, and the corpora that they have encoded.

    cache: of encoded corpora and of their vectors
    available: the optimizations to use where the network passes their check
    Raises `UserError` where the model cannot be loaded; `weights.identify` checks that it is the pinned one.

    head_parameters: names of the network's parameters that the checkpoint lacks
    """

    trains_network: ClassVar[bool]  # else its encoder is used as it is

    def __post_init__(self) -> None:
        started = time.perf_counter()
        self._load(fetch(self.role, self.config))
        assert self.config.max_length is not None
        self.max_length = self.config.max_length
        # By id() of the inputs, which stay referenced here so that no other object gets the same id.
        self._encoded: dict[int, tuple[Inputs, Encoded]] = {}
        self._seconds = {"load": time.perf_counter() - started}
        self._surprisal_seconds: dict[Encoded, float] = {}

    def _load(self, source: Source) -> None:
        """Tokenizer, network and embedder."""
        classes, kind = len(self.label_names), self.kind(self.task)
        with source.reading():
            self.tokenizer, configuration, _ = inspect(source, self.config, self.task, kind, classes)
            self.network, self.head_parameters = load_network(source, configuration, kind)
        self.network.to(self.device)
        self.pretrained = self.network.state_dict()
        if self.trains_network:
            self.pretrained = {name: weights.clone() for name, weights in self.pretrained.items()}
        self.collator = Collator(self.tokenizer, self.network, self.device)
        packs = PACKED in self.available
        self._embedder: Embedder = NetworkEmbedder(
            self.network, self.pretrained, self.collator, self.cache, self._pooling(), packs
        )

    def _pooling(self) -> str:
        """Of the encoder's states of a text."""
        return MEAN

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

    def encoded(self, inputs: Unlabelled) -> Encoded:
        texts = inputs.inputs
        if id(texts) not in self._encoded:
            self._encoded[id(texts)] = texts, encode(self._read(texts), self.tokenizer, self.max_length, self.cache)
        return self._encoded[id(texts)][1]

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

    def cut_off(self, inputs: Unlabelled) -> np.ndarray:
        encoded = self.encoded(inputs)
        full = encoded.tokens.lengths >= self.max_length
        if encoded.lengths is None:
            return full
        cut = np.repeat(full, encoded.lengths)
        cut[encoded.places(np.arange(len(encoded)))] = False
        return cut

    def synchronise(self) -> None:
        machine.synchronise(self.device)

    def peak_memory(self) -> int:
        return machine.peak_memory(self.device)

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> Model:
        is_dev = dev_split(likeliest(labels), self.config.training.dev_share, seeds)
        return self._fit(inputs, Examples(self.encoded(inputs), ids, labels, weights), is_dev, seeds, watch)

    def _fit(self, inputs: Unlabelled, examples: Examples, is_dev: np.ndarray, seeds: FitSeeds, watch: Watch) -> Model:
        """is_dev: (n,) bool, which of the examples are held out as the dev split"""
        raise NotImplementedError

    def dev_score(self, dev: Examples, predictions: Predictions) -> float:
        """The headline metric."""
        metrics = evaluate(self.task, self.label_names, likeliest(dev.labels), predictions.labels())
        return metrics[headline(kind_of(self.task, self.label_names))]


def dev_split(labels: Labels, share: float | None, seeds: FitSeeds) -> np.ndarray:
    """(n,) bool, whether held out: a seeded random share, by class where each has enough members; never all."""
    assert share is not None, "training settings are resolved"
    n = len(labels)
    held_out = np.zeros(n, dtype=bool)
    if share == 0:
        return held_out
    rng = stream(seeds.order, "dev_split", seeds.cycle)
    groups = [np.arange(n)]
    if not isinstance(labels, Ragged):
        by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if all(len(members) > 1 and round(share * len(members)) >= 1 for members in by_class):
            groups = by_class
    for members in groups:
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held_out[rng.permutation(members)[:count]] = True
    return held_out
