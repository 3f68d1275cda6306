"""What a label would tell about the model's parameters, of which random dropout masks are draws."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.special import entr

from al_bench.acquisition.aggregates import aggregated
from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.strategies.protocol import Selection, by_view, selecting
from al_bench.acquisition.view import View
from al_bench.config.schema import at_least
from al_bench.data.ragged import like, values_of

BLOCK = 4096  # rows of samples at a time, in float64
NUMBERS = 2**22  # float64 numbers in memory at a time: 32 MiB


@dataclass
class Sampling:
    """draws: dropout masks, each one for all texts"""

    draws: int = at_least(2, "10 is usual", 10)


@dataclass
class JointSampling(Sampling):
    """configurations: of the labels of a batch, that are told apart; up to so many the information is exact
    shortlist: candidates with the most information on their own, among which a batch is sought
    """

    configurations: int = at_least(1, "1000 is usual", 1000)
    shortlist: int = at_least(1, "1000 is usual", 1000)


@by_view(params=Sampling, needs=("samples",), source="Houlsby et al. 2011; Gal et al. 2017", cost="n draws")
def bald(view: View, ids: np.ndarray, rng: Generator, *, draws: int) -> np.ndarray:
    """Mutual information of the label and the model (BALD).

    (n,) `information` of texts, or of words, aggregated by sentence.
    """
    samples = view.samples(ids, draws)
    return aggregated(like(samples, information(values_of(samples))), view.aggregate)


def information(samples: np.ndarray) -> np.ndarray:
    """(n,) H(mean_d p_d) - mean_d H(p_d) in nats, of (n, draws, classes) probabilities (Houlsby et al. 2011)."""
    scores = np.empty(len(samples))
    for start in range(0, len(samples), BLOCK):
        p = samples[start : start + BLOCK].astype(np.float64)
        scores[start : start + BLOCK] = entr(p.mean(axis=1)).sum(axis=1) - entr(p).sum(axis=2).mean(axis=1)
    return np.maximum(scores, 0.0)  # it is less than 0 by rounding alone


@selecting(
    params=JointSampling,
    needs=("samples",),
    tasks=("classification",),
    source="Kirsch et al. 2019",
    cost="n draws + b shortlist configurations draws",
)
def batch_bald(
    view: View,
    candidates: np.ndarray,
    budget: Budget,
    rng: Generator,
    *,
    draws: int,
    configurations: int,
    shortlist: int,
) -> Selection:
    """Greedy joint mutual information of a batch's labels and the model (BatchBALD).

    By the chain rule, the joint information of a batch (Kirsch et al. 2019) grows with each member i by
    H(y_i | labels of the members before) - mean_d H(y_i | d): it is large for a text that the draws disagree on, and
    small for one whose label those of the others give away. The batch is sought among `shortlist` candidates, the
    best on their own, or as many as the budget buys; others follow in that order, and so do equals. With D draws a
    batch holds log D nats at most, so that a large batch needs many draws.
    """
    samples = view.samples(candidates, draws)
    assert isinstance(samples, np.ndarray)
    places = ranked(np.arange(len(candidates)), information(samples), rng)
    short = places[: max(shortlist, budget.size(candidates[places]))]
    probs = samples[short].astype(np.float64)
    given_model = entr(probs).sum(axis=2).mean(axis=1)
    known, chosen = Known.nothing(draws), list[int]()
    while len(chosen) < len(short) and not budget.is_spent(candidates[short[chosen]]):
        gains = known.entropies(probs) - given_model
        gains[chosen] = -np.inf
        chosen.append(int(gains.round(6).argmax()))  # the first of equals; float32 probabilities tell no more
        known = known.observe(probs[chosen[-1]], configurations, rng)
    return Selection(candidates[np.concatenate([short[chosen], np.delete(short, chosen), places[len(short) :]])])


@dataclass(frozen=True)
class Known:
    """What the labels of a batch would tell about the draw.

    weights: (m,) probability of each configuration of labels; posterior: (m, draws) of each draw, given these labels
    """

    weights: np.ndarray
    posterior: np.ndarray

    @classmethod
    def nothing(cls, draws: int) -> "Known":
        return cls(np.ones(1), np.full((1, draws), 1 / draws))

    def entropies(self, probs: np.ndarray) -> np.ndarray:
        """(k,) H(y | labels of the batch) of candidates with (k, draws, classes) probabilities."""
        (k, draws, classes), entropies = probs.shape, np.empty(len(probs))
        block = max(1, NUMBERS // (len(self.weights) * classes))
        for start in range(0, k, block):
            labels = self.posterior @ probs[start : start + block].transpose(1, 0, 2).reshape(draws, -1)
            entropies[start : start + block] = (self.weights @ entr(labels)).reshape(-1, classes).sum(axis=1)
        return entropies

    def observe(self, probs: np.ndarray, limit: int, rng: Generator) -> "Known":
        """With the label of one more member, which has (draws, classes) probabilities.

        More than `limit` configurations are represented by a systematic sample of so many: each is drawn as often
        as its weight says, but for one, so that entropies stay unbiased.
        """
        joint = (self.posterior[:, None, :] * probs.T).reshape(-1, len(probs))
        likelihood = joint.sum(axis=1)
        weights = np.repeat(self.weights, probs.shape[1]) * likelihood
        rows, sums = np.flatnonzero(weights), weights.cumsum()
        weights = weights[rows]
        if len(rows) > limit:
            points = (np.arange(limit) + rng.random()) / limit * sums[-1]
            rows, weights = np.unique(np.searchsorted(sums, points, side="right"), return_counts=True)
        return Known(weights / weights.sum(), joint[rows] / likelihood[rows, None])
