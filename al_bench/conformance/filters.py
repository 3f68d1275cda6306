"""What a filter of pseudo-labels promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from al_bench.config.schema import TASKS, FilterConfig
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.conformance.synthetic import SyntheticLearner, corpus_of, frozen
from al_bench.data.ragged import Ragged, values_of
from al_bench.errors import known
from al_bench.filters import FILTERS, own_params, suspicion
from al_bench.filters.opinions import of_confidence
from al_bench.filters.protocol import SHARED, Chain, Filter, Suspicion
from al_bench.learners.base import FitSeeds, Unlabelled, Watch

TRUSTED, SEEDS = 20, FitSeeds(0, 0, 0)


@dataclass(frozen=True)
class Subject:
    """A filter with its settings."""

    chosen: FilterConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        FILTERS[name]
        shared = {key: value for key, value in params.items() if key in SHARED}
        chosen = FilterConfig(name, params={key: v for key, v in params.items() if key not in SHARED}, **shared)
        chosen.params = own_params(chosen, "params")
        return cls(chosen)

    @property
    def filter(self) -> Filter:
        return FILTERS[self.chosen.by]

    def chains(self, needs: tuple[str, ...] | None = None) -> Iterator[Chain]:
        """One of each task. needs: what it may look at, in place of what it declares"""
        for task in TASKS:
            yield chain_of(task, self.filter.needs if needs is None else needs)


def chain_of(task: str, needs: tuple[str, ...]) -> Chain:
    """Pseudo-labels of a weak model, of which some are wrong, beside a few trusted labels."""
    corpus = corpus_of(task)
    learner, inputs = SyntheticLearner(task, len(corpus.label_names)), Unlabelled(corpus.train.inputs)
    trusted, ids = np.arange(TRUSTED), np.arange(TRUSTED, len(corpus.train))
    gold = corpus.train.labels[trusted]
    predictions = learner.fit(inputs, trusted, gold, SEEDS).predict(inputs, ids)
    labels = predictions.labels()
    both = _joined(gold, labels)
    watched = learner.fit(inputs, np.arange(len(corpus.train)), both, SEEDS, watch=Watch(3, True))
    assert watched.margins is not None
    evidence: dict[str, Any] = {
        "doubt": of_confidence(predictions),
        "verifier": learner.fit(inputs, trusted[::2], gold[trusted[::2]], SEEDS).predict(inputs, ids),
        "fit": watched,
        "influence": watched.influence(inputs, ids, labels),
        "margins": watched.margins[ids],
        "pretrained": (learner.embed(inputs, trusted), learner.embed(inputs, ids)),
    }
    for value in (evidence["doubt"], evidence["influence"], evidence["margins"], evidence["verifier"].probs, labels):
        frozen(value)
    words = frozen(corpus.train.words[ids])
    return Chain(
        task, corpus.label_names, inputs, frozen(ids), labels, words, frozen(trusted), frozen(gold), 0.8,
        {need: evidence[need] for need in needs},
    )  # fmt: skip


def _joined(gold: Any, labels: Any) -> Any:
    values = np.concatenate([values_of(gold), values_of(labels)])
    if not isinstance(gold, Ragged):
        return values
    return Ragged(values, np.concatenate([gold.offsets, gold.offsets[-1] + labels.offsets[1:]]))


def suspects(subject: Subject) -> None:
    """Gives each label in question a suspicion, and a verdict where it says that it contradicts labels."""
    for chain in subject.chains():
        suspicion(subject.chosen, chain)


def says_what_it_is(subject: Subject) -> None:
    """Tells its settings as JSON, its summary and its code."""
    require_description(subject.filter, subject.chosen.params)
    FILTERS.code(subject.chosen.by)


def gives_the_same(subject: Subject) -> None:
    """Says the same of the same labels, however often."""
    for chain in subject.chains():
        if not _alike(suspicion(subject.chosen, chain), suspicion(subject.chosen, chain)):
            raise Broken(f"says something else each time ({chain.task})", "draw nothing, and keep no state")


def needs_what_it_declares(subject: Subject) -> None:
    """Needs all that it declares, and nothing else."""
    needs = subject.filter.needs
    unused = set(needs)
    for number, chain in enumerate(subject.chains()):
        expected = suspicion(subject.chosen, chain)
        for need in [*unused]:
            fewer = [*subject.chains(tuple(one for one in needs if one != need))][number]
            try:
                same = _alike(suspicion(subject.chosen, fewer), expected)
            except Exception:  # whatever happens where a thing is not there that is needed
                same = False
            if not same:
                unused.remove(need)
    if unused:
        raise Broken(f"never looks at {known(unused)}", "leave it out of `needs`, since it costs time")


def is_no_constant(subject: Subject) -> None:
    """Suspects some labels more than others."""
    for chain in subject.chains():
        if len(np.unique(suspicion(subject.chosen, chain).score)) == 1:
            raise Broken(f"suspects all labels alike ({chain.task})", "give the more suspicious ones higher scores")


def _alike(one: Suspicion, other: Suspicion) -> bool:
    return np.array_equal(one.score, other.score) and np.array_equal(one.contradicts, other.contradicts)  # type: ignore[arg-type]


SUITE = Suite(FILTERS, Subject.of, (suspects, says_what_it_is, gives_the_same, needs_what_it_declares, is_no_constant))
