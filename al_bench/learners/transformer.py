"""A Hugging Face encoder with a classification head, over texts or over words."""

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
from al_bench.learners.engine.collation import Collator, Work
from al_bench.learners.engine.embedding import Embedder, of_every_word
from al_bench.learners.engine.encoding import Encoded, Encodings
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.graphs import stepper
from al_bench.learners.engine.inference import parts, predict
from al_bench.learners.engine.influence import self_influence
from al_bench.learners.engine.loading import load_network, load_tokenizer, refuse_length, set_head_dropout
from al_bench.learners.engine.stepping import Examples
from al_bench.learners.engine.training import train
from al_bench.learners.engine.ways import Ways
from al_bench.learners.engine.weights import locate, readable
from al_bench.learners.predictions import Predictions
from al_bench.seeds import number, stream


class TransformerLearner:
    """Fits from the pretrained weights, of which it keeps a pristine copy in memory.

    role: the config key it was built from, for messages
    label_names: classes, or IOB2 tags
    cache: folder of encoded corpora shared between runs, or None
    ways: the fast ways that may be taken where they are found to be right
    Raises `UserError` where the model cannot be loaded; that it is the pinned one, `weights.identify` checks.
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
        ways: Ways = Ways(),  # noqa: B008
    ) -> None:
        self.config, self.task, self.label_names = model, task, label_names
        self.device, self.precision, self.cache = device, precision, cache
        source, revision = locate(role, model)
        with readable(role, source, revision):
            self._tokenizer = load_tokenizer(role, source, revision, task)
            self._network, self._fresh = load_network(role, source, revision, model, task, len(label_names))
        refuse_length(role, model, self._network)
        assert model.max_length is not None
        assert model.training.dropout is not None
        set_head_dropout(self._network, model.training.dropout)
        self._network.to(device)
        self._pristine = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self._collator = Collator.of(self._tokenizer, self._network, device)
        # The checks must not depend on the head that the library has just drawn at random.
        self._reset(FitSeeds(model=0, order=0, cycle=0))
        self.forward = Forward(
            self._network,
            len(label_names),
            task == "tagging",
            self._collator,
            precision,
            ways,
            model.max_length,
        )
        self._stepper = stepper(self.forward, model.training, ways.graphs)
        self._encodings = Encodings(self._tokenizer, model.max_length, cache)
        self._embedder = Embedder(self._network, self._pristine, self._collator, cache)
        self._fits = 0

    @property
    def computes(self) -> str:
        return ", ".join([*self.forward.taken, *self._stepper.taken]) or "as the library does"

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
        self._reset(seeds)
        self._fits += 1
        model = TransformerModel(self, self._fits)
        if weights is not None:
            weights = (weights / weights.mean()).astype(np.float32)
        examples = Examples(self.encoded(inputs), ids, labels, weights)
        settings = self.config.training
        assert settings.dev_share is not None
        held_out = dev_split(likeliest(labels), settings.dev_share, seeds) if settings.dev_share > 0 else None
        dev_score = None
        if held_out is not None and held_out.any():
            dev = examples.part(np.flatnonzero(held_out))
            examples = examples.part(np.flatnonzero(~held_out))

            def dev_score() -> float:
                said = model.predict(inputs, dev.ids, exact=True)
                scores = evaluate(self.task, self.label_names, likeliest(dev.labels), said.labels())
                return scores[headline(self.task)]

        trained = train(self._stepper, examples, settings, seeds, dev_score, watch)
        model.costs, model.dev_score, model.margins = trained.costs, trained.dev_score, trained.margins
        if model.margins is not None and held_out is not None and held_out.any():
            # Nothing was learned of those held out: they are neither suspicious nor trusted.
            model.margins = np.full(len(ids), model.margins.mean())
            model.margins[~held_out] = trained.margins
        model.checkpoints = trained.checkpoints
        return model

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        encoded = self.encoded(inputs)
        return of_every_word(self._embedder(encoded, self.precision)[ids], encoded, ids)

    @property
    def work(self) -> Work:
        """What was computed so far, in batches and sub-words."""
        return self._collator.work

    def synchronise(self) -> None:
        machine.synchronise(self.device)

    def peak_memory(self) -> int:
        return machine.peak_memory(self.device)

    def _reset(self, seeds: FitSeeds) -> None:
        """Pretrained weights, and a new head drawn from the fit's own stream."""
        self._network.load_state_dict(self._pristine)
        generator = torch.Generator().manual_seed(number(seeds.model, "head", seeds.cycle))
        config = self._network.config
        spread = getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02
        with torch.no_grad():
            for name, parameter in self._network.named_parameters():
                if name not in self._fresh:
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
        self._learner, self._fit = learner, fit

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
        return self_influence(learner._network, examples, learner._collator, self.checkpoints)

    def _current(self) -> TransformerLearner:
        assert self._fit == self._learner._fits, "this model was overwritten by a later fit"
        return self._learner


def dev_split(labels: Labels, share: float, seeds: FitSeeds) -> np.ndarray:
    """(n,) who is held out: a seeded random share, by class where each can spare one; not everybody."""
    n = len(labels)
    rng = stream(seeds.order, "dev_split", seeds.cycle)
    held_out = np.zeros(n, dtype=bool)
    groups = [np.arange(n)]
    if not isinstance(labels, Ragged):
        by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if all(len(members) > 1 and round(share * len(members)) >= 1 for members in by_class):
            groups = by_class
    for members in groups:
        wanted = max(1, round(share * len(members)))
        held_out[rng.permutation(members)[: min(wanted, len(members) - 1)]] = True
    return held_out
