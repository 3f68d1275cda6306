"""From scores to a batch: the top, the bottom, or a draw that prefers high scores.

Kirsch et al., "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning" (TMLR 2023): a batch of the
top scores repeats itself, since scores ignore each other; one drawn by scores with Gumbel noise does not.
"""

import numpy as np
from numpy.random import Generator
from scipy.stats import rankdata

from al_bench.errors import UserError

STOCHASTIC = ("power", "softmax", "soft_rank")
BATCHES = ("top", "bottom", *STOCHASTIC)


def keys(scores: np.ndarray, batch: str, beta: float, rng: Generator) -> np.ndarray:
    """(n,) by which candidates are ranked; their largest ones are a draw without replacement.

    top: the scores; bottom: the opposite, a bracket that shows what a strategy's scores are worth (`Strategy.select`
        has that of a strategy without scores)
    power: with probability proportional to s^beta; softmax: to exp(beta s); soft_rank: to rank^-beta, 1 is the top
    """
    if batch == "top":
        return scores
    if batch == "bottom":
        return -scores
    noise = rng.gumbel(size=len(scores))
    if batch == "softmax":
        return beta * scores + noise
    if batch == "soft_rank":
        return -beta * np.log(rankdata(-scores, method="average")) + noise
    if (scores < 0).any():
        raise UserError("strategy.batch=power: needs scores that are not negative; use softmax or soft_rank")
    with np.errstate(divide="ignore"):
        return beta * np.log(scores) + noise
