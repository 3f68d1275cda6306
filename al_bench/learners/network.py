"""What learners share that train a whole network with the engine."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.encoding_learner import EncodingLearner
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.dropout import Masks, no_dropout
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.inference import parts, samples
from al_bench.learners.engine.influence import self_influence
from al_bench.learners.engine.training import Examples, Stepper, train
from al_bench.learners.predictions import Parts, assembled


class NetworkLearner(EncodingLearner):
    """forward: its network as it is run; stepper: what trains it"""

    network: Any
    collator: Collator
    forward: Forward
    stepper: Stepper
    fits: int = 0  # so far

    def start(self, examples: Examples, seeds: FitSeeds) -> None:
        """Make the network what it is before a fit on these examples, whatever is new in it drawn from the seeds."""
        raise NotImplementedError

    def _fit(self, inputs: Unlabelled, examples: Examples, is_dev: np.ndarray, seeds: FitSeeds, watch: Watch) -> Model:
        self.start(examples, seeds)
        self.fits += 1
        if examples.weights is not None:
            weights = (examples.weights / examples.weights.mean()).astype(np.float32)
            examples = replace(examples, weights=weights)
        fitted, dev = examples.part(~is_dev), examples.part(is_dev)

        def dev_score() -> float:
            return self.dev_score(dev, assembled(parts(self.forward, dev.encoded, dev.ids, exact=True)))

        costs, score, margins, checkpoints = train(
            self.stepper, fitted, self.config.training, seeds, dev_score if len(dev.ids) else None, watch
        )
        if margins is not None:
            # Held-out examples get the mean margin: neither suspicious nor trusted.
            known, margins = margins, np.full(len(is_dev), margins.mean())
            margins[~is_dev] = known
        return NetworkModel(costs, score, margins, self, self.fits, checkpoints)


@dataclass(eq=False)
class NetworkModel(Model):
    """The learner's network after one fit; the learner's next fit overwrites it."""

    learner: NetworkLearner
    fit: int
    checkpoints: tuple[dict[str, torch.Tensor], ...]

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        learner = self._current()
        return parts(learner.forward, learner.encoded(inputs), ids, exact=exact, embeddings=embeddings)

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
        """Masks are those of the network's own dropout, the head's included."""
        learner = self._current()
        masks = Masks(learner.forward.network_of(exact), seed)
        for sampled in samples(learner.forward, learner.encoded(inputs), ids, draws, masks, exact=exact):
            if len(ids) and not masks.used:
                raise no_dropout(learner.role, learner.config, learner.network)
            yield sampled

    def influence(
        self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, *, checkpoints: int | None = None
    ) -> np.ndarray:
        learner = self._current()
        examples = Examples(learner.encoded(inputs), ids, labels)
        watched = self.checkpoints[-checkpoints:] if checkpoints else self.checkpoints
        return self_influence(learner.network, examples, learner.collator, watched)

    def _current(self) -> NetworkLearner:
        assert self.fit == self.learner.fits, "this model was overwritten by a later fit"
        return self.learner
