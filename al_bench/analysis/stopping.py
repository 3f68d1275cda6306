"""Where stopping criteria would have ended a trajectory that went on.

A criterion reads what the acquisition models predicted for the stop set, or how uncertain they were of the pool: no
label and no metric. Where another model takes over in an acquisition schedule, it is compared with the one before it,
like any two consecutive models: what it says otherwise is a change, too. The stop set is the dev split where there is
one, else a seeded part of the training split, of which only those examples count that were never labelled. Scores are
looked up afterwards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.store import load_array, load_lines
from al_bench.ledger.ledger import load_record


@dataclass(frozen=True)
class Trail:
    """What a trajectory's models predicted, by cycle.

    predictions: (n,) labels of the stop set's examples, or of their words; None where no model was fitted
    entropy: mean entropy of the unlabelled pool as a share of its maximum; None where only a part of it was scored, or
        by another measure: a threshold for one measure means nothing to another
    split: "dev" or "pool", where the stop set is from; "" where there is none
    """

    task: str
    predictions: tuple[np.ndarray | None, ...]
    entropy: tuple[float | None, ...]
    split: str = ""


@dataclass(frozen=True)
class Criterion:
    """rule: in words, threshold included; source: of both; stops: (Trail) -> by cycle, whether it is enough"""

    name: str
    rule: str
    source: str
    stops: Callable[[Trail], np.ndarray]

    def first(self, trail: Trail) -> int | None:
        """The first cycle after which nothing more would have been labelled."""
        return next(iter(np.flatnonzero(self.stops(trail)).tolist()), None)


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
    scores = [2 * np.sum((before == k) & (now == k)) / (np.sum(before == k) + np.sum(now == k)) for k in labels]
    return 1 - float(np.mean(scores))


def _between(measure: Callable[..., float], trail: Trail, *more: str) -> np.ndarray:
    """By cycle, the measure of its model and the one before it; NaN, which never stops, where it cannot be had."""
    values = [math.nan]
    for before, now in pairwise(trail.predictions):
        values.append(math.nan if before is None or now is None else measure(before, now, *more))
    return np.array(values)


def _last_three(values: np.ndarray) -> np.ndarray:
    """(cycles, 3) values up to each cycle, NaN where there are fewer."""
    return sliding_window_view(np.concatenate([[math.nan] * 2, values]), 3)


CRITERIA = (
    Criterion(
        "kappa",
        "mean kappa of the last 3 comparisons of consecutive models ≥ 0.99",
        "Bloodgood and Vijay-Shanker, CoNLL 2009: both numbers are theirs",
        lambda trail: _last_three(_between(kappa, trail)).mean(axis=1) >= 0.99,
    ),
    Criterion(
        "delta F",
        "predicted change of F ≤ 0.05 in each of the last 3 comparisons",
        "Altschuler and Bloodgood, ICSC 2019; the numbers are the defaults of small-text",
        lambda trail: _last_three(_between(delta_f, trail, trail.task)).max(axis=1) <= 0.05,
    ),
    Criterion(
        "classification change",
        "consecutive models give every input the same label",
        "Zhu, Wang and Hovy, COLING 2008",
        lambda trail: _between(changed, trail) == 0,
    ),
    Criterion(
        "overall uncertainty",
        "mean normalised entropy of the unlabelled pool < 0.05, in cycles that score all of it by entropy",
        "Zhu, Wang and Hovy, COLING 2008; the number is the default of small-text",
        lambda trail: np.array(trail.entropy, dtype=float) < 0.05,  # None becomes NaN
    ),
)


def read_trail(folder: Path, task: str, cycles: int | None = None) -> Trail:
    """Of the first cycles of a trajectory, which may be longer than the run."""
    lines = load_lines(folder / "ledger.jsonl")[:cycles]
    stop_set = (lines[0].get("stop_set") if lines else None) or {}
    predictions = [load_array(folder, "stop", line) for line in lines]
    if stop_set.get("split") == "pool":
        labelled = {i for line in lines[:-1] for i in (*line["seeded"], *line["queried"])}
        kept = np.array([i not in labelled for i in stop_set["ids"]])
        # A text has one label, however many words.
        chosen = kept if task == "classification" else np.repeat(kept, stop_set["words"])
        predictions = [None if p is None or len(p) != len(chosen) else p[chosen] for p in predictions]
    return Trail(task, tuple(predictions), _entropies(folder, lines, task), str(stop_set.get("split", "")))


def _entropies(folder: Path, lines: list[dict[str, Any]], task: str) -> tuple[float | None, ...]:
    strategy = load_record(folder / "identity.json").get("identity", {}).get("strategy", {})
    labels = len(lines[0].get("query", {}).get("labels", {})) if lines else 0
    if strategy.get("name") != "entropy" or strategy.get("aggregate", "mean") != "mean" or not labels:
        return (None,) * len(lines)
    # The ledger of a tagging trajectory counts types, which have two tags each, beside O.
    most = math.log(2 * labels + 1 if task == "tagging" else labels)
    shares = []
    for line in lines:
        scores = load_array(folder, "scores", line)
        known = np.empty(0) if scores is None else scores[~np.isnan(scores)]
        whole = scores is not None and len(known) and len(known) >= len(scores) - line["labelled"]
        shares.append(float(known.mean(dtype=np.float64)) / most if whole else None)
    return tuple(shares)


def stops(setting: Setting, method: Method) -> pd.DataFrame:
    """A row per seed and criterion: cycle (NaN: never), labelled, score there, last (score of the last cycle), split.

    Empty where no model selects, or its trajectories are gone.
    """
    labelled, scores = setting.values(method, "labelled"), setting.scores(method)
    rows = []
    for folder, seed in zip(method.trajectories, method.seeds, strict=True):
        if seed not in labelled.index or seed not in scores.index:
            continue
        known, curve = labelled.loc[seed].dropna(), scores.loc[seed]
        trail = read_trail(folder, setting.task, len(known))
        if all(one is None for one in trail.predictions):
            continue
        last = (curve.dropna().iloc[-1], known.iloc[-1], trail.split)
        for criterion in CRITERIA:
            cycle = criterion.first(trail)
            reached = [cycle, known[cycle], curve.get(cycle, math.nan)] if cycle in known.index else [math.nan] * 3
            rows.append((seed, criterion.name, *reached, *last))
    columns = ["seed", "criterion", "cycle", "labelled", "score", "last", "all_labelled", "split"]
    return pd.DataFrame(rows, columns=columns)
