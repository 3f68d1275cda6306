"""The CNN: against its formulas written out, and as a learner."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import config_of
from scipy.special import softmax
from tiny import SEEDS
from torch.nn import functional as F
from word_models import small

from al_bench.config.component_identity import model_identity
from al_bench.config.rules import validate
from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled, Watch
from al_bench.learners.families import LEARNERS, fingerprint
from al_bench.learners.network import NetworkModel

TEXTS = ["good film", "the plot was very bad, awful!", "great", "", "a film " * 40, "the the", "zebra", "bad bad plot"]
UNSEEN = ["never seen", "good", "\u200b"]
IDS, CLASSES, LABELS = np.arange(8), np.array([1, 0, 2, 0, 0, 1, 0, 2]), ("a", "b", "c")


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    learner = small("cnn", LABELS, training={"epochs": 20, "learning_rate": 5e-2})
    return learner.fit(Unlabelled(TEXTS), IDS, CLASSES, SEEDS, watch=Watch(2, margins=True))


def by_hand(learner: Any, text: str) -> tuple[np.ndarray, np.ndarray]:
    """(features, probabilities) of one text: every window that touches it, written out."""
    network = learner.network
    words = learner.lexicon.encode([text], 32).tokens.values
    network.extend(learner.lexicon)
    x = network.words(torch.from_numpy(words).long()).detach().numpy()
    features = []
    for convolution in network.convolutions:
        weight, bias = (p.detach().numpy() for p in convolution.filters.parameters())
        width = weight.shape[2]
        around = np.pad(x, ((width - 1, width - 1), (0, 0)))
        windows = [np.einsum("fdw,wd->f", weight, around[i : i + width]) + bias for i in range(len(x) + width - 1)]
        features.append(np.maximum(np.max(windows, axis=0), 0))
    states = np.concatenate(features)
    weight, bias = (p.detach().numpy() for p in network.classifier.parameters())
    return states, softmax(weight @ states + bias)


def test_predictions_and_embeddings_are_what_the_formulas_say(model: Any) -> None:
    for texts in (TEXTS, UNSEEN):
        together = model.predict(Unlabelled(texts), np.arange(len(texts)), embeddings=True, exact=True)
        for text, probs, states in zip(texts, together.probs, together.embeddings, strict=True):
            features, expected = by_hand(model.learner, text)
            np.testing.assert_allclose(states, features, atol=1e-5)
            np.testing.assert_allclose(probs, expected, atol=1e-5)
    assert together.decoded is None
    assert model.predict(Unlabelled(TEXTS), IDS[:0], embeddings=True).embeddings.shape == (0, 8)


def test_it_learns_and_says_what_it_trained(model: Any) -> None:
    assert (model.predict(Unlabelled(TEXTS), IDS).labels() == CLASSES).mean() > 0.7
    words = len({word.lower() for text in TEXTS for word in model.learner.lexicon._source.split([text])[0]})
    convolutions = 4 * (6 * 2 + 1) + 4 * (6 * 3 + 1)
    assert model.costs.parameters == (words + 1) * 6 + convolutions + 3 * (8 + 1)
    punctuation = 2
    assert model.costs.tokens == 20 * (sum(min(max(len(text.split()), 1), 32) for text in TEXTS) + punctuation)
    model.learner.prepare(Unlabelled(UNSEEN))
    assert model.learner.computes == f"a CNN, random vectors of {words + 2} words", "two were never seen"
    assert np.isfinite(model.margins).all()
    assert model.learner.cut_off(Unlabelled(TEXTS)).tolist() == [False] * 4 + [True] + [False] * 3


def test_influence_is_the_squared_norm_of_each_gradient(model: Any) -> None:
    """Of all parameters, by autograd on one text at a time."""
    learner, checkpoint = model.learner, model.checkpoints[-1]
    network = copy.deepcopy(learner.network).eval()
    network.load_state_dict(checkpoint)
    expected = []
    for number, label in zip(learner.encoded(Unlabelled(TEXTS)).tokens.rows(), CLASSES, strict=True):
        network.zero_grad()
        logits = network(input_ids=torch.from_numpy(number).long().unsqueeze(0)).logits.double()
        F.cross_entropy(logits, torch.tensor([label])).backward()
        expected.append(sum(float(p.grad.square().sum()) for p in network.parameters()))
    influence = model.influence(Unlabelled(TEXTS), IDS, CLASSES, checkpoints=1)
    np.testing.assert_allclose(influence, expected, rtol=1e-3, atol=1e-10)


def test_a_draw_is_one_network_for_all_texts(model: Any) -> None:
    def drawn(ids: np.ndarray, seed: int = 3) -> np.ndarray:
        places, probs, _ = zip(*model.samples(Unlabelled(TEXTS), ids, 5, seed), strict=True)
        return np.concatenate(probs)[np.argsort(np.concatenate(places))]

    np.testing.assert_allclose(drawn(IDS)[[6, 2]], drawn(np.array([6, 2])), atol=1e-6)
    assert np.ptp(drawn(IDS), axis=1).max() > 1e-3
    assert not np.array_equal(drawn(IDS), drawn(IDS, seed=4))


def test_what_else_a_learner_has_seen_changes_no_bit() -> None:
    """The test split before the training split, an earlier fit, and predictions between."""
    probs = []
    for before in (False, True):
        learner = small("cnn", LABELS)
        if before:
            learner.prepare(Unlabelled(UNSEEN))
            learner.fit(Unlabelled(TEXTS), IDS[3:], CLASSES[3:], SEEDS).predict(Unlabelled(UNSEEN), np.arange(3))
        model = learner.fit(Unlabelled(TEXTS), IDS[:5], CLASSES[:5], SEEDS)
        probs.append(model.predict(Unlabelled(TEXTS), IDS).probs)
    np.testing.assert_array_equal(*probs)


def test_vectors_of_a_file_are_tuned_or_not(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("good 1 2 3\nFilm 4 5 6\nseen 0 1 0\n")
    moved = {}
    for freeze in (True, False):
        learner = small("cnn", LABELS, vectors=str(tmp_path / "vectors.txt"), freeze=freeze)
        fitted = learner.fit(Unlabelled(TEXTS), IDS, CLASSES, SEEDS)
        fitted.predict(Unlabelled(UNSEEN), np.arange(3))
        words = learner.lexicon
        of = {word: learner.network.words(torch.tensor([words.spellings.index(word)])) for word in ("good", "seen")}
        moved[freeze] = float((of["good"] - torch.tensor([1.0, 2.0, 3.0])).detach().abs().max())
        assert of["seen"].tolist() == [[0.0, 1.0, 0.0]], "outside the training split"
        assert learner.network.words.table.weight.requires_grad is not freeze
        assert learner.computes == "a CNN, vectors for 13 % of 15 words".replace(" %", "%")
    assert moved[True] == 0
    assert moved[False] > 1e-3


def test_sub_words_of_an_encoder_are_its_units(bert: Path) -> None:
    learner = small("cnn", LABELS, path=str(bert))
    fitted = learner.fit(Unlabelled(TEXTS), IDS, CLASSES, SEEDS)
    assert learner.lexicon.vectors.shape[1] == 32
    assert learner.lexicon.known[1:].all()
    assert learner.computes.startswith("a CNN, vectors for 100% of ")
    assert {"good", "film"} < set(learner.lexicon.spellings)
    assert any(piece.startswith("##") for piece in learner.lexicon.spellings)
    assert np.isfinite(fitted.predict(Unlabelled(TEXTS), IDS).probs).all()


def test_a_file_counts_by_its_content(tmp_path: Path, bert: Path) -> None:
    params = {**LEARNERS["cnn"].defaults}
    identities = []
    for name, text in (("a.txt", "a 1 2\n"), ("b.txt", "a 1 2\n"), ("c.txt", "a 1 3\n")):
        (tmp_path / name).write_text(text)
        model = ModelConfig(learner="cnn", params={**params, "vectors": str(tmp_path / name)})
        identities.append(model_identity(model))
    assert identities[0] == identities[1] != identities[2]
    assert fingerprint("successor", ModelConfig(learner="cnn", params=params)) == {}
    assert fingerprint("successor", ModelConfig(learner="cnn", params=params, path=str(bert))).keys() == {
        "weights", "config", "tokenizer",
    }  # fmt: skip


def overrides(tiny_run: list[str], name: str, *roles: str) -> list[str]:
    """The tiny run with a small learner in these roles."""
    kept = [word for word in tiny_run if not word.startswith(tuple(f"{role}." for role in roles))]
    options = [f"model@{role}={name}" for role in roles]
    fit = ["training.epochs=8", "training.min_steps=0", "training.batch_size=8", "training.learning_rate=1e-2"]
    sizes = {"cnn": ["params.filters=8", "params.width=16"], "bilstm_crf": ["params.hidden=16"]}[name]
    return [*kept, *options, *(f"{role}.{word}" for role in roles for word in (*fit, *sizes))]


def test_a_run_with_a_file_of_vectors(al: Callable[..., Any], tiny_run: list[str], tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("great 1 0 1\nawful -1 0 1\nfilm 0 1 0\n")
    words = [*overrides(tiny_run, "cnn", "acquisition", "successor"), f"acquisition.params.vectors={file}"]
    done = al("run", *words, "strategy=bald", "evaluate_at=last")
    assert done.code == 0, done.err
    assert "acquisition cnn: a CNN, vectors for " in done.out
    assert "successor cnn: a CNN, random vectors of " in done.out
    (path,) = (tmp_path / "outputs" / "runs").glob("*/*/ledger.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[-1]["acquisition"]["accuracy"] > 0.5
    file.write_text("great 1 0 1\nawful -1 0\n")
    refused = al("run", *words)
    expected = f"al-bench: acquisition.params.vectors={file}: line 2 has not 3 numbers after its word"
    assert refused.err.splitlines()[0].startswith(expected)
    assert refused.code == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"params": {"vectors": "/nowhere.txt"}},
            "params.vectors=/nowhere.txt: cannot be read (No such file or directory)",
        ),
        ({"params": {"width": 0}}, "params.width=0: must be at least 1; 300 is usual"),
        (
            {"params": {"vectors": __file__}, "hub": "some/model"},
            f"params.vectors={__file__}: replaces an encoder's files",
        ),
        ({"learner": "bilstm_crf"}, "learner=bilstm_crf: does not work on classification; choose one of cnn, linear"),
    ],
)
def test_bad_settings_are_refused_by_a_rule(changes: dict[str, Any], expected: str) -> None:
    config = config_of(successor=ModelConfig(**{"name": "small", "learner": "cnn", **changes}))
    with pytest.raises(UserError) as caught:
        validate(config)
    assert f"successor.{expected}" in str(caught.value)


def test_widths_and_dropout_are_checked_before_anything_is_computed() -> None:
    learner, params = LEARNERS["cnn"].learner, LEARNERS["cnn"].defaults
    model = ModelConfig(name="small", learner="cnn", params=params)
    with pytest.raises(UserError, match=r"acquisition.params.widths=\[3, 0\]: must be whole numbers from 1 on"):
        learner.check(
            "acquisition", replace(model, params={**params, "widths": [3, 0]}), "classification", 3, frozenset()
        )
    model.training.dropout = 0.0
    with pytest.raises(UserError, match=r"acquisition.training.dropout=0.0: small drops nothing else"):
        learner.check("acquisition", model, "classification", 3, frozenset({"samples"}))
    learner.check("acquisition", model, "classification", 3, frozenset({"embeddings"}))
