"""Real learners on planted errors: each filter that judges a given label finds wrong ones better than chance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made import reviews, sentences

from al_bench.config.schema import PAPER_TRAINING, ModelConfig, TrainingConfig
from al_bench.data.ragged import Ragged
from al_bench.filters.opinions import of_neighbours, of_verifier
from al_bench.learners.base import FitSeeds, Unlabelled, Watch
from al_bench.learners.families import LEARNERS

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
GOLD, N = 60, 300
SEEDS = FitSeeds(1, 1, 0)


def auc(wrong: np.ndarray, score: np.ndarray) -> float:
    """Probability that a wrong example has the higher score, ties counting half."""
    pairs = score[wrong][:, None] - score[~wrong][None, :]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


@pytest.fixture(scope="module", params=["transformer", "linear"])
def learner_of(request: pytest.FixtureRequest, tiny_model: Path):
    def build(task: str, names: tuple[str, ...]):
        changed = {"learning_rate": 3e-3, "epochs": 6, "min_steps": 0, "batch_size": 16}
        training = TrainingConfig(**{**PAPER_TRAINING[task], **changed})
        model = ModelConfig(
            "tiny", learner=request.param, path=str(tiny_model), max_length=32, regularization=1.0, training=training
        )
        return LEARNERS[request.param].learner("successor", model, task, names, torch.device("cpu"), "float32")

    return build


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_filters_find_planted_errors(task, learner_of):
    rng = np.random.default_rng(0)
    gold, pool = np.arange(GOLD), np.arange(GOLD, N)
    wrong = np.zeros(N, dtype=bool)
    wrong[rng.choice(pool, len(pool) // 10, replace=False)] = True
    if task == "classification":
        rows = reviews(N, seed=3)
        inputs, names = Unlabelled([text for text, _ in rows]), ("neg", "pos")
        truth = np.array([names.index(label) for _, label in rows])
        labels = np.where(wrong, 1 - truth, truth)
    else:
        rows = sentences(N, seed=3)
        inputs, names = Unlabelled([[word for word, _ in row] for row in rows]), TAGS
        truth = Ragged.of([[TAGS.index(tag) for _, tag in row] for row in rows])
        values = truth.values.copy()
        places = truth.positions(np.flatnonzero(wrong))
        values[places] = (values[places] + 1) % len(TAGS)
        labels = Ragged(values, truth.offsets)
    learner = learner_of(task, names)
    model = learner.fit(inputs, np.arange(N), labels, SEEDS, watch=Watch(checkpoints=3, margins=True))
    suspicions = {"aum": -model.margins[pool], "tracin": model.influence(inputs, pool, labels[pool])}
    known, asked = learner.embed(inputs, gold), learner.embed(inputs, pool)
    suspicions["knn"] = of_neighbours(known, truth[gold], asked, labels[pool], len(names), 10).score
    verifier = learner.fit(inputs, gold, truth[gold], SEEDS)
    suspicions["verifier"] = of_verifier(verifier.predict(inputs, pool), labels[pool]).score
    reached = {by: auc(wrong[pool], score) for by, score in suspicions.items()}
    # The neighbours of a random encoder know little of sentiment; the others look at what was learned.
    least = {"aum": 0.8, "tracin": 0.8, "verifier": 0.7, "knn": 0.55}
    assert all(reached[by] > least[by] for by in least), reached
