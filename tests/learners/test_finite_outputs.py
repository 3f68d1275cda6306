"""Where outputs that are not finite are noticed, and what is said of them."""

import numpy as np
import pytest

from al_bench.config.schema import ModelConfig
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.divergence import finite_outputs
from al_bench.learners.engine.regression import fit_head
from al_bench.learners.predictions import NotFinite, Predictions, assembled, finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["probs", "embeddings"])
@pytest.mark.parametrize("ragged", [False, True])
def test_assembled_predictions_are_finite(bad: float, where: str, ragged: bool) -> None:
    def predictions(**changes: np.ndarray) -> Predictions:
        rows = {"probs": np.full((2, 2), 0.5, dtype=np.float32), "embeddings": np.ones((2, 3), dtype=np.float32)}
        made = {
            key: Ragged(values, np.array([0, 2])) if ragged else values for key, values in {**rows, **changes}.items()
        }
        return Predictions(made["probs"], np.arange(2), np.array([2]), embeddings=made["embeddings"])

    places = np.arange(1 if ragged else 2)
    assert len(assembled([(places, predictions())])) == len(places)
    broken = np.ones((2, 3), dtype=np.float32)
    broken[1, 2] = bad
    with pytest.raises(NotFinite):
        assembled([(places, predictions(**{where: broken}))])


@pytest.mark.parametrize(
    ("learner", "end"),
    [
        (
            "transformer",
            " because training diverged; lower successor.training.learning_rate, or set precision=float32 if it is not",
        ),
        ("linear", "; set precision=float32 if it is not, or choose another model for successor"),
    ],
)
def test_the_line_says_who_when_and_what_to_do(learner: str, end: str) -> None:
    with pytest.raises(UserError) as caught, finite_outputs("successor", ModelConfig(name="m", learner=learner), 7):
        finite(np.array([1.0, np.nan]))
    assert str(caught.value) == f"successor=m: its outputs in cycle 7 are not finite{end}"


def test_the_innermost_role_is_named() -> None:
    """A filter asks its verifier while the successor is at work."""
    verifier, successor = (finite_outputs(role, ModelConfig(name="m"), 0) for role in ("verifier", "successor"))
    with pytest.raises(UserError, match=r"^verifier=m: "), successor, verifier:
        finite(np.array([np.nan]))


def test_features_of_a_linear_head_are_outputs() -> None:
    x = np.zeros((4, 2), dtype=np.float32)
    x[2, 1] = np.inf
    with pytest.raises(NotFinite):
        fit_head(x, np.array([0, 1, 0, 1]), None, 2, 1.0)
