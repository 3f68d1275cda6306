"""A pass over texts: each once, longest first, whatever the batches and the memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_bench.learners.engine import inference
from al_bench.learners.engine.inference import passed

CPU = torch.device("cpu")


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    budget=st.integers(1, 120),
    room=st.integers(1, 5),
    size=st.integers(1, 4),
    packed=st.booleans(),
)
def test_each_text_once_longest_first(lengths: list[int], budget: int, room: int, size: int, packed: bool) -> None:
    """Also where the device has memory for few texts at a time: then in halves."""
    asked = []

    def compute(batch: np.ndarray) -> list[torch.Tensor]:
        asked.append(len(batch))
        if len(batch) > room:
            raise torch.OutOfMemoryError("too many")
        values = torch.from_numpy(np.asarray(lengths)[batch])
        return [values, torch.stack([values, values + 1], dim=1)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(inference.TOKEN_BUDGET, "cpu", budget)
        parts = list(passed(np.asarray(lengths), CPU, compute, packed, size))
    positions = np.concatenate([positions for positions, _ in parts])
    assert sorted(positions) == list(range(len(lengths)))
    first, second = (np.concatenate(arrays) for arrays in zip(*(arrays for _, arrays in parts), strict=True))
    np.testing.assert_array_equal(first, np.asarray(lengths)[positions])
    assert first.tolist() == sorted(lengths, reverse=True)
    np.testing.assert_array_equal(second, np.stack([first, first + 1], axis=1))
    assert len(parts) <= -(-len(asked) // size) or max(asked) > room


def test_a_text_that_does_not_fit_alone_is_an_error() -> None:
    def compute(batch: np.ndarray) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("too long")

    with pytest.raises(torch.OutOfMemoryError, match="too long"):
        list(passed(np.array([5, 3]), CPU, compute))


def test_nothing_passes() -> None:
    assert list(passed(np.array([], dtype=np.int64), CPU, lambda batch: [torch.zeros(len(batch))])) == []
