"""Strategies that need more than predictions, by the command line with each learner that has an encoder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from al_bench.acquisition.strategies.protocol import by_view
from al_bench.acquisition.view import View


@by_view(needs=("surprisal",))
def surprising(view: View, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) mean loss of a pretrained language model."""
    return view.surprisal(ids).mean(axis=1)


ACQUIRE = ["model@successor=none", "evaluate_at=none", "schedule.cycles=2"]


@pytest.fixture
def words(tiny_run: list[str]) -> list[str]:
    return [*(word for word in tiny_run if not word.startswith("successor.")), *ACQUIRE]


def queries(folder: Path) -> list[dict[str, Any]]:
    (trajectory,) = (folder / "outputs" / "trajectories").glob("*/ledger.jsonl")
    return [json.loads(line)["query"] for line in trajectory.read_text().splitlines()]


@pytest.mark.parametrize(
    ("task", "name", "learner"),
    [
        ("classification", "bald", "transformer"),
        ("tagging", "bald", "linear"),
        ("tagging", "mahalanobis", "transformer"),
    ],
)
def test_samples_and_embeddings(
    task: str, name: str, learner: str, al: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    words = request.getfixturevalue("tiny_run" if task == "classification" else "tiny_tagging_run")
    kept = [word for word in words if not word.startswith(("successor.", "strategy="))]
    done = al("run", *kept, *ACQUIRE, f"strategy={name}", f"acquisition.learner={learner}")
    assert done.code == 0, done.err
    assert all(query["max_score"] > query["min_score"] for query in queries(tmp_path)[:2])


def test_a_network_without_dropout_is_refused_before_the_first_fit(
    al: Any, words: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "undropped")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    words += ["strategy=bald", f"acquisition.path={folder}"]
    done = al("run", *words)
    assert done.code == 1
    expected = (
        "al-bench: acquisition.training.dropout=0.0: tiny drops nothing else either, so that all samples are equal; "
    )
    assert done.err.splitlines() == [
        f"{expected}set acquisition.training.dropout=0.1, or choose a strategy that needs no samples"
    ]
    assert not (tmp_path / "outputs" / "trajectories").exists()
    assert al("run", *words, "acquisition.training.dropout=0.1").code == 0


def test_surprisal(al: Any, words: list[str], tiny_model: Path, tmp_path: Path) -> None:
    words += [f"strategy.name={__name__}:surprising"]
    done = al("run", *words)
    assert done.code == 1
    expected = (
        f"al-bench: acquisition={tiny_model}: its checkpoint has no masked language model, which surprisal needs; "
    )
    assert done.err.splitlines() == [f"{expected}choose one that has, such as distilbert_uncased, or another strategy"]
    folder = shutil.copytree(tiny_model, tmp_path / "masked")
    transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(tiny_model)).save_pretrained(folder)
    done = al("run", *words, f"acquisition.path={folder}")
    assert done.code == 0, done.err
    (trajectory,) = (
        path for path in (tmp_path / "outputs" / "trajectories").glob("*") if (path / "ledger.jsonl").exists()
    )
    rows = [json.loads(line) for line in (trajectory / "ledger.jsonl").read_text().splitlines()]
    assert all(row["metrics"] is None for row in rows), "nothing is fitted"
    assert rows[0]["query"]["max_score"] > 0
