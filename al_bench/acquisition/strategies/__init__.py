"""Every query strategy by name. A strategy scores the candidates; higher is queried first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from al_bench.acquisition.strategies.distance import mahalanobis
from al_bench.acquisition.strategies.uncertainty import breaking_ties, entropy, least_confidence, mnlp, uniform


@dataclass(frozen=True)
class Strategy:
    """score: (predictions of n candidates, generator, name of an aggregate) -> (n,) float64

    needs: what the model must supply. Nothing means that no model is fitted at all; "embeddings", that the
        predictions hold them, and that the labelled examples are given with theirs, as reference=Reference.
    """

    summary: str
    score: Callable[..., np.ndarray]
    needs: tuple[str, ...] = ("probs",)
    tasks: tuple[str, ...] = ("classification", "tagging")


STRATEGIES = {
    "random": Strategy("uniform draws; fits no acquisition model", uniform, needs=()),
    "least_confidence": Strategy("1 - probability of the likeliest label", least_confidence),
    "entropy": Strategy("entropy of the label distribution", entropy),
    "breaking_ties": Strategy("1 - gap between the two likeliest labels (margin)", breaking_ties),
    "mnlp": Strategy("length-normalised log-probability of the tags", mnlp, tasks=("tagging",)),
    "mahalanobis": Strategy(
        "distance of the embedding from the nearest class centroid",
        mahalanobis,
        needs=("probs", "embeddings"),
        tasks=("classification",),
    ),
}
