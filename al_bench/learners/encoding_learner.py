"""What learners share that number a corpus's words or sub-words once, and may hold out a dev split of each fit."""

from dataclasses import dataclass, field

import numpy as np

from al_bench.data.corpus import Inputs, Labels, likeliest
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged
from al_bench.data.tags import kind_of
from al_bench.learners.base import UNWATCHED, BasicLearner, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.training import Examples
from al_bench.learners.predictions import Predictions
from al_bench.seeds import stream


@dataclass(eq=False, repr=False)
class EncodingLearner(BasicLearner):
    """max_length: of a text, in what `Encoded` counts"""

    max_length: int = field(init=False)

    def __post_init__(self) -> None:
        assert self.config.max_length is not None, "a resolved config"
        self.max_length = self.config.max_length
        # By id() of the inputs, which stay referenced here so that no other object gets the same id.
        self._encoded: dict[int, tuple[Inputs, Encoded]] = {}

    def encoded(self, inputs: Unlabelled) -> Encoded:
        texts = inputs.inputs
        if id(texts) not in self._encoded:
            self._encoded[id(texts)] = texts, self._encode(texts)
        return self._encoded[id(texts)][1]

    def _encode(self, inputs: Inputs) -> Encoded:
        raise NotImplementedError

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
