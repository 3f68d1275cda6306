"""Rows to grids, by hand."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.encoding import Encoded

CPU = torch.device("cpu")
# Three sentences: of two words, of none that survived, of one word in two sub-words.
ENCODED = Encoded(
    Ragged.of([[1, 11, 12, 2], [1, 2], [1, 13, 14, 2]], np.int32),
    types=np.array([0, 0, 0, 5, 0, 5, 0, 0, 0, 5], dtype=np.int8),
    firsts=Ragged.of([[1, 2], [], [1]], np.int32),
)


def collator_of(pad_id: int, pad_type: int, left: bool) -> Collator:
    network = torch.nn.Module()
    network.config = SimpleNamespace(summary_type="last" if left else "first")  # type: ignore[assignment]
    # Whatever side the tokenizer is set to.
    tokenizer = SimpleNamespace(pad_token_id=pad_id, pad_token_type_id=pad_type, padding_side="left")
    return Collator(tokenizer, network, CPU)


@pytest.mark.parametrize(
    ("left", "ids", "mask", "types", "firsts"),
    [
        (
            False,
            [[1, 2, 99, 99], [1, 13, 14, 2], [1, 11, 12, 2]],
            [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]],
            [[0, 5, 7, 7], [0, 0, 0, 5], [0, 0, 0, 5]],
            [5, 9, 10],
        ),
        (
            True,
            [[99, 99, 1, 2], [1, 13, 14, 2], [1, 11, 12, 2]],
            [[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
            [[7, 7, 0, 5], [0, 0, 0, 5], [0, 0, 0, 5]],
            [5, 9, 10],
        ),
    ],
    ids=["right", "left"],
)
def test_padding_by_hand(left: bool, ids: object, mask: object, types: object, firsts: object) -> None:
    collator = collator_of(pad_id=99, pad_type=7, left=left)
    rows = np.array([1, 2, 0])
    grids = collator.inputs(ENCODED, rows)
    assert {name: grid.tolist() for name, grid in grids.items()} == {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": types,
    }
    assert {grid.dtype for grid in grids.values()} == {torch.int64}
    assert collator.first_subwords(ENCODED, rows).tolist() == firsts


def test_a_shorter_row_with_words_is_shifted_when_padded_on_the_left() -> None:
    encoded = Encoded(Ragged.of([[1, 11, 2], [1, 11, 12, 13, 2]], np.int32), firsts=Ragged.of([[1], [1, 3]]))
    for left, places in ((False, [1, 6, 8]), (True, [3, 6, 8])):
        assert collator_of(0, 0, left).first_subwords(encoded, np.array([0, 1])).tolist() == places


def test_without_padding_there_is_no_mask() -> None:
    grids = collator_of(99, 7, False).inputs(ENCODED, np.array([0, 2]))
    assert set(grids) == {"input_ids", "token_type_ids"}


def test_collation_is_pure() -> None:
    before = ENCODED.tokens.values.copy(), ENCODED.types.copy() if ENCODED.types is not None else None
    grids = collator_of(99, 7, False).inputs(ENCODED, np.arange(3))
    for grid in grids.values():
        grid.fill_(-1)
    np.testing.assert_array_equal(ENCODED.tokens.values, before[0])
    np.testing.assert_array_equal(ENCODED.types, before[1])


@pytest.mark.parametrize(
    ("name", "pad", "pad_type", "left"), [("bert", 3, 0, False), ("roberta", 1, 0, False), ("xlnet", 5, 0, True)]
)
def test_a_learner_pads_as_its_tokenizer_does(
    name: str, pad: int, pad_type: int, left: bool, family: Callable[[str], Path]
) -> None:
    learner = build(family(name))
    collator = learner.collator
    assert (collator.pad_id, collator.pad_type, collator.left) == (pad, pad_type, left)
    texts = ["good film", "bad", "the plot was very bad"]
    expected = learner.tokenizer(texts, padding=True, return_tensors="pt")
    grids = collator.inputs(learner.encoded(Unlabelled(texts)), np.arange(3))
    for key, grid in grids.items():
        assert torch.equal(grid, expected[key]), key
