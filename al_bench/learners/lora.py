"""A Hugging Face network whose weights are frozen, with low-rank adapters and a head that are trained."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from al_bench.config.schema import ModelConfig
from al_bench.errors import reject
from al_bench.learners.base import FitSeeds
from al_bench.learners.engine.adapters import adapt, draw_adapters, round_frozen, targets_of
from al_bench.learners.engine.weights import Source
from al_bench.learners.settings import LoraSettings
from al_bench.learners.transformer import TransformerLearner
from al_bench.seeds import number


@dataclass(eq=False, repr=False)
class LoraLearner(LoraSettings, TransformerLearner):
    """As the transformer, but that a fit changes the adapters and the head alone, and draws both anew.

    In bfloat16 the frozen linear layers are kept rounded, with half the memory. The fitted model is the one with these
    weights, so predictions with `exact` compute with them, too, but in float32. Embedding tables, norms, adapters and
    head are in float32.
    """

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        if find_spec("peft") is None:
            raise reject(
                f"{role}.learner", model.learner, "needs peft, which is not installed", "pip install al-bench[lora]"
            )
        super().check(role, model, task, classes, needs)

    @classmethod
    def check_network(cls, role: str, model: ModelConfig, network: Any, classes: int, needs: frozenset[str]) -> None:
        settings = LoraSettings(**model.params)
        targets_of(role, network, settings.targets, settings.layers)
        super().check_network(role, model, network, classes, needs - {"samples"} if settings.dropout else needs)

    def build(self, source: Source, configuration: Any) -> tuple[Any, frozenset[str], frozenset[str]]:
        network, head, fitted = super().build(source, configuration)
        targets = targets_of(self.role, network, self.targets, self.layers)
        adapt(network, targets, self.rank, self.alpha, self.dropout, head)
        # Without any effect they are in the hash by which the encoder's vectors are cached.
        draw_adapters(network, torch.Generator().manual_seed(0))
        if self.precision == "bfloat16":
            round_frozen(network)
        return network, head, fitted

    def pristine(self) -> dict[str, torch.Tensor]:
        """Only what is trained needs a copy."""
        trained = {name for name, parameter in self.network.named_parameters() if parameter.requires_grad}
        weights = self.network.state_dict()
        return {name: tensor.clone() if name in trained else tensor for name, tensor in weights.items()}

    def reset(self, seeds: FitSeeds) -> None:
        """A new head and new adapters, each drawn from a stream of the fit's own; all else is as it was."""
        self.draw_head(seeds)
        draw_adapters(self.network, torch.Generator().manual_seed(number(seeds.model, "adapters", seeds.cycle)))
