"""A Hugging Face encoder with a classification head, over texts or over words."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Labels, likeliest
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Unlabelled, Watch
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.embedding import Embedder, of_every_word
from al_bench.learners.engine.encoding import Encoded, Encodings
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.graphs import GraphedStepper
from al_bench.learners.engine.inference import parts, predict
from al_bench.learners.engine.influence import self_influence
from al_bench.learners.engine.loading import load_network, load_tokenizer, refuse_length, set_head_dropout
from al_bench.learners.engine.optimizations import GRAPHS
from al_bench.learners.engine.stepping import Examples, Stepper
from al_bench.learners.engine.training import train
from al_bench.learners.engine.weights import locate, readable
from al_bench.learners.predictions import Predictions
from al_bench.seeds import number, stream


class TransformerLearner:
    """Fits from the pretrained weights, of which it keeps a pristine copy in memory.

    role: the config key it was built from, for messages
    label_names: classes, or IOB2 tags
    cache: folder of encoded corpora shared between runs, or None
    available: the optimizations to use where the network passes their check
    head_parameters: names of the network's parameters that the checkpoint lacks
    Raises `UserError` where the model cannot be loaded; `weights.identify` checks that it is the pinned one.
    """

    def __init__(
        self,
        role: str,
        model: ModelConfig,
        task: str,
        label_names: tuple[str, ...],
        device: torch.device,
        precision: str,
        cache: Path | None = None,
        available: frozenset[str] = frozenset(),
    ) -> None:
        started = time.perf_counter()
        self.config, self.task, self.label_names = model, task, label_names
        self.device, self.precision, self.cache = device, precision, cache
        source, revision = locate(role, model)
        with readable(role, source, revision):
            self.tokenizer = load_tokenizer(role, source, revision, task)
            self.network, self.head_parameters = load_network(
                role, source, revision, model, task, len(label_names)
            )
        refuse_length(role, model, self.network)
        assert model.max_length is not None
        assert model.training.dropout is not None
        set_head_dropout(self.network, model.training.dropout)
        self.network.to(device)
        self.pretrained = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.collator = Collator.of(self.tokenizer, self.network, device)
        # The checks must not depend on the head that the library has just drawn at random.
        self.reset(FitSeeds(model=0, order=0, cycle=0))
        loaded = time.perf_counter()
        self.forward = Forward(
            self.network,
            len(label_names),
            task == "tagging",
            self.collator,
            precision,
            available,
            model.max_length,
        )
        kind = GraphedStepper if GRAPHS in available else Stepper
        self.stepper: Stepper = kind(self.forward, model.training)
        self._seconds = {"load": loaded - started, "check": time.perf_counter() - loaded}
        self._encodings = Encodings(self.tokenizer, model.max_length, cache)
        self._embedder = Embedder(self.network, self.pretrained, self.collator, cache)
        self._fits = 0

    @property
    def optimizations(self) -> tuple[str, ...]:
        return (*self.forward.optimizations, *self.stepper.optimizations)

    @property
    def computes(self) -> str:
        active = ", ".join(self.optimizations) or "computes as transformers does"
        rejected = {**self.forward.rejected, **self.stepper.rejected}
        return "; ".join([active, *(f"no {name}: {reason}" for name, reason in rejected.items())])

    @property
    def overheads(self) -> dict[str, float]:
        return {**self._seconds, "capture": self.stepper.capture_seconds}

    def prepare(self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False) -> float:
        encoded = self.encoded(inputs)
        return encoded.seconds + (self._embedder.seconds(encoded, self.precision) if embeddings else 0.0)

    def encoded(self, inputs: Unlabelled) -> Encoded:
        """The inputs as arrays."""
        return self._encodings(inputs.inputs)

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> "TransformerModel":
        self.reset(seeds)
        self._fits += 1
        model = TransformerModel(self, self._fits)
        if weights is not None:
            weights = (weights / weights.mean()).astype(np.float32)
        examples = Examples(self.encoded(inputs), ids, labels, weights)
        settings = self.config.training
        held_out = dev_split(likeliest(labels), settings.dev_share, seeds)
        fitted, dev = (examples.part(np.flatnonzero(chosen)) for chosen in (~held_out, held_out))

        def dev_score() -> float:
            predictions = model.predict(inputs, dev.ids, exact=True)
            scores = evaluate(self.task, self.label_names, likeliest(dev.labels), predictions.labels())
            return scores[headline(self.task)]

        trained = train(self.stepper, fitted, settings, seeds, dev_score if len(dev.ids) else None, watch)
        model.costs, model.dev_score, model.margins = trained.costs, trained.dev_score, trained.margins
        if model.margins is not None:
            # Held-out examples get the mean margin: neither suspicious nor trusted.
            model.margins = np.full(len(ids), model.margins.mean())
            model.margins[~held_out] = trained.margins
        model.checkpoints = trained.checkpoints
        return model

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        encoded = self.encoded(inputs)
        return of_every_word(self._embedder(encoded, self.precision)[ids], encoded, ids)

    def synchronise(self) -> None:
        machine.synchronise(self.device)

    def peak_memory(self) -> int:
        return machine.peak_memory(self.device)

    def reset(self, seeds: FitSeeds) -> None:
        """Pretrained weights, and a new head drawn from the fit's own stream."""
        self.network.load_state_dict(self.pretrained)
        generator = torch.Generator().manual_seed(number(seeds.model, "head", seeds.cycle))
        config = self.network.config
        spread = getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name not in self.head_parameters:
                    continue
                if parameter.dim() > 1:
                    drawn = torch.empty(parameter.shape).normal_(0.0, spread, generator=generator)
                    parameter.copy_(drawn)
                else:
                    parameter.fill_(1.0 if name.endswith("weight") else 0.0)


class TransformerModel:
    """The learner's network after one fit; the learner's next fit overwrites it."""

    costs: FitCosts
    dev_score: float | None
    margins: np.ndarray | None
    checkpoints: tuple[dict[str, torch.Tensor], ...]

    def __init__(self, learner: TransformerLearner, fit: int) -> None:
        self.learner, self._fit = learner, fit

    def predict(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Predictions:
        learner = self._current()
        return predict(learner.forward, learner.encoded(inputs), ids, exact=exact, embeddings=embeddings)

    def parts(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Iterator[tuple[np.ndarray, Predictions]]:
        learner = self._current()
        return parts(learner.forward, learner.encoded(inputs), ids, exact=exact, embeddings=embeddings)

    def influence(self, inputs: Unlabelled, ids: np.ndarray, labels: Labels) -> np.ndarray:
        learner = self._current()
        examples = Examples(learner.encoded(inputs), ids, labels)
        return self_influence(learner.network, examples, learner.collator, self.checkpoints)

    def _current(self) -> TransformerLearner:
        assert self._fit == self.learner._fits, "this model was overwritten by a later fit"
        return self.learner


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
