"""docs/extending.md: its files and commands run as they stand there. And the template installs with pip."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import invalidate_caches
from pathlib import Path

import pytest
from made import reviews
from outside import write_distribution

from al_bench.front.check import kind_of
from al_bench.plugins import KINDS, announced

ROOT = Path(__file__).parent.parent
DOC = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file -->\n```python\n# (\S+\.py)\n(.*?)```", DOC, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL) for line in block.splitlines()]
TEMPLATE = ROOT / "examples" / "my_plugin"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With all files of the page; modules and path are forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        sys.modules.pop(Path(name).stem, None)
    rows = "".join(f"{label}\t{text}\n" for text, label in reviews(160, 1))
    (tmp_path / "train.log").write_text("# made by hand\n" + rows)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    invalidate_caches()
    yield tmp_path
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def test_the_page_has_a_file_and_a_check_of_every_kind(folder, monkeypatch):
    checked = {command.split()[2] for command in COMMANDS if command.startswith("al-bench check")}
    assert {name.partition(":")[0] for name in checked} == {Path(name).stem for name in FILES if name[:5] != "test_"}
    monkeypatch.syspath_prepend(folder)
    assert {kind_of(name) for name in checked} == set(KINDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("al-bench check")])
def test_checks_of_the_page(al, folder, command):
    done = al(*shlex.split(command)[1:])
    assert done.code == 0, done.out + done.err
    assert "BROKEN" not in done.out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("al-bench run")])
def test_runs_of_the_page(al, folder, tiny_model, tiny_run, command):
    words = [word for word in shlex.split(command)[2:] if word != "+experiment=demo"]
    own = [word.partition("@")[2].partition("=")[0] for word in words if word.startswith("model@")]
    kept = [word for word in tiny_run if word.partition(".")[0] not in own]
    if "pseudo_labeler" in own:
        kept += [f"pseudo_labeler.path={tiny_model}", "pseudo_labeler.sha256=null", "pseudo_labeler.max_length=32"]
    done = al("run", *kept, "schedule.cycles=1", "training.epochs=1", *words)
    assert done.code == 0, done.err


def test_the_test_of_the_page(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)  # as pytest does with the folder of a test
    space: dict = {}
    exec(FILES["test_spread.py"], space)
    space["test_spread"]()


def test_the_kinds_of_the_page():
    assert set(re.search(r"KIND is (.*)\.", DOC)[1].replace(" or ", ", ").replace("`", "").split(", ")) == set(KINDS)


# ------------------------------------------------------------------------------------------------ the template


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The template's modules and entry points, as pip installs them."""
    site = tmp_path / "site"
    shutil.copytree(TEMPLATE / "src", site)
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"].items()
    points = {group.removeprefix("al_bench."): "\n".join(f"{n} = {t}" for n, t in g.items()) for group, g in groups}
    write_distribution(site, "my_plugin", project["version"], **points)
    monkeypatch.syspath_prepend(site)
    announced.cache_clear()
    yield points
    announced.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_plugin"]:
        del sys.modules[name]


def test_the_template_is_listed_and_checked(al, installed):
    for kind, lines in installed.items():
        for line in lines.splitlines():
            done = al("check", line.partition(" =")[0], "--kind", kind)
            assert done.code == 0, done.out + done.err
    assert "doubtful" in al("ls", "strategies").out


def test_the_test_of_the_template(installed):
    space: dict = {}
    exec((TEMPLATE / "tests" / "test_my_plugin.py").read_text(), space)
    (mark,) = space["test_conformance"].pytestmark
    for arguments in mark.args[1]:
        space["test_conformance"](*arguments)


@pytest.mark.slow
def test_pip_installs_the_template(tmp_path):
    pytest.importorskip("setuptools")
    shutil.copytree(TEMPLATE, tmp_path / "my_plugin")
    options = ["--no-index", "--no-build-isolation", "--no-deps", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", tmp_path / "site", tmp_path / "my_plugin"]
    subprocess.run(command, check=True)
    (info,) = (tmp_path / "site").glob("my_plugin-*.dist-info")
    assert "doubtful = my_plugin.strategies:doubtful" in (info / "entry_points.txt").read_text()
    assert (tmp_path / "site" / "my_plugin" / "pools.py").exists()
