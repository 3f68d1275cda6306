"""What learners on a Hugging Face encoder share, whatever they train."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs, Labels, likeliest
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.data.tags import kind_of
from al_bench.learners.base import UNWATCHED, BasicLearner, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import dropouts, no_dropout
from al_bench.learners.engine.embedding import Embedder
from al_bench.learners.engine.encoding import Encoded, encode
from al_bench.learners.engine.loading import inspect, last_layer, load_network, set_head_dropout
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

    head_parameters: names of the parameters that each fit draws anew
    fitted_head: those of them that the checkpoint has
    """

    trains_network: ClassVar[bool]  # else its encoder is used as it is

    def __post_init__(self) -> None:
        started, classes = time.perf_counter(), len(self.label_names)
        source, kind = fetch(self.role, self.config), self.kind(self.task)
        with source.reading():
            self.tokenizer, configuration, _ = inspect(source, self.config, self.task, kind, classes)
            self.network, self.head_parameters, self.fitted_head = self.load(source, configuration)
        self.network.to(self.device)
        self.pretrained = self.pristine()
        self.collator = Collator(self.tokenizer, self.network, self.device)
        assert self.config.max_length is not None
        self.max_length = self.config.max_length
        # By id() of the inputs, which stay referenced here so that no other object gets the same id.
        self._encoded: dict[int, tuple[Inputs, Encoded]] = {}
        self._embedder = Embedder(self.network, self.pretrained, self.collator, self.cache)
        self._seconds = {"load": time.perf_counter() - started}
        self._surprisal_seconds: dict[Encoded, float] = {}

    def load(self, source: Source, configuration: Any) -> tuple[Any, frozenset[str], frozenset[str]]:
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

    def encoded(self, inputs: Unlabelled) -> Encoded:
        texts = inputs.inputs
        if id(texts) not in self._encoded:
            self._encoded[id(texts)] = (
                texts,
                encode(texts, self.tokenizer, self.max_length, self.cache, causal=self.collator.causal),
            )
        return self._encoded[id(texts)][1]

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
