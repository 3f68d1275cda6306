"""PLASM: a successor of another kind learns from gold labels and from pseudo-labels of the rest of the pool.

Tsvigun et al., "Towards Computationally Feasible Deep Active Learning" (Findings of NAACL 2022), section 4.2:
label the pool with a full-size relative of the acquisition model, drop the labels that look wrong, train the
successor on the rest. Nothing here feeds back, so it is computed only at the cycles that are evaluated.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from al_bench.acquisition.annotation import mistaken
from al_bench.config.identity import first_look_back, fit_identity, pseudo_labels_identity, suspicion_identity
from al_bench.config.schema import FilterConfig
from al_bench.costs import Costs
from al_bench.data.corpus import Labels
from al_bench.data.metrics import evaluate, headline
from al_bench.data.ragged import Ragged, joined, like, offsets_of, values_of
from al_bench.filters import FILTERS, needed, suspicion
from al_bench.filters.dropping import drop_count, dropped
from al_bench.filters.opinions import of_confidence
from al_bench.filters.protocol import Chain, Suspicion
from al_bench.learners.base import UNWATCHED, Model, Watch, setup_seconds
from al_bench.learners.predictions import Predictions
from al_bench.ledger.store import Step
from al_bench.successor.successor import Fit, Succession, named, on_gold

T = TypeVar("T")
ROLES = {"verifier": "verifier", "pretrained": "successor"}  # whose weights a filter looks at, by what it needs


class Plasm:
    """One cycle's chain of steps: label, filter, fit. Each step is recorded as soon as it is done."""

    def __init__(self, s: Succession, labelled: np.ndarray, cycle: int) -> None:
        self.s, self.labelled, self.cycle = s, labelled, cycle
        self.determinants = (s.config, s.precision, cycle)  # what identities are functions of
        self.rest = np.setdiff1d(np.arange(len(s.corpus.train)), labelled)
        self.filters = s.config.pseudo_labeling.filters
        self.costs = Costs()
        # Some filters look back on a fit: (how many filters come before it, the pseudo-labels that these kept).
        self.look_back: tuple[int, np.ndarray] | None = None
        self.unfiltered: dict[str, float] | None = None  # that fit's metrics

    def result(self) -> tuple[dict[str, float], dict[str, Any], Costs]:
        """The successor's test metrics, a report on its pseudo-labels, and what all of it cost."""
        kept = np.ones(len(self.rest), dtype=bool)
        shares: dict[str, float] = {}
        quality = self.pseudo.values["quality"]
        for number, chosen in enumerate(self.filters):
            if number == first_look_back(self.filters):
                self.look_back = number, kept
            drop = np.zeros(len(kept), dtype=bool)
            if drop_count(chosen, kept, quality) != 0:  # else no suspicion could change that
                drop = dropped(chosen, self.suspicion(number, chosen), kept, quality)
            kept = kept & ~drop
            shares[chosen.by] = shares.get(chosen.by, 0.0) + float(np.count_nonzero(drop) / max(len(kept), 1))
        last = self._spend(self.fit(len(self.filters), kept).evaluated())
        if self.unfiltered is None and self.look_back is not None and np.array_equal(kept, self.look_back[1]):
            self.unfiltered = last.values
        return last.values, self.report(kept, shares), self.costs

    @cached_property
    def pseudo(self) -> Step:
        """The labeller's predictions for the rest of the pool, computed now, or read.

        quality: its score on the dev split, None where none could be held out; doubt: (n,) 1 - its confidence
        labels: the most probable ones; distributions: its probabilities, where the successor learns from soft labels
        """
        identity = pseudo_labels_identity(*self.determinants)
        return self._spend(self.s.steps.get(identity, ("pseudo_labeler",), self._label))

    @cached_property
    def labels(self) -> Labels:
        return self._shaped(self.pseudo.arrays["labels"].astype(np.int64))

    def _shaped(self, values: np.ndarray) -> Labels:
        offsets = offsets_of(self.s.corpus.train.words[self.rest])
        return Ragged(values, offsets) if self.s.corpus.task == "tagging" else values

    def _label(self) -> Step:
        def use(model: Model, predictions: Predictions) -> Step:
            arrays = {"labels": values_of(predictions.labels()).astype(np.int16)}
            if self.s.config.pseudo_labeling.labels == "soft":
                arrays["distributions"] = values_of(predictions.distributions())
            arrays["doubt"] = of_confidence(predictions).astype(np.float32)
            counts = {"pseudo_labelled_examples": len(self.rest), "pseudo_labelled_tokens": predictions.tokens}
            return Step({"quality": model.dev_score}, arrays, Costs(counts={**counts}))

        step, costs = self._predict("pseudo_labeler", "labeller", "pseudo_label", use)
        return replace(step, costs=replace(costs, counts=costs.counts | step.costs.counts))

    def _predict(self, role: str, part: str, phase: str, use: Callable[[Model, Predictions], T]) -> tuple[T, Costs]:
        """The use that is made of the predictions for the rest of the pool by a model fitted on gold labels alone."""
        fit = on_gold(self.s, self.labelled, self.cycle, role, part)
        model, clock = fit.model, self.s.clock(fit.learner)
        with clock.phase(phase), fit.stopping():
            used = use(model, model.predict(self.s.pool, self.rest))
        spent = named(fit.spent(), part)
        return used, replace(spent, seconds={**spent.seconds, **clock.seconds})

    def fit(self, filters: int, kept: np.ndarray, watch: Watch = UNWATCHED, part: str = "successor") -> Fit:
        """The successor on gold labels and on the pseudo-labels that the first filters kept."""
        before = self.filters[:filters]
        verified = ["verifier"] if needed(before, "verifier") else []
        roles = ("successor", "pseudo_labeler", *verified)
        identity = fit_identity(*self.determinants, "successor", before)
        return Fit(self.s, roles, self.cycle, identity, *self.training_set(kept), watch, part)

    @cached_property
    def first(self) -> Fit:
        """The fit that filters look back on, made if one of them drops any."""
        assert self.look_back is not None
        checkpoints = max((one.checkpoints for one in needed(self.filters, "influence")), default=0)
        watch = Watch(checkpoints, margins=bool(needed(self.filters, "margins")))
        fit = self.fit(*self.look_back, watch, "first_successor")
        self.unfiltered = self._spend(fit.evaluated()).values
        return fit

    def training_set(self, kept: np.ndarray) -> tuple[np.ndarray, Labels, np.ndarray | None]:
        """Ids, labels and weights: gold labels of the labelled examples and pseudo-labels of the kept ones."""
        config, classes = self.s.config.pseudo_labeling, len(self.s.corpus.label_names)
        ids = np.concatenate([self.labelled, self.rest[kept]])
        order = np.argsort(ids, kind="stable")
        gold, pseudo = self.s.labels(self.labelled), self.labels
        if config.labels == "soft":
            gold, pseudo = _smoothed(gold, classes, 0.0), self._shaped(self.pseudo.arrays["distributions"])
        elif config.smoothing > 0:
            gold, pseudo = _smoothed(gold, classes, 0.0), _smoothed(pseudo, classes, config.smoothing)
        weights = None
        if config.gold_weight != 1.0:
            weights = np.where(np.isin(ids[order], self.labelled), config.gold_weight, 1.0)
        return ids[order], joined([gold, pseudo[np.flatnonzero(kept)]])[order], weights

    def suspicion(self, number: int, chosen: FilterConfig) -> Suspicion:
        """Of every pseudo-labelled example; those of examples that were dropped before do not matter."""
        kind = FILTERS[chosen.by]
        roles = {"pseudo_labeler", *(self.first.roles if kind.looks_back else ())}
        roles |= {role for need, role in ROLES.items() if need in kind.needs}
        identity = suspicion_identity(*self.determinants, number)
        step = self._spend(self.s.steps.get(identity, tuple(sorted(roles)), partial(self._suspect, chosen)))
        return Suspicion(**step.arrays)

    def _suspect(self, chosen: FilterConfig) -> Step:
        costs, evidence = Costs(), {}
        for need in FILTERS[chosen.by].needs:
            evidence[need], spent = self._evidence(need, chosen)
            costs.add(spent)
        clock, train = self.s.clock(None), self.s.corpus.train
        chain = Chain(
            task=self.s.corpus.task,
            label_names=self.s.corpus.label_names,
            inputs=self.s.pool,
            ids=self.rest,
            labels=self.labels,
            words=train.words[self.rest],
            trusted=self.labelled,
            trusted_labels=self.s.labels(self.labelled),
            quality=self.pseudo.values["quality"],
            evidence=evidence,
        )
        with clock.phase("suspect"):
            answer = suspicion(chosen, chain)
        costs.add(Costs(clock.seconds))
        arrays = {"score": np.asarray(answer.score, dtype=np.float32)}
        if answer.contradicts is not None:
            arrays["contradicts"] = np.asarray(answer.contradicts, dtype=bool)
        return Step({}, arrays, costs)

    def _evidence(self, need: str, chosen: FilterConfig) -> tuple[Any, Costs]:
        """What a filter declares to look at, see `Chain`, and what it costs."""
        match need:
            case "doubt":
                return self.pseudo.arrays["doubt"], Costs()
            case "fit":
                return self.first.model, Costs()
            case "verifier":
                return self._predict("verifier", "verifier", "verify", lambda _, predictions: predictions)
            case "pretrained":
                return self._vectors()
        return self._look_back(need, chosen.checkpoints)

    def _look_back(self, need: str, checkpoints: int) -> tuple[np.ndarray, Costs]:
        """(n,) influences or margins of the first fit, made again where an earlier run left only its metrics.

        checkpoints: of influences, how many; the fit keeps as many as the filter needs that looks at most of them
        """
        fit = self.first
        model, clock = fit.model, self.s.clock(fit.learner)
        values = np.zeros(len(self.rest))  # of those that were dropped before the fit
        trained = np.flatnonzero(np.isin(self.rest, fit.ids))
        with clock.phase(need):
            if need == "influence":
                labels = self.labels[trained]
                values[trained] = model.influence(self.s.pool, self.rest[trained], labels, checkpoints=checkpoints)
            else:
                assert model.margins is not None
                values[trained] = model.margins[np.isin(fit.ids, self.rest)]
        return values, Costs(clock.seconds)

    def _vectors(self) -> tuple[tuple[np.ndarray | Ragged, ...], Costs]:
        """By the successor's encoder before any fit, of the labelled examples and of the rest."""
        learner = self.s.learner("successor")
        clock = self.s.clock(learner)
        once = setup_seconds(learner, self.s.pool)
        once["embed"] = learner.prepare(self.s.pool, embeddings=True) - once["prepare"]
        clock.seconds |= named(Costs(once), "successor").seconds
        with clock.phase("suspect"):
            vectors = tuple(learner.embed(self.s.pool, ids) for ids in (self.labelled, self.rest))
        return vectors, Costs(clock.seconds)

    def _spend(self, step: Step) -> Step:
        self.costs.add(step.costs)
        return step

    def report(self, kept: np.ndarray, shares: dict[str, float]) -> dict[str, Any]:
        """What the pseudo-labels were worth. Gold labels of the pool are looked at here and nowhere else."""
        corpus = self.s.corpus
        metric = headline(corpus.kind)
        true, labels = corpus.train.labels[self.rest], self.labels
        wrong = mistaken(true, labels)

        def score(chosen: np.ndarray) -> float | None:
            if not chosen.any():
                return None
            return evaluate(corpus.task, corpus.label_names, true[chosen], labels[chosen])[metric]

        removed, hits = np.count_nonzero(~kept), np.count_nonzero(wrong & ~kept)
        return {
            "examples": len(self.rest),
            "kept": int(np.count_nonzero(kept)),
            "quality": self.pseudo.values["quality"],
            metric: score(np.ones(len(kept), dtype=bool)),
            f"kept_{metric}": score(kept),
            "wrong": float(wrong.mean()) if len(wrong) else 0.0,
            "dropped": shares,
            "filter_precision": float(hits / removed) if removed else None,
            "filter_recall": float(hits / wrong.sum()) if removed and wrong.any() else None,
            "unfiltered_successor": self.unfiltered,
        }


def _smoothed(labels: Labels, classes: int, smoothing: float) -> Labels:
    """Distributions with `smoothing` of their mass spread over all labels."""
    values = values_of(labels)
    spread = np.full((len(values), classes), smoothing / classes, dtype=np.float32)
    spread[np.arange(len(values)), values] += 1.0 - smoothing
    return like(labels, spread)
