"""What a learner gives beside predictions, and whether it is what it says."""

from dataclasses import replace

import numpy as np

from al_bench.conformance.suite import Broken
from al_bench.conformance.synthetic import frozen
from al_bench.conformance.trials import LABELLED, Trial
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import like, values_of
from al_bench.learners.base import Unlabelled, Watch

DRAWS = 3


def _embeddings(trial: Trial, corpus: Corpus) -> None:
    inputs, ids = Unlabelled(corpus.train.inputs), np.arange(10)
    predictions = trial.fitted(corpus).predict(inputs, ids, embeddings=True)
    rows = predictions.embeddings
    if rows is None or len(values_of(rows)) != len(values_of(predictions.probs)):
        raise Broken("gives no embeddings beside the probabilities", "fill Predictions.embeddings where asked to")


def _samples(trial: Trial, corpus: Corpus) -> None:
    inputs, ids = Unlabelled(corpus.train.inputs), np.arange(10)
    model = trial.fitted(corpus)
    one, other = ([values_of(p) for _, p, _ in model.samples(inputs, ids, DRAWS, seed)] for seed in (0, 1))
    shape = np.concatenate(one).shape
    if shape[1:] != (DRAWS, len(corpus.label_names)):
        raise Broken(f"gives samples of shape {shape}", "give (examples or words, draws, labels)")
    if np.array_equal(np.concatenate(one), np.concatenate(other)):
        raise Broken("gives the same samples for each seed", "draw the masks from the seed")


def _pretrained(trial: Trial, corpus: Corpus) -> None:
    vectors = trial.learner(corpus).embed(Unlabelled(corpus.train.inputs), np.arange(10))
    if len(vectors) != 10 or values_of(vectors).ndim != 2:
        raise Broken(f"embeds 10 texts in {len(vectors)} rows", "give a vector for each text, or each word")


def _surprisal(trial: Trial, corpus: Corpus) -> None:
    losses = trial.learner(corpus).surprisal(Unlabelled(corpus.train.inputs), np.arange(10), 0)
    if losses.ndim != 2 or len(losses) != 10:
        raise Broken(f"gives surprisal of shape {losses.shape} for 10 texts", "give a row for each")


def _influence(trial: Trial, corpus: Corpus) -> None:
    model, ids = trial.fitted(corpus, Watch(checkpoints=1)), np.arange(10)
    influence = model.influence(Unlabelled(corpus.train.inputs), ids, corpus.train.labels[ids])
    if np.shape(influence) != (10,) or (np.asarray(influence) < 0).any():
        raise Broken("gives no influence of 0 or more for each label", "give the squared norm of the gradient")


def _margins(trial: Trial, corpus: Corpus) -> None:
    margins = trial.fitted(corpus, Watch(margins=True)).margins
    if margins is None or margins.shape != (LABELLED,):
        raise Broken(f"gives no margin for each of {LABELLED} labels", "fill Model.margins if it is watched")


def _soft_labels(trial: Trial, corpus: Corpus) -> None:
    hard = corpus.train.labels
    soft = like(hard, np.eye(len(corpus.label_names), dtype=np.float32)[values_of(hard)])
    probs = trial.predictions(replace(corpus, train=replace(corpus.train, labels=soft))).probs
    if not np.allclose(values_of(probs), values_of(trial.predictions(corpus).probs), atol=1e-2):
        raise Broken("learns something else from distributions than from the labels that they are sure of", "see fit")


def _weights(trial: Trial, corpus: Corpus) -> None:
    heavy = np.where(np.arange(LABELLED) < LABELLED // 2, 20.0, 1.0)
    probs = values_of(trial.predictions(corpus, weights=frozen(heavy)).probs)
    if np.array_equal(probs, values_of(trial.predictions(corpus).probs)):
        raise Broken("pays no attention to weights", "weigh the losses, or do not declare it")


GIFTS = {
    "embeddings": _embeddings,
    "samples": _samples,
    "pretrained": _pretrained,
    "surprisal": _surprisal,
    "influence": _influence,
    "margins": _margins,
    "soft labels": _soft_labels,
    "weights": _weights,
}
