"""Settings of shipped learners, `model.params` of a config; known without torch."""

from dataclasses import dataclass, field

from al_bench.config.schema import at_least, between, of_texts, one_of

ALL_LINEAR = "all-linear"


@dataclass(kw_only=True)
class LinearSettings:
    """How a frozen encoder makes a vector of a text."""

    # The mean of its sub-words, or one's state: the class token's, or the last one's (of decoders).
    pooling: str = of_texts(one_of("mean", "cls", "last"))
    prompt: str = of_texts("")  # put before each text, such as "query: "
    normalize: bool = False  # vectors get length one, of texts and of words


@dataclass(kw_only=True)
class LoraSettings:
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
