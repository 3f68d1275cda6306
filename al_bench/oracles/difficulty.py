"""An oracle that errs where labelling is hard, and always in the same direction."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from al_bench.config.schema import between
from al_bench.data.corpus import Corpus
from al_bench.oracles.protocol import Answers

FOLDS = 5


@dataclass
class Difficulty:
    """Settings of `noisy_hard`: the expected share of wrong labels."""

    rate: float = between(0, 1, "it is a share", 0.1)


def noisy_hard(corpus: Corpus, rng: Generator, *, rate: float) -> Answers:
    """The harder an example, the likelier a wrong label, and then always the one that it is easiest mistaken for.

    Noise that depends on the instance, as human annotators make it (Xia et al. 2020). Difficulty is the loss of the
    gold label by a logistic regression on TF-IDF, fitted without the example.
    """
    gold = corpus.train.labels
    assert isinstance(gold, np.ndarray)
    probs = held_out([str(text) for text in corpus.train.inputs], gold, len(corpus.label_names))
    examples = np.arange(len(gold))
    loss = -np.log(np.maximum(probs[examples, gold], 1e-12))
    probs[examples, gold] = -1.0
    wrong = rng.random(len(gold)) < chances(loss, rate)
    return Answers(np.where(wrong, probs.argmax(axis=1), gold), np.ones(len(gold), dtype=bool))


def chances(loss: np.ndarray, rate: float) -> np.ndarray:
    """(n,) probabilities that rise with the loss, in proportion up to 1, whose mean is the rate."""
    from scipy.optimize import brentq

    if rate in (0, 1) or not loss.any():
        return np.full(len(loss), float(rate))
    loss = np.maximum(loss, 1e-9)  # else a rate near 1 could not be met
    scale = brentq(lambda scale: np.minimum(1, scale * loss).mean() - rate, 0, 1 / loss.min(), xtol=1e-15)
    return np.minimum(1, scale * loss)


def held_out(texts: list[str], labels: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) probabilities, each example's by a model that was fitted on the other folds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline

    probs = np.zeros((len(texts), classes))
    for rest, fold in KFold(min(FOLDS, len(texts)), shuffle=True, random_state=0).split(texts):
        if len(np.unique(labels[rest])) == 1:
            probs[fold, labels[rest][0]] = 1.0
            continue
        # Every word counts, those of one letter, too: a text may have no other.
        model = make_pipeline(TfidfVectorizer(token_pattern=r"\S+"), LogisticRegression(max_iter=1000))
        model.fit([texts[i] for i in rest], labels[rest])
        probs[np.ix_(fold, model.classes_)] = model.predict_proba([texts[i] for i in fold])
    return probs
