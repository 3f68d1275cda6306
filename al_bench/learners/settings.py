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


@dataclass(kw_only=True)
class WordVectors:
    """vectors: a file of word2vec's (text, or binary where it ends in .bin) or GloVe's
    width: of random vectors; those of a file, or of an encoder's table, have their own
    freeze: whether they stay as they are at the start of a fit
    lowercase: whether words are; a character keeps its case
    """

    vectors: str | None = None
    width: int = at_least(1, "300 is usual", 300)
    freeze: bool = False
    lowercase: bool = True


@dataclass(kw_only=True)
class Cnn(WordVectors):
    """widths: of the filters, in words; filters: of each width"""

    widths: list[int] = field(default_factory=lambda: [3, 4, 5])
    filters: int = at_least(1, "the paper uses 100", 100)


@dataclass(kw_only=True)
class BilstmCrf(WordVectors):
    """characters: width of their vectors; character_filters: of three characters each
    layers, hidden: of the LSTM, which has `hidden` states in each of the two directions
    """

    width: int = at_least(1, "the paper uses 50", 50)
    characters: int = at_least(1, "the paper uses 25", 25)
    character_filters: int = at_least(1, "the paper uses 128", 128)
    layers: int = at_least(1, "the paper uses 2", 2)
    hidden: int = at_least(1, "the paper uses 200", 200)
