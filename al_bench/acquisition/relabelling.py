"""Before a cycle's fit: labels that look wrong are left out, or asked for again."""

from typing import Any

import numpy as np

from al_bench.acquisition.pool import Pool
from al_bench.config.schema import RelabelConfig, RunConfig
from al_bench.data.corpus import Corpus, Labels
from al_bench.filters import FILTERS, suspicion
from al_bench.filters.dropping import dropped
from al_bench.filters.protocol import Chain
from al_bench.learners.base import FitSeeds, Learner, Unlabelled, Watch
from al_bench.learners.predictions import Predictions, assembled
from al_bench.seeds import stream

EVIDENCE = ("verifier", "margins")  # what filters can look at here


def relabels(config: RunConfig, cycle: int) -> bool:
    """Whether labels are looked at again before the cycle's fit."""
    at = config.relabel.at
    return config.relabel.action != "none" and (at == "all" or cycle in at)


def fits_for_relabelling(config: RunConfig, cycle: int) -> int:
    """How many models are fitted for it before the cycle's own, where there are labels enough for all folds."""
    if not relabels(config, cycle):
        return 0
    needs = FILTERS[config.relabel.filter.by].needs
    return config.relabel.folds * ("verifier" in needs) + ("margins" in needs)


def suspicious(config: RelabelConfig, corpus: Corpus, pool: Pool, learner: Learner, seeds: FitSeeds) -> np.ndarray:
    """Ids, rising, of labels that the filter finds wrong; those that were looked into before are trusted."""
    ids, trusted = pool.labelled[~pool.is_revised[pool.labelled]], pool.labelled[pool.is_revised[pool.labelled]]
    if len(ids) < 2:
        return ids[:0]
    inputs, needs = Unlabelled(corpus.train.inputs), FILTERS[config.filter.by].needs
    evidence: dict[str, Any] = {}
    if "verifier" in needs:
        evidence["verifier"] = held_out(learner, inputs, ids, trusted, pool.answers, seeds, config.folds)
    if "margins" in needs:
        labelled = pool.labelled
        model = learner.fit(inputs, labelled, pool.answers[labelled], seeds, watch=Watch(margins=True))
        assert model.margins is not None
        evidence["margins"] = model.margins[~pool.is_revised[labelled]]
    chain = Chain(
        corpus.task, corpus.label_names, inputs, ids, pool.answers[ids], corpus.train.words[ids],
        trusted, pool.answers[trusted], None, evidence,
    )  # fmt: skip
    kept = np.ones(len(ids), dtype=bool)
    return ids[dropped(config.filter, suspicion(config.filter, chain), kept, None)]


def held_out(
    learner: Learner, inputs: Unlabelled, ids: np.ndarray, trusted: np.ndarray, answers: Labels, seeds: FitSeeds,
    folds: int,
) -> Predictions:  # fmt: skip
    """Predictions of the ids, each by a model that was fitted without its label (Northcutt et al. 2021)."""
    fold_of = stream(seeds.order, "folds", seeds.cycle).permutation(np.arange(len(ids)) % folds)
    parts = []
    for fold in range(min(folds, len(ids))):
        places = np.flatnonzero(fold_of == fold)
        others = np.union1d(ids[fold_of != fold], trusted)
        model = learner.fit(inputs, others, answers[others], seeds)
        parts.append((places, model.predict(inputs, ids[places])))
    return assembled(parts)
