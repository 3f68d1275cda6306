"""Labels that look wrong: which they are, what becomes of them, what a second answer costs, and resumption."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLearner, Fit, collected, config_of, corpus_of, fake_for, snapshot

from al_bench.acquisition.loop import acquire
from al_bench.acquisition.setup import Setup
from al_bench.config.schema import FilterConfig, LabelPrice, OracleConfig
from al_bench.errors import UserError
from al_bench.ledger.trajectory import Trajectory

NOISY = {"oracle__name": "noisy", "oracle__params": {"rate": 0.3, "abstain": 0.1}}
FIFTH = FilterConfig("verifier", 0.2)


def knowing(gold: np.ndarray):
    """A model that is sure of the gold labels, whatever it was fitted on."""

    def opinion(fit: Fit, n: int) -> np.ndarray:
        probs = np.full((n, fit.classes), 0.05)
        probs[np.arange(n), np.resize(gold, n)] = 0.9
        return probs + np.linspace(0, 0.01, n)[:, None]

    return opinion


def relabelled(action: str, **changes):
    corpus = corpus_of()
    config = config_of(**{**NOISY, "relabel__action": action, "relabel__filter": FIFTH, **changes})
    learner = FakeLearner(3, opinion=knowing(corpus.train.labels), test=corpus.test.inputs)
    return corpus, config, learner, [cycle for cycle, _ in collected(config, corpus, learner)]


def test_suspicious_labels_are_dropped():
    corpus, _, learner, cycles = relabelled("drop", relabel__folds=2)
    gold, labelled, revised = corpus.train.labels, {}, set()
    fits = [learner.fits[number] for number in range(2, len(learner.fits), 3)]  # two folds, then the cycle's own
    for cycle, fit in zip(cycles, fits, strict=True):
        if cycle.number == 0:
            labelled |= dict(zip(cycle.seed_set.tolist(), cycle.seed_labels.tolist(), strict=True))
        known = {i: label for i, label in labelled.items() if label >= 0 and i not in revised}
        wrong = {i for i, label in known.items() if label != gold[i]}
        assert len(cycle.revised) == round(0.2 * len(known))
        assert set(cycle.revised.tolist()) <= wrong or wrong <= set(cycle.revised.tolist())
        assert set(cycle.revised_labels.tolist()) <= {-1}
        revised |= set(cycle.revised.tolist())
        assert fit.ids.tolist() == sorted(known.keys() - revised)
        assert cycle.labelled == len(fit.ids)
        labelled |= dict(zip(cycle.queried.tolist(), cycle.query_labels.tolist(), strict=True))
    assert revised
    assert not revised & {i for cycle in cycles for i in cycle.queried.tolist()} - set(labelled), (
        "nobody is asked for twice"
    )


def test_dropping_every_label_is_refused():
    """The folds of a small seed set may contradict all of it."""
    corpus = corpus_of()
    learner = FakeLearner(3, opinion=knowing((corpus.train.labels + 1) % 3), test=corpus.test.inputs)
    config = config_of(relabel__action="drop", relabel__filter=FilterConfig("verifier", "disagreement"))
    with pytest.raises(
        UserError, match=r"^relabel.filter.drop=disagreement: would drop all 8 labels in cycle 0"
    ) as refusal:
        collected(config, corpus, learner)
    assert "\n" not in str(refusal.value)


def test_each_fold_is_judged_by_a_model_that_has_not_seen_its_labels():
    _, _, learner, cycles = relabelled("drop", relabel__folds=4, relabel__at=[0], schedule__cycles=1)
    folds, (own, *_) = learner.fits[:4], learner.fits[4:]
    everybody = set(own.ids.tolist()) | set(cycles[0].revised.tolist())
    left_out = [everybody - set(fit.ids.tolist()) for fit in folds]
    assert sorted(i for fold in left_out for i in fold) == sorted(everybody), "each is left out once"
    assert [len(fold) for fold in left_out] == pytest.approx([len(everybody) / 4] * 4, abs=1)


def test_suspicious_labels_are_asked_for_again_of_gold():
    corpus, _, learner, cycles = relabelled("ask", relabel__oracle=OracleConfig("gold"))
    gold, seen = corpus.train.labels, []
    for cycle in cycles:
        assert cycle.revised_labels.tolist() == gold[cycle.revised].tolist()
        assert cycle.second_answers["asked"] == cycle.second_answers["right"] == len(cycle.revised)
        seen += cycle.revised.tolist()
    assert len(set(seen)) == len(seen) > 4, "a label is looked into once"
    for cycle, after in pairwise(cycles):
        assert after.labelled - cycle.labelled == cycle.answers["answered"], "nobody is lost"
    last = learner.fits[-1]
    assert set(seen) <= set(last.ids.tolist())
    assert (last.labels == gold[last.ids])[np.isin(last.ids, seen)].all()


def test_the_second_answer_of_the_same_oracle_is_another_one():
    _, config, _, cycles = relabelled("ask")
    setup = Setup(config, corpus_of(), None)
    differ = 0
    for cycle in cycles:
        first, second = (setup.annotator.label(cycle.revised, attempt) for attempt in (0, 1))
        assert cycle.revised_labels.tolist() == np.where(second < 0, first, second).tolist(), (
            "an abstention changes nothing"
        )
        differ += (first != cycle.revised_labels).sum()
    assert differ > 0


def test_money_of_asking_again_by_hand():
    from al_bench.costs import Costs
    from al_bench.run import lines

    _, config, _, cycles = relabelled(
        "ask",
        oracle__price=LabelPrice(example=0.1, word=0.01),
        relabel__oracle=OracleConfig("gold", price=LabelPrice(2.0)),
    )
    first, second = (
        {"asked": 9, "answered": 8, "right": 5, "words": 30},
        {"asked": 2, "answered": 2, "right": 2, "words": 6},
    )
    decided, _ = lines(config, cycles[0], Costs(), (None, None, Costs()), {}, set(), first, second)
    assert (decided["asked"], decided["answered"], decided["right"]) == (11, 10, 7)
    assert decided["money_labels"] == pytest.approx(8 * 0.1 + 30 * 0.01 + 2 * 2.0)


@pytest.mark.parametrize("action", ["drop", "ask"])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_interrupted_after_every_cycle_and_continued_to_the_same_bytes(tmp_path, task, action):
    corpus = corpus_of(task)
    oracle = NOISY if task == "classification" else {"oracle__name": "noisy_spans"}
    config = config_of(task, **oracle, relabel__action=action, relabel__filter=FIFTH, relabel__folds=2)

    def cycles(name: str):
        root: Path = tmp_path / name
        trajectory = Trajectory(root, {"what": "determines it"}, {"data": "d"}, len(corpus.train))
        return acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory.cycle)

    list(cycles("whole"))
    for stopped_after in range(4):
        steps = cycles("parts")
        for _ in range(stopped_after + 1):
            next(steps)
    list(cycles("parts"))
    whole, parts = (snapshot(next((tmp_path / name).iterdir())) for name in ("whole", "parts"))
    assert whole == parts
    assert any(name.startswith("revised_labels/") for name in whole)


def test_margins_judge_too():
    """The fake's margins are all equal: a fifth is dropped, and the model that tells them is fitted on everything."""
    _, _, learner, cycles = relabelled("drop", relabel__filter=FilterConfig("aum", 0.2), relabel__at=[0])
    assert learner.fits[0].watch.margins
    assert len(cycles[0].revised) == round(0.2 * len(learner.fits[0].ids))
    assert [len(cycle.revised) for cycle in cycles[1:]] == [0] * 4
