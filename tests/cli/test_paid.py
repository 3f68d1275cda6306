"""Labels of an oracle with a price, through the real command line to the table and the page."""

import csv
import io

import pytest


def test_answers_and_money_of_real_runs(al, tiny_run, tmp_path):
    """12 labels, then 8 more, at 0.5 each; 1 in 2 answers of the noisy oracle is wrong, as far as they are drawn."""
    words = [*tiny_run, "strategy=random", "schedule.cycles=1", "training.epochs=1"]
    words += ["oracle.price.example=0.5", "price.hour=3600", "price.currency=EUR"]
    for oracle in (["oracle=gold"], ["oracle=noisy", "oracle.params.rate=0.5"]):
        done = al("run", *words, *oracle)
        assert done.code == 0, done.err
    table = al("tables", "--format", "csv", "money", "outputs")
    assert table.code == 0, table.err
    cells = {
        (row["oracle"], row["column"]): row
        for row in csv.DictReader(io.StringIO(table.out))
        if row["oracle"] is not None
    }
    noisy = "noisy (rate=0.5)"
    assert float(cells["gold", "labels"]["mean"]) == float(cells[noisy, "labels"]["mean"]) == 10
    assert float(cells["gold", "right"]["mean"]) == 100
    assert 0 < float(cells[noisy, "right"]["mean"]) < 100
    seconds = float(cells[noisy, "machine"]["mean"])  # at 1 a second
    assert seconds > 0
    assert float(cells[noisy, "together"]["mean"]) == pytest.approx(10 + seconds)
    report = al("report", "--tracking", "none", "outputs")
    assert report.code == 0, report.err
    page = (tmp_path / "outputs" / "report.html").read_text(encoding="utf-8")
    assert "Score against money." in page
    assert "money until the score was known (EUR)" in page
    assert "random, labelled by noisy (rate=0.5)" in page
