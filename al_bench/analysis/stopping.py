"""Where stopping criteria would have ended a trajectory that went on.

A criterion reads what the acquisition models said of the test inputs, or how uncertain they were of the pool: no label
of either, no metric. Scores are looked up afterwards, where it would have stopped.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from al_bench.analysis.files import load_array, load_lines
from al_bench.analysis.settings import Method, Setting
from al_bench.ledger.ledger import load_record

# Strategies whose scores fall towards 0 as the model becomes certain; a distance, such as mahalanobis, does not.
UNCERTAINTIES = ("least_confidence", "entropy", "breaking_ties", "mnlp")


@dataclass(frozen=True)
class Trail:
    """What a trajectory's models said, by cycle.

    predictions: (n,) labels of the test examples, or of their words; None where no model was fitted
    doubt: mean score of the unlabelled pool, of entropy as a share of its maximum; None where only a part was scored
    """

    task: str
    predictions: tuple[np.ndarray | None, ...]
    doubt: tuple[float | None, ...]


@dataclass(frozen=True)
class Criterion:
    """rule: in words, threshold included; source: of both

    values: (Trail) -> a number per cycle, NaN where it cannot be had
    stops: (values up to a cycle) -> whether it is enough
    """

    name: str
    rule: str
    source: str
    values: Callable[[Trail], np.ndarray]
    stops: Callable[[np.ndarray], bool]

    def first(self, trail: Trail) -> int | None:
        """The first cycle after which nothing more would have been labelled."""
        values = self.values(trail)
        return next((c for c in range(len(values)) if self.stops(values[: c + 1])), None)


# ----------------------------------------------------------------------------------------------- what changed


def kappa(before: np.ndarray, now: np.ndarray) -> float:
    """Cohen's kappa of two labellings, each (n,); NaN where both give everything one label, as chance would, too."""
    _, codes = np.unique(np.concatenate([before, now]), return_inverse=True)
    first, second = np.split(codes, 2)
    size = codes.max() + 1
    shares = [np.bincount(labels, minlength=size) / len(labels) for labels in (first, second)]
    chance = float(shares[0] @ shares[1])
    return math.nan if chance == 1.0 else (float(np.mean(first == second)) - chance) / (1 - chance)


def changed(before: np.ndarray, now: np.ndarray) -> float:
    """Share of the n inputs that got another label."""
    return float(np.mean(before != now))


def delta_f(before: np.ndarray, now: np.ndarray, task: str) -> float:
    """Predicted change of F: 1 - F of one model's labels against the other's, by a contingency table.

    With a inputs that both call positive and b, c that only one does, 1 - 2a / (2a + b + c).
    classification: mean over the labels that either model gives, where the source has one positive label
    tagging: of words, all tags but O (number 0) together; NaN where both models give O alone
    """
    if task == "tagging":
        both = np.count_nonzero((before == now) & (now != 0))
        either = np.count_nonzero(before) + np.count_nonzero(now)
        return math.nan if either == 0 else 1 - 2 * both / either
    labels = np.unique(np.concatenate([before, now]))
    scores = [
        2 * np.sum((before == k) & (now == k)) / (np.sum(before == k) + np.sum(now == k)) for k in labels
    ]
    return 1 - float(np.mean(scores))


def _between(measure: Callable[..., float], trail: Trail, *more: str) -> np.ndarray:
    """The measure of each cycle's model and the one before it."""
    said = trail.predictions
    values = [math.nan] * len(said)
    for cycle in range(1, len(said)):
        before, now = said[cycle - 1], said[cycle]
        if before is not None and now is not None:
            values[cycle] = measure(before, now, *more)
    return np.array(values)


def _last(values: np.ndarray, count: int) -> np.ndarray:
    """The last values, or NaN where there are fewer."""
    return values[-count:] if len(values) >= count else np.array([math.nan])


CRITERIA = (
    Criterion(
        "kappa",
        "mean kappa of the last 3 comparisons of consecutive models ≥ 0.99",
        "Bloodgood and Vijay-Shanker, CoNLL 2009: both numbers are theirs",
        lambda trail: _between(kappa, trail),
        lambda values: bool(np.mean(_last(values, 3)) >= 0.99),
    ),
    Criterion(
        "delta F",
        "predicted change of F ≤ 0.05 in each of the last 3 comparisons",
        "Altschuler and Bloodgood, ICSC 2019; the numbers are the defaults of small-text",
        lambda trail: _between(delta_f, trail, trail.task),
        lambda values: bool(np.all(_last(values, 3) <= 0.05)),
    ),
    Criterion(
        "classification change",
        "consecutive models give every input the same label",
        "Zhu, Wang and Hovy, COLING 2008",
        lambda trail: _between(changed, trail),
        lambda values: bool(values[-1] == 0),
    ),
    Criterion(
        "overall uncertainty",
        "mean uncertainty of the unlabelled pool < 0.05, in cycles that score all of it",
        "Zhu, Wang and Hovy, COLING 2008, of normalised entropy; the number is the default of small-text",
        lambda trail: np.array([math.nan if doubt is None else doubt for doubt in trail.doubt]),
        lambda values: bool(values[-1] < 0.05),
    ),
)


# ----------------------------------------------------------------------------------------- trajectories on disk


def read_trail(folder: Path, task: str, strategy: str, labelled: Sequence[int]) -> Trail:
    """labelled: number of examples by cycle, as many cycles as are asked for"""
    cycles = range(len(labelled))
    predictions = tuple(load_array(folder, "tested", cycle) for cycle in cycles)
    return Trail(task, predictions, tuple(_doubt(folder, c, strategy, labelled[c]) for c in cycles))


def _doubt(folder: Path, cycle: int, strategy: str, labelled: int) -> float | None:
    scores = load_array(folder, "scores", cycle) if strategy in UNCERTAINTIES else None
    if scores is None:
        return None
    seen = ~np.isnan(scores)
    if not seen.any() or np.count_nonzero(seen) < len(scores) - labelled:
        return None
    mean = float(scores[seen].mean(dtype=np.float64))
    if strategy != "entropy":
        return mean
    most = _maximal_entropy(folder)
    return None if most is None else mean / most


def _maximal_entropy(folder: Path) -> float | None:
    """log of the number of labels; a tagging trajectory's ledger counts types, which have two tags each, beside O."""
    first, *_ = load_lines(folder / "ledger.jsonl") or [{}]
    labels = len(first.get("query", {}).get("labels", {}))
    dataset = load_record(folder / "identity.json").get("identity", {}).get("dataset", {})
    if not labels or "task" not in dataset:
        return None
    return math.log(2 * labels + 1 if dataset["task"] == "tagging" else labels)


# ---------------------------------------------------------------------------------------------- what was lost


def stops(setting: Setting, method: Method) -> pd.DataFrame:
    """A row per repetition and criterion: cycle (NaN: never), labelled, score there, last (score of the last cycle).

    Empty where no model selects, or its trajectories are gone.
    """
    labelled, scores = setting.values(method, "labelled"), setting.scores(method)
    rows = []
    for folder, repeat in zip(method.trajectories, method.repeats, strict=True):
        known = labelled.loc[repeat].dropna()
        trail = read_trail(folder, setting.task, str(method.about.strategy), known.astype(int).tolist())
        if all(said is None for said in trail.predictions) or repeat not in scores.index:
            continue
        curve = scores.loc[repeat]
        for criterion in CRITERIA:
            cycle = criterion.first(trail)
            never = cycle is None
            rows.append(
                {
                    "repeat": repeat,
                    "criterion": criterion.name,
                    "cycle": math.nan if never else cycle,
                    "labelled": math.nan if never else known[cycle],
                    "score": math.nan if never else curve.get(cycle, math.nan),
                    "last": curve.dropna().iloc[-1],
                    "all_labelled": known.iloc[-1],
                }
            )
    columns = ["repeat", "criterion", "cycle", "labelled", "score", "last", "all_labelled"]
    return pd.DataFrame(rows, columns=columns)
