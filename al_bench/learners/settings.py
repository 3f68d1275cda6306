"""Settings of the learners, `ModelConfig.params`; without torch."""

from dataclasses import dataclass

from al_bench.config.schema import of_texts, one_of


@dataclass
class LinearSettings:
    """How a frozen encoder makes a vector of a text."""

    # The mean of its sub-words, or one's state: the class token's, or the last one's (of decoders).
    pooling: str = of_texts(one_of("mean", "cls", "last"))
    prompt: str = of_texts("")  # put before each text, such as "query: "
    normalize: bool = False  # vectors get length one, of texts and of words
