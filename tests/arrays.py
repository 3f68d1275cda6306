"""A fitted model whose every output is an array made by hand, and the view of a query round that looks at it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import Budget
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.protocol import Selection
from al_bench.acquisition.view import View
from al_bench.config.schema import StrategyConfig
from al_bench.data.corpus import Corpus, Labels, Split
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import FitCosts, Model, Unlabelled
from al_bench.learners.predictions import Parts, Predictions


@dataclass(eq=False)
class ArrayModel(Model):
    """Arrays of all examples by id; of sentences `Ragged`, of which all words survive.

    drawn: (n, draws, classes)
    """

    probs: Any
    embeddings: Any = None
    drawn: Any = None

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        """The later half first: nobody may rely on the order."""
        for places in np.array_split(np.arange(len(ids)), 2)[::-1]:
            some = ids[places]
            seen = self.embeddings[some] if embeddings else None
            if not isinstance(self.probs, Ragged):
                yield places, Predictions(self.probs[some], embeddings=seen)
                continue
            lengths = self.probs.lengths[some]
            kept = np.concatenate([np.arange(0), *map(np.arange, lengths)])
            yield places, Predictions(self.probs[some], kept, lengths, embeddings=seen)

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[Any, Any, int]]:
        yield np.arange(len(ids)), self.drawn[ids], len(ids)


def view_of(
    name: str, answers: Labels, labelled: Sequence[int] | np.ndarray = (), aggregate: str = "mean", **arrays: Any
) -> View:
    """For the strategy `name`. answers: of all examples; arrays: of the model"""
    n, tagging = len(answers), isinstance(answers, Ragged)
    inputs = [["w"] * int(k) for k in answers.lengths] if isinstance(answers, Ragged) else ["w"] * n
    split = Split(inputs, answers)
    corpus = Corpus("hand", "tagging" if tagging else "classification", tuple("abcdefgh"), split, split, "hand")
    pool = Pool.unlabelled_of(n).label(np.array(labelled, dtype=np.int64))
    model = ArrayModel(FitCosts(1, 1, 1, 1, 1), None, None, **{"probs": None, **arrays})
    return View(corpus, pool, answers, frozenset(STRATEGIES[name].needs), model, aggregate=aggregate)


def scores_of(name: str, view: View, ids: np.ndarray | None = None, seed: int = 0, **params: Any) -> np.ndarray:
    """Of some ids, or of the whole pool."""
    config = settings_of(name, view, params)
    return STRATEGIES[name].score(view, view.pool if ids is None else ids, np.random.default_rng(seed), config)


def selection_of(
    name: str, view: View, amount: float, seed: int = 0, unit: str = "examples", **params: Any
) -> Selection:
    costs = view.words if unit == "words" else np.ones(len(view.words), dtype=np.int64)
    budget, rng = Budget(amount, unit, costs), np.random.default_rng(seed)
    return STRATEGIES[name].select(view, view.pool, budget, rng, settings_of(name, view, params))


def settings_of(name: str, view: View, params: dict[str, Any]) -> StrategyConfig:
    return StrategyConfig(name, view.aggregate, params=STRATEGIES[name].typed(params, "strategy.params"))


def soft(n: int, classes: int, seed: int = 0) -> np.ndarray:
    """(n, classes) float32 random distributions."""
    return np.random.default_rng(seed).dirichlet(np.ones(classes), n).astype(np.float32)


def vectors(n: int, width: int, seed: int = 0) -> np.ndarray:
    """(n, width) float32 random vectors."""
    return np.random.default_rng(seed + 100).normal(size=(n, width)).astype(np.float32)


def rows_of(values: np.ndarray, lengths: Sequence[int]) -> Ragged:
    return Ragged(values, offsets_of(lengths))
