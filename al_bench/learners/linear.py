"""A linear head on the frozen vectors of a Hugging Face encoder: the cheapest arm."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
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
from al_bench.learners.engine.inference import as_predictions
from al_bench.learners.engine.loading import load_encoder, load_tokenizer, refuse_length
from al_bench.learners.engine.regression import (
    Head,
    Scaling,
    distributions,
    fit_head,
    gradient_norms,
    softmax,
    unit_margins,
)
from al_bench.learners.engine.stepping import Examples, targets, units
from al_bench.learners.engine.weights import locate, readable
from al_bench.learners.predictions import Predictions, assembled
from al_bench.learners.transformer import dev_split

BLOCK = 4096  # examples whose features are in memory together


class LinearLearner:
    """Logistic regression on what the pretrained encoder makes of a text (its mean sub-word) or of a word.

    The features are standardised over the whole split that is fitted on, labelled or not: no label is involved.
    Of `model.training` it heeds `dev_share` alone, and it draws nothing but the dev split.

    Arguments and errors are those of `TransformerLearner`. cache: of encoded corpora and of their vectors
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
    ) -> None:
        self.config, self.task, self.label_names = model, task, label_names
        self.device, self.precision = device, precision
        source, revision = locate(role, model)
        with readable(role, source, revision):
            tokenizer = load_tokenizer(role, source, revision, task)
            network = load_encoder(role, source, revision, model)
        refuse_length(role, model, network)
        network.to(device)
        assert model.max_length is not None
        self._encodings = Encodings(tokenizer, model.max_length, cache)
        self._embedder = Embedder(
            network, network.state_dict(), Collator.of(tokenizer, network, device), cache
        )
        self._scalings: dict[Encoded, tuple[Scaling, float]] = {}  # with the seconds each took

    @property
    def computes(self) -> str:
        return "a linear head on frozen embeddings"

    def prepare(self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False) -> float:
        encoded = self.encoded(inputs)
        precisions = {self.precision, "float32"} if exact else {self.precision}
        embedding = sum(self._embedder.seconds(encoded, precision) for precision in precisions)
        self.scaling(inputs)
        return encoded.seconds + embedding + self._scalings[encoded][1]

    def encoded(self, inputs: Unlabelled) -> Encoded:
        return self._encodings(inputs.inputs)

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        encoded = self.encoded(inputs)
        return of_every_word(self._embedder(encoded, self.precision)[ids], encoded, ids)

    def vectors(self, encoded: Encoded, ids: np.ndarray, precision: str) -> np.ndarray:
        """(units, width) of the texts, or of the surviving words of the sentences, one sentence after another."""
        return _flat(self._embedder(encoded, precision)[ids])

    def scaling(self, inputs: Unlabelled) -> Scaling:
        """Mean and standard deviation of the split's features."""
        encoded = self.encoded(inputs)
        if encoded not in self._scalings:
            vectors = _flat(self._embedder(encoded, self.precision))
            start = time.perf_counter()
            self._scalings[encoded] = Scaling.of(vectors), time.perf_counter() - start
        return self._scalings[encoded][0]

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> "LinearModel":
        # Weights as they are: two is the example twice, against which the regularisation counts for less.
        examples = Examples(self.encoded(inputs), ids, labels, weights)
        share = self.config.training.dev_share
        assert share is not None
        held_out = np.zeros(len(ids), dtype=bool)
        if share > 0:
            held_out = dev_split(likeliest(labels), share, seeds)
        fitted, dev = (examples.part(np.flatnonzero(chosen)) for chosen in (~held_out, held_out))
        scaling = self.scaling(inputs)
        head = fit_head(
            scaling(self.vectors(fitted.encoded, fitted.ids, self.precision)),
            targets(fitted),
            None if fitted.weights is None else fitted.weights[units(fitted)],
            len(self.label_names),
            self.config.regularization,
        )
        n, tokens = len(fitted.ids), int(fitted.encoded.tokens.lengths[fitted.ids].sum())
        model = LinearModel(self, scaling, head, FitCosts(head.steps, 1, n, n, tokens))
        if len(dev.ids):
            said = model.predict(inputs, dev.ids).labels()
            scores = evaluate(self.task, self.label_names, likeliest(dev.labels), said)
            model.dev_score = scores[headline(self.task)]
        if watch.margins:
            model.margins = model.margins_of(examples)
        return model

    def synchronise(self) -> None:
        machine.synchronise(self.device)

    def peak_memory(self) -> int:
        return machine.peak_memory(self.device)


@dataclass
class LinearModel:
    """A head, which no later fit overwrites.

    margins: at the solution, which is its only epoch and checkpoint, and of held-out examples too
    """

    learner: LinearLearner
    scaling: Scaling
    head: Head
    costs: FitCosts
    dev_score: float | None = None
    margins: np.ndarray | None = None

    def predict(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Predictions:
        """exact: on vectors in float32; in a run of another precision they are computed when first asked for."""
        return assembled(list(self.parts(inputs, ids, exact=exact, embeddings=embeddings)))

    def parts(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Iterator[tuple[np.ndarray, Predictions]]:
        encoded = self.learner.encoded(inputs)
        assert encoded.firsts is None or not embeddings, "embeddings are of texts"
        precision = "float32" if exact else self.learner.precision
        for block in _blocks(np.arange(len(ids))):
            x = self._features(encoded, ids[block], precision)
            probs = softmax(self.head.logits(x))
            yield block, as_predictions(encoded, ids[block], probs, x if embeddings else None)

    def influence(self, inputs: Unlabelled, ids: np.ndarray, labels: Labels) -> np.ndarray:
        """In closed form, in the parameters that were fitted: the head's."""
        examples = Examples(self.learner.encoded(inputs), ids, labels)
        return np.concatenate([self._influence(part) for part in _parts(examples)])

    def margins_of(self, examples: Examples) -> np.ndarray:
        """(n,) of each example's label; of a sentence its words' mean, 0 where none survived."""
        return np.concatenate([self._margins(part) for part in _parts(examples)])

    def _influence(self, part: Examples) -> np.ndarray:
        x = self._features(part.encoded, part.ids, self.learner.precision)
        residual = softmax(self.head.logits(x)) - distributions(targets(part), len(self.head.bias))
        count = np.bincount(units(part), minlength=len(part.ids))
        return gradient_norms(x, residual, count) / np.maximum(count, 1)

    def _margins(self, part: Examples) -> np.ndarray:
        x = self._features(part.encoded, part.ids, self.learner.precision)
        of_units, owners = unit_margins(self.head.logits(x), targets(part)), units(part)
        total = np.bincount(owners, weights=of_units, minlength=len(part.ids))
        return total / np.maximum(np.bincount(owners, minlength=len(part.ids)), 1)

    def _features(self, encoded: Encoded, ids: np.ndarray, precision: str) -> np.ndarray:
        return self.scaling(self.learner.vectors(encoded, ids, precision))


def _blocks(ids: np.ndarray) -> list[np.ndarray]:
    """At least one, if an empty one."""
    return np.array_split(ids, max(1, -(-len(ids) // BLOCK)))


def _parts(examples: Examples) -> list[Examples]:
    return [examples.part(block) for block in _blocks(np.arange(len(examples.ids)))]


def _flat(vectors: np.ndarray | Ragged) -> np.ndarray:
    return vectors.values if isinstance(vectors, Ragged) else vectors
