"""Names, labels, texts, commands and errors of somebody else's runs are shown as they are, and do nothing."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made import reviews
from markdown_it import MarkdownIt
from pages import Page
from sweeps import varied
from synthetic import configs, settings_of, write_run

from al_bench.analysis.words import code
from al_bench.config.digests import file_name
from al_bench.ledger.ledger import read_json, write_json
from al_bench.report.texts import corpus_of
from al_bench.tables.render import prose

HTML = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>' onfocus='alert(1)"
MARKDOWN = "[x](javascript:alert(1)) a|b *c* `d` <b> \\e"
LATEX = "größe 汉 ../../up/$\\frac{$ _50%_ & #1 {x}^~ \\input{x}"
LINES = "/abs/olute\n\\input{secret}\r\n\n| x | y |\n<script>alert(1)</script>\x1b[31m"
NAMES = (HTML, MARKDOWN, LATEX, LINES, "../_" + "x" * 300)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """outputs/ with a data set and a model by each name, of which one run failed with it and was typed with it."""
    folder = tmp_path_factory.mktemp("planted")
    for name in NAMES:
        for words, config in configs(varied("model@acquisition=minilm_l3,minilm_l6", "seed=1", "schedule.cycles=1")):
            model = replace(config.acquisition, name=f"{name}, {config.acquisition.name}")
            named = replace(config, dataset=replace(config.dataset, name=name), acquisition=model)
            run = write_run(folder / "outputs", [*words, f"name={name}"], named, lambda row: 0.0, 0.004)
        write_json(run / "status.json", {**read_json(run / "status.json"), "state": "failed", "error": name})
        typed = {"command": ["al-bench", "run", f"dataset.name={name}"], "host": name}
        write_json(run / "provenance.json", {**read_json(run / "provenance.json"), **typed})
    return folder


ACTIVE = ("html_inline", "html_block", "link_open", "image")


def test_the_page_and_its_figures(al, planted, tmp_path):
    before = {path for path in planted.rglob("*") if "runs" not in path.parts}
    done = al("report", planted / "outputs", "--output", "page.html", "--figures", "here/figures", "--tracking", "none")
    assert done.code == 0, done.err
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.scripts == 1
    assert not page.loads
    assert all(link.startswith("#") for link in page.links)
    shown = page.all()
    for name in (HTML, LATEX):
        assert shown.count(name) > 2, name
    assert {path for path in planted.rglob("*") if "runs" not in path.parts} == before
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "here"}
    figures = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert {path.parent for path in figures} == {tmp_path / "here" / "figures"}
    assert len({path.name.rpartition("-")[0] for path in figures}) == len(NAMES)
    assert not [path.name for path in figures if path.name.startswith(".") or "\n" in path.name]


def test_the_markdown(al, planted):
    done = al("tables", planted / "outputs", "iteration")
    assert done.code == 0, done.err
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(done.out)
    inside = [child for token in tokens for child in token.children or []]
    assert {"td_open", "text"} <= {token.type for token in (*tokens, *inside)}
    assert not [token.content for token in (*tokens, *inside) if token.type in ACTIVE]
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    assert len(rows) == 1 + 2 * len(NAMES)
    assert len(cells) % len(rows) == 0
    assert len(done.err.splitlines()) == done.err.count("al-bench: note:"), "a note is one line, whatever failed"


def test_the_latex(al, planted):
    done = al("tables", planted / "outputs", "iteration", "--format", "latex")
    assert done.code == 0, done.err
    printed = "\n".join(re.sub(r"(?<!\\)%.*", "", line) for line in done.out.splitlines())
    assert "\\input" not in printed
    assert "\\frac" not in printed
    assert "textbackslash{}input" in printed
    bare = re.sub(r"\\[{}]", "", printed)
    assert bare.count("{") == bare.count("}")
    table = printed.partition("\\midrule")[2].partition("\\bottomrule")[0]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in table.split("\\\\[4pt]")[:-1]}) == 1


def test_the_csv(al, planted):
    done = al("tables", planted / "outputs", "iteration", "--format", "csv")
    assert done.code == 0, done.err
    *lines, last = done.out.rstrip("\n").splitlines(keepends=True)
    assert last.startswith("# ")
    assert len({len(row) for row in csv.reader(lines)}) == 1


def test_a_command_line_of_several_lines_stays_a_comment(al, planted):
    """The folder's name stands in the line that says how the table was made."""
    odd = planted / "two\nlines\\input{x}`<b>"
    if not odd.exists():
        odd.symlink_to(planted / "outputs")
    done = al("tables", odd, "iteration", "--format", "latex")
    assert done.code == 0, done.err
    assert all(line.startswith("%") for line in done.out.splitlines() if "lines\\input{x}" in line)
    done = al("tables", odd, "iteration")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(done.out)
    assert not [child.content for token in tokens for child in token.children or [] if child.type in ACTIVE]


def test_labels_and_texts_of_a_real_run(al, tiny_run, review_folder, tmp_path):
    evil = {"pos": HTML, "neg": "javascript:alert(1)"}
    for split, n in (("train", 120), ("test", 40)):
        with (review_folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = ((f"{text} {MARKDOWN} {LINES}", evil[label]) for text, label in reviews(n))
            csv.writer(file).writerows([("text", "label"), *rows])
    words = [word for word in tiny_run if not word.startswith("dataset.name")]
    named = "dataset.name='\"><script>alert(2)</script>/../../x'"
    done = al("run", *words, named, "schedule.cycles=1", "training.epochs=1")
    assert done.code == 0, done.err
    done = al("report", "--figures", "figures")
    assert done.code == 0, done.err
    page = Page((tmp_path / "outputs" / "report.html").read_text(encoding="utf-8"))
    assert page.scripts == 1
    assert "<script>alert(2)</script>" in page.text[""], "the title"
    assert HTML in page.text["queried"]
    assert "javascript:alert(1)" in page.text["queried"]
    assert [path.parent.name for path in tmp_path.rglob("*curve_labels.svg")] == ["figures"]


def test_a_config_asks_for_no_secret(tmp_path, monkeypatch):
    """The page says where the texts are not, and so would print what the environment holds."""
    monkeypatch.setenv("PLANTED", "hunter2")
    ((words, config),) = configs(varied("seed=1", "schedule.cycles=1"))
    dataset = replace(config.dataset, path="${oc.env:PLANTED}/x.csv")
    write_run(tmp_path, words, replace(config, dataset=dataset), lambda row: 0.0, 0.004)
    (setting,) = settings_of(tmp_path)
    corpus, reason = corpus_of(setting)
    assert corpus is None
    assert "${oc.env:PLANTED}/x.csv" in reason
    assert "hunter2" not in reason


@pytest.mark.parametrize("name", [*NAMES, "..", ".", "-rf", "a/b", "a\0b", "😀" * 100])
def test_a_file_name_is_one(name, tmp_path):
    made = file_name(name)
    (tmp_path / f"x{made}-curve_labels_10.svg").touch()
    (tmp_path / f"{made}-curve_labels_10.svg").touch()
    assert len(list(tmp_path.iterdir())) == 2
    assert not made.startswith(".")


@pytest.mark.parametrize("text", ["a", "a`b", "``", "a ``` <b> `", HTML, MARKDOWN])
def test_code_holds_what_is_in_it(text):
    sentence = prose(f"x <i> {code('run ' + text + ' now')} <b>")
    (paragraph,) = [token for token in MarkdownIt("commonmark", {"html": True}).parse(sentence) if token.children]
    kinds = [child.type for child in paragraph.children]
    assert kinds == ["text", "code_inline", "text"]
    assert paragraph.children[1].content == f"run {text} now"
