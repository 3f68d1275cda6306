"""A batch that makes the last layer's parameters certain where the pool needs them: BAIT."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from al_bench.acquisition.selection import Budget, ranked
from al_bench.acquisition.strategies.distance import scatter
from al_bench.acquisition.strategies.protocol import Selection, selecting
from al_bench.acquisition.view import View
from al_bench.config.schema import at_least
from al_bench.data.ragged import values_of

NUMBERS = 2**22  # float64 numbers in memory at a time: 32 MiB


@dataclass
class Reduction:
    """width: principal components of the embeddings that stand for them
    ridge: precision of the parameters before any label is known
    shortlist: candidates that are best on their own, among which a batch is sought
    """

    width: int = at_least(1, "16 is usual", 16)
    ridge: float = at_least(1e-9, "1 is usual", 1.0)
    shortlist: int = at_least(1, "1000 is usual", 1000)


@selecting(
    params=Reduction,
    needs=("predictions", "embeddings"),
    tasks=("classification",),
    source="Ash et al. 2021",
    cost="(n + b shortlist) (width classes)^2",
)
def bait(
    view: View, candidates: np.ndarray, budget: Budget, rng: Generator, *, width: int, ridge: float, shortlist: int
) -> Selection:
    """Batch that minimises the pool's loss in Fisher information (BAIT).

    It minimises tr(M^-1 F) (Ash et al. 2021). F: mean Fisher information of the candidates in the parameters of the
    last layer. M: the sum of that of the labelled texts and of the batch, plus the ridge. As in the paper, a batch
    of twice the budget is built greedily, and then those are left out greedily that are missed the least.

    Information is computed in `width` principal components of the embeddings and a constant, since the matrices have
    (width + 1) x classes rows. The batch is sought among `shortlist` candidates, or as many as twice the budget buys.
    """
    pool, known = (values_of(view.predictions(ids).probs) for ids in (candidates, view.labelled))
    points, labelled = reduced(width, view.embeddings(candidates), view.embeddings(view.labelled))
    fisher = information(points, pool) / len(points)
    precision = information(labelled, known) + ridge * np.eye(len(fisher))
    state = Parameters(np.linalg.inv(precision), fisher)
    twice = replace(budget, amount=2 * budget.amount)
    places = ranked(np.arange(len(candidates)), state.effects(points, pool), rng)
    places = places[: max(shortlist, twice.size(candidates[places]))]
    chosen = _batch(state, points[places], pool[places].astype(np.float64), candidates[places], budget)
    return Selection(budget.completed(candidates[places[chosen]], candidates, rng))


def _batch(state: "Parameters", points: np.ndarray, probs: np.ndarray, ids: np.ndarray, budget: Budget) -> list[int]:
    """Places of a batch, forward to twice the budget and backward to the budget, in the order of their addition."""
    chosen, twice = list[int](), replace(budget, amount=2 * budget.amount)
    while len(chosen) < len(ids) and not twice.is_spent(ids[chosen]):
        gains = state.effects(points, probs)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        state = state.changed(points[chosen[-1]], probs[chosen[-1]])
    while chosen:
        costs = budget.costs[ids[chosen]]
        spare = budget.uses_up(costs.sum() - costs)
        if not spare.any():
            break
        losses = np.where(spare, state.effects(points[chosen], probs[chosen], sign=-1), np.inf)
        place = chosen.pop(int(losses.argmin()))
        state = state.changed(points[place], probs[place], sign=-1)
    return chosen


@dataclass(frozen=True)
class Parameters:
    """inverse: (p, p) M^-1, the covariance of the parameters; fisher: (p, p) F, what they matter in the pool.

    Parameters are ordered by feature, then by class. The information of a text with features x and probabilities q
    is (x x') times C = diag(q) - q q' (Kronecker), of rank classes - 1, so that M^-1 is changed by Woodbury's identity.
    """

    inverse: np.ndarray
    fisher: np.ndarray

    def effects(self, points: np.ndarray, probs: np.ndarray, sign: int = 1) -> np.ndarray:
        """(n,) by how much tr(M^-1 F) falls with the information of each text (sign 1), or rises without (sign -1).

        With X = x times I it is tr((I + sign C X'M^-1X)^-1 C X'M^-1 F M^-1X).
        """
        effects, target = np.empty(len(points)), self.inverse @ self.fisher @ self.inverse
        block = max(1, NUMBERS // (probs.shape[1] * len(target)))
        for start in range(0, len(points), block):
            rows = slice(start, start + block)
            x, c = points[rows], covariances(probs[rows])
            effects[rows] = np.einsum("nij,nji->n", _solved(c, _inner(x, self.inverse), sign), _inner(x, target))
        return effects

    def changed(self, point: np.ndarray, probs: np.ndarray, sign: int = 1) -> "Parameters":
        """With the information of a text, or without it (sign -1)."""
        c, inner = covariances(probs[None])[0], _inner(point[None], self.inverse)[0]
        outer = np.einsum("pdc,d->pc", self.inverse.reshape(len(self.inverse), len(point), -1), point)
        return replace(self, inverse=self.inverse - sign * outer @ _solved(c, inner, sign) @ outer.T)


def _solved(c: np.ndarray, inner: np.ndarray, sign: int) -> np.ndarray:
    """(..., classes, classes) (I + sign C G)^-1 C"""
    return np.linalg.solve(np.eye(c.shape[-1]) + sign * c @ inner, c)


def _inner(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, classes, classes) (x times I)' A (x times I)"""
    n, width = points.shape
    left = (points @ matrix.reshape(width, -1)).reshape(n, len(matrix) // width, width, -1)
    return np.einsum("ncde,nd->nce", left, points)


def covariances(probs: np.ndarray) -> np.ndarray:
    """(n, classes, classes) float64 diag(q) - q q' of each row."""
    q = probs.astype(np.float64)
    return q[:, :, None] * (np.eye(q.shape[1]) - q[:, None, :])


def information(points: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(p, p) sum of the Fisher information of texts: sum_i (x_i x_i') times (diag(q_i) - q_i q_i')."""
    width, classes = points.shape[1], probs.shape[1]
    total, each = np.zeros((width, classes, width, classes)), np.arange(classes)
    block = max(1, NUMBERS // (width * classes))
    for start in range(0, len(points), block):
        x, q = points[start : start + block], probs[start : start + block].astype(np.float64)
        weighted = x[:, :, None] * q[:, None, :]
        flat = weighted.reshape(len(x), -1)
        total -= (flat.T @ flat).reshape(total.shape)
        total[:, each, :, each] += np.tensordot(weighted, x, (0, 0)).transpose(1, 0, 2)
    return total.reshape(width * classes, -1)


def reduced(width: int, pool: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """(n, k + 1) float64 of each array: the principal components of the pool's embeddings, and 1 for the bias."""
    centre = pool.mean(axis=0, dtype=np.float64)
    axes = np.linalg.eigh(scatter(pool, centre))[1][:, ::-1][:, :width]
    return [
        np.column_stack([rows @ axes.astype(np.float32) - centre @ axes, np.ones(len(rows))])
        for rows in (pool, *others)
    ]
