"""What a candidate pool promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from al_bench.acquisition.subsampling import CANDIDATE_POOLS, CandidatePool, Preference, settings
from al_bench.config.schema import StrategyConfig, SubsamplingConfig
from al_bench.conformance.rounds import Round, rounds, runs_in_the_loop
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.errors import known

STREAMS = range(6)
WITH = StrategyConfig("least_confidence")  # the strategy of the rounds


@dataclass(frozen=True)
class Subject:
    """A candidate pool with its settings."""

    chosen: SubsamplingConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        settings = CANDIDATE_POOLS[name].typed(params, "params")
        shared = {key: settings.pop(key) for key in ("gamma", "temperature") if key in settings}
        return cls(SubsamplingConfig(name, params=settings, **shared))

    @property
    def kind(self) -> CandidatePool:
        return CANDIDATE_POOLS[self.chosen.name]

    def rounds(self, **changes: Any) -> Iterator[Round]:
        return rounds(self.kind.tasks, WITH, self.chosen, **changes)

    def prefer(self, at: Round, stream: int = 0, *, needs: tuple[str, ...] | None = None) -> Preference:
        """needs: what may be looked at, in place of what the candidate pool declares"""
        view = at.view(frozenset(self.kind.needs if needs is None else needs))
        preference = self.kind.call(view, np.random.default_rng(stream), **settings(self.chosen))
        if not isinstance(preference, Preference):
            raise Broken(f"returns {type(preference).__name__}", "return a Preference")
        order, drawn = np.asarray(preference.order), np.asarray(preference.drawn)
        if not np.array_equal(np.sort(order), view.pool):
            remedy = "the query is filled from its end where the drawn part does not suffice"
            raise Broken(f"its order does not hold each unlabelled example once ({at.where})", remedy)
        if drawn.dtype != bool or drawn.shape != order.shape:
            broken = f"drawn is {drawn.dtype} of shape {drawn.shape} ({at.where})"
            raise Broken(broken, "give true or false for each of the order")
        return preference

    def part(self, at: Round, stream: int = 0, **changes: Any) -> list[int]:
        """In the order of preference."""
        preference = self.prefer(at, stream, **changes)
        return preference.order[preference.drawn].tolist()


def prefers_unlabelled_examples(subject: Subject) -> None:
    """Orders all unlabelled examples, and draws some of them."""
    for at in subject.rounds():
        subject.prefer(at)


def says_what_it_is(subject: Subject) -> None:
    """Tells its tasks, its settings as JSON, its summary and its code."""
    require_description(subject.kind, subject.chosen.params, subject.kind.tasks)
    CANDIDATE_POOLS.code(subject.chosen.name)


def seeds_decide(subject: Subject) -> None:
    """Draws the same from the same generator, however often, and from no other one."""
    for at in subject.rounds():
        if subject.part(at) != subject.part(at):
            raise Broken(f"draws something else each time ({at.where})", "draw from `rng` alone, and keep no state")


def ties_are_drawn(subject: Subject) -> None:
    """Draws among equal examples, and does not take them in the order of the corpus."""
    for at in subject.rounds():
        alike = at.of_equal_texts()
        blank = replace(alike.pool, score=np.full_like(alike.pool.score, np.nan))
        alike = replace(alike, state=blank)
        parts = {tuple(sorted(subject.part(alike, stream))) for stream in STREAMS}
        if len(parts) == 1 and 0 < len(next(iter(parts))) < len(alike.pool.unlabelled):
            broken = f"of equal texts, all generators draw the same ones ({at.where})"
            raise Broken(broken, "break ties by `rng`, for example in a random order")


def comes_to_an_end(subject: Subject) -> None:
    """Works where three examples are left, or one."""
    for left in (3, 1):
        for at in subject.rounds(left=left):
            subject.prefer(at)


def knows_no_other_labels(subject: Subject) -> None:
    """Draws the same whatever the labels of unlabelled examples are."""
    for at in subject.rounds():
        if subject.part(at) != subject.part(at.poisoned()):
            broken = f"reads labels that nobody has given ({at.where})"
            raise Broken(broken, "look at view.labels, which are those of view.labelled")


def needs_what_it_declares(subject: Subject) -> None:
    """Needs all that it declares, and nothing else: of the view, and last-known scores."""
    needs = subject.kind.needs
    unused = set(needs) - ({"predictions"} if "embeddings" in needs else set())  # they come together
    reads_scores = False
    for at in subject.rounds():
        part = subject.part(at)
        other = replace(at, state=replace(at.pool, score=at.pool.score[::-1].copy()))
        reads_scores |= subject.part(other) != part
        for need in [*unused]:
            try:
                same = subject.part(at, needs=tuple(one for one in needs if one != need)) == part
            except Exception:  # whatever happens where a thing is not there that is needed
                same = False
            if not same:
                unused.remove(need)
    if unused:
        raise Broken(f"never looks at {known(unused)}", "leave it out of `needs`, since it costs time")
    if reads_scores and not subject.kind.needs_scores:
        raise Broken("reads view.scores, which some strategies do not give", "declare needs_scores=True")
    if subject.kind.needs_scores and not reads_scores:
        raise Broken("never reads view.scores", "leave needs_scores out, which refuses strategies without scores")


SUITE = Suite(
    CANDIDATE_POOLS,
    Subject.of,
    (
        prefers_unlabelled_examples,
        says_what_it_is,
        seeds_decide,
        ties_are_drawn,
        comes_to_an_end,
        knows_no_other_labels,
        needs_what_it_declares,
        runs_in_the_loop,
    ),
)
