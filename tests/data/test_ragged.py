"""Rows of different lengths against a list of lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from al_bench.data.ragged import Ragged, offsets_of

rows_and_ids = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6).flatmap(
    lambda rows: st.tuples(st.just(rows), st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=len(rows) * 2))
)


def listed(ragged: Ragged) -> list[list[int]]:
    return [row.tolist() for row in ragged.rows()]


@settings(deadline=None)
@given(rows_and_ids)
def test_like_a_list_of_lists(case):
    rows, ids = case
    ragged = Ragged.of(rows)
    assert listed(ragged) == rows
    assert len(ragged) == len(rows)
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert [ragged.row(i).tolist() for i in range(len(rows))] == rows
    picked = np.array(ids, dtype=np.int64)
    assert listed(ragged[picked]) == [rows[i] for i in ids]
    assert ragged.values[ragged.positions(picked)].tolist() == [x for i in ids for x in rows[i]]


def test_rows_of_vectors():
    ragged = Ragged(np.arange(10).reshape(5, 2), offsets_of([2, 0, 3]))
    assert ragged.row(0).tolist() == [[0, 1], [2, 3]]
    assert ragged.row(1).shape == (0, 2)
    assert ragged[np.array([2, 1])].values.tolist() == [[4, 5], [6, 7], [8, 9]]


def test_offsets():
    assert offsets_of([]).tolist() == [0]
    assert offsets_of([3, 0, 2]).tolist() == [0, 3, 3, 5]
    assert offsets_of(np.array([1], dtype=np.int32)).dtype == np.int64


def test_large_totals_do_not_overflow():
    lengths = np.full(3, 2**30, dtype=np.int32)
    assert offsets_of(lengths)[-1] == 3 * 2**30


def test_lengths_are_computed_once():
    """A pass over a pool asks for them at every batch."""
    rows = Ragged.of([[1, 2], [], [3]])
    assert rows.lengths is rows.lengths
    assert rows.lengths.tolist() == [2, 0, 1]
