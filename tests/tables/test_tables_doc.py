"""docs/tables.md: its table and its Python run as they stand there, and it leaves out no key."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from synthetic import write_runs

from al_bench.tables.specs import AT, SHOWN, Column, Spec

DOC = Path(__file__).parents[2] / "docs" / "tables.md"
TEXT = DOC.read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(yaml|python)\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """outputs/ with runs of the documented setting, halfway.yaml beside it."""
    monkeypatch.chdir(tmp_path)
    shared = "-m dataset=conll2003 schedule=paper_tagging model@successor=bert_base_cased,electra_base seed=1,2,3,4,5,6"
    write_runs(tmp_path / "outputs", f"{shared} strategy=mnlp model@acquisition=distilbert_cased", lambda row: 0.01)
    write_runs(tmp_path / "outputs", f"{shared} strategy=random")
    (tmp_path / "halfway.yaml").write_text(BLOCKS["yaml"], encoding="utf-8")
    return tmp_path


def test_the_documented_table(al, runs):
    done = al("tables", "halfway.yaml")
    assert done.code == 0, done.err
    title = re.search('title: "(.*)"', BLOCKS["yaml"])
    assert title is not None
    head, *rows = [line for line in done.out.splitlines() if line.startswith("| ")]
    assert done.out.startswith(f"### {title[1]}\n")
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "successor", "MNLP", "random", "gain", "AULC, MNLP", "AULC, random", "the same?"
    ]  # fmt: skip
    assert [row.split()[1] for row in rows[1:]] == ["bert_base_cased", "electra_base"]
    assert "not testable, since 6 pairs cannot reach p ≤ 0.05 in 2 comparisons; 7 could" in done.out


def test_the_documented_python(runs):
    space: dict[str, object] = {}
    exec(BLOCKS["python"], space)
    assert space["curves"].shape == (24, 16)
    assert len(space["table"].rows) == 2


def test_every_key_and_choice_is_documented():
    for name in [f.name for kind in (Spec, Column) for f in fields(kind)]:
        assert f"`{name}`" in TEXT or name == "name", name
    for choice in (*AT, *SHOWN):
        assert f"`{choice}`" in TEXT or choice == "value", choice
