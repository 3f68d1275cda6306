"""The BiLSTM-CRF: against one sentence at a time and all its paths, and as a learner."""

import copy
import json
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cnn import overrides
from tiny import SEEDS
from word_models import small

from al_bench.data.corpus import Corpus, Split
from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled, evaluate_on_test
from al_bench.learners.engine.inference import TOKEN_BUDGET
from al_bench.learners.engine.training import Examples
from al_bench.learners.network import NetworkModel

TAGS = ("O", "B-PER", "I-PER")
SENTENCES = [
    ["Anna", "Berg", "went", "home"], ["film"], [], ["\u200b"], ["the", "Berg", "\u200b", "Anna"], ["home"] * 40,
    ["went", "the", "film"], ["Anna"],
]  # fmt: skip
GOLD = Ragged.of([[1, 2, 0, 0], [0], [], [0], [0, 1, 0, 1], [0] * 40, [0, 0, 0], [1]])
UNSEEN = [["Zoë", "home", "now"], ["Anna", "Zoë"]]
IDS = np.arange(len(SENTENCES))


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    learner = small("bilstm_crf", TAGS, training={"epochs": 25, "learning_rate": 3e-2})
    return learner.fit(Unlabelled(SENTENCES), IDS, GOLD, SEEDS)


def emissions_of(network: Any, words: torch.Tensor) -> torch.Tensor:
    """(words, tags) of one sentence, without packing or padding."""
    states = torch.cat([network.words(words), network.letters(words)], dim=1)
    for layer in network.layers:
        states = layer(states.unsqueeze(0))[0].squeeze(0)
    return network.classifier(states)


def by_hand(learner: Any, words: torch.Tensor) -> tuple[np.ndarray, list[int]]:
    """(marginals, best path) of one sentence, over all paths."""
    crf = learner.network.crf
    with torch.no_grad():
        emissions = emissions_of(learner.network, words)
        scores = {
            path: crf.start[path[0]] + crf.end[path[-1]] + sum(emissions[t, tag] for t, tag in enumerate(path))
            + sum(crf.transitions[pair] for pair in pairwise(path))
            for path in product(range(len(TAGS)), repeat=len(words))
        }  # fmt: skip
    probs = torch.stack(list(scores.values())).softmax(0)
    marginals = np.zeros((len(words), len(TAGS)))
    for path, p in zip(scores, probs, strict=True):
        marginals[np.arange(len(words)), path] += float(p)
    return marginals, list(max(scores, key=lambda path: float(scores[path])))


@pytest.mark.parametrize("budget", [TOKEN_BUDGET["cpu"], 1], ids=["together", "one by one"])
def test_probabilities_and_labels_are_those_over_all_paths(
    budget: int, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOKEN_BUDGET, "cpu", budget)
    for sentences in (SENTENCES, UNSEEN):
        predictions = model.predict(Unlabelled(sentences), np.arange(len(sentences)), exact=True, embeddings=True)
        labels, encoded = predictions.labels(), model.learner.encoded(Unlabelled(sentences))
        assert labels.lengths.tolist() == [len(words) for words in sentences]
        assert predictions.embeddings.lengths.tolist() == predictions.probs.lengths.tolist()
        for i, words in enumerate(sentences):
            there = [place for place, word in enumerate(words[:32]) if word != "\u200b"]
            assert predictions.probs.lengths[i] == len(there)
            assert (np.delete(labels.row(i), there) == 0).all(), "words that did not survive are O"
            if 0 < len(there) < 6:
                marginals, path = by_hand(model.learner, torch.from_numpy(encoded.tokens.row(i)).long())
                np.testing.assert_allclose(predictions.probs.row(i), marginals, atol=1e-5)
                assert labels.row(i)[there].tolist() == path
    assert len(model.predict(Unlabelled(SENTENCES), np.array([2, 3])).probs.values) == 0


def test_the_best_path_is_what_is_scored(model: Any) -> None:
    """Where it is another than the words' most probable tags: here because O leads to two tags as well as to one."""
    network = model.learner.network
    before = copy.deepcopy(network.state_dict())
    try:
        with torch.no_grad():
            network.classifier.weight.zero_()
            network.crf.transitions.copy_(torch.tensor([[3.0, 3.0, 1e-9], [1e-9, 4.0, 1e-9], [1e-9] * 3]).log())
            predictions = model.predict(Unlabelled(SENTENCES), IDS)
        likeliest = predictions.probs.values.argmax(axis=1)
        assert (predictions.decoded != likeliest).any()
        np.testing.assert_array_equal(predictions.surviving(predictions.labels()), predictions.decoded)
        split = Split(SENTENCES, predictions.labels())
        corpus = Corpus("own", "tagging", TAGS, split, split)
        assert evaluate_on_test(model, corpus)["f1"] == 1
        order = np.array([5, 0, 4, 1])
        shuffled = model.predict(Unlabelled(SENTENCES), order).labels()
        np.testing.assert_array_equal(shuffled.values, predictions.labels()[order].values)
    finally:
        network.load_state_dict(before)


def test_it_learns(model: Any) -> None:
    assert (model.predict(Unlabelled(SENTENCES), IDS).labels().values == GOLD.values).mean() > 0.95
    assert model.costs.parameters == sum(p.numel() for p in model.learner.network.parameters())
    model.learner.prepare(Unlabelled(UNSEEN))
    assert model.learner.computes == "a BiLSTM-CRF, random vectors of 8 words"
    assert model.learner.cut_off(Unlabelled(SENTENCES)).sum() == 8
    assert model.dev_score is None


def test_the_loss_is_that_of_whole_sentences(model: Any) -> None:
    """By its weight each, divided by the words of the batch; and all words of no sentence are no error."""
    learner = model.learner
    encoded, weights = learner.encoded(Unlabelled(SENTENCES)), np.linspace(0.5, 2, len(IDS)).astype(np.float32)
    ids, crf, expected = np.array([0, 3, 4, 6]), learner.network.crf, 0.0
    part = Examples(encoded, ids, GOLD[ids], weights[ids])
    with torch.no_grad():
        emissions = [emissions_of(learner.network, torch.from_numpy(encoded.tokens.row(i)).long()) for i in (0, 4, 6)]
        gold = [[1, 2, 0, 0], [0, 1, 1], [0, 0, 0]]
        for rows, path, weight in zip(emissions, gold, weights[[0, 4, 6]], strict=True):
            one = crf.log_likelihood(rows, torch.tensor(path), np.array([len(path)]))
            expected -= float(weight * one) / 10
        loss = learner.stepper.loss(torch.cat(emissions), torch.tensor([tag for path in gold for tag in path]), part)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    nothing = Examples(encoded, np.array([2, 3]), GOLD[np.array([2, 3])])
    empty = torch.zeros(0, 3, requires_grad=True)
    assert float(learner.stepper.loss(empty, torch.zeros(0), nothing).detach()) == 0


def test_a_draw_is_one_network_for_all_sentences(model: Any) -> None:
    def drawn(ids: np.ndarray, seed: int = 3) -> list[np.ndarray]:
        rows: dict[int, np.ndarray] = {}
        for places, probs, _ in model.samples(Unlabelled(SENTENCES), ids, 4, seed):
            rows |= dict(zip(places.tolist(), probs.rows(), strict=True))
        return [rows[place] for place in range(len(ids))]

    every = drawn(IDS)
    for one, other in zip(drawn(np.array([6, 2, 0])), (every[6], every[2], every[0]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert every[0].shape == (4, 4, 3)
    np.testing.assert_allclose(every[0].sum(axis=2), 1, atol=1e-5)
    assert np.ptp(every[0], axis=1).max() > 1e-3


def test_the_vocabulary_is_that_of_the_training_split(tmp_path: Path) -> None:
    """Other corpora before change no bit, and a dev split is scored by the best paths."""
    probs = []
    for before in (False, True):
        learner = small("bilstm_crf", TAGS, training={"dev_share": 0.3, "epochs": 2})
        if before:
            learner.prepare(Unlabelled(UNSEEN))
        model = learner.fit(Unlabelled(SENTENCES), IDS, GOLD, SEEDS)
        assert model.dev_score is not None
        probs.append(model.predict(Unlabelled(SENTENCES), IDS).probs.values)
    np.testing.assert_array_equal(*probs)


def test_a_run_with_an_encoders_table(
    al: Callable[..., Any], tiny_tagging_run: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    """The acquisition model's words have the means of their sub-words, the successor's random vectors."""
    words = overrides(tiny_tagging_run, "bilstm_crf", "acquisition", "successor")
    words += [f"acquisition.path={tiny_model}", "schedule.cycles=2", "evaluate_at=last"]
    words += [f"{role}.training.epochs=25" for role in ("acquisition", "successor")]
    done = al("run", *words)
    assert done.code == 0, done.err
    assert "acquisition bilstm_crf: a BiLSTM-CRF, vectors for 100% of " in done.out
    assert "successor bilstm_crf: a BiLSTM-CRF, random vectors of " in done.out
    (path,) = (tmp_path / "outputs" / "runs").glob("*/*/ledger.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert min(rows[-1][role]["f1"] for role in ("acquisition", "successor")) > 0.2
    assert "already finished" in al("run", *words).out
