"""Budgets, order and seed sets."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_bench.acquisition.selection import costs_of, prefix, ranked, seed_set, target
from al_bench.config.schema import ScheduleConfig
from al_bench.errors import UserError

WORDS = np.array([4, 3, 5, 2, 6])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("budget", "unit", "expected"),
    [
        (3, "examples", 3),
        (7, "words", 7),
        (0.4, "examples", 2),
        (0.1, "examples", 1),  # 0.5 rounds to 0, but a query of nothing is none
        (0.01, "examples", 1),
        (1.0, "examples", 5),
        (0.5, "words", 10.0),
        (0.02, "words", 0.4),
        (99, "examples", 99),
    ],
)
def test_a_budget_counts_or_is_a_share_of_the_split(budget, unit, expected):
    assert target(budget, costs_of(WORDS, unit), unit) == pytest.approx(expected)


def test_paper_budgets():
    assert target(0.01, np.ones(120_000, dtype=np.int64), "examples") == 1200
    assert target(0.02, np.array([203_621]), "words") == pytest.approx(4072.42)


@pytest.mark.parametrize(
    ("wanted", "unit", "bought"),
    [
        (0.4, "words", 1),
        (3, "words", 1),
        (4, "words", 2),  # the sum must exceed the target: the first alone only reaches it
        (4.5, "words", 2),
        (7, "words", 3),
        (11.9, "words", 3),
        (19, "words", 5),
        (20, "words", 5),
        (1000, "words", 5),
        (1, "examples", 1),
        (5, "examples", 5),
        (6, "examples", 5),
    ],
)
def test_what_a_budget_buys(wanted, unit, bought):
    assert prefix(costs_of(WORDS, unit), wanted, unit) == bought


@given(costs=st.lists(st.integers(1, 9), min_size=1, max_size=20), wanted=st.floats(0, 200))
def test_words_cross_the_target_by_one_example(costs, wanted):
    bought = prefix(np.array(costs), wanted, "words")
    assert sum(costs[: bought - 1]) <= wanted
    assert sum(costs[:bought]) > wanted or bought == len(costs)


def test_nothing_to_buy():
    for unit in ("examples", "words"):
        assert prefix(np.empty(0, dtype=np.int64), 5, unit) == 0


def test_ranked_by_falling_score():
    ids, scores = np.array([3, 10, 20, 40]), np.array([0.1, 0.9, -1.0, 0.5])
    assert ranked(ids, scores, rng()).tolist() == [10, 40, 3, 20]


def test_ties_are_broken_at_random_not_by_position():
    ids, scores = np.arange(1000), np.repeat([0.0, 1.0], 500)
    order = ranked(ids, scores, rng(1))
    assert set(order[:500]) == set(range(500, 1000))
    for half in (order[:500], order[500:]):
        assert abs(np.corrcoef(half, np.arange(500))[0, 1]) < 0.15
    assert ranked(ids, scores, rng(1)).tolist() == order.tolist()
    assert ranked(ids, scores, rng(2)).tolist() != order.tolist()


# --------------------------------------------------------------------------------------------- seed sets


def drawn(labels: np.ndarray, words: np.ndarray | None = None, seed: int = 0, **schedule: object) -> np.ndarray:
    settings = ScheduleConfig(**schedule)
    words = np.ones(len(labels), dtype=np.int64) if words is None else words
    return seed_set(settings, costs_of(words, settings.unit), labels, rng(seed))


LABELS = np.repeat([0, 1, 2], [700, 250, 50])


@pytest.mark.parametrize(("initial", "size"), [(37, 37), (0.02, 20), (1.0, 1000), (5000, 1000)])
@pytest.mark.parametrize("stratified", [False, True])
def test_size_of_the_seed_set(initial, size, stratified):
    ids = drawn(LABELS, initial=initial, stratified=stratified)
    assert len(ids) == size == len(np.unique(ids))
    assert ids.min() >= 0
    assert ids.max() < 1000


def test_seed_set_in_words():
    words = rng(5).integers(1, 30, 1000)
    ids = drawn(LABELS, words, initial=0.02, unit="words")
    assert words[ids].sum() > 0.02 * words.sum() >= words[ids[:-1]].sum()


def test_seed_set_is_drawn_from_everywhere_and_by_its_stream_alone():
    ids = drawn(LABELS, initial=300)
    assert abs(ids.mean() - 499.5) < 4 * 288.7 / np.sqrt(300)
    assert drawn(LABELS, initial=300).tolist() == ids.tolist()
    assert drawn(LABELS, initial=300, seed=1).tolist() != ids.tolist()
    assert drawn(LABELS[::-1], initial=300).tolist() == ids.tolist(), "labels say nothing unless stratified"


def test_a_stratified_seed_set_has_the_proportions_of_the_split():
    shuffled = rng(2).permutation(LABELS)
    for size in (2, 3, 7, 20, 100, 333):
        ids = drawn(shuffled, initial=size, stratified=True)
        counts = np.bincount(shuffled[ids], minlength=3)
        assert np.abs(counts - size * np.array([0.7, 0.25, 0.05])).max() < 1


def test_a_stratified_seed_set_holds_every_class_early():
    labels = np.repeat([0, 1, 2, 3], 25)
    assert set(labels[drawn(labels, initial=4, stratified=True)]) == {0, 1, 2, 3}
    # A class of share p comes no later than place 1 / (2 p) + the number of classes.
    assert 2 in LABELS[drawn(LABELS, initial=13, stratified=True)]


def test_a_stratified_seed_set_is_still_drawn():
    one, other = (drawn(LABELS, initial=50, stratified=True, seed=s) for s in (1, 2))
    assert set(one) != set(other)
    assert abs(one[LABELS[one] == 0].mean() - 349.5) < 4 * 202 / np.sqrt(35)


def test_seed_set_from_a_file(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("7\n3\n\n 999 0\n")
    assert drawn(LABELS, initial=2, seed_set=str(path), stratified=True).tolist() == [7, 3, 999, 0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1\n2\n1\n", "holds id 1 twice"),
        (b"1\n1000\n", "holds id 1000, but the training split has ids 0 to 999"),
        (b"-1\n", "holds id -1, but"),
        (b"9" * 30, "holds id 999999999999999999999999999999, but"),
        (b"1.5\n", "cannot be read as whole numbers"),
        (b"1,2,3\n", "cannot be read as whole numbers"),
        (b"id\n1\n", "cannot be read as whole numbers"),
        (b"\xff\xfe\x00", "cannot be read as whole numbers"),
        (b"\n \n", "holds no id"),
    ],
)
def test_bad_seed_set_files(tmp_path, content, says):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        drawn(LABELS, seed_set=str(path))
    message = str(caught.value)
    assert message.startswith(f"schedule.seed_set={path}: ")
    assert says in message
    assert "\n" not in message


def test_a_seed_set_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"schedule\.seed_set=.*cannot be read"):
        drawn(LABELS, seed_set=str(tmp_path / "none.txt"))


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Path(tmp_path / "ids.txt").write_text("5")
    assert drawn(LABELS, seed_set="~/ids.txt").tolist() == [5]
