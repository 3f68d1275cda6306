"""The loop with an oracle that errs and abstains: what is learned, what is queried, what is paid, what is recorded."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import collected, config_of, corpus_of, fake_for, snapshot

from al_bench.acquisition.cycle import Cycle
from al_bench.acquisition.loop import acquire
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import Budget, costs_of, prefix
from al_bench.acquisition.setup import Setup, annotator_of
from al_bench.config.schema import LabelPrice
from al_bench.data.ragged import Ragged, values_of
from al_bench.errors import UserError
from al_bench.ledger.trajectory import Trajectory

HALF_WRONG = {"oracle__name": "noisy", "oracle__params": {"rate": 0.5, "abstain": 0.25}}
SPANS = {"oracle__name": "noisy_spans", "oracle__params": {"missed": 0.3, "type": 0.3, "boundary": 0.3}}


def asked_for(cycles: list[Cycle]) -> np.ndarray:
    return np.concatenate([cycles[0].seed_set, *(cycle.queried for cycle in cycles)])


@pytest.mark.parametrize(("task", "oracle"), [("classification", HALF_WRONG), ("tagging", SPANS)])
def test_models_learn_what_the_oracle_said(task, oracle):
    corpus, config = corpus_of(task), config_of(task, **oracle)
    learner, annotator = fake_for(corpus), annotator_of(config, corpus)
    cycles = [cycle for cycle, _ in collected(config, corpus, learner)]
    answers = annotator.answers()
    so_far = np.sort(cycles[0].seed_set)
    for cycle, fit in zip(cycles, learner.fits, strict=True):
        assert fit.ids.tolist() == so_far[answers.known[so_far]].tolist(), "who was answered, and nobody else"
        assert values_of(fit.labels).tolist() == values_of(answers.labels[fit.ids]).tolist()
        assert cycle.labelled == len(fit.ids)
        assert cycle.words == corpus.train.words[fit.ids].sum()
        so_far = np.sort(np.append(so_far, cycle.queried))
    assert len(np.unique(asked_for(cycles))) == len(asked_for(cycles)) == 8 + 4 * 5, "nobody is asked for twice"
    wrong = values_of(answers.labels[so_far]) != values_of(corpus.train.labels[so_far])
    assert wrong.any(), "else the test says nothing"


def test_abstentions_are_counted_and_not_made_up_for():
    corpus, config = corpus_of(), config_of(**HALF_WRONG)
    cycles = [cycle for cycle, _ in collected(config, corpus, fake_for(corpus))]
    known, gold = annotator_of(config, corpus).answers().known, corpus.train.labels
    for cycle, after in pairwise(cycles):
        assert len(cycle.queried) == 5
        assert cycle.answers["asked"] == 5
        assert cycle.answers["answered"] == known[cycle.queried].sum() == after.labelled - cycle.labelled
        assert cycle.answers["abstained"] == 5 - cycle.answers["answered"]
        assert cycle.answers["right"] == (cycle.query_labels == gold[cycle.queried]).sum()
        assert cycle.answers["words"] == after.words - cycle.words
    assert sum(cycle.answers.get("abstained", 0) for cycle in cycles) > 0
    assert cycles[0].seed_answers["asked"] == 8
    assert cycles[-1].answers == {}


@pytest.mark.parametrize(("task", "oracle"), [("classification", HALF_WRONG), ("tagging", SPANS)])
def test_gold_labels_change_nothing_but_how_often_the_oracle_was_right(task, oracle, monkeypatch):
    """Even those of labelled examples."""
    from al_bench.acquisition import annotation

    corpus, config = corpus_of(task), config_of(task, **oracle, subsampling__name="none")
    answers = annotator_of(config, corpus).answers()
    monkeypatch.setattr(annotation.Annotator, "_answers", lambda self, attempt=0: answers)
    gold = corpus.train.labels
    wrong = (values_of(gold) + 1) % len(corpus.label_names)
    other = replace(
        corpus, train=replace(corpus.train, labels=Ragged(wrong, gold.offsets) if task == "tagging" else wrong)
    )
    honest, lied_to = fake_for(corpus), fake_for(other)
    one, two = (collected(config, c, learner) for c, learner in ((corpus, honest), (other, lied_to)))
    assert [fit.memory for fit in honest.fits] == [fit.memory for fit in lied_to.fits]
    for (cycle, _), (again, _) in zip(one, two, strict=True):
        assert cycle.queried.tolist() == again.queried.tolist()
        assert cycle.query_labels.tolist() == again.query_labels.tolist()
        assert {**cycle.answers, "right": 0} == {**again.answers, "right": 0}
    assert [cycle.answers for cycle, _ in one] != [cycle.answers for cycle, _ in two]


def test_a_stratified_seed_set_goes_by_what_the_oracle_says():
    corpus = corpus_of(train=600)
    config = config_of(**HALF_WRONG, schedule__stratified=True, schedule__initial=60)
    seed_set = Setup(config, corpus, None).seed[0]
    answers = annotator_of(config, corpus).answers()
    said = np.where(answers.known, answers.labels, -1)
    for label in range(-1, 3):
        assert (said[seed_set] == label).sum() == pytest.approx(60 * (said == label).mean(), abs=1)


@pytest.mark.parametrize(("known", "labels", "refused"), [(0, 0, True), (3, 0, True), (3, 1, False)])
def test_a_seed_set_without_anything_to_learn(known, labels, refused, monkeypatch):
    """The first few of the seed set are answered: with one label, or with several."""
    from al_bench.acquisition import annotation

    corpus, config = corpus_of(), config_of(**HALF_WRONG)
    first = Setup(config, corpus, None).seed[0]
    has_answer, values = np.zeros(60, dtype=bool), np.zeros(60, dtype=np.int64)
    has_answer[first[:known]], values[first[:1]] = True, labels
    answers = annotation.Answers(values, has_answer)
    monkeypatch.setattr(annotation.Annotator, "_answers", lambda self, attempt=0: answers)
    if not refused:
        assert collected(config, corpus, fake_for(corpus))[0][0].labelled == 3
        return
    with pytest.raises(
        UserError, match=rf"^oracle=noisy: gives {min(known, 1)} different labels .*; take a larger seed set"
    ):
        collected(config, corpus, fake_for(corpus))


def test_a_pool_of_hand_made_answers():
    pool = Pool.unlabelled_of(5, np.zeros(5, dtype=np.int64))
    after = pool.ask(np.array([3, 1]), np.array([2, -1]))
    assert after.labelled.tolist() == [3]
    assert after.unlabelled.tolist() == [0, 2, 4]
    assert after.answers.tolist() == [-1, -1, -1, 2, -1]
    assert pool.unlabelled.tolist() == [0, 1, 2, 3, 4], "unchanged"
    sentences = Pool.unlabelled_of(3, Ragged.of([[0], [0, 0], [0, 0]]))
    after = sentences.ask(np.array([2, 1]), np.array([4, 0, -1, -1]))
    assert after.labelled.tolist() == [2]
    assert after.answers.values.tolist() == [-1, -1, -1, 4, 0]


# ------------------------------------------------------------------------------------------- money


def test_prices_by_hand():
    words = np.array([3, 10, 1])
    assert costs_of(words, "money", LabelPrice(example=0.5, word=0.1)).tolist() == pytest.approx([0.8, 1.5, 0.6])
    assert costs_of(words, "money", LabelPrice(word=0.25)).tolist() == [0.75, 2.5, 0.25]
    assert LabelPrice(example=0.5).of(4, 100) == 2.0
    assert not LabelPrice().is_known


@pytest.mark.parametrize(
    ("costs", "budget", "bought"),
    [
        ([0.1] * 9, 0.5, 5),  # the sum of three is 0.30000000000000004
        ([0.1] * 9, 0.3, 3),
        ([0.1] * 9, 0.59, 5),
        ([2.0, 1.0], 0.5, 1),  # a query is never empty
        ([0.3, 0.3, 0.3], 5.0, 3),
        ([1.0, 5.0, 1.0], 2.0, 1),  # in the order of the strategy: nobody is passed over
    ],
)
def test_what_money_buys(costs, budget, bought):
    assert prefix(np.array(costs), budget, "money") == bought
    whole = Budget(budget, "money", np.array(costs))
    assert whole.size(np.arange(len(costs))) == bought
    assert not whole.is_spent(np.arange(bought - 1))


def test_budgets_in_money():
    """An abstention costs nothing, but it was planned for."""
    corpus = corpus_of()
    config = config_of(**HALF_WRONG, oracle__price=LabelPrice(example=0.2, word=0.1), schedule__unit="money",
                       schedule__initial=6, schedule__step=2.5)  # fmt: skip
    cycles = [cycle for cycle, _ in collected(config, corpus, fake_for(corpus))]
    cost = 0.2 + 0.1 * corpus.train.words
    assert cost[cycles[0].seed_set].sum() <= 6
    for cycle in cycles[:-1]:
        planned = cost[cycle.queried].sum()
        assert 2.5 - 1.1 < planned <= 2.5 + 1e-9
        paid = config.oracle.price.of(cycle.answers["answered"], cycle.answers["words"])
        assert paid == pytest.approx(cost[cycle.queried][cycle.query_labels >= 0].sum())


# ------------------------------------------------------------------------------------------- on disk


def trajectory(root: Path) -> Trajectory:
    return Trajectory(root, {"what": "determines it"}, {"data": "d"}, 60)


@pytest.mark.parametrize(("task", "oracle"), [("classification", HALF_WRONG), ("tagging", SPANS)])
def test_interrupted_after_every_cycle_and_continued_to_the_same_bytes(tmp_path, task, oracle):
    corpus, config = corpus_of(task), config_of(task, **oracle)
    list(acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path / "whole").cycle))
    for stopped_after in range(4):
        steps = acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path / "parts").cycle)
        for _ in range(stopped_after + 1):
            next(steps)
    list(acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path / "parts").cycle))
    whole, parts = (snapshot(trajectory(tmp_path / name).folder) for name in ("whole", "parts"))
    assert whole == parts
    assert {"labels/cycle_0000.npy", "labels/cycle_0003.npy", "seed_labels/cycle_0000.npy"} <= whole.keys()


def test_an_oracle_that_would_now_say_something_else_changes_nothing_that_is_recorded(tmp_path):
    corpus = corpus_of()
    first = config_of(**HALF_WRONG)
    steps = acquire(Setup(first, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path).cycle)
    done = [next(steps)[0] for _ in range(2)]
    moody = replace(first, seeds=replace(first.seeds, oracle=7))
    again, learner = [], fake_for(corpus)
    for cycle, _ in acquire(Setup(moody, corpus, lambda cycle: learner), trajectory(tmp_path).cycle):
        again.append(cycle)
    for one, other in zip(done, again, strict=False):
        assert one.query_labels.tolist() == other.query_labels.tolist()
    labels = np.concatenate([done[0].seed_labels, done[0].query_labels, done[1].query_labels])
    ids = np.concatenate([done[0].seed_set, done[0].queried, done[1].queried])
    order = np.argsort(ids)
    assert learner.fits[0].ids.tolist() == ids[order][labels[order] >= 0].tolist()
    assert learner.fits[0].labels.tolist() == labels[order][labels[order] >= 0].tolist()


@pytest.mark.parametrize("kind", ["labels", "seed_labels"])
def test_damaged_answers_are_noticed(tmp_path, kind):
    corpus, config = corpus_of(), config_of(**HALF_WRONG)
    list(acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path).cycle))
    path = trajectory(tmp_path).folder / kind / "cycle_0000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x09")
    with pytest.raises(UserError, match="missing or damaged"):
        list(acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory(tmp_path).cycle))
