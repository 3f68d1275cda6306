"""A Hugging Face encoder with a classification head, over texts or over words."""

import time

import torch

from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.graphs import GraphedStepper
from al_bench.learners.engine.loading import set_head_dropout
from al_bench.learners.engine.optimizations import BFLOAT16, GRAPHS, PACKED
from al_bench.learners.engine.training import Examples, Stepper
from al_bench.learners.network import NetworkLearner
from al_bench.learners.pretrained import PretrainedLearner
from al_bench.seeds import number


class TransformerLearner(NetworkLearner, PretrainedLearner):
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

    def start(self, examples: Examples, seeds: FitSeeds) -> None:
        self.reset(seeds)

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
