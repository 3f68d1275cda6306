"""What a query strategy promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import Selection, Strategy, refuse_broken
from al_bench.acquisition.view import FITTED
from al_bench.config.schema import TASKS, StrategyConfig
from al_bench.conformance.rounds import Round, config_of, rounds, runs_in_the_loop
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.errors import UserError, known

STREAMS = range(6)


@dataclass(frozen=True)
class Subject:
    """A strategy with its settings."""

    chosen: StrategyConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        return cls(StrategyConfig(name, params=STRATEGIES[name].typed(params, "params")))

    @property
    def strategy(self) -> Strategy:
        return STRATEGIES[self.chosen.name]

    def rounds(self, **changes: Any) -> Iterator[Round]:
        return rounds(self.strategy.tasks, self.chosen, **changes)

    def select(
        self, at: Round, stream: int = 0, *, amount: float | None = None, strategy: Strategy | None = None
    ) -> Selection:
        """Of the round's whole pool. Raises `UserError` where that is no selection.

        amount: of the budget; strategy: another one in place of the strategy, whose needs bind
        """
        view, budget = at.view(frozenset(strategy.needs) if strategy else None), at.budget(amount)
        rng = np.random.default_rng(stream)
        selection = (strategy or self.strategy).select(view, view.pool, budget, rng, at.config.strategy)
        refuse_broken(self.chosen.name, selection.order, view.pool, budget)
        return selection

    def order(self, at: Round, stream: int = 0, **changes: Any) -> list[int]:
        return self.select(at, stream, **changes).order.tolist()


def selects_what_the_budget_buys(subject: Subject) -> None:
    """Selects unlabelled examples, each once, at least as many as the budget buys: in examples and in words."""
    for at in subject.rounds():
        subject.select(at)


def says_what_it_is(subject: Subject) -> None:
    """Tells its tasks, its settings as JSON, its summary and its code."""
    require_description(subject.strategy, subject.chosen.params, subject.strategy.tasks)
    STRATEGIES.code(subject.chosen.name)


def works_on_its_tasks_alone(subject: Subject) -> None:
    """Is refused by a rule on a task that it does not work on."""
    for task in set(TASKS) - set(subject.strategy.tasks):
        try:
            config_of(task, "examples", subject.chosen)
        except UserError as error:
            if f"does not work on {task}" in str(error):
                continue
        raise Broken(f"is not refused on {task}", "mend the rules")


def scores_every_candidate(subject: Subject) -> None:
    """Gives each candidate one finite score, where it gives scores."""
    for at in subject.rounds():
        scores, n = subject.select(at).scores, len(at.pool.unlabelled)
        if scores is None:
            continue
        if np.shape(scores) != (n,):
            raise Broken(f"scores of shape {np.shape(scores)} for {n} candidates ({at.where})", "return one for each")
        if bad := np.count_nonzero(~np.isfinite(scores)):
            raise Broken(f"{bad} of {n} scores are not finite ({at.where})", "look at log(0) and at divisions by 0")


def scores_alone(subject: Subject) -> None:
    """Scores an example the same in whichever part of the pool it comes, where it scores part by part."""
    if subject.strategy.form != "by_score":
        return
    for at in subject.rounds():
        one, other = (np.asarray(subject.select(at, stream).scores) for stream in (0, 1))
        if not np.array_equal(one, other):  # draws
            return
        view = at.view()
        few = view.pool[::3]
        scores = subject.strategy.score(view, few, np.random.default_rng(0), at.config.strategy)
        if not np.allclose(scores, one[::3], rtol=1e-5, atol=1e-7):
            raise Broken(
                f"a score depends on the other examples of the part ({at.where})", "use by_view, which sees all of them"
            )


def seeds_decide(subject: Subject) -> None:
    """Selects the same from the same generator, however often, and draws from no other one."""
    for at in subject.rounds():
        if subject.order(at) != subject.order(at):
            raise Broken(f"selects something else each time ({at.where})", "draw from `rng` alone, and keep no state")


def ties_are_drawn(subject: Subject) -> None:
    """Draws among equal candidates, and does not take them in the order of the corpus."""
    for at in subject.rounds():
        alike = at.of_equal_texts()
        if len({subject.order(alike, stream)[0] for stream in STREAMS}) == 1:
            broken = f"of equal texts, all generators select the same one first ({at.where})"
            raise Broken(broken, "break ties by `rng`, for example in a random order of the candidates")


def refuses_a_diverged_model(subject: Subject) -> None:
    """Hides no NaN of a model whose training diverged."""
    if not set(subject.strategy.needs) & set(FITTED) - {"gold"}:
        return
    for at in subject.rounds(diverged=True):
        try:
            scores = subject.select(at).scores
        except UserError:
            continue
        if scores is None or np.isfinite(scores).all():
            remedy = "let NaN become NaN scores, or look at view.predictions, which refuses them"
            raise Broken(f"selects where all predictions are NaN ({at.where})", remedy)


def comes_to_an_end(subject: Subject) -> None:
    """Selects all where the budget buys more than there is: of the pool, of three candidates, of one."""
    for left in (None, 3, 1):
        for at in subject.rounds(left=left):
            order = subject.order(at, amount=1e6)
            if sorted(order) != at.pool.unlabelled.tolist():
                n = len(at.pool.unlabelled)
                raise Broken(f"orders {len(order)} of the last {n} candidates ({at.where})", "see Budget.completed")
    for at in subject.rounds(left=1):
        subject.select(at)


def has_an_opposite(subject: Subject) -> None:
    """Orders all candidates, or selects all but a batch where the budget buys them, so that it has an opposite."""
    opposite = Subject(replace(subject.chosen, batch="bottom"))
    for at in opposite.rounds():
        opposite.select(at)


def knows_no_other_labels(subject: Subject) -> None:
    """Selects the same whatever the labels of unlabelled examples are, unless it is a bracket."""
    if subject.strategy.bracket:
        return
    for at in subject.rounds():
        order = subject.order(at)
        if (
            order == subject.order(at) != subject.order(at.poisoned())
        ):  # what never is the same, tells nothing about labels
            remedy = "look at view.labels, which are those of view.labelled, or declare bracket=True"
            raise Broken(f"reads labels that nobody has given ({at.where})", remedy)


def needs_what_it_declares(subject: Subject) -> None:
    """Needs all that it declares, and nothing else."""
    needs, strategy = subject.strategy.needs, subject.strategy
    unused = set(needs) - ({"predictions"} if "embeddings" in needs else set())  # they come together
    for at in subject.rounds():
        order = subject.order(at)
        for need in [*unused]:
            fewer = replace(strategy, needs=tuple(other for other in needs if other != need))
            try:
                same = subject.order(at, strategy=fewer) == order
            except Exception:  # whatever happens where a thing is not there that is needed
                same = False
            if not same:
                unused.remove(need)
    if unused:
        raise Broken(f"never looks at {known(unused)}", "leave it out of `needs`, since it costs time")


SUITE = Suite(
    STRATEGIES,
    Subject.of,
    (
        selects_what_the_budget_buys,
        says_what_it_is,
        works_on_its_tasks_alone,
        scores_every_candidate,
        scores_alone,
        seeds_decide,
        ties_are_drawn,
        refuses_a_diverged_model,
        comes_to_an_end,
        has_an_opposite,
        knows_no_other_labels,
        needs_what_it_declares,
        runs_in_the_loop,
    ),
)
