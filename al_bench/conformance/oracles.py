"""What an oracle promises."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from al_bench.acquisition.annotation import Annotator
from al_bench.config.schema import TASKS, OracleConfig
from al_bench.conformance.suite import Broken, Suite, require_description, usable
from al_bench.conformance.synthetic import corpus_of, frozen
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import like, values_of
from al_bench.oracles import ORACLES
from al_bench.oracles.protocol import Oracle

SEEDS = range(6)


@dataclass(frozen=True)
class Subject:
    """An oracle with its settings."""

    chosen: OracleConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        return cls(OracleConfig(name, params=ORACLES[name].typed(params, "params")))

    @property
    def oracle(self) -> Oracle:
        return ORACLES[self.chosen.name]

    def corpora(self) -> list[Corpus]:
        return usable([corpus_of(task) for task in TASKS if task in self.oracle.kinds], self.answers)

    def answers(self, corpus: Corpus, seed: int = 0) -> list[int]:
        """Of all training examples, one after another. Raises `UserError` where they have not the corpus's form."""
        return Annotator(self.chosen, corpus, seed).label(np.arange(len(corpus.train))).tolist()


def answers_in_the_corpus_s_labels(subject: Subject) -> None:
    """Answers for each training example with a label of the corpus, or abstains."""
    for corpus in subject.corpora():
        if not any(label >= 0 for label in subject.answers(corpus)):
            raise Broken(f"knows no label at all ({corpus.task})", "let `known` be true where it has one")


def says_what_it_is(subject: Subject) -> None:
    """Tells its kinds of corpora, its settings as JSON, its summary and its code."""
    require_description(subject.oracle, subject.chosen.params, [kind for kind in subject.oracle.kinds if kind in TASKS])
    ORACLES.code(subject.chosen.name)


def seeds_decide(subject: Subject) -> None:
    """Answers the same from the same generator, and from others something else, if it says that it draws."""
    for corpus in subject.corpora():
        if subject.answers(corpus) != subject.answers(corpus):
            raise Broken(f"answers something else each time ({corpus.task})", "draw from `rng` alone, keep no state")
        differs = len({tuple(subject.answers(corpus, seed)) for seed in SEEDS}) > 1
        if differs and not subject.oracle.random:
            raise Broken(f"draws, though random=False ({corpus.task})", "leave random=False out")
        if not differs and subject.oracle.random:
            remedy = "declare random=False, so that nobody asks it again for another answer"
            raise Broken(f"answers the same from every generator ({corpus.task})", remedy)


def knows_no_test_labels(subject: Subject) -> None:
    """Looks at no label of the test split."""
    for corpus in subject.corpora():
        wrong = (values_of(corpus.test.labels) + 1) % len(corpus.label_names)
        test = replace(corpus.test, labels=frozen(like(corpus.test.labels, wrong)))
        if subject.answers(corpus) != subject.answers(replace(corpus, test=test)):
            raise Broken(f"looks at test labels ({corpus.task})", "look at corpus.train alone")


SUITE = Suite(
    ORACLES, Subject.of, (answers_in_the_corpus_s_labels, says_what_it_is, seeds_decide, knows_no_test_labels)
)
