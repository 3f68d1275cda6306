"""Which examples go together; and how many steps a small set is given."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_bench.learners.engine.batching import BUCKET, scoring_batches, small_data_rule, training_batches

LENGTHS = st.lists(st.integers(1, 512), max_size=300).map(np.array).map(lambda a: a.astype(np.int64))


@given(LENGTHS, st.integers(1, 5000))
def test_scoring_covers_each_once_within_the_budget(lengths: np.ndarray, budget: int) -> None:
    batches = list(scoring_batches(lengths, budget))
    everyone = np.concatenate(batches) if batches else np.empty(0)
    assert sorted(everyone) == list(range(len(lengths)))
    longest = [lengths[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True), "the batch that needs most memory comes first"
    for batch in batches:
        assert len(batch) * lengths[batch].max() <= budget or len(batch) == 1
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * lengths[batch].max() > budget, "no room for another"
        assert lengths[following].max() <= lengths[batch].min()


def test_scoring_by_hand() -> None:
    lengths = np.array([3, 10, 1, 4, 0, 5])
    assert [batch.tolist() for batch in scoring_batches(lengths, 8)] == [[1], [5], [3, 0], [2, 4]]


@given(LENGTHS, st.integers(1, 32), st.integers(0, 10))
def test_training_takes_each_once_per_epoch(lengths: np.ndarray, size: int, seed: int) -> None:
    batches = list(training_batches(lengths, size, np.random.default_rng(seed)))
    assert len(batches) == math.ceil(len(lengths) / size), "as many steps as the schedule expects"
    assert sorted(np.concatenate(batches) if batches else []) == list(range(len(lengths)))
    # A stretch is a whole number of batches, so only the very last batch of the shuffled order can be short.
    assert sum(len(batch) < size for batch in batches) <= 1
    again = list(training_batches(lengths, size, np.random.default_rng(seed)))
    assert [b.tolist() for b in batches] == [b.tolist() for b in again]


def corpus_like(n: int) -> np.ndarray:
    """Sub-words of news texts: log-normal around 45."""
    return np.clip(np.random.default_rng(0).lognormal(3.8, 0.5, n), 5, 256).astype(np.int64)


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    cells = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - int(lengths.sum()) / cells


def test_little_is_padding() -> None:
    lengths = corpus_like(4000)
    rng = np.random.default_rng(1)
    order = rng.permutation(4000)
    unsorted = [order[i : i + 16] for i in range(0, 4000, 16)]
    assert padding_share(lengths, unsorted) > 0.4
    assert padding_share(lengths, list(training_batches(lengths, 16, rng))) < 0.06
    assert padding_share(lengths, list(scoring_batches(lengths, 2048))) < 0.03


def test_training_batches_mix_and_change() -> None:
    """Sorted within a stretch only, in random order, and other batches in the next epoch."""
    lengths = corpus_like(2 * BUCKET * 16)
    rng = np.random.default_rng(0)
    first, second = (list(training_batches(lengths, 16, rng)) for _ in range(2))
    assert {frozenset(b.tolist()) for b in first}.isdisjoint({frozenset(b.tolist()) for b in second})
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3, "no curriculum by length"


# By hand from the protocol: shrink the batch, not under 4, to ceil(min_steps / epochs) steps an epoch; then
# raise the epochs.
BY_HAND = [
    # n, batch, least, epochs, min_steps -> batch, epochs
    (1200, 16, 4, 10, 350, 16, 10),  # AG News 1 %: 75 steps an epoch, 35 wanted
    (250, 16, 4, 10, 350, 7, 10),  # IMDb 1 %: 7 gives 36 steps, 8 gives 32
    (560, 16, 4, 10, 350, 16, 10),  # 35 steps, just enough
    (559, 16, 4, 10, 350, 16, 10),  # 34.9 rounds up to 35
    (544, 16, 4, 10, 350, 15, 10),  # 34 steps: one less in the batch gives 37
    (140, 16, 4, 10, 350, 4, 10),  # 35 steps with 4
    (136, 16, 4, 10, 350, 4, 11),  # 34 steps with 4: 350 / 34 = 10.3
    (20, 16, 4, 10, 350, 4, 70),  # 5 steps: 70 epochs
    (1, 16, 4, 10, 350, 4, 350),  # one step an epoch
    (280, 16, 4, 15, 1000, 4, 15),  # CoNLL 2 %: wanted 67, batch 4 gives 70
    (290, 16, 4, 15, 1000, 4, 15),  # batch 4 gives 73, batch 5 gives 58
    (300, 16, 4, 5, 350, 4, 5),  # PLASM successor: wanted 70, 4 gives 75
    (3, 16, 4, 10, 0, 16, 10),  # the rule is off
    (10, 2, 4, 10, 350, 2, 70),  # a batch below the least is left alone
]


@pytest.mark.parametrize(("n", "batch", "least", "epochs", "steps", "new_batch", "new_epochs"), BY_HAND)
def test_small_data_rule_by_hand(
    n: int, batch: int, least: int, epochs: int, steps: int, new_batch: int, new_epochs: int
) -> None:
    assert small_data_rule(n, batch, least, epochs, steps) == (new_batch, new_epochs)


@given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 64), st.integers(1, 30), st.integers(0, 2000))
def test_small_data_rule_by_definition(n: int, batch: int, least: int, epochs: int, min_steps: int) -> None:
    """The largest batch that reaches the steps; where none does, the smallest and as few epochs as do."""
    new_batch, new_epochs = small_data_rule(n, batch, least, epochs, min_steps)
    reaching = [b for b in range(min(least, batch), batch + 1) if math.ceil(n / b) >= math.ceil(min_steps / epochs)]
    if reaching:
        assert (new_batch, new_epochs) == (max(reaching), epochs)
    else:
        assert new_batch == min(least, batch)
        steps = math.ceil(n / new_batch)
        assert (new_epochs - 1) * steps < min_steps <= new_epochs * steps
    assert new_epochs * math.ceil(n / new_batch) >= min_steps
