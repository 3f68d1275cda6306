"""Settings of shipped learners, `model.params` of a config; known without torch."""

from dataclasses import dataclass, field

from al_bench.config.schema import at_least


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
