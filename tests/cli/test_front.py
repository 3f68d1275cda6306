"""The command line itself: help without torch, Hydra's own options, completion, errors that are ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

WITHOUT_TORCH = """
import sys
from al_bench.front.cli import main
sys.argv = ["al-bench", *sys.argv[1:]]
try:
    main()
finally:
    heavy = {"torch", "transformers", "datasets", "mlflow", "pandas"} & set(sys.modules)
    print("heavy:", sorted(heavy))
"""


def in_process_of_its_own(checkout: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "al-bench run +experiment=demo"),
        (["--version"], "al-bench 0."),
        (["ls"], "conll_distil"),
        (["ls", "model"], "minilm_l3"),
        (["ls", "pseudo_labeling"], "plasm_knn"),
        (["sync", "--help"], "MLflow"),
        (["tables", "--help"], "al-bench tables ups --format latex"),
        (["ls", "tables"], "what a successor loses when another model selects"),
        (["run", "--help"], "== Groups: GROUP=OPTION"),
        (["run", "--cfg", "job"], "task: classification"),
        (["run", "--info", "defaults"], "rotten_tomatoes"),
        (["run", "schedule.cycles=-1"], ""),
    ],
)
def test_answers_without_torch(checkout, tmp_path, arguments, expected):
    done = in_process_of_its_own(checkout, tmp_path, *arguments)
    assert expected in done.stdout
    assert "heavy: []" in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_own_configs(al, tiny_run, tmp_path):
    mine = tmp_path / "mine"
    for group, name, text in (
        ("strategy", "anxious", "# my strategy\nname: entropy\n"),
        ("experiment", "my_exp", "# @package _global_\n# mine\n# al-bench run\ndefaults:\n"
         "  - override /strategy: anxious\nname: mine\nschedule: {cycles: 1}\n"),
    ):  # fmt: skip
        (mine / group).mkdir(parents=True)
        (mine / group / f"{name}.yaml").write_text(text)
    words = [word for word in tiny_run if not word.startswith(("name=", "schedule.cycles"))]
    done = al("run", "--config-dir", "mine", "+experiment=my_exp", *words, "evaluate_at=last")
    assert done.code == 0, done.err
    assert "cycle 1/1" in done.out
    assert "-entropy-" in next((tmp_path / "outputs" / "runs" / "mine").iterdir()).name
    assert "anxious" in al("ls", "strategies", "--config-dir", "mine").out


def test_the_saved_config_is_what_ran(al, tiny_run, tmp_path):
    assert al("run", *tiny_run, "evaluate_at=last", "seed=7").code == 0
    (saved,) = tmp_path.glob("outputs/runs/test/*/config.yaml")
    config = OmegaConf.load(saved)
    assert (config.seed, config.seeds.strategy) == (7, 7)
    assert None not in config.successor.training.values()


def test_a_second_time_does_nothing_and_says_so(al, tiny_run, tmp_path):
    command = ["run", *tiny_run, "evaluate_at=last"]
    assert al(*command).code == 0
    (ledger,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    before = ledger.stat().st_mtime_ns
    again = al(*command)
    assert again.code == 0
    assert "already finished, nothing to do" in again.out
    assert ledger.stat().st_mtime_ns == before


def test_a_bug_is_shown_whole_and_left_in_the_run_directory(al, tiny_run, tmp_path, monkeypatch):
    import al_bench.run as job

    def broken(*arguments):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(job, "evaluate_successor", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        al("run", *tiny_run)
    (left,) = tmp_path.glob("outputs/runs/test/*/traceback.txt")
    assert "a bug of ours" in left.read_text()
    monkeypatch.undo()


def test_successor_that_is_the_acquisition_model_costs_no_fit(al, tiny_run, tmp_path):
    done = al("run", *tiny_run, "successor.num_hidden_layers=1")
    assert done.code == 0, done.err
    from al_bench.ledger.ledger import Ledger

    (ledger,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    costs = Ledger(ledger.parent / "costs.jsonl").read()
    assert not [phase for line in costs for phase in line["seconds"] if "successor" in phase]
    assert all(line["acquisition"] == line["successor"] for line in Ledger(ledger).read())


def test_completion_in_bash(checkout, tmp_path):
    program = tmp_path / "al-bench"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={checkout} exec {sys.executable} -m al_bench "$@"\n')
    program.chmod(0o755)
    script = """
eval "$(al-bench run -sc install=bash)"
complete_line() { COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=(); hydra_bash_completion; echo "${COMPREPLY[@]}"; }
complete_line "al-bench run strategy=mn"
complete_line "al-bench run schedule.cy"
complete_line "al-bench plan strategy=mn"
complete_line "al-bench re"
complete_line "al-bench ls mod"
complete_line "al-bench tables --format la"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [
        "strategy=mnlp", "schedule.cycles=", "strategy=mnlp", "report", "models", "latex",
    ], done.stderr  # fmt: skip
