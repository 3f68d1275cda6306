"""Which examples go through the model together; numpy only."""

from collections.abc import Iterator

import numpy as np

BUCKET = 64  # training batches that are sorted by length together: more sorts better, fewer mixes better


def training_batches(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One epoch: every position of `lengths` exactly once, in batches of similar length in random order.

    The order is shuffled, cut into stretches of `BUCKET` batches, each sorted by length and cut into batches.
    """
    order = rng.permutation(len(lengths))
    stretch = BUCKET * batch_size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    for i in rng.permutation(len(batches)):
        yield batches[i]


def scoring_batches(lengths: np.ndarray, token_budget: int) -> Iterator[np.ndarray]:
    """All positions, longest first, in batches of at most `token_budget` sub-words with padding.

    Longest first, so that a lack of memory shows in the first batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, int(token_budget // max(lengths[order[start]], 1)))
        yield order[start : start + size]
        start += size


def small_data_rule(
    n: int, batch_size: int, min_batch_size: int, epochs: int, min_steps: int
) -> tuple[int, int]:
    """(batch size, epochs) that give n examples at least `min_steps` gradient steps (Tsvigun et al. 2022).

    First the batch shrinks, not under `min_batch_size`, until an epoch has ceil(min_steps / epochs) steps;
    then the epochs rise.
    """
    wanted = -(-min_steps // epochs)
    while batch_size > min_batch_size and -(-n // batch_size) < wanted:
        batch_size -= 1
    steps = -(-n // batch_size)
    if steps < wanted:
        epochs = -(-min_steps // steps)
    return batch_size, epochs
