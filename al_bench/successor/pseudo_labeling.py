"""PLASM: a successor of another kind learns from gold labels and from pseudo-labels of the rest of the pool.

Tsvigun et al., "Towards Computationally Feasible Deep Active Learning" (Findings of NAACL 2022), section 4.2:
label the pool with a full-size relative of the acquisition model, drop what looks mislabelled, train the
successor on what is left. Nothing here feeds back, so it is computed only at the cycles that are evaluated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from al_bench.config.identity import fit_identity, pseudo_labels_identity, suspicion_identity
from al_bench.config.schema import AFTER_A_FIT, FilterConfig
from al_bench.costs import Costs
from al_bench.data.corpus import Labels
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged, joined, offsets_of
from al_bench.learners.base import Watch, setup_seconds
from al_bench.ledger.steps import Step
from al_bench.successor.filters import (
    Suspicion,
    dropped,
    of_confidence,
    of_neighbours,
    of_verifier,
)
from al_bench.successor.successor import Fit, Succession, TrainingSet, gold, named


@dataclass(frozen=True)
class PseudoLabels:
    """The rest of the pool as the labeller sees it.

    ids: rising; labels: its most probable label for each; doubt: (n,) 1 - its confidence
    quality: its score on the dev split, None where none could be held out
    distributions: all it said, where the successor learns from soft labels
    """

    ids: np.ndarray
    labels: Labels
    doubt: np.ndarray
    quality: float | None
    distributions: Labels | None = None


def plasm(s: Succession, labelled: np.ndarray, cycle: int) -> tuple[dict[str, float], dict[str, Any], Costs]:
    """The successor's test metrics, a report on its pseudo-labels, and what all of it cost."""
    return _Plasm(s, labelled, cycle).result()


class _Plasm:
    """One cycle's chain of steps: label, filter, fit; each is remembered as soon as it is done."""

    def __init__(self, s: Succession, labelled: np.ndarray, cycle: int) -> None:
        self.s, self.labelled, self.cycle = s, labelled, cycle
        self.rest = np.setdiff1d(np.arange(len(s.corpus.train)), labelled)
        self.filters = s.config.pseudo_labeling.filters
        self.costs = Costs({})
        # On the pseudo-labels that were left when a filter first looked back on a fit.
        self.first: Fit | None = None

    def result(self) -> tuple[dict[str, float], dict[str, Any], Costs]:
        kept = np.ones(len(self.rest), dtype=bool)
        shares: dict[str, float] = {}
        after = 0
        for number, chosen in enumerate(self.filters):
            gone = dropped(chosen, self.suspicion(number, chosen, kept), kept, self.pseudo.quality)
            kept &= ~gone
            shares[chosen.by] = shares.get(chosen.by, 0.0) + float(np.count_nonzero(gone) / max(len(kept), 1))
            after += int(np.count_nonzero(gone)) if self.first is not None else 0
        if self.first is not None and not after:  # nothing of what it was fitted on is dropped
            done = self.first.evaluated()
        else:
            done = self._spend(self.fit(len(self.filters), kept).evaluated())
        return done.values, self.report(kept, shares), self.costs

    @cached_property
    def pseudo(self) -> PseudoLabels:
        """Labelled now, or remembered."""
        soft = self.s.config.pseudo_labeling.labels == "soft"
        identity = pseudo_labels_identity(self.s.config, self.s.precision, self.cycle)
        step = self._spend(self.s.steps.get(identity, ("pseudo_labeler",), lambda: self._label(soft)))
        offsets = offsets_of(self.s.corpus.train.words[self.rest])

        def shaped(name: str) -> Labels:
            values = step.arrays[name]
            values = values.astype(np.int64) if name == "labels" else values
            return Ragged(values, offsets) if self.s.corpus.task == "tagging" else values

        return PseudoLabels(
            self.rest,
            shaped("labels"),
            step.arrays["doubt"],
            step.values["quality"],
            shaped("distributions") if soft else None,
        )

    def _label(self, soft: bool) -> Step:
        labeller = self._on_gold("pseudo_labeler", "labeller")
        model = labeller.model
        clock = self.s.clock(labeller.learner)
        with clock.phase("pseudo_label"):
            said = model.predict(self.s.pool, self.rest)
            doubt = of_confidence(said)
        labels = said.labels()
        arrays: dict[str, np.ndarray] = {
            "labels": _values(labels).astype(np.int16),
            "doubt": doubt.astype(np.float32),
        }
        if soft:
            arrays["distributions"] = _values(said.distributions())
        spent = labeller.spent()
        counts = {
            **spent.counts,
            "pseudo_labelled_examples": len(self.rest),
            "pseudo_labelled_tokens": said.tokens,
        }
        quality = {"quality": model.dev_score}
        return Step(quality, arrays, Costs({**spent.seconds, **clock.seconds}, counts))

    def _on_gold(self, role: str, part: str) -> Fit:
        identity = fit_identity(self.s.config, self.s.precision, self.cycle, role)
        return Fit(self.s, role, self.cycle, identity, gold(self.s, self.labelled), part=part)

    def fit(self, filters: int, kept: np.ndarray, part: str = "successor") -> Fit:
        """The successor on gold and on the pseudo-labels that the first filters left."""
        before = self.filters[:filters]
        identity = fit_identity(self.s.config, self.s.precision, self.cycle, "successor", before)
        roles = ["pseudo_labeler", *(["verifier"] if any(f.by == "verifier" for f in before) else [])]
        watch = Watch()
        if part == "first_successor":
            checkpoints = max((f.checkpoints for f in self.filters if f.by == "tracin"), default=0)
            watch = Watch(checkpoints, margins=any(f.by == "aum" for f in self.filters))
        chosen = training_set(self.s, self.labelled, self.pseudo, kept)
        return Fit(
            self.s, "successor", self.cycle, identity, chosen, roles=tuple(roles), watch=watch, part=part
        )

    def suspicion(self, number: int, chosen: FilterConfig, kept: np.ndarray) -> Suspicion:
        """Of every pseudo-labelled example; what it says of those that are gone already does not matter."""
        if chosen.by == "confidence":
            return Suspicion(self.pseudo.doubt)
        compute: Callable[[], Step]
        if chosen.by in AFTER_A_FIT:
            if self.first is None:
                self.first = self.fit(number, kept, "first_successor")
                self._spend(self.first.evaluated())
            roles, compute = self.first.roles, partial(self._look_back, chosen, self.first)
        elif chosen.by == "verifier":
            roles, compute = ("pseudo_labeler", "verifier"), self._verify
        else:
            roles, compute = ("pseudo_labeler", "successor"), partial(self._ask_neighbours, chosen.neighbours)
        identity = suspicion_identity(self.s.config, self.s.precision, self.cycle, number)
        step = self._spend(self.s.steps.get(identity, roles, compute))
        return Suspicion(step.arrays["score"], step.arrays.get("contradicts"))

    def _look_back(self, chosen: FilterConfig, fit: Fit) -> Step:
        """By the first fit, which is made again where only its metrics are left of an earlier run."""
        model, clock = fit.model, self.s.clock(fit.learner)
        score = np.zeros(len(self.rest))  # of those that went before the fit
        trained = np.flatnonzero(np.isin(self.rest, fit.training_set.ids))
        with clock.phase("influence" if chosen.by == "tracin" else "margins"):
            if chosen.by == "tracin":
                score[trained] = model.influence(self.s.pool, self.rest[trained], self.pseudo.labels[trained])
            else:
                assert model.margins is not None
                score[trained] = -model.margins[np.isin(fit.training_set.ids, self.rest)]
        return Step({}, {"score": score.astype(np.float32)}, Costs(clock.seconds))

    def _verify(self) -> Step:
        verifier = self._on_gold("verifier", "verifier")
        model = verifier.model
        clock = self.s.clock(verifier.learner)
        with clock.phase("verify"):
            found = of_verifier(model.predict(self.s.pool, self.rest), self.pseudo.labels)
        spent = verifier.spent()
        return _step(found, Costs({**spent.seconds, **clock.seconds}, spent.counts))

    def _ask_neighbours(self, k: int) -> Step:
        corpus, learner = self.s.corpus, self.s.learner("successor")
        clock = self.s.clock(learner)
        once = setup_seconds(learner, self.s.pool)
        once["embed"] = learner.prepare(self.s.pool, embeddings=True) - once["prepare"]
        clock.seconds |= named(Costs(once), "successor").seconds
        with clock.phase("neighbours"):
            known, asked = (learner.embed(self.s.pool, ids) for ids in (self.labelled, self.rest))
            gold_labels = corpus.train.labels[self.labelled]
            found = of_neighbours(known, gold_labels, asked, self.pseudo.labels, len(corpus.label_names), k)
        return _step(found, Costs(clock.seconds))

    def _spend(self, step: Step) -> Step:
        self.costs.add(step.costs)
        return step

    def report(self, kept: np.ndarray, shares: dict[str, float]) -> dict[str, Any]:
        """What the pseudo-labels were worth; gold labels of the pool are looked at here and nowhere else."""
        corpus = self.s.corpus
        metric = headline(corpus.task)
        true, said = corpus.train.labels[self.rest], self.pseudo.labels
        wrong = mistaken(true, said)

        def score(chosen: np.ndarray) -> float | None:
            if not chosen.any():
                return None
            return evaluate(corpus.task, corpus.label_names, true[chosen], said[chosen])[metric]

        gone, found = np.count_nonzero(~kept), np.count_nonzero(wrong & ~kept)
        first = self.first.evaluated().values if self.first is not None else None
        return {
            "examples": len(self.rest),
            "kept": int(np.count_nonzero(kept)),
            "quality": self.pseudo.quality,
            metric: score(np.ones(len(kept), dtype=bool)),
            f"kept_{metric}": score(kept),
            "wrong": float(wrong.mean()) if len(wrong) else 0.0,
            "dropped": shares,
            "filter_precision": float(found / gone) if gone else None,
            "filter_recall": float(found / wrong.sum()) if gone and wrong.any() else None,
            "unfiltered_successor": first,
        }


def training_set(s: Succession, labelled: np.ndarray, pseudo: PseudoLabels, kept: np.ndarray) -> TrainingSet:
    """Gold of the labelled examples and pseudo-labels of the kept ones, by rising id."""
    config, corpus = s.config.pseudo_labeling, s.corpus
    chosen = pseudo.ids[kept]
    ids = np.concatenate([labelled, chosen])
    order = np.argsort(ids, kind="stable")
    labels: Labels
    if config.labels == "soft" or config.smoothing > 0:
        classes = len(corpus.label_names)
        said = pseudo.distributions
        if said is None:
            said = _smoothed(pseudo.labels, classes, config.smoothing)
        labels = chained(_smoothed(corpus.train.labels[labelled], classes, 0.0), said[np.flatnonzero(kept)])
    else:
        labels = chained(corpus.train.labels[labelled], pseudo.labels[np.flatnonzero(kept)])
    weights = None
    if config.gold_weight != 1.0:
        weights = np.where(np.arange(len(ids)) < len(labelled), config.gold_weight, 1.0)[order]
    return TrainingSet(ids[order], labels[order], weights)


def mistaken(true: Labels, said: Labels) -> np.ndarray:
    """(n,) bool: whose label, or any of whose tags, is wrong."""
    if not isinstance(true, Ragged):
        return true != said
    rows = np.repeat(np.arange(len(true)), true.lengths)
    return np.bincount(rows, weights=_values(true) != _values(said), minlength=len(true)) > 0


def _smoothed(labels: Labels, classes: int, smoothing: float) -> Labels:
    """Distributions with `smoothing` of their mass spread over all labels."""
    if isinstance(labels, Ragged):
        return Ragged(_values(_smoothed(labels.values, classes, smoothing)), labels.offsets)
    spread = np.full((len(labels), classes), smoothing / classes, dtype=np.float32)
    spread[np.arange(len(labels)), labels] += 1.0 - smoothing
    return spread


def chained(first: Labels, second: Labels) -> Labels:
    """The labels of the first, then of the second."""
    if isinstance(first, Ragged):
        assert isinstance(second, Ragged)
        return joined([first, second])
    return np.concatenate([first, _values(second)])


def _values(labels: Labels) -> np.ndarray:
    return labels.values if isinstance(labels, Ragged) else labels


def _step(found: Suspicion, costs: Costs) -> Step:
    arrays = {"score": found.score.astype(np.float32)}
    if found.contradicts is not None:
        arrays["contradicts"] = found.contradicts
    return Step({}, arrays, costs)
