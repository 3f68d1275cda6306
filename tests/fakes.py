"""Corpora, configs and learners made by hand, for tests of everything above the learners; no torch."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from al_bench.acquisition.loop import Computed, acquire
from al_bench.acquisition.setup import Setup
from al_bench.config.resolution import resolve
from al_bench.config.schema import DatasetConfig, ModelConfig, RunConfig, ScheduleConfig, StrategyConfig
from al_bench.data.corpus import Corpus, Inputs, Labels, Split
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Unlabelled, Watch
from al_bench.learners.predictions import Predictions

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def corpus_of(task: str = "classification", train: int = 60, test: int = 12, seed: int = 0) -> Corpus:
    """Texts of 1 to 9 words in 3 classes, or sentences of 1 to 9 words whose names are one word long."""
    names = TAGS if task == "tagging" else ("a", "b", "c")
    rng = np.random.default_rng(seed)
    splits = [split_of(task, n, rng) for n in (train, test)]
    return Corpus("hand", task, names, splits[0], splits[1], fingerprint=f"{task}-{train}-{test}-{seed}")


def split_of(task: str, n: int, rng: np.random.Generator) -> Split:
    words = rng.integers(1, 10, n)
    if task == "tagging":
        tags = rng.choice([0, 1, 3], int(words.sum()), p=[0.6, 0.2, 0.2])
        return Split([["w"] * int(k) for k in words], Ragged(tags, offsets_of(words)))
    return Split([" ".join(["w"] * int(k)) for k in words], rng.integers(0, 3, n))


def config_of(task: str = "classification", **changes: Any) -> RunConfig:
    """A resolved config of 4 queries; `schedule__step=3` sets `schedule.step`."""
    config = RunConfig(
        dataset=DatasetConfig(name="hand", task=task),
        acquisition=ModelConfig(name="fake", hub="some/model"),
        strategy=StrategyConfig(name="least_confidence"),
        schedule=ScheduleConfig(initial=8, step=5, cycles=4),
        evaluate_at="none",
    )
    return resolve(changed(config, {key.replace("__", "."): value for key, value in changes.items()}))


def changed(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """A copy with other values, by dotted key."""
    config = deepcopy(config)
    for key, value in values.items():
        *above, last = key.split(".")
        node: Any = config
        for name in above:
            node = getattr(node, name)
        assert hasattr(node, last), key
        setattr(node, last, value)
    return config


def collected(
    config: RunConfig, corpus: Corpus, learner: "FakeLearner | None", listener: Callable[[str], None] | None = None
) -> list[Computed]:
    """All cycles of a run without a disk."""
    setup = Setup(config, corpus, None if learner is None else lambda cycle: learner, listener)
    return list(acquire(setup, lambda number, queries, compute: compute(None)))


# What a fitted fake says: (its fit, every example's id) -> (n, classes)
Opinion = Callable[["Fit", int], np.ndarray]


@dataclass(frozen=True)
class Fit:
    ids: np.ndarray
    labels: Labels
    seeds: FitSeeds
    classes: int
    weights: np.ndarray | None = None
    watch: Watch = UNWATCHED

    @property
    def memory(self) -> int:
        """A number that any change of what was learned, or with which seeds, changes."""
        labels = self.labels if isinstance(self.labels, np.ndarray) else self.labels.values
        return crc32(repr((self.ids.tolist(), labels.tolist(), self.seeds)).encode())


def moody(fit: Fit, n: int) -> np.ndarray:
    """Probabilities that depend on every id and label of the fit and on its seeds."""
    return np.random.default_rng(fit.memory).dirichlet(np.ones(fit.classes), n)


def later_is_harder(fit: Fit, n: int) -> np.ndarray:
    """The greater the id, the less sure: the scores of every strategy rise with the id."""
    top = np.linspace(0.99, 1 / fit.classes + 0.01, n)
    rest = (1 - top) / (fit.classes - 1)
    return np.column_stack([top, *[rest] * (fit.classes - 1)])


@dataclass
class FakeLearner:
    """Remembers what it was asked, in order; says what `opinion` says.

    asked: ids of each look at the pool; compared: of each look back at what was labelled

    On tagging, all words of a sentence get the sentence's distribution, and each fifth sentence loses its
    first word.
    """

    classes: int = 3
    task: str = "classification"
    opinion: Opinion = moody
    fits: list[Fit] = field(default_factory=list)
    asked: list[np.ndarray] = field(default_factory=list)
    compared: list[np.ndarray] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    computes: str = "nothing"
    notes: tuple[str, ...] = ()
    test: Inputs = ()
    optimizations: tuple[str, ...] = ()
    overheads: dict[str, float] = field(default_factory=dict)

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        """16 seconds, 4 more for exact predictions, 1 more for embeddings, 32 more for surprisal."""
        return 16.0 + 4.0 * exact + 1.0 * embeddings + 32.0 * surprisal

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        self.events.append("surprisal")
        return np.random.default_rng(seed).random((len(inputs), 4), dtype=np.float32)[ids]

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> "FakeModel":
        self.events.append("fit")
        self.fits.append(Fit(ids, labels, seeds, self.classes, weights, watch))
        return FakeModel(self, self.fits[-1])

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        """Vectors that say nothing."""
        self.events.append("embed")
        if self.task == "classification":
            return np.ones((len(ids), 2), dtype=np.float32)
        lengths = [len(inputs.inputs[i]) for i in ids]
        return Ragged(np.ones((sum(lengths), 2), dtype=np.float32), offsets_of(lengths))

    def synchronise(self) -> None:
        pass

    def peak_memory(self) -> int:
        return 1


@dataclass
class FakeModel:
    learner: FakeLearner
    fit: Fit
    costs: FitCosts = field(default_factory=lambda: FitCosts(1, 1, 1, 1, 1))
    dev_score: float | None = None

    @property
    def margins(self) -> np.ndarray | None:
        return np.zeros(len(self.fit.ids)) if self.fit.watch.margins else None

    def influence(self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, *, checkpoints=None) -> np.ndarray:
        self.learner.events.append("influence")
        return np.zeros(len(ids))

    def predict(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Predictions:
        of = "rest"
        if exact:  # ids of the test split and of the stopping set are others
            of = "test" if inputs.inputs is self.learner.test or not len(self.learner.test) else "stop"
        self.learner.events.append(f"predict {of}")
        return self._said(inputs, ids, embeddings)

    def parts(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Iterator[tuple[np.ndarray, Predictions]]:
        """The later half first: nobody may rely on the order."""
        back = len(ids) > 0 and np.isin(ids, self.fit.ids).all()
        self.learner.events.append(f"look {'back' if back else 'at pool'}{' exactly' if exact else ''}")
        (self.learner.compared if back else self.learner.asked).append(ids)
        half = len(ids) // 2
        for places in (np.arange(half, len(ids)), np.arange(half)):
            yield places, self._said(inputs, ids[places], embeddings)

    def _said(self, inputs: Unlabelled, ids: np.ndarray, embeddings: bool) -> Predictions:
        probs = self.learner.opinion(self.fit, len(inputs))[ids].astype(np.float32)
        seen = embedded(self.fit, probs, ids) if embeddings else None
        if self.learner.task == "classification":
            return Predictions(probs, tokens=len(ids), embeddings=seen)
        return as_sentences(probs, inputs.inputs, ids, seen)


def embedded(fit: Fit, probs: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The less sure, the farther from everything labelled: its doubt is on the other side of zero.

    The second column is constant, so that the covariance is singular.
    """
    doubt = 1 - probs.max(axis=1)
    return np.column_stack([np.where(np.isin(ids, fit.ids), -doubt, doubt), np.ones_like(doubt)])


def as_sentences(probs: np.ndarray, inputs: Inputs, ids: np.ndarray, seen: np.ndarray | None = None) -> Predictions:
    lengths = np.array([len(inputs[i]) for i in ids], dtype=np.int64)
    lost = (ids % 5 == 0).astype(np.int64)
    kept = [np.arange(first, n) for first, n in zip(lost, lengths, strict=True)]
    offsets = offsets_of(lengths - lost)
    words, states = (
        None if rows is None else Ragged(np.repeat(rows, lengths - lost, axis=0), offsets) for rows in (probs, seen)
    )
    assert words is not None
    places = np.concatenate([*kept, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return Predictions(words, places, lengths, embeddings=states)


def fake_for(corpus: Corpus, opinion: Opinion = moody) -> FakeLearner:
    return FakeLearner(len(corpus.label_names), corpus.task, opinion, test=corpus.test.inputs)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a trajectory that must not depend on how often it was interrupted."""
    paths = [folder / "ledger.jsonl", *sorted(folder.glob("*/*.npy"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
