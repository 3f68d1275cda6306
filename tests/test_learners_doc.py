"""docs/learners.md is what its script makes of the registry, the options and the measurements, and these are of all."""

import shlex
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from al_bench.errors import UserError
from al_bench.front.cli import hydra_options
from al_bench.front.jobs import jobs_of, register
from al_bench.learners.families import LEARNERS

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def problems(words: list[str]) -> list[str]:
    register(words)
    GlobalHydra.instance().clear()
    return [str(config) for _, config in jobs_of(hydra_options(words)) if isinstance(config, UserError)]


def test_the_page_is_not_stale():
    from learners_doc import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `python scripts/learners_doc.py`"


def test_every_learner_is_measured():
    from bench_learners import MODELS
    from learners_doc import by_learner

    options = by_learner()
    assert not [name for name in LEARNERS.shipped if not set(options.get(name, [])) & set(MODELS)]


def test_every_run_composes(tmp_path):
    """A model in each of its roles, on each data set that it can be of."""
    from bench_learners import DATA, cases, words

    for dataset in DATA:
        (tmp_path / dataset).mkdir()
    # No weights are there to be compared with a hash.
    free = {case: [f"{case[2]}.sha256=null"] if "e5" in case[1] else [] for case in cases()}
    wrong = {case: problems([*words(*case, str(tmp_path), str(tmp_path)), "seed=1", *free[case]]) for case in free}
    assert not {case: lines for case, lines in wrong.items() if lines}


def test_the_pages_commands_compose():
    from learners_doc import HEAD

    commands = [line.partition(" #")[0] for line in HEAD.splitlines() if line.startswith("al-bench run")]
    assert len(commands) == 3
    assert [problems(shlex.split(command)[2:]) for command in commands] == [[]] * 3
