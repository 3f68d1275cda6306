"""A filter of labels: one function, and what it needs to know of them.

suspect(chain, **settings) -> `Suspicion`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from al_bench.data.corpus import Labels
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Model, Unlabelled
from al_bench.learners.predictions import Predictions
from al_bench.plugins import Component

LOOK_BACK = ("fit", "influence", "margins")  # at a model that was fitted on the labels in question, too
NEEDS = ("doubt", "verifier", *LOOK_BACK, "pretrained")
SHARED = ("checkpoints", "neighbours")  # settings that `FilterConfig` has for all filters


@dataclass(frozen=True)
class Suspicion:
    """score: (n,) float, higher is dropped first; contradicts: (n,) bool, None where the filter has no verdict."""

    score: np.ndarray
    contradicts: np.ndarray | None = None


@dataclass(frozen=True)
class Chain:
    """Labels in question, and what is known of them: pseudo-labels in PLASM, beside gold ones that are trusted.

    inputs: of all examples by id, to which `ids` and `trusted` belong
    ids: (n,) rising, of the examples whose labels are in question; labels: theirs; words: (n,) of each
    trusted: (m,) ids of the examples whose labels are not in question; trusted_labels: theirs
    quality: of who gave the labels: its score on examples held out, None where none were
    evidence: by need, what the filter declares
    """

    task: str
    label_names: tuple[str, ...]
    inputs: Unlabelled
    ids: np.ndarray
    labels: Labels
    words: np.ndarray
    trusted: np.ndarray
    trusted_labels: Labels
    quality: float | None
    evidence: Mapping[str, Any]

    @property
    def classes(self) -> int:
        """Number of classes, or of tags."""
        return len(self.label_names)

    @property
    def doubt(self) -> np.ndarray:
        """(n,) 1 - the confidence of the model that gave the labels."""
        return self._evidence("doubt")

    @property
    def verdict(self) -> Predictions:
        """Of a second model, for all `ids`; it is fitted on the trusted labels alone."""
        return self._evidence("verifier")

    @property
    def model(self) -> Model:
        """Fitted on the trusted labels and on those in question that earlier filters kept."""
        return self._evidence("fit")

    @property
    def influence(self) -> np.ndarray:
        """(n,) self-influence on that model, see `Model.influence`; 0 where an earlier filter dropped the label."""
        return self._evidence("influence")

    @property
    def margins(self) -> np.ndarray:
        """(n,) mean margin while it was fitted, see `Model`; 0 where an earlier filter dropped the label."""
        return self._evidence("margins")

    @property
    def vectors(self) -> tuple[np.ndarray | Ragged, np.ndarray | Ragged]:
        """Of `trusted` and of `ids`: (m, width) and (n, width) by the pretrained encoder, before any fit; of sentences
        a row for each word.
        """
        return self._evidence("pretrained")

    def _evidence(self, need: str) -> Any:
        if need not in self.evidence:
            raise UserError(f"filter: looks at {need} without needing it; declare needs=({need!r}, ...)")
        return self.evidence[need]


@dataclass(frozen=True)
class Filter(Component):
    """needs: of `NEEDS`, what it looks at; what nobody needs is not computed
    contradicts: gives a verdict on each label, too, so that `drop: disagreement` can follow it
    confidence: its score is 1 - a confidence, to which `threshold` can be set
    source: the paper
    """

    needs: tuple[str, ...] = ()
    contradicts: bool = False
    confidence: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.needs) - set(NEEDS):
            raise TypeError(f"needs={sorted(unknown)}, which no chain has")

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("chain",)

    @property
    def looks_back(self) -> bool:
        """Whether it needs a model that was fitted on the labels in question."""
        return not set(LOOK_BACK).isdisjoint(self.needs)

    @property
    def shared(self) -> tuple[str, ...]:
        """Of `SHARED`, what counts for it; influences are a mean over checkpoints, whoever looks at them."""
        asked = {*self.parameters, *(["checkpoints"] if "influence" in self.needs else [])}
        return tuple(key for key in SHARED if key in asked)
