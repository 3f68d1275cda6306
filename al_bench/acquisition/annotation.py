"""An oracle at work on a corpus: its answers for what is queried, and what they are worth."""

from functools import cache
from typing import Any

import numpy as np

from al_bench.acquisition.aggregates import aggregated
from al_bench.acquisition.pool import ABSTAINED, is_answered
from al_bench.config.schema import OracleConfig
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.errors import UserError, reject
from al_bench.oracles import ORACLES
from al_bench.oracles.protocol import Answers
from al_bench.seeds import stream


class Annotator:
    """Whom a run asks for labels. seed: of the oracle's chance"""

    def __init__(self, config: OracleConfig, corpus: Corpus, seed: int) -> None:
        self.config, self.corpus, self.seed = config, corpus, seed
        self.answers = cache(self._answers)

    def _answers(self, attempt: int = 0) -> Answers:
        """What it says of the whole training split when it is asked for the first time, the second, ..."""
        chosen = self.config
        rng = stream(self.seed, "oracle", attempt)
        answers = ORACLES[chosen.name].call(self.corpus, rng, **chosen.params)
        if broken := _problem(answers, self.corpus):
            raise UserError(f"oracle={chosen.name}: {broken}; mend the oracle, see docs/extending.md")
        return answers

    def label(self, ids: np.ndarray, attempt: int = 0) -> np.ndarray:
        """int16 label of each of the ids or, one after another, of each of their words; `ABSTAINED` without one."""
        answers = self.answers(attempt)
        rows = answers.labels[ids]
        known = answers.known[ids]
        if isinstance(rows, Ragged):
            known = np.repeat(known, rows.lengths)
        return np.where(known, values_of(rows), ABSTAINED).astype(np.int16)

    def first(self, ids: np.ndarray, contrast: bool) -> np.ndarray:
        """As `label`, of the seed set. Raises `UserError` where nothing is to learn from its labels.

        contrast: whether a model is fitted on these alone, which has to tell labels apart where gold labels differ
        """
        labels = self.label(ids)
        known = np.unique(labels[labels != ABSTAINED])
        if not len(known) or (contrast and len(known) == 1 < len(np.unique(values_of(self.corpus.train.labels[ids])))):
            broken = f"gives {len(known)} different labels for the {len(ids)} examples of the seed set"
            remedy = "take a larger seed set (schedule.initial), or another one (seeds.seed_set)"
            raise reject("oracle", self.config.name, broken, remedy)
        return labels


def _problem(answers: Any, corpus: Corpus) -> str:
    """What is wrong with an oracle's answers; empty if nothing is."""
    gold, n = corpus.train.labels, len(corpus.train)
    if not isinstance(answers, Answers):
        return "gives no Answers"
    labels, values, known = answers.labels, values_of(answers.labels), answers.known
    if isinstance(gold, Ragged) != isinstance(labels, Ragged) or values.shape != values_of(gold).shape:
        return f"its labels have the shape {values.shape}, those of the corpus {values_of(gold).shape}"
    if isinstance(labels, Ragged) and isinstance(gold, Ragged) and not np.array_equal(gold.offsets, labels.offsets):
        return "its sentences have other lengths than the corpus's"
    if known.shape != (n,) or known.dtype != bool:
        return f"which examples it knows is an array of {known.dtype} of the shape {known.shape}, not of {n} bool"
    words = np.repeat(known, gold.lengths) if isinstance(gold, Ragged) else known
    if values.dtype.kind not in "iu" or not np.isin(values[words], np.arange(len(corpus.label_names))).all():
        return f"its labels must be numbers from 0 to {len(corpus.label_names) - 1}"
    return ""


def accounted(corpus: Corpus, ids: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """An asking in numbers; `right` and nothing else knows the gold labels, which this is a simulation for.

    labels: as `Annotator.label` gives them; words: in the examples that were answered
    """
    gold = corpus.train.labels[ids]
    known = is_answered(gold, labels)
    right = known & ~mistaken(gold, like(gold, labels))
    counts = {"asked": len(ids), "answered": known.sum(), "abstained": (~known).sum(), "right": right.sum()}
    return {name: int(count) for name, count in (counts | {"words": corpus.train.words[ids][known].sum()}).items()}


def mistaken(true: Labels, labels: Labels) -> np.ndarray:
    """(n,) bool: whose label, or any of whose tags, is wrong."""
    return aggregated(like(true, values_of(true) != values_of(labels)), "max") > 0
