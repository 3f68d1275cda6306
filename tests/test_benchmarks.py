"""The benchmarks run, on a CPU and in seconds; and what they print is of the right kind."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import reviews

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """`run("bench_scoring")`: what a benchmark writes, in this process."""
    import transformers

    verbosity = transformers.logging.get_verbosity()
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.chdir(tmp_path)

    def call(name: str, *options: str) -> dict[str, Any]:
        words = ["--device", "cpu", "--smoke", "--json", "out.json", *options]
        monkeypatch.setattr(sys, "argv", [name, *words])
        import_module(name).main()
        return json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))

    yield call
    transformers.logging.set_verbosity(verbosity)


def table(content: dict[str, Any], beginning: str) -> dict[str, dict[str, Any]]:
    """Rows by their first column."""
    (rows,) = [rows for title, rows in content.items() if title.startswith(beginning)]
    return {next(iter(row.values())): row for row in rows}


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_scoring(run: Any, task: str) -> None:
    rows = table(run("bench_scoring", "--task", task), "scoring")
    fast = rows["al-bench, float32"]
    assert 1.0 < fast["padding"] < rows["padded to the maximum, float32"]["padding"]
    assert rows["Trainer, float32"]["padding"] == rows["Trainer, bfloat16"]["padding"] > fast["padding"]
    assert not any(" no " in name for name in rows), "a CPU has no optimization to leave out"
    assert {row["same top 100"] for row in rows.values()} == {60}, "all of 60 texts"
    assert {row["same label"] for name, row in rows.items() if "float32" in name} == {1.0}
    assert all(row["same label"] > 0.8 for row in rows.values())
    assert all(0 < row["share of peak"] < 1.5 for row in rows.values())


def assert_training(content: dict[str, Any]) -> None:
    for batch in (16, 4):
        rows = table(content, f"training tiny, random weights, batch {batch}")
        assert all(0 < row["ms a step"] <= row["95 % under"] * 1.001 for row in rows.values())
        assert {"Trainer, bfloat16, grouped", "al-bench, bfloat16"} < set(rows)
        assert all(row["x floor"] > 1 for row in rows.values())


def assert_iteration(content: dict[str, Any]) -> None:
    rows = table(content, "an AL iteration")
    for row in rows.values():
        assert row["iteration s"] == pytest.approx(row["train s"] + row["score s"] + row["query s"], rel=0.01)
    assert rows["al-bench with UPS"]["score s"] < rows["al-bench"]["score s"]
    assert 1 < rows["al-bench"]["UPS at most"] < 10
    assert 0 < rows["al-bench"]["scoring %"] < 100


def assert_growth(content: dict[str, Any]) -> None:
    assert set(table(content, "growth")) == {"100", "1,000"}
    assert 0 < content["exponent"] < 1.5
    assert 8 < content["host bytes a further text"] < 64, "the scores, and a few numbers beside them"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "assert_sound"),
    [("bench_training", assert_training), ("bench_iteration", assert_iteration), ("bench_scaling", assert_growth)],
)
def test_each_part_of_the_script_for_a_gpu_alone(run: Any, name: str, assert_sound: Callable[..., None]) -> None:
    """The default tests have them as parts of that script."""
    assert_sound(run(name))


def test_learning_curves(run: Any, tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("test", 1)):
        with (tmp_path / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *reviews(80, seed)])
    content = run("bench_curves", "--data", str(tmp_path))
    assert set(table(content, "2 seeds")) == {"area under the curve", "last cycle"}


# Without time for any part it begins none and needs little; with time for all it runs, on a CPU, too.
TWICE = """
import json, sys
sys.path.insert(0, {scripts!r})
import bench_gpu
options = ["bench_gpu", "--smoke", "--device", "cpu", "--json"]
sys.argv = [*options, "early.json", "--budget", "-1"]
bench_gpu.main()
heavy = ("hydra", "omegaconf", "pandas", "datasets", "mlflow", "seqeval", "sklearn", "al_bench.analysis")
with open("heavy.json", "w") as file:
    json.dump([module for module in heavy if module in sys.modules], file)
sys.argv = [*options, "out.json"]
bench_gpu.main()
"""


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_on_a_cpu(tmp_path: Path) -> None:
    """Graphs and the fused kernel need the GPU; all around them does not."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TWICE.format(scripts=str(SCRIPTS))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    early, heavy, content = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("early", "heavy", "out"))
    assert set(early) == {"facts", "failed"}
    assert heavy == []
    assert content["failed"] == []
    checked = table(content, "correctness")
    assert {row["unwritten"] for row in checked.values()} == {0}
    assert {row["packed"] for row in checked.values()} == {True}
    for beginning in ("ceilings: products", "ceilings: memory"):
        assert table(content, beginning)
    assert set(table(content, "seeds side by side")) == {1, 2}
    assert_training(content)
    assert_iteration(content)
    assert_growth(content)


@pytest.mark.slow
def test_the_engine_is_faster_than_what_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 256 on a CPU, float32: against padding to the maximum 7.9x and a Trainer 2.5x; half of that holds."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import benching
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cpu = torch.device("cpu")
        work = benching.synthetic("small", 120)
        ids = np.arange(120)
        ours = benching.Ours(work, cpu, "float32")
        sides = {"ours": ours, "naive": benching.Naive(work, cpu), "Trainer": benching.Rival(work, cpu, bf16=False)}
        scores: dict[str, np.ndarray] = {}

        def score(name: str) -> None:
            scores[name] = sides[name].score(ids)

        seconds = benching.in_turns(cpu, {name: partial(score, name) for name in sides}, 3)
    finally:
        torch.set_num_threads(threads)
    for name in ("naive", "Trainer"):
        np.testing.assert_allclose(scores[name], scores["ours"], atol=1e-5)
    least = {name: min(times) for name, times in seconds.items()}
    assert least["naive"] / least["ours"] > 7.9 / 2
    assert least["Trainer"] / least["ours"] > 2.5 / 2
    assert 1.0 < ours.padding < 1.3
