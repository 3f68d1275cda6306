"""Small learners over word vectors."""

from typing import Any

import torch
from tiny import settings

from al_bench.config.schema import ModelConfig
from al_bench.learners.families import LEARNERS

SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"width": 6, "filters": 4, "widths": [2, 3]},
    "bilstm_crf": {"width": 6, "hidden": 5, "characters": 4, "character_filters": 3},
}
TASK = {"cnn": "classification", "bilstm_crf": "tagging"}
FITTING = {"learning_rate": 1e-2, "epochs": 8, "dropout": 0.2}


def small(
    name: str,
    labels: tuple[str, ...],
    *,
    max_length: int = 32,
    path: str | None = None,
    training: Any = None,
    **own: Any,
) -> Any:
    """training: other settings than the usual ones; own: of the learner"""
    kind, task = LEARNERS[name], TASK[name]
    model = ModelConfig(
        name=name, learner=name, params=kind.typed({**SMALL[name], **own}, "successor.params"), path=path,
        max_length=max_length, training=settings(task, **{**FITTING, **(training or {})}),
    )  # fmt: skip
    return kind.learner(
        "successor", model, task, labels, torch.device("cpu"), "float32", None, frozenset(), **model.params
    )
