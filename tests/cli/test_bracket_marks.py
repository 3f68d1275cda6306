"""A strategy and its opposite through the real command line: the opposite is marked wherever results are shown."""

import json

from al_bench.ledger.mlflow_store import MlflowStore


def test_a_bracket_is_marked_everywhere(al, tiny_run, tmp_path, database):
    words = [word for word in tiny_run if word != "tracking=none"]
    done = al(
        "run", "-m", *words, "strategy.batch=top,bottom", "schedule.cycles=1", "evaluate_at=last", "training.epochs=1"
    )
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/sweeps/*/summary.json")
    rows = json.loads(path.read_text())
    assert [row["bracket"] for row in rows] == [False, True]
    assert {row["chance"] for row in rows} <= {"", "at chance in 1 of 1"}
    assert all(row["chance"] in done.out for row in rows)
    # Over the run's table, and in the sweep's.
    assert " ".join(done.out.split()).count("(a bracket)") == 2
    assert "1 (a bracket)" in done.out

    client = MlflowStore("sqlite", tmp_path / "outputs", print).client()
    (experiment,) = [one for one in client.search_experiments() if one.name == "test"]
    tags = [run.data.tags.get("al_bench.bracket") for run in client.search_runs([experiment.experiment_id])]
    assert sorted(map(str, tags)) == ["None", "None", "true"]  # of the sweep, of the top, of the bottom

    table = al("tables", "--format", "csv", "brackets", "outputs")  # words behind an option
    assert table.code == 0, table.err
    (bottom,) = [line for line in table.out.splitlines() if ",bottom," in line]
    assert "‡" in bottom
    report = al("report", "--tracking", "none", "outputs")
    assert report.code == 0, report.err
    assert "(bottom, bracket)" in (tmp_path / "outputs" / "report.html").read_text(encoding="utf-8")


def test_an_unknown_option_names_the_help_of_its_command(al):
    done = al("tables", "mismatch", "--nonsense")
    assert done.code == 2
    assert done.err.strip() == "al-bench: unrecognized arguments: --nonsense; see `al-bench tables --help`"
