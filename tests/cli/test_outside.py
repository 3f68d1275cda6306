"""Components from outside on the real command line: checked, listed, run, resumed, planned, compared."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from itertools import count
from pathlib import Path

import pytest
from made import decided
from outside import POOL, STRATEGY, write_distribution

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.ledger.ledger import read_json
from al_bench.plugins import announced

NUMBERS = count()


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes a module under a name that no other test has, and returns the name."""
    path = [*sys.path]

    def write(source: str, folder: Path = tmp_path, name: str = "") -> str:
        name = name or f"outside_{next(NUMBERS)}"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
        invalidate_caches()
        return name

    yield write
    sys.path[:] = path
    announced.cache_clear()


def test_a_module_beside_the_configs_is_checked_run_planned_and_compared(al, module, quick_run):
    name = module(STRATEGY)
    checked = al("check", f"{name}:own", "power=2")
    assert (checked.code, "BROKEN" in checked.out) == (0, False), checked.out

    words = [*quick_run, f"strategy={name}:own", "strategy.params.power=2"]
    planned = al("plan", *words)
    assert planned.code == 0, planned.err
    done = al("run", *words)
    assert done.code == 0, done.err
    assert "already finished" in al("run", *words).out
    (run,) = Path("outputs/runs/test").iterdir()
    strategy = read_json(run / "identity.json")["identity"]["strategy"]
    assert strategy["params"] == {"power": 2.0}
    assert len(strategy["code"]) == 16
    al("run", *words, "strategy=least_confidence")
    tables = al("tables")
    assert f"{name}:own" in tables.out, tables.out + tables.err
    assert al("report").code == 0
    assert f"{name}:own" in Path("outputs/report.html").read_text()


def test_changed_code_is_another_trajectory_and_said(al, module, quick_run):
    name = module(STRATEGY)
    words = [*quick_run, "evaluate_at=none", f"strategy={name}:own"]
    assert "changed since" not in al("run", *words).out
    (before,) = Path("outputs/trajectories").iterdir()
    module(STRATEGY.replace("** power", "** power / 2"), name=name)
    again = al("run", *words)
    assert f"note: {name}:own changed since trajectory {before.name}; a new trajectory begins" in again.out
    assert len([*Path("outputs/trajectories").iterdir()]) == 2
    assert "already finished" in al("run", *words).out


def test_an_installed_distribution_is_listed_completed_and_chosen(al, module, quick_run, tmp_path, monkeypatch):
    site = tmp_path / "site"
    name = module(STRATEGY + POOL.partition("\n")[2], site)
    write_distribution(site, name, strategy=f"doubtful = {name}:own", subsampling=f"short_{name} = {name}:short")
    monkeypatch.syspath_prepend(site)
    announced.cache_clear()
    assert "doubtful" in al("ls", "strategies").out
    assert "examples that are not too long" in al("ls", "subsamplings").out
    for component in ("doubtful", f"short_{name}"):
        assert al("check", component).code == 0
    monkeypatch.setenv("COMP_LINE", "al-bench run strategy=doub")
    assert "strategy=doubtful" in al("-sc", "query=bash").out
    monkeypatch.setenv("COMP_LINE", "al-bench check doub")
    assert "doubtful" in al("-sc", "query=bash").out.split()
    monkeypatch.delenv("COMP_LINE")

    words = [
        *quick_run,
        "evaluate_at=none",
        "strategy=doubtful",
        "strategy.params.power=3",
        f"subsampling=short_{name}",
    ]
    done = al("run", *words, "subsampling.params.words=9")
    assert done.code == 0, done.err
    (run,) = Path("outputs/runs/test").iterdir()
    identity = read_json(run / "identity.json")["identity"]
    assert identity["strategy"]["code"] == identity["subsampling"]["code"] == f"{name} 1.0"
    assert identity["subsampling"]["params"] == {"words": 9}
    (site / f"{name}-1.0.dist-info" / "direct_url.json").write_text('{"url": "file:///home/me/own", "dir_info": {}}')
    announced.cache_clear()
    assert STRATEGIES.code("doubtful") not in (None, f"{name} 1.0"), "the folder may change, and the version stay"
    assert al("run", *quick_run, "strategy=doubtfull").err.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "words", "line"),
    [
        ("import nothing_like_it", [], "cannot be imported (ModuleNotFoundError: No module named 'nothing_like_it')"),
        ("own = 3", [], "is no strategy (neither a component nor a function); see docs/extending.md"),
        (
            "def own(predictions, rng, aggregate): pass",  # without its decorator
            [],
            "is no strategy (it takes (predictions, rng, aggregate), not (view, candidates, budget, rng)); see docs/ext",
        ),
        ("other = 3", [], "cannot be imported (AttributeError: module"),
        (STRATEGY, ["+strategy.params.powr=2"], "no such parameter; did you mean power?"),
        (STRATEGY, ["strategy.params.power=much"], "must be a number; the default is 1.0"),
        (STRATEGY.replace(": float", ": np.ndarray"), [], "no config can hold its settings"),
        (STRATEGY.replace(" ** power", " * np.nan"), [], "scores in cycle 0 are not finite"),
        (STRATEGY.replace(".max(axis=1)", ".max()"), [], "returns scores of shape () for"),
        (STRATEGY.replace("by_score(", "selecting(").replace("by_score", "selecting").replace(
            "(predictions, rng, aggregate", "(view, candidates, budget, rng").replace(
            "(1 - predictions.probs.max(axis=1).astype(np.float64)) ** power", "candidates"),
         [], "returns ndarray; return a Selection"),
    ],
)  # fmt: skip
def test_what_is_broken_is_one_line(al, module, quick_run, source, words, line):
    name = module(source)
    done = al("run", *quick_run, f"strategy={name}:own", *words)
    assert done.code == 1
    assert line in done.err
    assert done.err.count("\n") == 1


def test_an_interrupt_changes_nothing(al, module, quick_run, interrupt_successor):
    name = module(STRATEGY + POOL.partition("\n")[2])
    words = [*quick_run, f"strategy={name}:own", f"subsampling={name}:short"]
    assert al("run", *words, "output_dir=whole").code == 0
    interrupt_successor(2)
    assert al("run", *words).code == 130
    assert al("run", *words).code == 0
    assert decided(Path("outputs")) == decided(Path("whole"))


@pytest.mark.slow
def test_a_kill_changes_nothing(module, tiny_run, tmp_path, checkout):
    """Of a strategy and a candidate pool from outside, in processes of their own, with configs elsewhere."""
    configs = tmp_path / "configs"
    name = module(STRATEGY + POOL.partition("\n")[2], configs)
    words = [*tiny_run, f"strategy={name}:own", f"subsampling={name}:short", "progress=plain", "training.epochs=1"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}

    def start(outputs: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "al_bench", "run", "--config-dir", str(configs), *words]
        return subprocess.Popen(
            [*command, f"output_dir={outputs}"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    whole = start("whole")
    whole.communicate()
    assert whole.returncode == 0
    killed = start("killed")
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith("cycle 1"):
            killed.kill()
    killed.communicate()
    assert killed.returncode == -9
    again = start("killed")
    again.communicate()
    assert again.returncode == 0
    assert decided(tmp_path / "killed") == decided(tmp_path / "whole")


@pytest.mark.slow
def test_jobs_of_a_parallel_sweep_find_the_modules(al, module, quick_run, tmp_path):
    configs = tmp_path / "configs"
    name = module(STRATEGY, configs)
    done = al("run", "-m", "--config-dir", configs, *quick_run, f"strategy={name}:own", "seed=1,2",
              "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "evaluate_at=none")  # fmt: skip
    assert done.code == 0, done.err
    assert len([*Path("outputs/runs/test").iterdir()]) == 2
