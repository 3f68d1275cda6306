"""A linear head on the frozen vectors of a Hugging Face encoder: the cheapest learner."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import softmax

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs, Labels
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.errors import reject
from al_bench.learners.base import FitCosts, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.engine.dropout import feature_mask
from al_bench.learners.engine.embedding import FIRST, LAST, MEAN
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.inference import as_predictions
from al_bench.learners.engine.loading import class_token_at, inspect
from al_bench.learners.engine.regression import Head, Scaling, fit_head, gradient_norms, unit_rows
from al_bench.learners.engine.static import load_table
from al_bench.learners.engine.surprisal import no_head
from al_bench.learners.engine.training import Examples, mean_margins, targets, units
from al_bench.learners.engine.weights import Source, fetch
from al_bench.learners.predictions import Parts
from al_bench.learners.pretrained import PretrainedLearner
from al_bench.learners.settings import LinearSettings

BLOCK = 4096  # examples whose features are in memory together
DROPOUT = 0.1  # of features, in samples; as in the hidden layers of most encoders


@dataclass(eq=False, repr=False, kw_only=True)
class LinearLearner(PretrainedLearner):
    """Logistic regression on the pretrained encoder's vector of a text or of a word (the state of its first sub-word).

    The encoder may be a table of vectors (`engine/static.py`); a text, or a word, then is the mean of its sub-words.
    The features are standardised over the whole split that is fitted on, labelled or not: no label is involved.
    Of `model.training` only `dev_share` counts, and only the dev split is random. Of the optimizations that are
    available it packs the batches that it embeds.

    pooling, prompt, normalize: see `LinearSettings`
    """

    trains_network = False
    pooling: str = "mean"
    prompt: str = ""
    normalize: bool = False
    _scalings: dict[Encoded, tuple[Scaling, float]] = field(init=False, default_factory=dict)

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        source, settings = fetch(role, model), LinearSettings(**model.params)
        with source.reading():
            if not source.is_table:
                super().check(role, model, task, classes, needs)
                tokenizer, _, _ = inspect(source, model, task, cls.kind(task), classes)
                if settings.pooling == "cls" and class_token_at(tokenizer) is None:
                    remedy = f"set {role}.params.pooling to mean or last"
                    raise reject(f"{role}.params.pooling", "cls", "its tokenizer adds no class token", remedy)
                return
            load_table(source, task, None)
        if "surprisal" in needs:
            raise no_head(source)
        if settings.pooling != "mean":
            broken = f"{model.name} is a table of vectors, which has no states of its own"
            raise reject(f"{role}.params.pooling", settings.pooling, broken, "set it to mean")
        if model.num_hidden_layers is not None:
            broken = f"{model.name} is a table of vectors, without layers"
            raise reject(f"{role}.num_hidden_layers", model.num_hidden_layers, broken, "set it to null")

    def _load(self, source: Source) -> None:
        self._is_table = source.is_table
        if not self._is_table:
            super()._load(source)
            return
        with source.reading():
            self.tokenizer, self._embedder = load_table(source, self.task, self.cache)
        self.precision = "float32"  # a table is computed in no other

    def _pooling(self) -> str:
        if self.pooling == "cls":
            return FIRST if class_token_at(self.tokenizer) == 0 else LAST
        return {"mean": MEAN, "last": LAST}[self.pooling]

    def _read(self, inputs: Inputs) -> Inputs:
        return [f"{self.prompt}{text}" for text in inputs] if self.prompt else inputs

    @property
    def computes(self) -> str:
        return f"a linear head on {'a table of vectors' if self._is_table else 'frozen embeddings'}"

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        encoded = self.encoded(inputs)
        precisions = {self.precision, "float32"} if exact else {self.precision}
        embedding = sum(self._embedder(encoded, precision)[1] for precision in precisions)
        seconds = encoded.seconds + embedding + self.scaling(encoded)[1]
        return seconds + (self.prepare_surprisal(encoded) if surprisal else 0.0)

    def vectors(self, encoded: Encoded, ids: np.ndarray, precision: str) -> np.ndarray:
        """(units, width) of the texts, or of the surviving words of the sentences, one sentence after another."""
        return values_of(self._vectors(encoded, ids, precision))

    def _vectors(self, encoded: Encoded, ids: np.ndarray, precision: str) -> np.ndarray | Ragged:
        vectors = super()._vectors(encoded, ids, precision)
        return like(vectors, unit_rows(values_of(vectors))) if self.normalize else vectors

    def scaling(self, encoded: Encoded) -> tuple[Scaling, float]:
        """Mean and standard deviation of the split's features, and the seconds that they took."""
        if encoded not in self._scalings:
            vectors = values_of(self._embedder(encoded, self.precision)[0])
            start = time.perf_counter()
            scaling = Scaling.of(vectors, unit_rows if self.normalize else np.asarray)
            self._scalings[encoded] = scaling, time.perf_counter() - start
        return self._scalings[encoded]

    def _fit(self, inputs: Unlabelled, examples: Examples, is_dev: np.ndarray, seeds: FitSeeds, watch: Watch) -> Model:
        # Weights as they are: two is the example twice, against which the regularisation counts for less.
        fitted, dev = examples.part(~is_dev), examples.part(is_dev)
        scaling, _ = self.scaling(examples.encoded)
        head = fit_head(
            scaling(self.vectors(fitted.encoded, fitted.ids, self.precision)),
            targets(fitted),
            None if fitted.weights is None else fitted.weights[units(fitted)],
            len(self.label_names),
            self.config.regularization,
        )
        n, tokens = len(fitted.ids), int(fitted.encoded.tokens.lengths[fitted.ids].sum())
        costs = FitCosts(head.steps, 1, n, n, tokens, parameters=head.weight.size + head.bias.size)
        model = LinearModel(costs, None, None, self, scaling, head)
        if len(dev.ids):
            model.dev_score = self.dev_score(dev, model.predict(inputs, dev.ids))
        if watch.margins:
            model.margins = model.margins_of(examples)
        return model


@dataclass(eq=False)
class LinearModel(Model):
    """A head, which no later fit overwrites.

    margins: at the solution, which is its only epoch and checkpoint, and of held-out examples too
    """

    learner: LinearLearner
    scaling: Scaling
    head: Head

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        """exact: on vectors in float32, which a run in another precision computes at their first use."""
        encoded = self.learner.encoded(inputs)
        for block, x in self._blocks(encoded, ids, "float32" if exact else self.learner.precision):
            probs = softmax(self.head.logits(x), axis=1)
            yield block, as_predictions(encoded, ids[block], probs, x if embeddings else None)

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
        """Masks are of the standardised features, at the rate `DROPOUT`."""
        encoded = self.learner.encoded(inputs)
        masks = [feature_mask("features", draw, self.head.weight.shape[1], DROPOUT, seed) for draw in range(draws)]
        heads = [replace(self.head, weight=self.head.weight * mask) for mask in masks]
        for block, x in self._blocks(encoded, ids, "float32" if exact else self.learner.precision):
            probs = np.stack([softmax(head.logits(x), axis=1) for head in heads], axis=1)
            predictions = as_predictions(encoded, ids[block], probs)
            yield block, predictions.probs, predictions.tokens

    def influence(
        self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, *, checkpoints: int | None = None
    ) -> np.ndarray:
        """In closed form, in the parameters that were fitted: the head's. The solution is the only checkpoint."""
        examples, norms = Examples(self.learner.encoded(inputs), ids, labels), np.zeros(len(ids))
        for block, x in self._blocks(examples.encoded, ids, self.learner.precision):
            part = examples.part(block)
            probs, target = softmax(self.head.logits(x), axis=1), targets(part)
            if target.ndim == 1:
                target = np.eye(probs.shape[1], dtype=np.float32)[target]
            words = np.bincount(units(part), minlength=len(block))
            norms[block] = gradient_norms(x, probs - target, words) / np.maximum(words, 1)
        return norms

    def margins_of(self, examples: Examples) -> np.ndarray:
        """(n,) as `mean_margins`."""
        steps = []
        for block, x in self._blocks(examples.encoded, examples.ids, self.learner.precision):
            part = examples.part(block)
            steps.append((self.head.logits(x), targets(part), block[units(part)]))
        return mean_margins(steps, len(examples.ids))

    def _blocks(self, encoded: Encoded, ids: np.ndarray, precision: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(positions in `ids`, the features of their units), at least one block, if an empty one."""
        for block in np.array_split(np.arange(len(ids)), max(1, -(-len(ids) // BLOCK))):
            yield block, self.scaling(self.learner.vectors(encoded, ids[block], precision))
