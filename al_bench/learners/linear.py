"""A linear head on the frozen vectors of a Hugging Face encoder: the cheapest learner."""

import time
from collections.abc import Callable, Iterator
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
    """Logistic regression on the pretrained encoder's vector of a text (the mean of its sub-words) or of a word.

    The features are standardised over the whole split that is fitted on, labelled or not: no label is involved.
    Of `model.training` only `dev_share` counts, and only the dev split is random.

    Arguments and errors are those of `TransformerLearner`. cache: of encoded corpora and of their vectors
    available: unused, since embeddings are computed as transformers does
    """

    computes = "a linear head on frozen embeddings"
    optimizations: tuple[str, ...] = ()

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
        self.overheads = {"load": time.perf_counter() - started}

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
        held_out = dev_split(likeliest(labels), self.config.training.dev_share, seeds)
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
            labels = model.predict(inputs, dev.ids).labels()
            scores = evaluate(self.task, self.label_names, likeliest(dev.labels), labels)
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
        """exact: on vectors in float32, which a run in another precision computes at their first use."""
        return assembled(list(self.parts(inputs, ids, exact=exact, embeddings=embeddings)))

    def parts(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Iterator[tuple[np.ndarray, Predictions]]:
        encoded = self.learner.encoded(inputs)
        assert encoded.firsts is None or not embeddings, "embeddings are of texts"
        precision = "float32" if exact else self.learner.precision
        for block in _blocks(len(ids)):
            x = self.scaling(self.learner.vectors(encoded, ids[block], precision))
            probs = softmax(self.head.logits(x))
            yield block, as_predictions(encoded, ids[block], probs, x if embeddings else None)

    def influence(self, inputs: Unlabelled, ids: np.ndarray, labels: Labels) -> np.ndarray:
        """In closed form, in the parameters that were fitted: the head's."""

        def norms(x: np.ndarray, logits: np.ndarray, target: np.ndarray, count: np.ndarray) -> np.ndarray:
            return gradient_norms(x, softmax(logits) - distributions(target, logits.shape[1]), count)

        return self._of_each(Examples(self.learner.encoded(inputs), ids, labels), norms)

    def margins_of(self, examples: Examples) -> np.ndarray:
        """(n,) of each example's label; of a sentence the mean over its words, 0 where none survived."""

        def sums(x: np.ndarray, logits: np.ndarray, target: np.ndarray, count: np.ndarray) -> np.ndarray:
            owners = np.repeat(np.arange(len(count)), count)
            return np.bincount(owners, weights=unit_margins(logits, target), minlength=len(count))

        return self._of_each(examples, sums)

    def _of_each(self, examples: Examples, compute: Callable[..., np.ndarray]) -> np.ndarray:
        """(n,) `compute(features, logits, targets, units of each example)`, divided by the number of units."""
        values = []
        for block in _blocks(len(examples.ids)):
            part = examples.part(block)
            x = self.scaling(self.learner.vectors(part.encoded, part.ids, self.learner.precision))
            count = np.bincount(units(part), minlength=len(part.ids))
            values.append(compute(x, self.head.logits(x), targets(part), count) / np.maximum(count, 1))
        return np.concatenate(values)


def _blocks(n: int) -> list[np.ndarray]:
    """Positions of examples whose features are in memory together; at least one block, if an empty one."""
    return np.array_split(np.arange(n), max(1, -(-n // BLOCK)))


def _flat(vectors: np.ndarray | Ragged) -> np.ndarray:
    return vectors.values if isinstance(vectors, Ragged) else vectors
