"""Every query strategy by name. A strategy scores the candidates; higher is queried first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from al_bench.acquisition.strategies.distance import Reference, mahalanobis
from al_bench.acquisition.strategies.uncertainty import (
    AGGREGATES,
    breaking_ties,
    entropy,
    least_confidence,
    mnlp,
    uniform,
)

__all__ = ["AGGREGATES", "STRATEGIES", "Reference", "Strategy"]

# (Predictions, np.random.Generator, Aggregate), and where embeddings are needed reference=Reference
Score = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Strategy:
    """score: (predictions of n candidates, generator, aggregate) -> (n,) float64

    needs: what the model must supply. Nothing means that no model is fitted at all; "embeddings", that the
        predictions hold them, and that the labelled examples are given with theirs, as `reference`.
    """

    name: str
    summary: str
    score: Score
    needs: tuple[str, ...] = ("probs",)
    tasks: tuple[str, ...] = ("classification", "tagging")


STRATEGIES: dict[str, Strategy] = {
    s.name: s
    for s in (
        Strategy("random", "uniform draws; fits no acquisition model", uniform, needs=()),
        Strategy("least_confidence", "1 - probability of the likeliest label", least_confidence),
        Strategy("entropy", "entropy of the label distribution", entropy),
        Strategy("breaking_ties", "1 - gap between the two likeliest labels (margin)", breaking_ties),
        Strategy("mnlp", "length-normalised log-probability of the tags", mnlp, tasks=("tagging",)),
        Strategy(
            "mahalanobis",
            "distance of the embedding from the nearest class centroid",
            mahalanobis,
            needs=("probs", "embeddings"),
            tasks=("classification",),
        ),
    )
}
