"""What a query holds in memory grows with the pool, and by no more than a few copies of its embeddings."""

import tracemalloc

import numpy as np
import pytest
from arrays import scores_of, selection_of, soft, vectors, view_of

from al_bench.acquisition.strategies import STRATEGIES

WIDTH, CLASSES, DRAWS = 256, 6, 4
PARAMS = {"bald": {"draws": DRAWS}, "batch_bald": {"draws": DRAWS, "shortlist": 100}, "bait": {"shortlist": 50}}


def peak(name: str, n: int) -> int:
    """Bytes at most in one query of a few of n candidates, the model's own arrays left out."""
    drawn = soft(n * DRAWS, CLASSES).reshape(n, DRAWS, CLASSES) if "samples" in STRATEGIES[name].needs else None
    answers = np.random.default_rng(0).integers(0, CLASSES, n)
    arrays = {"probs": soft(n, CLASSES), "embeddings": vectors(n, WIDTH), "drawn": drawn}
    view = view_of(name, answers, range(60), **arrays)
    tracemalloc.start()
    if STRATEGIES[name].scores:
        scores_of(name, view, **PARAMS.get(name, {}))
    else:
        selection_of(name, view, 4, **PARAMS.get(name, {}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize(
    "name", ["bald", "batch_bald", "egl", "badge", "bait", "cal", "mahalanobis", "ddu", "gold_loss"]
)
def test_memory_is_linear_in_the_pool(name):
    """Six copies of 120,000 x 768 embeddings are 2.2 GB."""
    small, large = peak(name, 4_000), peak(name, 12_000)
    assert (large - small) / 8_000 < 6 * WIDTH * 4
