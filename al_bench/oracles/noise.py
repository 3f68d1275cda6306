"""Oracles that err at random: at a rate, by a confusion matrix, or in the spans of a sentence."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from al_bench.config.schema import between
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.errors import known, reject
from al_bench.oracles.protocol import Answers

SHARE = "it is a share"
Span = tuple[int, int, int]  # number of its type, first word, and the one after the last


@dataclass
class Rate:
    """Settings of `noisy`: shares of labels that are wrong, and of examples without an answer."""

    rate: float = between(0, 1, SHARE, 0.1)
    abstain: float = between(0, 1, SHARE, 0.0)


def noisy(corpus: Corpus, rng: Generator, *, rate: float, abstain: float) -> Answers:
    """Each label is wrong with probability `rate`, and then any other one alike."""
    gold, classes = values_of(corpus.train.labels), len(corpus.label_names)
    wrong = (gold + rng.integers(1, classes, len(gold))) % classes
    labels = np.where(rng.random(len(gold)) < rate, wrong, gold)
    return Answers(like(corpus.train.labels, labels), rng.random(len(corpus.train)) >= abstain)


@dataclass
class Confusion:
    """Settings of `noisy_confusion`: rows {gold label: {answer: probability}}, here or in a CSV file."""

    matrix: dict[str, dict[str, float]] | None = None
    file: str | None = None


def noisy_confusion(
    corpus: Corpus, rng: Generator, *, matrix: dict[str, dict[str, float]] | None, file: str | None
) -> Answers:
    """Each label becomes another one with a probability of its own.

    What a row leaves of 1 is the probability of the right label; a label without a row is always right.
    """
    if matrix is None and file is None:
        remedy = "set 'oracle.params.matrix={GOLD: {OTHER: 0.2}}', or oracle.params.file=FILE"
        raise reject("oracle.params.matrix", None, "says nowhere what is mistaken for what", remedy)
    wrong = {**(_matrix_in(Path(file)) if file is not None else {}), **(matrix or {})}
    rows = confusion(wrong, corpus.label_names)
    gold = values_of(corpus.train.labels)
    # Of a row's cumulative sums, how many lie below a uniform number.
    labels = (rng.random(len(gold))[:, None] >= np.cumsum(rows, axis=1)[gold, :-1]).sum(axis=1)
    return Answers(like(corpus.train.labels, labels), np.ones(len(corpus.train), dtype=bool))


def confusion(matrix: dict[str, dict[str, float]], names: tuple[str, ...]) -> np.ndarray:
    """(classes, classes) probabilities of the answers by gold label. Raises `UserError` for a row that is none."""
    rows = np.eye(len(names))
    key = "oracle.params.matrix"
    for name, answers in matrix.items():
        if strange := {name, *answers} - {*names}:
            raise reject(key, known(strange), "is no label of the corpus", f"it has {known(names)}")
        total = sum(share for other, share in answers.items() if other != name)
        right = answers.get(name, 1 - total)
        if min([*answers.values(), right], default=0) < 0 or abs(total + right - 1) > 1e-6:
            broken = f"its row {name} sums to {sum(answers.values()):g}"
            raise reject(key, answers, broken, "let each row sum to 1, or leave out the right label for the rest")
        number = names.index(name)
        rows[number] = [answers.get(other, 0.0) for other in names]
        rows[number, number] = right
    return rows


def _matrix_in(path: Path) -> dict[str, dict[str, float]]:
    """From a CSV file: a header with the answers, and rows that begin with the gold label."""
    import pandas

    try:
        table = pandas.read_csv(path, index_col=0, keep_default_na=False)
        table.index, table.columns = table.index.astype(str), table.columns.astype(str)
        return {name: {other: float(share) for other, share in row.items()} for name, row in table.iterrows()}
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        remedy = "give a CSV file: a header with the answers, and rows of a gold label and probabilities"
        raise reject("oracle.params.file", path, f"cannot be read ({error})", remedy) from error


@dataclass
class SpanErrors:
    """Settings of `noisy_spans`: shares of spans that are missed, or whose type or boundary is wrong."""

    missed: float = between(0, 1, SHARE, 0.1)
    type: float = between(0, 1, SHARE, 0.05)
    boundary: float = between(0, 1, SHARE, 0.1)


def noisy_spans(corpus: Corpus, rng: Generator, *, missed: float, type: float, boundary: float) -> Answers:
    """Spans are missed; of the others some get another type, and some begin or end a word too early or too late.

    A boundary moves over a word outside all spans, or leaves the span a word at least; where it cannot, it stays.
    """
    gold = corpus.train.labels
    assert isinstance(gold, Ragged)
    types = (len(corpus.label_names) - 1) // 2
    answers = np.zeros_like(gold.values)
    for first, tags in zip(gold.offsets, gold.rows(), strict=False):
        spans = [span for span in _spans(tags) if rng.random() >= missed]
        for place, (kind, start, end) in enumerate(spans):
            if rng.random() < type and types > 1:
                kind = (kind + int(rng.integers(1, types))) % types
            if rng.random() < boundary:
                start, end = _moved(spans, place, len(tags), rng)
            spans[place] = (kind, start, end)
            answers[first + start : first + end] = 2 * kind + 2
            answers[first + start] = 2 * kind + 1
    return Answers(like(gold, answers), np.ones(len(gold), dtype=bool))


def _spans(tags: np.ndarray) -> list[Span]:
    """Of a sentence's IOB2 tags, which are O, B-A, I-A, B-B, I-B, ... by number."""
    starts = np.flatnonzero(tags % 2 == 1)
    ends = [next((i for i in range(start + 1, len(tags)) if tags[i] != tags[start] + 1), len(tags)) for start in starts]
    return [(int(tags[start]) // 2, int(start), end) for start, end in zip(starts, ends, strict=True)]


def _moved(spans: list[Span], place: int, words: int, rng: Generator) -> tuple[int, int]:
    """Another start or end of a span, next to the old one; both as they are where there is none."""
    _, start, end = spans[place]
    before = spans[place - 1][2] if place else 0
    after = spans[place + 1][1] if place + 1 < len(spans) else words
    others = [(start - 1, end)] * (start > before) + [(start, end + 1)] * (end < after)
    if end - start > 1:
        others += [(start + 1, end), (start, end - 1)]
    return others[rng.integers(len(others))] if others else (start, end)
