"""PLASM through the command line: what it shares, what it reports, and the same bytes after an interruption."""

import json
from pathlib import Path

import pytest

from al_bench.ledger.ledger import Ledger
from al_bench.ledger.mlflow_store import connect

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def labeller(model: Path) -> list[str]:
    words = ["pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", f"pseudo_labeler.path={model}"]
    return [*words, "pseudo_labeler.sha256=null", "pseudo_labeler.max_length=32"]


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_plasm_after_asm(al, tiny_run, tiny_tagging_run, tiny_model, tmp_path, task):
    """The acquisition trajectory is the mismatch run's; the report stands in ledger, costs and MLflow."""
    words = [*(tiny_run if task == "classification" else tiny_tagging_run), "evaluate_at=[1,3]", "tracking=sqlite"]
    assert al("run", *words).code == 0
    done = al("run", *words, *labeller(tiny_model))
    assert done.code == 0, done.err
    (trajectory,) = tmp_path.glob("outputs/trajectories/*/costs.jsonl")
    assert len({line["computed_by"] for line in Ledger(trajectory).read()}) == 1
    (folder,) = tmp_path.glob("outputs/runs/test/*plasm*")
    lines, costs = Ledger(folder / "ledger.jsonl").read(), Ledger(folder / "costs.jsonl").read()
    assert [line["pseudo"] is not None for line in lines] == [False, True, False, True]
    metric = "accuracy" if task == "classification" else "f1"
    for line, spent in zip(lines, costs, strict=True):
        if line["pseudo"] is None:
            continue
        report = line["pseudo"]
        assert report["examples"] == 120 - line["labelled"]
        assert 0 <= report["quality"] <= 1
        assert report["dropped"]["tracin"] == pytest.approx(1 - report["quality"], abs=0.51 / report["examples"])
        assert report["kept"] == report["examples"] - round(report["dropped"]["tracin"] * report["examples"])
        assert {"labeller_train", "pseudo_label", "first_successor_train", "influence"} <= set(spent["seconds"])
    run_id = json.loads((folder / "mlflow.json").read_text())["run_id"]
    client = connect(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
    for key in ("quality", metric, f"kept_{metric}", "dropped/tracin"):
        history = client.get_metric_history(run_id, f"pseudo/{key}")
        assert [point.step for point in history] == [1, 3], key
    assert client.get_metric_history(run_id, "seconds/influence")


def test_roles_may_differ_in_family(al, tiny_run, tiny_model, tmp_path):
    """A transformer selects, a linear head labels, a transformer learns: each with its own view of the words."""
    words = [*tiny_run, *labeller(tiny_model), "pseudo_labeler.learner=linear", "evaluate_at=last"]
    words += ["pseudo_labeling=plasm_verifier"]
    done = al("run", *words)
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    assert Ledger(path).read()[-1]["pseudo"]["dropped"]["verifier"] >= 0


def test_when_everything_is_labelled_the_successor_learns_from_gold(al, tiny_run, tiny_model, tmp_path):
    words = [*tiny_run, *labeller(tiny_model), "schedule.initial=100", "schedule.step=30", "evaluate_at=last"]
    done = al("run", *words)
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    last = Ledger(path).read()[-1]
    assert (last["labelled"], last["pseudo"]) == (120, None)
    assert last["successor"] is not None
