"""The README's commands and option files compose and pass the rules; links of all pages lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from al_bench.errors import UserError
from al_bench.front.cli import hydra_options
from al_bench.front.jobs import jobs_of, register

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
LINES = [line.partition(" #")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
COMMANDS = [line for line in LINES if line.startswith(("al-bench run", "al-bench plan"))]
OPTIONS = [text for kind, text in BLOCKS if kind == "yaml"]
MODULES = {text.partition("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python"}


def test_there_are_some():
    assert len(COMMANDS) > 10
    assert len(OPTIONS) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, tmp_path, monkeypatch):
    """Nothing is wrong with it but the files and folders that a reader has and we have not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = [word for word in shlex.split(command)[2:] if not word.startswith("hydra")]
    if "paper/*" in command:  # every one of its files is planned elsewhere, and seeds are alike
        words = [*(word.replace("paper/*", "paper/imdb/*") for word in words), "seed=1"]
    register(words)
    GlobalHydra.instance().clear()
    words = [word for word in words if word not in ("--cfg", "job", "--help", "--info")]
    for _, config in jobs_of(hydra_options(words)):
        problems = str(config).splitlines() if isinstance(config, UserError) else []
        assert all("no such file" in problem or "no such folder" in problem for problem in problems), problems


@pytest.mark.parametrize("name", MODULES)
def test_module(name, al, tmp_path):
    """A component in it keeps what its kind promises."""
    (tmp_path / name).write_text(MODULES[name], encoding="utf-8")
    function = re.search(r"^def (\w+)", MODULES[name], flags=re.MULTILINE)
    assert function is not None
    done = al("check", f"{Path(name).stem}:{function[1]}")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("text", OPTIONS)
def test_option(text, al, tmp_path):
    """Saved where its first line or the text around says, it is an option that composes."""
    group = "dataset" if "\ntask:" in text else "model"
    (tmp_path / "my_configs" / group).mkdir(parents=True)
    (tmp_path / "my_configs" / group / "mine.yaml").write_text(text, encoding="utf-8")
    chosen = "dataset=mine" if group == "dataset" else "model@successor=mine"
    done = al("run", "--config-dir", "my_configs", chosen, "--cfg", "job")
    assert done.code == 0, done.err
    name = re.search(r"^name: (\w+)", text, flags=re.MULTILINE)
    assert name is not None
    assert f"name: {name[1]}" in done.out
    summary = next(line for line in al("ls", "--config-dir", "my_configs").out.splitlines() if " mine " in line)
    assert ".yaml" not in summary, "what `al-bench ls` says of it is the first line"


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_glossary_is_in_alphabetical_order():
    rows = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    terms = [row.split(" | ")[0].removeprefix("| ").lower() for row in rows if row.startswith("| ")][1:]
    assert len(terms) > 50
    assert terms == sorted(terms)
