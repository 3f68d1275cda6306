"""Outputs that are not finite: in whatever role a model diverges, the run stops in one line and records none of it."""

import json
from pathlib import Path

import pytest
import torch

from al_bench.learners.engine.training import Stepper

QUICK = ["schedule.cycles=1", "training.epochs=1"]
TOO_HIGH = 0.5  # learning rate


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights overflow at a learning rate that is too high, as large networks' do."""
    step = Stepper.step

    def overflowing(self, positions, rate):
        outputs = step(self, positions, rate)
        if rate > TOO_HIGH:
            with torch.no_grad():
                next(self.forward.network.parameters()).fill_(torch.inf)
        return outputs

    monkeypatch.setattr(Stepper, "step", overflowing)


def refusal(done) -> str:
    assert done.code == 1, done.out
    assert len(done.err.splitlines()) == 1, done.err
    return done.err.strip()


def line(role: str, cycle: int) -> str:
    return (
        f"al-bench: {role}=tiny: its outputs in cycle {cycle} are not finite because training diverged; "
        f"lower {role}.training.learning_rate, or set precision=float32 if it is not"
    )


def numbers(root: Path) -> set[int]:
    """Of the cycles that are recorded."""
    return {json.loads(row)["cycle"] for path in root.rglob("ledger.jsonl") for row in path.read_text().splitlines()}


@pytest.mark.parametrize(
    "role", ["acquisition", "successor", "pseudo_labeler", pytest.param("verifier", marks=pytest.mark.slow)]
)
def test_the_role_the_cycle_and_the_remedy(al, tiny_run, tiny_model, tmp_path, role):
    command = ["run", *tiny_run, *QUICK, "evaluate_at=last"]
    if role in ("pseudo_labeler", "verifier"):
        command += ["pseudo_labeling=plasm_verifier"]
        for other in ("pseudo_labeler", "verifier"):
            command += [
                f"model@{other}=hf",
                f"{other}.path={tiny_model}",
                f"{other}.max_length=32",
                f"{other}.name=tiny",
            ]
    at = 0 if role == "acquisition" else 1  # where it is fitted first
    broken = [*command, f"{role}.training.learning_rate=1"]
    assert refusal(al(*broken)) == line(role, at)
    assert numbers(tmp_path / "outputs" / "runs") == set(range(at))
    if role == "acquisition":
        assert numbers(tmp_path / "outputs") == set()
    if role == "successor":
        assert refusal(al(*broken)) == line(role, at), "nothing of it counts"
        done = al(*command, f"{role}.training.learning_rate=1e-3")
        assert done.code == 0, done.err


def test_a_score_of_the_dev_split_is_an_output(al, tiny_run):
    """Early stopping would go back to the best epoch, of a fit that did not do what was asked."""
    done = al("run", *tiny_run, *QUICK, "acquisition.training.dev_share=0.3", "acquisition.training.learning_rate=1")
    assert refusal(done) == line("acquisition", 0)


def test_a_run_that_diverged_late_goes_on_where_it_was(al, tiny_run, tmp_path, monkeypatch):
    from al_bench.acquisition import loop

    evaluate, command = loop.evaluate_on_test, ["run", *tiny_run, *QUICK, "evaluate_at=none"]

    def broken(model, corpus, chosen):
        if model.costs.examples > 12:  # after the first cycle
            next(model.learner.network.parameters()).data.fill_(torch.nan)
        return evaluate(model, corpus, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate_on_test", broken)
        assert refusal(al(*command)) == line("acquisition", 1)
    assert numbers(tmp_path / "outputs") == {0}
    before = next((tmp_path / "outputs" / "trajectories").rglob("ledger.jsonl")).read_text()
    assert al(*command).code == 0
    assert next((tmp_path / "outputs" / "trajectories").rglob("ledger.jsonl")).read_text().startswith(before)
