"""What a learner promises that reads no files of weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from al_bench.config.schema import ModelConfig, StrategyConfig
from al_bench.conformance.rounds import config_of, cycles_of
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.conformance.synthetic import corpus_of, frozen
from al_bench.data.corpus import Corpus
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.errors import reject
from al_bench.learners.base import UNWATCHED, FitSeeds, Learner, Model, Unlabelled, Watch
from al_bench.learners.families import LEARNERS, LearnerKind
from al_bench.learners.predictions import Predictions

SEEDS, LABELLED, DRAWS = FitSeeds(1, 2, 0), 40, 3


@dataclass(frozen=True)
class Subject:
    """A learner with its settings."""

    config: ModelConfig

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any]) -> "Subject":
        if LEARNERS[name].has_source(ModelConfig()):
            raise reject("check", name, "reads a model's files, which the synthetic data have not", "run it instead")
        return cls(ModelConfig(name="subject", learner=name, params=LEARNERS[name].typed(params, "params")))

    @property
    def kind(self) -> LearnerKind:
        return LEARNERS[self.config.learner]

    def learner(self, corpus: Corpus) -> Learner:
        facts: Any = ("acquisition", self.config, corpus.task, corpus.label_names, "cpu", "float32", None, frozenset())
        return self.kind.learner(*facts, **self.config.params)

    def corpora(self) -> Iterator[Corpus]:
        yield from (corpus_of(task) for task in self.kind.tasks)

    def fitted(self, corpus: Corpus, watch: Watch = UNWATCHED, weights: np.ndarray | None = None) -> Model:
        """On the first examples."""
        ids = frozen(np.arange(LABELLED))
        learner = self.learner(corpus)
        labels = frozen(corpus.train.labels[ids])
        return learner.fit(Unlabelled(corpus.train.inputs), ids, labels, SEEDS, weights=weights, watch=watch)

    def predictions(self, corpus: Corpus, ids: np.ndarray | None = None, **facts: Any) -> Predictions:
        ids = np.arange(len(corpus.train)) if ids is None else ids
        return self.fitted(corpus, **facts).predict(Unlabelled(corpus.train.inputs), frozen(ids))


def gives_probabilities(subject: Subject) -> None:
    """Fits, and gives each text, or each word that survives, a distribution over the labels."""
    for corpus in subject.corpora():
        predictions = subject.predictions(corpus)
        probs, classes = values_of(predictions.probs), len(corpus.label_names)
        if len(predictions) != len(corpus.train) or probs.ndim != 2 or probs.shape[1] != classes:
            broken = f"gives probabilities of shape {probs.shape} for {len(predictions)} texts ({corpus.task})"
            raise Broken(broken, f"give {classes} for each text, or word")
        if probs.dtype != np.float32 or not np.allclose(probs.sum(axis=1), 1, atol=1e-3) or (probs < 0).any():
            raise Broken(f"gives no distributions in float32 ({corpus.task})", "each row must sum to 1")
        if isinstance(predictions.probs, Ragged):
            predictions.labels()  # needs `kept` and `lengths`
        elif corpus.task == "tagging":
            raise Broken("gives an array for sentences", "give a Ragged, with `kept` and `lengths`")


def says_what_it_is(subject: Subject) -> None:
    """Tells its tasks, its settings as JSON, its summary and its code."""
    require_description(subject.kind, subject.config.params, subject.kind.tasks)
    LEARNERS.code(subject.config.learner)


def seeds_decide(subject: Subject) -> None:
    """Predicts the same after the same fit, however often."""
    for corpus in subject.corpora():
        one, other = (values_of(subject.predictions(corpus).probs) for _ in range(2))
        if not np.array_equal(one, other):
            raise Broken(f"another fit on the same labels predicts something else ({corpus.task})", "use the FitSeeds")


def learns(subject: Subject) -> None:
    """Predicts most of the labels that it was fitted on better than always the most frequent one."""
    for corpus in subject.corpora():
        ids = np.arange(LABELLED)
        gold = values_of(corpus.train.labels[ids])
        right = np.mean(values_of(subject.predictions(corpus, ids).labels()) == gold)
        often = np.bincount(gold).max() / len(gold)
        if right <= often:
            broken = f"is right about {right:.0%} of its own labels, of which {often:.0%} are one ({corpus.task})"
            raise Broken(broken, "see that labels and texts belong together")


def predicts_each_alone(subject: Subject) -> None:
    """Predicts a text the same, whichever others are predicted with it, and in any order."""
    for corpus in subject.corpora():
        some = np.random.default_rng(0).permutation(len(corpus.train))[:25]
        alone, among = subject.predictions(corpus, some).probs, subject.predictions(corpus).probs[some]
        if not np.allclose(values_of(alone), values_of(among), atol=1e-4):
            raise Broken(f"predictions depend on other texts ({corpus.task})", "keep positions and ids together")


def gives_what_it_declares(subject: Subject) -> None:
    """Gives all that it declares: embeddings, samples, margins and the like."""
    for corpus in subject.corpora():
        for gift in subject.kind.gives:
            GIFTS[gift](subject, corpus)


def runs_in_the_loop(subject: Subject) -> None:
    """Runs three rounds of the loop, twice the same."""
    for corpus in subject.corpora():
        config = config_of(corpus.task, "examples", StrategyConfig("least_confidence"))
        learners = [subject.learner(corpus) for _ in range(2)]
        one, other = ([cycle.queried.tolist() for cycle in cycles_of(config, corpus, each)] for each in learners)
        if one != other:
            raise Broken(f"another run of the same seeds queries something else ({corpus.task})", "keep no state")


def _embeddings(subject: Subject, corpus: Corpus) -> None:
    inputs, ids = Unlabelled(corpus.train.inputs), np.arange(10)
    predictions = subject.fitted(corpus).predict(inputs, ids, embeddings=True)
    rows = predictions.embeddings
    if rows is None or len(values_of(rows)) != len(values_of(predictions.probs)):
        raise Broken("gives no embeddings beside the probabilities", "fill Predictions.embeddings where asked to")


def _samples(subject: Subject, corpus: Corpus) -> None:
    inputs, ids = Unlabelled(corpus.train.inputs), np.arange(10)
    model = subject.fitted(corpus)
    one, other = ([values_of(p) for _, p, _ in model.samples(inputs, ids, DRAWS, seed)] for seed in (0, 1))
    shape = np.concatenate(one).shape
    if shape[1:] != (DRAWS, len(corpus.label_names)):
        raise Broken(f"gives samples of shape {shape}", "give (examples or words, draws, labels)")
    if np.array_equal(np.concatenate(one), np.concatenate(other)):
        raise Broken("gives the same samples for each seed", "draw the masks from the seed")


def _pretrained(subject: Subject, corpus: Corpus) -> None:
    vectors = subject.learner(corpus).embed(Unlabelled(corpus.train.inputs), np.arange(10))
    if len(vectors) != 10 or values_of(vectors).ndim != 2:
        raise Broken(f"embeds 10 texts in {len(vectors)} rows", "give a vector for each text, or each word")


def _surprisal(subject: Subject, corpus: Corpus) -> None:
    losses = subject.learner(corpus).surprisal(Unlabelled(corpus.train.inputs), np.arange(10), 0)
    if losses.ndim != 2 or len(losses) != 10:
        raise Broken(f"gives surprisal of shape {losses.shape} for 10 texts", "give a row for each")


def _influence(subject: Subject, corpus: Corpus) -> None:
    model, ids = subject.fitted(corpus, Watch(checkpoints=1)), np.arange(10)
    influence = model.influence(Unlabelled(corpus.train.inputs), ids, corpus.train.labels[ids])
    if np.shape(influence) != (10,) or (np.asarray(influence) < 0).any():
        raise Broken("gives no influence of 0 or more for each label", "give the squared norm of the gradient")


def _margins(subject: Subject, corpus: Corpus) -> None:
    margins = subject.fitted(corpus, Watch(margins=True)).margins
    if margins is None or margins.shape != (LABELLED,):
        raise Broken(f"gives no margin for each of {LABELLED} labels", "fill Model.margins if it is watched")


def _soft_labels(subject: Subject, corpus: Corpus) -> None:
    hard = corpus.train.labels
    soft = like(hard, np.eye(len(corpus.label_names), dtype=np.float32)[values_of(hard)])
    probs = subject.predictions(replace(corpus, train=replace(corpus.train, labels=soft))).probs
    if not np.allclose(values_of(probs), values_of(subject.predictions(corpus).probs), atol=1e-2):
        raise Broken("learns something else from distributions than from the labels that they are sure of", "see fit")


def _weights(subject: Subject, corpus: Corpus) -> None:
    heavy = np.where(np.arange(LABELLED) < LABELLED // 2, 20.0, 1.0)
    probs = values_of(subject.predictions(corpus, weights=frozen(heavy)).probs)
    if np.array_equal(probs, values_of(subject.predictions(corpus).probs)):
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
SUITE = Suite(
    LEARNERS,
    Subject.of,
    (
        gives_probabilities,
        says_what_it_is,
        seeds_decide,
        learns,
        predicts_each_alone,
        gives_what_it_declares,
        runs_in_the_loop,
    ),
)
