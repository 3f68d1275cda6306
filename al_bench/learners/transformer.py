"""A Hugging Face encoder with a classification head, over texts or over words."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.engine.dropout import Masks, no_dropout
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.graphs import GraphedStepper
from al_bench.learners.engine.inference import parts, samples
from al_bench.learners.engine.influence import self_influence
from al_bench.learners.engine.loading import set_head_dropout
from al_bench.learners.engine.optimizations import BFLOAT16, GRAPHS, PACKED
from al_bench.learners.engine.training import Examples, Stepper, train
from al_bench.learners.predictions import Parts, assembled
from al_bench.learners.pretrained import PretrainedLearner
from al_bench.seeds import number


class TransformerLearner(PretrainedLearner):
    """Fits from the pretrained weights, of which it keeps a pristine copy in memory."""

    trains_network = True

    def __post_init__(self) -> None:
        super().__post_init__()
        started = time.perf_counter()
        settings = self.config.training
        assert settings.dropout is not None
        set_head_dropout(self.network, settings.dropout)
        # The checks must not depend on the head that the library has just drawn at random.
        self.reset(FitSeeds(model=0, order=0, cycle=0))
        self.forward = Forward(
            self.network, self.task == "tagging", self.collator, self.precision, self.available, self.max_length
        )
        kind = GraphedStepper if GRAPHS in self.available else Stepper
        self.stepper: Stepper = kind(self.forward, settings)
        self._seconds["check"] = time.perf_counter() - started
        self._fits = 0

    @property
    def overheads(self) -> dict[str, float]:
        return {**self._seconds, "capture": self.stepper.capture_seconds}

    @property
    def optimizations(self) -> tuple[str, ...]:
        active = self.available - self.forward.rejected.keys()
        return tuple(name for name in (PACKED, BFLOAT16, GRAPHS) if name in active)

    @property
    def computes(self) -> str:
        active = ", ".join(self.optimizations) or "computes as transformers does"
        return "; ".join([active, *(f"no {name}: {reason}" for name, reason in self.forward.rejected.items())])

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        encoded = self.encoded(inputs)
        seconds = encoded.seconds + (self._embedder(encoded, self.precision)[1] if embeddings else 0.0)
        return seconds + (self.prepare_surprisal(encoded) if surprisal else 0.0)

    def _fit(self, inputs: Unlabelled, examples: Examples, is_dev: np.ndarray, seeds: FitSeeds, watch: Watch) -> Model:
        self.reset(seeds)
        self._fits += 1
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
        return TransformerModel(costs, score, margins, self, self._fits, checkpoints)

    def pristine(self) -> dict[str, torch.Tensor]:
        return {name: weights.clone() for name, weights in super().pristine().items()}

    def reset(self, seeds: FitSeeds) -> None:
        """Pretrained weights, and a new head."""
        self.network.load_state_dict(self.pretrained)
        self.draw_head(seeds)

    def draw_head(self, seeds: FitSeeds) -> None:
        """From the fit's own stream."""
        generator = torch.Generator().manual_seed(number(seeds.model, "head", seeds.cycle))
        config = self.network.config
        spread = getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name in self.head_parameters and parameter.dim() > 1:
                    parameter.copy_(torch.empty(parameter.shape).normal_(0.0, spread, generator=generator))
                elif name in self.head_parameters:
                    parameter.fill_(1.0 if name.endswith("weight") else 0.0)


@dataclass(eq=False)
class TransformerModel(Model):
    """The learner's network after one fit; the learner's next fit overwrites it."""

    learner: TransformerLearner
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

    def _current(self) -> TransformerLearner:
        assert self.fit == self.learner._fits, "this model was overwritten by a later fit"
        return self.learner
