import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from sklearn.metrics import f1_score

from al_bench.data.corpus import Corpus, Split
from al_bench.data.metrics import at_chance, calibration_error, evaluate, headline, majority
from al_bench.data.ragged import Ragged

NAMES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_classification_by_hand() -> None:
    metrics = evaluate("classification", ("a", "b", "c"), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]))
    # a: P 1, R 1/2; b: P 1/2, R 1/2; c is only predicted and does not count.
    assert metrics == pytest.approx({"accuracy": 0.5, "macro_f1": (2 / 3 + 1 / 2) / 2, "micro_f1": 0.5})
    assert list(metrics) == ["accuracy", "macro_f1", "micro_f1"]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_macro_f1_is_scikit_learns_where_gold_has_all_predicted_classes(gold: list[int], data: st.DataObject) -> None:
    guess = data.draw(st.lists(st.sampled_from(sorted(set(gold))), min_size=len(gold), max_size=len(gold)))
    metrics = evaluate("classification", tuple("abcd"), np.array(gold), np.array(guess))
    assert metrics["macro_f1"] == pytest.approx(f1_score(gold, guess, average="macro", zero_division=0))
    assert metrics["micro_f1"] == pytest.approx(metrics["accuracy"])


def test_tagging_by_hand() -> None:
    gold = Ragged.of([[1, 2, 0, 3], [0, 3]])  # LOC, PER; PER
    guess = Ragged.of([[1, 2, 0, 1], [0, 4]])  # LOC, LOC; PER that begins with I-
    metrics = evaluate("tagging", NAMES, gold, guess)
    assert metrics == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "word_accuracy": 4 / 6, "f1_LOC": 2 / 3, "f1_PER": 2 / 3}
    )
    assert list(metrics) == ["precision", "recall", "f1", "word_accuracy", "f1_LOC", "f1_PER"]


tag_rows = st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6), min_size=1)


@given(tag_rows)
def test_tagging_agrees_with_seqeval(rows: list[list[tuple[int, int]]]) -> None:
    gold, guess = ([[pair[i] for pair in row] for row in rows] for i in (0, 1))
    metrics = evaluate("tagging", NAMES, Ragged.of(gold), Ragged.of(guess))
    names = [[[NAMES[tag] for tag in row] for row in side] for side in (gold, guess)]
    if not any(tag for side in (gold, guess) for row in side for tag in row):
        assert metrics == {"precision": 0, "recall": 0, "f1": 0, "word_accuracy": 1}
        return
    report = classification_report(*names, output_dict=True, zero_division=0)
    micro = report["micro avg"]
    assert metrics["precision"] == pytest.approx(micro["precision"])
    assert metrics["recall"] == pytest.approx(micro["recall"])
    assert metrics["f1"] == pytest.approx(micro["f1-score"])
    per_type = {name[3:]: value for name, value in metrics.items() if name.startswith("f1_")}
    assert per_type == pytest.approx({kind: report[kind]["f1-score"] for kind in report if " avg" not in kind})


def test_a_span_does_not_cross_sentences() -> None:
    gold = Ragged.of([[1], [2]])
    assert evaluate("tagging", NAMES, gold, gold)["f1"] == 1
    assert evaluate("tagging", NAMES, gold, Ragged.of([[1], [1]]))["f1"] == 1


def test_headlines() -> None:
    assert (headline("classification"), headline("tagging")) == ("accuracy", "f1")


def test_the_majority_is_the_best_that_one_label_can_be() -> None:
    """A model that calls everything one label is at chance, whichever label the training split has most."""
    train, test = Split(["x"] * 5, np.array([2, 0, 2, 1, 2])), Split(["x"] * 4, np.array([0, 0, 0, 2]))
    baseline = majority(Corpus("made", "classification", ("a", "b", "c"), train, test))
    assert baseline == pytest.approx({"accuracy": 0.75, "macro_f1": (6 / 7) / 2, "micro_f1": 0.75, "examples": 4})


def test_the_most_frequent_tag_finds_no_span() -> None:
    rows = [["w"] * 4, ["w"] * 2]
    split = Split(rows, Ragged.of([[0, 1, 2, 0], [0, 3]]))
    baseline = majority(Corpus("made", "tagging", NAMES, split, split))
    assert baseline["f1"] == 0
    assert baseline["word_accuracy"] == pytest.approx(3 / 6)
    assert baseline["examples"] == 2


def test_guessing_is_at_chance_in_nineteen_of_twenty_samples() -> None:
    guesses = np.random.default_rng(0).binomial(800, 0.5, size=4000) / 800
    assert np.mean(at_chance(guesses, 0.5, 800)) == pytest.approx(0.95, abs=0.01)
    assert at_chance(0.529, 0.5, 800)
    assert not at_chance(0.530, 0.5, 800)
    assert at_chance(0.4, 0.5, 800)
    assert at_chance(0.0, 0.0, 800)
    assert not at_chance(0.01, 0.0, 800)


def test_calibration_error_by_hand():
    """Bins of 0.5: (0.2, 0.4) with accuracy 0.5 against 0.3, (0.9, 0.7, 0.8) with 1/3 against 0.8."""
    confidence = np.array([0.2, 0.4, 0.9, 0.7, 0.8])
    right = np.array([True, False, True, False, False])
    expected = 2 / 5 * abs(0.5 - 0.3) + 3 / 5 * abs(1 / 3 - 0.8)
    assert calibration_error(confidence, right, bins=2) == pytest.approx(expected)


def test_calibration_error_of_the_sure():
    assert calibration_error(np.ones(4), np.array([True, True, True, False])) == pytest.approx(0.25)
    assert calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0
    assert calibration_error(np.empty(0), np.empty(0, dtype=bool)) == 0
