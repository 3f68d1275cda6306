"""Filters, readers and metrics from outside, each a module in a user's own folder, through the command line."""

import json
from pathlib import Path

import pytest
from made import reviews
from parts import FILTERS, METRICS, READERS, write_piped

from al_bench.ledger.ledger import Ledger, load_record

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def plasm_run(quick_run: list[str], tiny_model: Path) -> list[str]:
    """On the seed set alone, with a verifier."""
    words = [*quick_run, "pseudo_labeling=plasm", "strategy=random", "schedule.cycles=0"]
    for role in ("pseudo_labeler", "verifier"):
        words += [f"model@{role}=minilm_l6", f"{role}.path={tiny_model}", f"{role}.sha256=null"]
        words += [f"{role}.max_length=32", f"{role}.num_hidden_layers=1"]
    return words


def filters(word: str) -> str:
    return f"pseudo_labeling.filters=[{{{word}}}]"


def refused(done) -> str:
    """The one line of a refusal."""
    assert done.code == 1
    assert len(done.err.splitlines()) == 1, done.err
    return done.err


def test_a_filter_that_does_what_a_shipped_one_does_gives_the_same(al, plasm_run, write_module, tmp_path):
    write_module("my_filters", FILTERS)
    lines = []
    for number, by in enumerate(("aum", "my_filters:small_margin")):
        done = al("run", *plasm_run, filters(f"by: {by}, drop: 0.2"), f"output_dir=outputs{number}")
        assert done.code == 0, done.err
        (path,) = tmp_path.glob(f"outputs{number}/runs/test/*/ledger.jsonl")
        (line,) = Ledger(path).read()
        assert line["pseudo"]["dropped"].pop(by) == pytest.approx(0.2, abs=0.01)
        lines.append(line)
    assert lines[0] == lines[1]


def test_a_filter_that_looks_at_everything(al, plasm_run, write_module, tmp_path):
    """It is planned, typed, timed, and another one once its code has changed."""
    write_module("my_filters", FILTERS)
    words = [*plasm_run, filters("by: my_filters:mixed, drop: disagreement, params: {weight: 0.25}")]
    planned = al("plan", *words)
    assert planned.code == 0, planned.err
    assert "verifier" in planned.out
    done = al("run", *words)
    assert done.code == 0, done.err
    (folder,) = tmp_path.glob("outputs/runs/test/*")
    (chosen,) = load_record(folder / "identity.json")["identity"]["pseudo_labeling"]["filters"]
    assert chosen["params"] == {"weight": 0.25}
    (line,), (costs,) = (Ledger(folder / name).read() for name in ("ledger.jsonl", "costs.jsonl"))
    assert 0 <= line["pseudo"]["dropped"]["my_filters:mixed"] <= 1
    assert {"verifier_train", "verify", "margins", "successor_embed", "suspect"} <= set(costs["seconds"])
    assert "influence" not in costs["seconds"], "nobody needs it"

    assert "already finished" in al("run", *words).out
    write_module("my_filters", FILTERS + "\n# changed\n")
    steps = set(tmp_path.glob("outputs/steps/*"))
    again = al("run", *words)
    assert again.code == 0, again.err
    (other,) = set(tmp_path.glob("outputs/runs/test/*")) - {folder}
    assert Ledger(other / "ledger.jsonl").read() == [line]
    fresh = [load_record(one / "identity.json")["identity"] for one in set(tmp_path.glob("outputs/steps/*")) - steps]
    assert sorted(one["step"] for one in fresh) == ["fit", "suspicion"], "labels and the first fit are shared"
    line = refused(al("run", *plasm_run, filters("by: my_filters:mixed, params: {wait: 1}")))
    assert "pseudo_labeling.filters[0].params.wait=1: no such parameter; " in line


@pytest.mark.parametrize(
    ("by", "line"),
    [
        ("curious", "filter: looks at influence without needing it; declare needs=('influence', ...)"),
        ("silent", "filter my_filters:silent: gives 108 scores that are no numbers"),
    ],
)
def test_what_a_filter_must_not_do(al, plasm_run, write_module, by, line):
    write_module("my_filters", FILTERS)
    assert line in refused(al("run", *plasm_run, filters(f"by: my_filters:{by}, drop: 0.1")))


def test_a_reader_of_files_and_one_of_folders(al, quick_run, write_module, tmp_path):
    """The same corpus as by a shipped reader; a reader whose code or settings changed is another one."""
    write_module("my_readers", READERS)
    rows = {"train": reviews(120, 1), "test": reviews(40, 2)}
    write_piped(tmp_path / "piped", rows)
    for split, lines in rows.items():
        (tmp_path / "folders" / split).mkdir(parents=True)
        for number, line in enumerate(lines):
            (tmp_path / "folders" / split / f"{number:03}.piped").write_text("|".join(line))
    words = [*quick_run, "strategy=random", "evaluate_at=none"]
    ways: dict[str, list[str]] = {"csv": []}
    ways["piped"] = ["dataset.path=piped", "dataset.format=my_readers:piped"]
    ways["folders"] = ["dataset.path=folders", "dataset.format=my_readers:folder"]
    data = []
    for name, way in ways.items():
        done = al("run", *words, *way, f"name={name}")
        assert done.code == 0, done.err
        (path,) = tmp_path.glob(f"outputs/runs/{name}/*/identity.json")
        data.append(load_record(path)["fingerprints"]["data"])
    assert len(set(data)) == 1
    words += [*ways["piped"], "name=piped"]
    assert "note: read by hand" in al("run", *words, "+dataset.params.note=true").out
    write_module("my_readers", READERS + "\n# changed\n")
    assert al("run", *words).code == 0
    assert len(list(tmp_path.glob("outputs/runs/piped/*"))) == 3
    line = refused(al("run", *words, "+dataset.params.sing=x"))
    assert "dataset.params.sing=x: no such parameter; did you mean sign?" in line
    line = refused(al("run", *words, "+dataset.params.sign=x"))
    assert "train.piped cannot be read by my_readers:piped (ValueError: not enough values to unpack" in line


def test_metrics_stand_in_the_ledger_of_both_models_and_in_tables(al, quick_run, write_module, tmp_path):
    write_module("my_metrics", METRICS)
    words = [*quick_run, "schedule.cycles=0", "metrics=[brier,my_metrics:price]"]
    done = al("run", *words)
    assert done.code == 0, done.err
    (folder,) = tmp_path.glob("outputs/runs/test/*")
    (line,) = Ledger(folder / "ledger.jsonl").read()
    names = ["brier", *(f"my_metrics:price_{key}" for key in ("all", "neg", "pos"))]
    for role in ("acquisition", "successor"):
        assert list(line[role])[-5:] == ["ece", *names]
        assert line[role]["my_metrics:price_all"] == pytest.approx(40 * (1 - line[role]["accuracy"]))
    table = {
        "title": "Prices", "rows": ["strategy"], "metric": "successor/my_metrics:price_all",
        "columns": {"wrong": {}, "brier": {"metric": "successor/brier"}},
    }  # fmt: skip
    (tmp_path / "prices.yaml").write_text(json.dumps(table))
    shown = al("tables", "prices.yaml", str(folder))
    assert shown.code == 0, shown.err
    row = next(line for line in shown.out.splitlines() if "breaking_ties" in line)
    assert f"{line['successor']['my_metrics:price_all']:.1f}" in row, "as it is, and no share in percent"
    write_module("my_metrics", METRICS + "\n# changed\n")
    assert al("run", *words).code == 0
    assert len(list(tmp_path.glob("outputs/runs/test/*"))) == len(list(tmp_path.glob("outputs/trajectories/*"))) == 2
    line = refused(al("run", *words, "metrics=[my_metrics:failing]"))
    assert "metrics=my_metrics:failing: fails (RuntimeError: no price list); mend it" in line


def test_metrics_of_tagging(al, quick_tagging_run, tmp_path):
    done = al("run", *quick_tagging_run, "schedule.cycles=0", "metrics=[nll,brier]", "evaluate_at=none")
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/runs/test/*/ledger.jsonl")
    (line,) = Ledger(path).read()
    assert 0 < line["acquisition"]["brier"] < 2
    assert line["acquisition"]["nll"] > 0
