"""Who labels what is queried: oracles, as functions of the corpus and a generator."""

import numpy as np

from al_bench.config.schema import PLAIN_TAGGING
from al_bench.data.corpus import Corpus
from al_bench.oracles.column import Column, column
from al_bench.oracles.difficulty import Difficulty, noisy_hard
from al_bench.oracles.noise import Confusion, Rate, SpanErrors, noisy, noisy_confusion, noisy_spans
from al_bench.oracles.protocol import Answers, Oracle
from al_bench.plugins import Registry


def gold(corpus: Corpus, rng: np.random.Generator) -> Answers:
    """The corpus's own labels."""
    return Answers(corpus.train.labels, np.ones(len(corpus.train), dtype=bool))


oracle = Oracle.of
WORDWISE = ("classification", PLAIN_TAGGING)
ORACLES = Registry(
    "oracle",
    "oracle",
    Oracle.of,
    {
        "gold": oracle(gold, random=False),
        "column": oracle(column, Column, random=False, files=("file",)),
        "noisy": oracle(noisy, Rate, kinds=WORDWISE),
        "noisy_confusion": oracle(noisy_confusion, Confusion, kinds=WORDWISE, files=("file",)),
        "noisy_hard": oracle(noisy_hard, Difficulty, kinds=("classification",)),
        "noisy_spans": oracle(noisy_spans, SpanErrors, kinds=("tagging",)),
    },
)
