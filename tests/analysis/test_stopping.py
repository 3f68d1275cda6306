"""Stopping criteria against hand-worked numbers; where they stop never depends on a label or a metric."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import write_ledger
from sklearn.metrics import cohen_kappa_score
from synthetic import write_runs

from al_bench.analysis.arms import settings
from al_bench.analysis.measures import Measures
from al_bench.analysis.stopping import CRITERIA, Trail, changed, delta_f, kappa, read_trail, stops
from al_bench.analysis.store import Results, load
from al_bench.ledger.ledger import write_json
from al_bench.ledger.store import save_array
from al_bench.ledger.trajectory import array_path

BY_NAME = {criterion.name: criterion for criterion in CRITERIA}


def trail(*predictions, entropy=None, task="classification"):
    labels = tuple(None if p is None else np.array(p, dtype=np.int16) for p in predictions)
    return Trail(task, labels, tuple(entropy or [None] * len(labels)))


def test_kappa_by_hand():
    # 3 of 4 agree; by chance 1/2 x 1/4 + 1/2 x 3/4 = 1/2 would.
    assert kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(0.5)


def test_kappa_is_cohens():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 5, 200)
    now = np.where(rng.random(200) < 0.7, before, rng.integers(0, 5, 200))
    assert kappa(before, now) == pytest.approx(cohen_kappa_score(before, now))


def test_agreement_on_one_label_says_nothing():
    assert math.isnan(kappa(np.zeros(4), np.zeros(4)))
    assert math.isnan(delta_f(np.zeros(4), np.zeros(4), "tagging"))


def test_delta_f_by_hand():
    before, now = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # Label 0: 2 x 1 / (2 + 1) = 2/3; label 1: 2 x 2 / (2 + 3) = 4/5.
    assert delta_f(before, now, "classification") == pytest.approx(1 - (2 / 3 + 4 / 5) / 2)
    # Of 3 and 3 words with a tag, 2 have the same one.
    assert delta_f(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), "tagging") == pytest.approx(1 - 2 * 2 / 6)
    assert changed(before, now) == 0.25


def test_where_each_would_stop():
    same = trail([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1])
    first = {criterion.name: criterion.first(same) for criterion in CRITERIA}
    # The first comparison disagrees, so three good ones end in cycle 4; one is enough for classification change.
    assert first == {"kappa": 4, "delta F": 4, "classification change": 2, "overall uncertainty": None}


def test_kappa_is_averaged_over_three_and_not_over_two():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 1000)
    nearly = labels.copy()
    nearly[:4] = 1 - nearly[:4]  # kappa 0.992
    assert BY_NAME["kappa"].first(trail(labels, nearly, labels)) is None
    assert BY_NAME["kappa"].first(trail(labels, nearly, labels, nearly)) == 3
    far = labels.copy()
    far[:20] = 1 - far[:20]  # 0.96: one of three such comparisons brings the mean below 0.99
    assert BY_NAME["kappa"].first(trail(labels, far, far, far)) is None


def test_overall_uncertainty_waits_for_the_whole_pool():
    assert BY_NAME["overall uncertainty"].first(trail(None, None, None, entropy=[0.3, None, 0.04])) == 2
    assert BY_NAME["overall uncertainty"].first(trail(None, None, entropy=[0.3, 0.05])) is None


def test_no_model_no_stop():
    assert all(criterion.first(trail(None, None, None, None)) is None for criterion in CRITERIA)


LINE = {"labelled": 1, "seeded": [], "queried": [], "query": {"labels": dict.fromkeys("abcd", 1)}}


def write_trajectory(folder: Path, lines, strategy=None, task="classification", stop_set=None) -> None:
    """lines: by cycle, (predictions of the stop set, scores of the training split, what the ledger has)"""
    identity = {"strategy": strategy or {"name": "least_confidence"}, "dataset": {"task": task}}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "identity.json", {"identity": identity})
    records = []
    for cycle, (predictions, scores, line) in enumerate(lines):
        records.append({"cycle": cycle, **LINE, **line, **({"stop_set": stop_set} if cycle == 0 else {})})
        for kind, array in (("stop", np.array(predictions, np.int16)), ("scores", np.array(scores, np.float32))):
            records[-1][f"{kind}_sha256"] = save_array(array_path(folder, kind, cycle), array)
    write_ledger(folder / "ledger.jsonl", records)


NAN = np.nan
ENTROPY = {"name": "entropy", "aggregate": "mean"}


def test_a_trail_is_read_from_disk(tmp_path):
    dev = {"split": "dev", "examples": 2, "ids": [0, 1]}
    lines = [([0, 1], [NAN, 0.2, 0.4, 0.6], {}), ([1, 1], [NAN, NAN, 0.3, NAN], {"labelled": 2})]
    write_trajectory(tmp_path, lines, ENTROPY, stop_set=dev)
    trail = read_trail(tmp_path, "classification")
    assert [p.tolist() for p in trail.predictions] == [[0, 1], [1, 1]]
    assert trail.split == "dev"
    assert trail.entropy[0] == pytest.approx(0.4 / math.log(4))
    assert trail.entropy[1] is None, "half of the unlabelled pool says nothing"


@pytest.mark.parametrize(
    "strategy",
    [{"name": "least_confidence"}, {"name": "mnlp"}, {"name": "mahalanobis"}, {"name": "entropy", "aggregate": "sum"},
     {"name": "entropy", "aggregate": "max"}],
)  # fmt: skip
def test_the_threshold_of_entropy_is_of_entropy_alone(tmp_path, strategy):
    """0.05 of normalised entropy means nothing to a least confidence, nor to a sum over words."""
    write_trajectory(tmp_path, [([0], [NAN, 0.001], {})], strategy)
    assert read_trail(tmp_path, "tagging").entropy == (None,)


def test_of_a_pool_only_what_was_never_labelled_counts(tmp_path):
    """Examples that a model was trained on say nothing of how it changes on others."""
    pool = {"split": "pool", "examples": 3, "ids": [2, 5, 7], "words": [1, 2, 3]}
    lines = [([0, 1, 0], [NAN], {"seeded": [0], "queried": [5]}), ([1, 0, 0], [NAN], {"queried": [9]})]
    write_trajectory(tmp_path, lines, stop_set=pool)
    assert [p.tolist() for p in read_trail(tmp_path, "classification").predictions] == [[0, 0], [1, 0]]
    tagged = [([0, 1, 1, 2, 0, 2], [NAN], {"queried": [5]}), ([0, 1, 1, 2, 0, 0], [NAN], {})]
    write_trajectory(tmp_path / "tagged", tagged, stop_set=pool)
    predictions = read_trail(tmp_path / "tagged", "tagging").predictions
    assert [p.tolist() for p in predictions] == [[0, 2, 0, 2], [0, 2, 0, 0]]


def test_a_run_may_be_shorter_than_its_trajectory(tmp_path):
    """What a longer run labelled later is no reason to leave examples out."""
    pool = {"split": "pool", "examples": 3, "ids": [2, 5, 7]}
    lines = [([0, 1, 0], [NAN], {"queried": [9]}), ([1, 0, 0], [NAN], {"queried": [5]}), ([1, 0, 0], [NAN], {})]
    write_trajectory(tmp_path, lines, stop_set=pool)
    assert [len(p) for p in read_trail(tmp_path, "classification", 2).predictions] == [3, 3]
    assert [len(p) for p in read_trail(tmp_path, "classification").predictions] == [2, 2, 2]


@pytest.mark.parametrize(("task", "labels"), [("classification", 4), ("tagging", 9)])
def test_entropy_is_normalised(tmp_path, task, labels):
    write_trajectory(tmp_path, [([0], [NAN, math.log(labels)], {})], ENTROPY, task)
    assert read_trail(tmp_path, task).entropy[0] == pytest.approx(1.0)


@pytest.fixture
def stopped(tmp_path) -> Results:
    """Two seeds whose models agree from the second cycle on."""
    write_runs(tmp_path, "-m dataset=trec6 name=x strategy=least_confidence schedule.initial=100 schedule.step=100 "
                         "schedule.cycles=5 seed=1,2")  # fmt: skip
    results = load([tmp_path])
    rng = np.random.default_rng(0)
    final = rng.integers(0, 6, 300)
    for _, row in results.runs.iterrows():
        folder = Path(row.output_dir, "trajectories", row.trajectory)
        lines = [(final if c else rng.permutation(final), np.full(2000, 0.5), {}) for c in range(6)]
        write_trajectory(folder, lines, stop_set={"split": "dev", "examples": 300, "ids": list(range(300))})
    return results


def test_what_stopping_loses(stopped):
    (setting,) = settings(Measures(stopped))
    (method,) = setting.methods
    stopped_at = stops(setting, method)
    scores = setting.scores(method)
    for name, cycle in (("classification change", 2), ("kappa", 4), ("delta F", 4)):
        stop = stopped_at[stopped_at.criterion == name]
        assert stop.cycle.tolist() == [cycle, cycle]
        assert stop.labelled.tolist() == [100 * (cycle + 1)] * 2
        assert stop.score.tolist() == scores[cycle].tolist()
        assert stop["last"].tolist() == scores[5].tolist()
    assert stopped_at[stopped_at.criterion == "overall uncertainty"].cycle.isna().all()


def test_metrics_do_not_move_a_stop(stopped):
    """A metric is all that is known of test labels; with every one of them changed, the stops are where they were."""
    poisoned = stopped.cycles.assign(
        value=stopped.cycles.value.where(~stopped.cycles.metric.str.contains("accuracy"), 0.123)
    )
    before, after = (
        stops(setting, setting.methods[0])
        for setting in (*settings(Measures(stopped)), *settings(Measures(replace(stopped, cycles=poisoned))))
    )
    assert after.cycle.equals(before.cycle)
    assert not after.score.equals(before.score)
