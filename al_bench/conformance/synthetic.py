"""A corpus and a learner of numpy alone, on which components can be tried in milliseconds: no files, no torch.

Arrays are read-only, so that nobody can change what others look at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np

from al_bench.data.corpus import Corpus, Labels, Split
from al_bench.data.ragged import Ragged, like, offsets_of, values_of
from al_bench.learners.base import UNWATCHED, FitCosts, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.predictions import Parts, Predictions

CLASSES = ("sport", "music", "money")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LOST = "\u200b"  # a word of which a tokenizer leaves nothing
WIDTH, LENGTH = 8, 16  # of embeddings; words of a text that are looked at
RIDGE, SHARPNESS = 0.5, 4.0  # of the fit, and of its probabilities
DROPOUT, MASKED = 0.2, 0.15  # shares: of features in `samples`, of words in `surprisal`


@cache
def corpus_of(task: str, train: int = 60, test: int = 12, seed: int = 0) -> Corpus:
    """Texts of 1 to 9 words, of which half tell the class; or sentences, of which some words are names."""
    rng = np.random.default_rng(seed)
    make, names = (_text, CLASSES) if task == "classification" else (_sentence, TAGS)
    splits = []
    for size in (train, test):
        inputs, labels = zip(*(make(rng) for _ in range(size)), strict=True)
        splits.append(Split(list(inputs), frozen(np.array(labels) if task == "classification" else Ragged.of(labels))))
    fingerprint = f"synthetic {task} {train} {test} {seed}"
    return Corpus("synthetic", task, names, splits[0], splits[1], fingerprint=fingerprint)


def _text(rng: np.random.Generator) -> tuple[str, int]:
    label = int(rng.integers(len(CLASSES)))
    kinds = np.where(rng.random(rng.integers(1, 10)) < 0.5, CLASSES[label], "word")
    return " ".join(f"{kind}{rng.integers(10)}" for kind in kinds), label


def _sentence(rng: np.random.Generator) -> tuple[list[str], list[int]]:
    words: list[str] = []
    tags: list[int] = []
    for _ in range(rng.integers(1, 7)):
        kind = rng.choice(["word", "per", "loc", LOST], p=[0.6, 0.15, 0.15, 0.1])
        size = 1 if kind in ("word", LOST) else int(rng.integers(1, 3))
        words += [LOST if kind == LOST else f"{kind}{rng.integers(6)}" for _ in range(size)]
        first = {"per": 1, "loc": 3}.get(kind, 0)
        tags += [first, first + 1][:size]
    return words, tags


def frozen(values: Any) -> Any:
    """The same array, or `Ragged` of one, which can no longer be changed."""
    for array in (values.values, values.offsets) if isinstance(values, Ragged) else (values,):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return values


@cache
def vector(word: str) -> np.ndarray:
    return frozen(np.random.default_rng(crc32(word.encode())).standard_normal(WIDTH).astype(np.float32))


@dataclass
class SyntheticLearner:
    """Ridge regression on the mean of a text's word vectors; of sentences, on the vector of each word.

    diverged: all that its models give is NaN
    """

    task: str
    classes: int
    diverged: bool = False
    computes: str = "nothing"
    optimizations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.overheads: dict[str, float] = {}

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        return 0.0

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> "SyntheticModel":
        points, targets = values_of(self.embed(inputs, ids)).astype(np.float64), values_of(labels)
        if targets.ndim == 1:
            targets = np.eye(self.classes)[targets]
        shares = np.ones(len(ids)) if weights is None else weights
        if isinstance(labels, Ragged):
            shares = np.repeat(shares, labels.lengths)
        weighted = points.T * shares
        head = np.linalg.solve(weighted @ points + RIDGE * np.eye(WIDTH), weighted @ (targets - 1 / self.classes))
        # The models of two cycles see the same texts in other spaces, as fine-tuned ones do.
        turn = np.linalg.qr(np.random.default_rng([seeds.model, seeds.cycle]).standard_normal((WIDTH, WIDTH)))[0]
        model = SyntheticModel(self, turn, turn.T @ head)
        if watch.margins:
            logits = points @ head
            others = np.where(targets == targets.max(axis=1, keepdims=True), -np.inf, logits)
            margins = (logits * targets).sum(axis=1) - others.max(axis=1)
            model.margins = _by_sentence(margins, labels) if isinstance(labels, Ragged) else margins
        return model

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        if self.task == "classification":
            texts = [[vector(word) for word in inputs.inputs[i].split()[:LENGTH]] for i in ids]  # type: ignore[union-attr]
            means = [np.mean(rows, axis=0) if rows else np.zeros(WIDTH) for rows in texts]
            return frozen(np.array(means, dtype=np.float32).reshape(len(ids), WIDTH))
        rows = [vector(word) * (word != LOST) for i in ids for word in inputs.inputs[i]]
        lengths = [len(inputs.inputs[i]) for i in ids]
        return frozen(Ragged(np.array(rows, dtype=np.float32).reshape(-1, WIDTH), offsets_of(lengths)))

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        losses = np.zeros((len(ids), LENGTH), dtype=np.float32)
        for row, i in zip(losses, ids, strict=True):
            words = words_of(inputs.inputs[i])[:LENGTH]
            chosen = np.random.default_rng([seed, crc32(" ".join(words).encode())]).random(len(words)) < MASKED
            row[: len(words)] = [np.linalg.norm(vector(word)) * here for word, here in zip(words, chosen, strict=True)]
        return frozen(losses)

    def cut_off(self, inputs: Unlabelled) -> np.ndarray:
        texts = len(inputs) if self.task == "classification" else sum(map(len, inputs.inputs))
        return np.zeros(texts, dtype=bool)

    def synchronise(self) -> None:
        pass

    def peak_memory(self) -> int:
        return 1


class SyntheticModel(Model):
    """turn: (width, width) from the pretrained space to the fitted one; head: (width, classes)"""

    def __init__(self, learner: SyntheticLearner, turn: np.ndarray, head: np.ndarray) -> None:
        self.learner, self.turn, self.head = learner, turn, head
        self.costs = FitCosts(1, 1, 1, 1, 1)
        self.dev_score, self.margins = None, None

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        """The later half first: nobody may rely on the order."""
        half = len(ids) // 2
        for places in (np.arange(half, len(ids)), np.arange(half)):
            points, facts = self._points(inputs, ids[places])
            probs = frozen(like(points, self._probs(values_of(points))))
            yield places, Predictions(probs, embeddings=frozen(points) if embeddings else None, **facts)

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
        points, facts = self._points(inputs, ids)
        kept = [np.random.default_rng([seed, draw]).random(WIDTH) >= DROPOUT for draw in range(draws)]
        probs = np.stack([self._probs(values_of(points) * mask / (1 - DROPOUT)) for mask in kept], axis=1)
        yield np.arange(len(ids)), frozen(like(points, probs)), facts["tokens"]

    def influence(
        self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, *, checkpoints: int | None = None
    ) -> np.ndarray:
        points = values_of(self.learner.embed(inputs, ids)) @ self.turn
        targets = values_of(labels)
        targets = np.eye(self.learner.classes)[targets] if targets.ndim == 1 else targets
        norms = np.square(self._probs(points) - targets).sum(axis=1) * (1 + np.square(points).sum(axis=1))
        return _by_sentence(norms, labels) if isinstance(labels, Ragged) else norms

    def _points(self, inputs: Unlabelled, ids: np.ndarray) -> tuple[np.ndarray | Ragged, dict[str, Any]]:
        """Embeddings in the fitted space, of words the surviving ones, and what else `Predictions` tell of them."""
        vectors = self.learner.embed(inputs, ids)
        points = (values_of(vectors) @ self.turn).astype(np.float32) * (np.nan if self.learner.diverged else 1)
        tokens = sum(len(words_of(inputs.inputs[i])) for i in ids)
        if not isinstance(vectors, Ragged):
            return points, {"tokens": tokens}
        survives = [np.array([word != LOST for word in inputs.inputs[i]], dtype=bool) for i in ids]
        flags = np.concatenate([*survives, np.empty(0, dtype=bool)])
        kept = np.concatenate([*map(np.flatnonzero, survives), np.empty(0, dtype=np.int64)])
        facts = {"kept": kept, "lengths": vectors.lengths, "tokens": tokens}
        return Ragged(points[flags], offsets_of([flag.sum() for flag in survives])), facts

    def _probs(self, points: np.ndarray) -> np.ndarray:
        logits = SHARPNESS * points @ self.head
        odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def words_of(item: Any) -> list[str]:
    return item.split() if isinstance(item, str) else list(item)


def _by_sentence(values: np.ndarray, rows: Ragged) -> np.ndarray:
    """The mean over the words of each sentence."""
    return np.array([part.mean() if len(part) else 0.0 for part in Ragged(values, rows.offsets).rows()])
