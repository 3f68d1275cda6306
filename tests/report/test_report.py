"""The page: whole and well-formed, loads nothing, escapes what it shows, and reads well for whatever runs there are."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made import write_ledger
from pages import Page
from sweeps import SWEEP, varied
from synthetic import settings_of, write_runs

from al_bench.analysis.store import load
from al_bench.ledger import mlflow_store
from al_bench.ledger.ledger import read_json, write_json
from al_bench.ledger.mlflow_store import connect
from al_bench.ledger.rundir import RunDirectory, read_config, write_config
from al_bench.ledger.tracking import Tracker
from al_bench.report import build, costs, tables
from al_bench.report.build import report
from al_bench.report.texts import spans

SECTIONS = ["run", "answers", "scores", "figures", "stopping", "queried", "costs", "origin"]


def page_of(folder: Path, runs: Path | None = None) -> Page:
    """The report of an output directory, written there and checked; runs: of another one."""
    report([str(runs or folder)], str(folder / "page.html"), str(folder), None, "none")
    html = (folder / "page.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.sections[: len(SECTIONS)] == SECTIONS
    assert not page.loads
    assert all(link.startswith("#") for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.scripts == 1
    assert not re.search(r"@import|url\((?!#)|https?://|xlink", html)
    assert "nan" not in re.findall(r"[a-z]+", page.all().lower())
    return page


def test_all_kinds_of_methods(rivals, tmp_path):
    page = page_of(tmp_path, rivals)
    assert "18 runs of 6 methods on 1 data set, 3 seeds each, all finished." in page.all()
    assert "Active learning on trec6" in page.all()
    for question in ("Is the selection worth anything?", "What do pseudo-labels add?"):
        assert question in page.text["answers"]
    assert "minilm_l3 + plasm" in page.text["scores"]
    assert "Who should select for whom?" in page.text["figures"]
    # Trajectories are gone: nothing to stop, nothing to show.
    assert "no run here has them" in page.text["stopping"]
    assert "No query is recorded" in page.text["queried"]
    assert "had every run been on its own" in page.text["costs"]


def test_sub_words_are_counted_where_their_seconds_are(tmp_path):
    """Two runs share their first fit; other fits of as many sub-words, in one trajectory or not, are others."""
    folders = write_runs(tmp_path, varied("seed=1,2", "schedule.cycles=1"))
    spent = [(20.5, 7000), (30.25, 9000), (20.5, 7000), (31.75, 9000)]
    for number, folder in enumerate(folders):
        lines = []
        for cycle in (0, 1):
            seconds, count = spent[2 * number + cycle]
            parts = {"successor_train": seconds, "labeller_train": seconds, "first_successor_train": seconds}
            counts = {"successor_tokens": count, "labeller_tokens": 100, "first_successor_tokens": 10}
            lines.append({"cycle": cycle, "seconds": parts, **counts, "finished_at": 0.0})
        write_ledger(folder / "costs.jsonl", lines)
    results = load([tmp_path])
    assert costs.phases(results).times["successor_train"] == 3
    assert costs.tokens(results) == [
        ("to train labellers", 300),
        ("to train what filters look back on", 30),
        ("to train successors", 7000 + 9000 + 9000),
    ]


def test_one_run(tmp_path):
    write_runs(tmp_path, varied("seed=1"))
    page = page_of(tmp_path)
    assert "One run, finished." in page.all()
    assert "What these runs cannot say" in page.text["answers"]
    assert "al-bench run -m" in page.text["answers"]
    assert "±" not in page.text["answers"]


@pytest.mark.parametrize("changes", [("evaluate_at=none",), ("strategy=random",), ("schedule.cycles=0",)])
def test_less_than_usual(tmp_path, changes):
    write_runs(tmp_path, varied(*changes))
    page_of(tmp_path)


def test_classification_and_tagging(tmp_path):
    write_runs(tmp_path, SWEEP)
    write_runs(tmp_path, varied("dataset=conll2003", "strategy=mnlp", "schedule.unit=words", "seed=1"))
    page = page_of(tmp_path)
    assert "Active learning on conll2003 and trec6" in page.all()
    assert "F1 of spans on the test split" in page.text["scores"]
    assert "accuracy on the test split" in page.text["scores"].lower()


def test_failed_and_damaged_runs_are_named(tmp_path):
    folders = write_runs(tmp_path, SWEEP)
    write_json(folders[0] / "status.json", {"state": "failed", "started_at": 0, "error": "out of <memory>"})
    (folders[1] / "config.yaml").unlink()
    page = page_of(tmp_path)
    assert "3 runs of 1 method on 1 data set, 2 seeds each. 2 are not finished" in page.all()
    assert page.sections[-1] == "problems"
    assert "failed: out of <memory>" in page.text["problems"]
    assert folders[1].name in page.text["problems"]


@pytest.mark.parametrize("damaged", [1, 6])
def test_nobody_wrote_down_what_it_cost(tmp_path, damaged):
    for folder in write_runs(tmp_path, varied("subsampling=none,ups"))[:damaged]:
        (folder / "costs.jsonl").unlink()
    page = page_of(tmp_path)
    assert page.text["problems"].count("costs.jsonl lacks") == damaged


def test_nothing_but_failures(tmp_path):
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    for name in ("ledger.jsonl", "costs.jsonl"):
        (folder / name).unlink()
    write_json(folder / "status.json", {"state": "failed", "started_at": 0, "error": "out of memory"})
    page = page_of(tmp_path)
    assert "Active learning, not yet" in page.all()
    assert "No run has finished a cycle yet." in page.text["run"]


def test_figures_for_a_paper(tmp_path):
    write_runs(tmp_path, varied("seed=1"))
    report([str(tmp_path)], None, str(tmp_path), str(tmp_path / "figures"), "none")
    assert (tmp_path / "report.html").exists()
    saved = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"trec6-curve_labels.png", "trec6-curve_labels.svg", "trec6-seconds_by_phase.svg"} <= saved


# ------------------------------------------------------------------------------------- real runs, real texts

REPORTED = ["schedule.cycles=2", "training.epochs=1"]


@pytest.fixture
def both_tasks(al, tiny_run, tiny_tagging_run, tmp_path) -> Path:
    """A run of each task, in one output directory."""
    for words in (tiny_run, tiny_tagging_run):
        done = al("run", *words, *REPORTED)
        assert done.code == 0, done.err
    return tmp_path


def test_what_was_queried_is_shown(both_tasks, al):
    done = al("report")
    assert done.code == 0, done.err
    assert done.out.strip() == str(both_tasks / "outputs" / "report.html")
    page = page_of(both_tasks / "outputs")
    assert "120 training examples" in page.text["run"]
    shown = page.text["queried"]
    assert "8 examples on top of 12 labelled" in " ".join(shown.replace("\u00a0", " ").split())
    ledger = next((both_tasks / "outputs/trajectories").glob("*/ledger.jsonl"))
    assert json.loads(ledger.read_text().splitlines()[0])["queried"]
    html = (both_tasks / "outputs/page.html").read_text()
    assert html.count("<mark>") > 3
    assert re.search(r'<b class="gold">(pos|neg|positive|negative)\w*</b>', html)


def test_the_source_is_gone(both_tasks):
    (both_tasks / "reviews/train.csv").rename(both_tasks / "reviews/other.csv")
    sentences = both_tasks / "conll/train.txt"
    sentences.write_text(sentences.read_text().replace("Anna", "Hannah"))
    page = page_of(both_tasks / "outputs")
    shown = " ".join(page.text["queried"].split())
    assert "The texts cannot be shown: their source is not there any more" in shown
    assert "The texts cannot be shown: what is at their source now is not what these runs saw." in shown
    assert "Hannah" not in shown
    assert "gold:" in shown, "what the ledger says of the queries is still there"


def test_damaged_trajectories_are_no_reason_to_stop(both_tasks):
    trajectories = both_tasks / "outputs/trajectories"
    for path in trajectories.glob("*/stop/*.npy"):
        path.write_bytes(path.read_bytes()[:100])
    for path in trajectories.glob("*/scores/*.npy"):
        path.write_bytes(b"")
    next(trajectories.glob("*/ledger.jsonl")).write_text("{}{\n")
    page = page_of(both_tasks / "outputs")
    assert "no run here has them" in page.text["stopping"]


def test_texts_are_escaped(al, tiny_run, review_folder, tmp_path):
    for name in ("train", "test"):
        path = review_folder / f"{name}.csv"
        lines = path.read_text().splitlines()
        nasty = [f"</script><script>alert(1)</script> <b>{line}" for line in lines[1:]]
        path.write_text("\n".join([lines[0], *nasty]) + "\n")
    done = al("run", *tiny_run, *REPORTED)
    assert done.code == 0, done.err
    page = page_of(tmp_path / "outputs")  # which has one script
    assert "<script>alert(1)</script>" in page.text["queried"]


def test_spans():
    assert spans(["a", "b", "c", "d", "e"], ["O", "B-PER", "I-PER", "B-PER", "O"]) == [
        ("a", ""), ("b c", "PER"), ("d", "PER"), ("e", ""),
    ]  # fmt: skip
    assert spans([], []) == []


# ------------------------------------------------------------------------------------------ the command line


def test_errors_are_a_line(al, tmp_path):
    done = al("report")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "no such folder" in done.err
    (tmp_path / "outputs").mkdir()
    done = al("report")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "holds no run directory" in done.err


def test_a_page_that_cannot_be_written(al, tmp_path):
    write_runs(tmp_path / "outputs", varied("seed=1"))
    (tmp_path / "taken").mkdir()
    done = al("report", "--output", "taken")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "taken" in done.err


def test_help_imports_nothing_heavy(tmp_path):
    code = "import sys; sys.argv[1:] = ['report', '--help']\nfrom al_bench.front.cli import main\ntry: main()\n"
    code += "finally: print({'pandas', 'torch', 'matplotlib', 'jinja2'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "--figures" in done.stdout
    assert done.stdout.endswith("set()\n")


# ----------------------------------------------------------------------------------------------------- MLflow


def swept(tmp_path: Path) -> Path:
    """Two runs of a sweep that was logged, one of a sweep that was not."""
    folders = write_runs(tmp_path, SWEEP)
    for folder, name in zip(folders, ("a", "a", "b"), strict=True):
        sweep = tmp_path / "sweeps" / name
        sweep.mkdir(parents=True, exist_ok=True)
        write_json(folder / "status.json", {**read_json(folder / "status.json"), "sweep": str(sweep)})
        if name == "a":
            assert Tracker(RunDirectory(folder), "sqlite", tmp_path, sweep, print).sync()
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_is_logged_where_the_command_says(tmp_path, empty_database, capsys):
    shutil.copy(empty_database, tmp_path)
    output = swept(tmp_path)
    record = read_json(output / "sweeps/a/mlflow.json")
    client = connect(f"sqlite:///{output / 'mlflow.db'}")
    report([], None, str(output), None, None)
    assert not client.list_artifacts(record["run_id"])
    capsys.readouterr()
    report([], None, str(output), None, "sqlite")
    assert [file.path for file in client.list_artifacts(record["run_id"])] == ["report.html"]
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"logged to {output}/mlflow.db, run {record['run_id']}",
        str(output / "report.html"),
    ]
    assert shown.err.splitlines() == [
        f"al-bench: note: b is not logged to {output}/mlflow.db, so its report is not either; see `al-bench sync --help`"
    ]


def test_never_to_an_address_that_a_folder_names(tmp_path, monkeypatch, capsys):
    """A folder of somebody else may name their server, which would get the page and the user's token."""
    reached: list[str] = []
    monkeypatch.setattr(mlflow_store, "connect", reached.append)
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    place = {"tracking": "http://theirs", "uri": "http://theirs", "output_dir": str(tmp_path), "experiment": "0"}
    write_json(folder / "mlflow.json", {"id": "x", "run_id": "y", **place})
    write_config(folder, read_config(folder).replace("tracking: sqlite", "tracking: http://theirs"))
    report([], None, str(tmp_path), None, None)
    assert not reached
    report([], None, str(tmp_path), None, "http://mine")
    assert reached == ["http://mine"]
    assert "is not logged to http://mine" in capsys.readouterr().err


def test_a_failing_store_warns(tmp_path, monkeypatch, capsys):
    def broken(uri: str) -> None:
        raise ConnectionError("nobody answers\nand more")

    monkeypatch.setattr(mlflow_store, "connect", broken)
    write_runs(tmp_path, varied("seed=1"))
    report([], None, str(tmp_path), None, "http://a:b@host")
    assert "the report could not be logged to http://***@host (nobody answers)" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()


def test_a_run_on_its_own_is_its_own_parent(tmp_path):
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    assert build.parents(load([tmp_path]).runs) == [folder]
    write_runs(tmp_path, varied("seed=2"))
    assert build.parents(load([tmp_path]).runs) == []


def test_the_mean_of_a_curve_is_of_all_budgets(rivals):
    """PLASM was evaluated at two of four budgets, the higher ones: its mean stands beside no other."""
    (setting,) = settings_of(rivals)
    made = tables.score_table(setting, None)
    means = {row[0].text: row[list(made.heads).index("mean of the curve")].text for row in made.rows}
    without = ("minilm_l3 + plasm", "everything labelled", "always the most frequent label")
    assert {means.pop(name) for name in without} == {"–"}
    assert "–" not in means.values()
