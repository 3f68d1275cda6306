"""Settings of shipped learners, `model.params` of a config; known without torch."""

from dataclasses import dataclass, field

from al_bench.config.schema import at_least, between

ALL_LINEAR = "all-linear"


@dataclass(kw_only=True)
class Lora:
    """Of low-rank adapters (Hu et al. 2022): what they add to a layer is alpha / rank times B A x.

    dropout: of the adapters' inputs
    targets: ends of names of linear layers, or "all-linear" for all in the network's repeated layers
    layers: adapt the last ones only; null: all
    """

    rank: int = at_least(1, "8 is usual", 8)
    alpha: int = at_least(1, "twice the rank is usual", 16)
    dropout: float = between(0, 0.99, "0.1 is usual", 0.1)
    targets: list[str] = field(default_factory=lambda: [ALL_LINEAR])
    layers: int | None = at_least(1, "or null for all layers")
