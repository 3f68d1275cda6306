"""Which examples go through the model together; numpy only."""

from collections.abc import Iterator

import numpy as np

from al_bench.data.ragged import offsets_of

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


def length_bounds(lengths: np.ndarray, most: int = 8) -> np.ndarray:
    """At most `most` rising lengths, the last that of the longest example, with about as many examples under each.

    A batch is padded to the next one, so that few shapes serve all batches. Multiples of 8 suit the hardware.
    """
    ends = np.quantile(lengths, np.arange(1, most + 1) / most, method="higher")
    return np.unique(np.minimum(-(-ends // 8) * 8, lengths.max())).astype(np.int64)


def scoring_batches(lengths: np.ndarray, token_budget: int, packed: bool = False) -> Iterator[np.ndarray]:
    """All positions, longest first, in batches of at most `token_budget` sub-words with padding, and at least one text.

    Longest first, so that a lack of memory shows in the first batch. packed: nothing is padded
    """
    order = np.argsort(-lengths, kind="stable")
    ends = offsets_of(lengths[order])  # of the sub-words of all texts before
    start = 0
    while start < len(order):
        if packed:
            stop = int(np.searchsorted(ends, ends[start] + token_budget, side="right")) - 1
        else:
            stop = start + int(token_budget // max(lengths[order[start]], 1))
        stop = max(stop, start + 1)
        yield order[start:stop]
        start = stop


def small_data_rule(n: int, batch_size: int, min_batch_size: int, epochs: int, min_steps: int) -> tuple[int, int]:
    """(batch size, epochs) that give n examples at least `min_steps` gradient steps (Tsvigun et al. 2022).

    First the batch shrinks, not under `min_batch_size`, until an epoch has ceil(min_steps / epochs) steps;
    then the epochs rise.
    """
    steps_an_epoch = -(-min_steps // epochs)
    while batch_size > min_batch_size and -(-n // batch_size) < steps_an_epoch:
        batch_size -= 1
    steps = -(-n // batch_size)
    if steps < steps_an_epoch:
        epochs = -(-min_steps // steps)
    return batch_size, epochs
