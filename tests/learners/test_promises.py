"""Every learner keeps what learners promise, on models with random weights."""

from typing import Any

import pytest
import transformers
from tiny import save_family

from al_bench.conformance.learners import SUITE
from al_bench.conformance.suite import breach, title
from al_bench.conformance.trials import Trial
from al_bench.learners.families import LEARNERS

# What each learner is tried with; one that needs a model's files gets a small encoder.
SUBJECTS: dict[str, dict[str, Any]] = {
    "transformer": {"max_length": 32, "num_hidden_layers": 1, "training": {"learning_rate": 4e-3}},
    "linear": {"max_length": 32, "regularization": 1.0},
    "lora": {"max_length": 32, "num_hidden_layers": 1, "training": {"learning_rate": 1e-2}},
    "cnn": {"filters": 8, "training": {"learning_rate": 1e-2, "dropout": 0.2}},
    "bilstm_crf": {
        "characters": 8,
        "character_filters": 8,
        "hidden": 16,
        "training": {"learning_rate": 2e-2, "dropout": 0.2},
    },
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """With the head of a masked language model, which every encoder has had."""
    folder = save_family("roberta", tmp_path_factory.mktemp("encoder"))
    transformers.AutoModelForMaskedLM.from_pretrained(folder).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def trials(encoder):
    made: dict[str, Trial] = {}

    def trial(name: str) -> Trial:
        if name == "lora":
            pytest.importorskip("peft")
        if name not in made:
            files = {"path": encoder} if LEARNERS[name].source else {}
            made[name] = SUITE.prepare(name, {**files, **SUBJECTS[name]})
        return made[name]

    return trial


def test_every_learner_is_tried():
    assert SUBJECTS.keys() == LEARNERS.shipped.keys()


@pytest.mark.parametrize("promise", SUITE.promises, ids=title)
@pytest.mark.parametrize("name", SUBJECTS)
def test_keeps_its_promises(trials, name, promise):
    assert breach(promise, trials(name)) == ""
