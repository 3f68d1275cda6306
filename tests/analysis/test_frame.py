"""Run directories as a frame: what a real run wrote, what each kind of run is called, and what damage does."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from made import write_ledger
from synthetic import configs, write_runs

from al_bench.analysis.measures import Measures
from al_bench.analysis.runs import columns_of
from al_bench.analysis.store import COLUMNS, load
from al_bench.costs import totals
from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, write_json
from al_bench.ledger.rundir import RunDirectory, write_config
from al_bench.ledger.tracking import metrics_of

SMALL = "dataset=trec6 model@acquisition=minilm_l3 model@successor=minilm_l6 schedule.initial=100 schedule.step=50 schedule.cycles=2"


def test_a_real_run(al, tiny_run, tmp_path):
    """The frame says what the run's own MLflow copy says, and adds sums of seconds."""
    assert al("run", *tiny_run, "subsampling=ups", "subsampling.gamma=0.5", "seed=7").code == 0
    results = load([tmp_path / "outputs"])
    assert results.problems == ()
    (run,) = results.runs.index
    row = results.runs.loc[run]
    (folder,) = (tmp_path / "outputs" / "runs" / "test").iterdir()
    assert (run, row.directory, row.output_dir) == (folder.name, str(folder), str(tmp_path / "outputs"))
    assert (row.state, row.cycles_done, row.cycles_planned, row.seed) == ("finished", 4, 4, 7)
    assert (row.arm, row.selector) == ("ASM", "tiny · breaking_ties")
    assert (row.subsampling, row.gamma, row.temperature, row.precision) == ("ups", 0.5, 0.01, "float32")
    assert row.trajectory == next((tmp_path / "outputs" / "trajectories").iterdir()).name
    assert row.command.startswith("al-bench run dataset=rotten_tomatoes ")
    before = 0.0  # all that passed before the cycle's model was fitted
    for decided, spent in RunDirectory(folder).rows():
        values = results.cycles[results.cycles.cycle == decided["cycle"]].set_index("metric").value
        expected = metrics_of(decided, spent)
        assert {name: values[name] for name in expected} == pytest.approx(expected)
        seconds = totals(spent["seconds"])
        before += seconds.get("one_off", 0.0)
        assert values["seconds/iteration"] == pytest.approx(seconds["iteration"])
        assert values["seconds/cumulative"] == pytest.approx(before + spent["seconds"]["train"])
        before += seconds["iteration"]
        once = spent["seconds"].get("successor_prepare", 0.0)
        assert values["seconds/successor_total"] == pytest.approx(spent["seconds"]["successor_train"] + once)
    scores = Measures(results).wide("successor/accuracy")
    assert list(scores.columns) == [0, 1, 2, 3]
    assert scores.notna().all(axis=None)


@pytest.mark.parametrize(
    ("words", "arm", "told"),
    [
        ("", "ASM", {"acquisition": "minilm_l3", "successor": "minilm_l6", "pseudo_labeling": None}),
        ("model@acquisition=minilm_l6", "no mismatch", {"acquisition": "minilm_l6"}),
        # The same kind, trained otherwise and called otherwise, is the same model still.
        ("model@acquisition=minilm_l6 acquisition.training.epochs=3 acquisition.name=x", "no mismatch", {"acquisition": "x"}),
        ("model@acquisition=minilm_l6_linear", "ASM", {"acquisition_learner": "linear"}),
        ("strategy=random", "random", {"acquisition": None, "selector": "random", "subsampling": "none"}),
        ("strategy=random schedule.initial=1.0 schedule.cycles=0", "ceiling", {}),
        ("strategy=random schedule.initial=5452 schedule.cycles=0", "ceiling", {}),
        ("dataset.limit.train=300 schedule.initial=300 schedule.cycles=0", "ceiling", {}),
        ("schedule.initial=5000 schedule.cycles=0", "ASM", {}),
        # Of other data in their place, nobody knows how many are all.
        (f"dataset.path={__file__} schedule.initial=5452 schedule.cycles=0", "ASM", {}),
        ("evaluate_at=none", "acquisition only", {}),
        (
            "subsampling=ups subsampling.refresh=[0,1]",
            "ASM",
            {"gamma": 0.1, "temperature": 0.01, "refresh": "0,1"},
        ),
        (
            "pseudo_labeling=plasm_threshold model@pseudo_labeler=minilm_l6",
            "PLASM",
            {"filters": "confidence > 0.5, tracin adaptive", "pseudo_labeler": "minilm_l6"},
        ),
        ("pseudo_labeling=plasm_unfiltered model@pseudo_labeler=minilm_l6", "PLASM", {"filters": "none"}),
        (f"replay={__file__}", "replay", {"acquisition": None, "strategy": "replay", "selector": "replay"}),
    ],
)  # fmt: skip
def test_what_a_run_is(words, arm, told):
    changed = {word.partition("=")[0] for word in words.split()}
    words = " ".join([*(w for w in SMALL.split() if w.partition("=")[0] not in changed), words])
    ((_, config),) = configs(words)
    row = columns_of(asdict(config))
    assert row["arm"] == arm
    assert {key: row[key] for key in told} == told


def test_runs_that_differ_by_seeds_only_are_one_method(tmp_path):
    write_runs(tmp_path, f"-m {SMALL} seed=1,2 model@successor=minilm_l6,minilm_l3 dataset.limit.train=null,500")
    runs = load([tmp_path]).runs
    assert runs.groupby("method").seed.apply(sorted).tolist() == [[1, 2]] * 4
    # What is acquired depends on the data, but not on the successor.
    assert runs.groupby("selection").seed.apply(sorted).tolist() == [[1, 1, 2, 2]] * 2
    assert list(runs.columns) == list(COLUMNS)


def test_only_run_directories_count(tmp_path):
    """MLflow's copies, steps, trajectories and Hydra's own files are none; what is given twice counts once."""
    (run,) = write_runs(tmp_path / "outputs", f"{SMALL} seed=1")
    shutil.copytree(run, tmp_path / "outputs" / "mlartifacts" / "paper" / "artifacts")
    shutil.copytree(run, run / ".hydra")
    for other in ("trajectories/x", "steps/y"):
        (tmp_path / "outputs" / other).mkdir(parents=True)
        shutil.copy(run / "ledger.jsonl", tmp_path / "outputs" / other)
    for paths in ([tmp_path], [tmp_path / "outputs"], [run], [run, run.parent, tmp_path]):
        results = load(paths)
        assert list(results.runs.index) == [run.name]
        assert len(Measures(results).wide("labelled")) == 1


def test_the_same_run_in_two_places_has_two_names(tmp_path):
    for place in ("a", "b"):
        write_runs(tmp_path / place, f"-m {SMALL} name=x seed=1")
    (name,) = {Path(d).name for d in load([tmp_path / "a"]).runs.directory}
    assert sorted(load([tmp_path]).runs.index) == [f"a/runs/x/{name}", f"b/runs/x/{name}"]


def test_a_path_that_is_none():
    with pytest.raises(UserError, match=r"^nowhere: no such folder; give"):
        load([Path("nowhere")])


# ------------------------------------------------------------------------------------------------ damage


def torn(run: Path) -> None:
    """The last line is cut, as by a kill."""
    text = (run / "ledger.jsonl").read_text()
    (run / "ledger.jsonl").write_text(text[:-20])


def garbled(run: Path) -> None:
    lines = (run / "ledger.jsonl").read_text().splitlines()
    (run / "ledger.jsonl").write_text("\n".join([lines[0], "{]" + lines[1][2:], lines[2], ""]))


def shapeless(run: Path) -> None:
    lines = Ledger(run / "ledger.jsonl").read()
    write_ledger(run / "ledger.jsonl", [lines[0], {"cycle": 1, "labelled": "many"}])


def unpaid(run: Path) -> None:
    lines = (run / "costs.jsonl").read_text().splitlines()
    (run / "costs.jsonl").write_text("\n".join([*lines[:1], ""]))


def status(**values: object):
    def write(run: Path) -> None:
        write_json(run / "status.json", values)

    return write


def without(*names: str):
    def remove(run: Path) -> None:
        for name in names:
            (run / name).unlink()

    return remove


def writing(name: str, text: str):
    def write(run: Path) -> None:
        (run / name).write_text(text)

    return write


def edited(name: str, old: str, new: str):
    def write(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return write


def both(*steps):
    return lambda run: [step(run) for step in steps]


@pytest.mark.parametrize(
    ("damage", "reason", "cycles"),
    [
        (torn, "finished, but its ledger holds 2 of 3 cycles", 2),
        (garbled, "ledger.jsonl is damaged, or of an earlier format: what is before line 2 counts", 1),
        (shapeless, "cycle 1 is not as a run writes it", 1),
        (unpaid, "costs.jsonl lacks 2 of 3 cycles", 3),
        (without("ledger.jsonl"), "finished, but its ledger holds 0 of 3 cycles", 0),
        (without("config.yaml"), "config.yaml is missing", None),
        (writing("config.yaml", "{"), "config.yaml is damaged", None),
        (lambda run: write_config(run, "name: x\n"), "config.yaml cannot be read", None),
        (edited("config.yaml", "seed: 1\n", "seed: 3\n"), "config.yaml is damaged", None),
        (writing("config.yaml", "\x00\xff"), "config.yaml is damaged", None),
        (writing("status.json", "[]"), "status.json is damaged", 3),
        (writing("status.json", "{"), "status.json is damaged", 3),
        (edited("status.json", '"started_at": 0.0', '"started_at": 1.0'), "status.json is damaged", 3),
        (edited("provenance.json", '"made"', '"mine"'), "provenance.json is damaged", 3),
        (edited("identity.json", '"float32"', '"bfloat16"'), "identity.json is damaged", 3),
        (
            edited("ledger.jsonl", '"cycle": 1,', '"cycle": 1, "more": 1,'),
            "counts; restore it, or delete the folder",
            1,
        ),
        (edited("costs.jsonl", '"peak_memory_bytes": 1', '"peak_memory_bytes": 2'), "costs.jsonl lacks 3 of 3", 3),
        (without("status.json"), "status.json is missing", 3),
        (both(without("status.json"), torn), "interrupted: 2 of 3 cycles", 2),
        (without("identity.json"), "identity.json is missing", 3),
        (
            lambda run: write_json(run / "identity.json", {"identity": 3}),
            "its files are not as a run writes them",
            None,
        ),
        (both(status(state="running"), torn), "running, or killed: 2 of 3 cycles", 2),
        (both(status(state="interrupted"), torn), "interrupted: 2 of 3 cycles", 2),
        (
            both(status(state="failed", error="no data\nhere"), without("ledger.jsonl", "costs.jsonl")),
            "failed: no data (0 of 3 cycles)",
            0,
        ),
        (
            both(status(state="failed", error="no such key"), without("config.yaml")),
            "failed before it began: no such key",
            None,
        ),
    ],
)
def test_a_damaged_run_is_named_and_stops_no_other(tmp_path, damage, reason, cycles):
    broken, whole = write_runs(tmp_path, f"-m {SMALL} seed=1,2")
    damage(broken)
    results = load([tmp_path])
    assert any(problem.directory == broken and reason in problem.reason for problem in results.problems), (
        results.problems
    )
    assert {problem.directory for problem in results.problems} == {broken}
    assert (results.cycles.run == whole.name).sum() > 20
    counted = results.cycles[results.cycles.run == broken.name].cycle.nunique()
    assert counted == (cycles or 0)
    assert (broken.name in results.runs.index) == (cycles is not None)
    if cycles is not None:
        assert results.runs.loc[broken.name].cycles_done == cycles


def test_a_run_whose_pool_was_exhausted_is_whole(tmp_path):
    (run,) = write_runs(tmp_path, f"{SMALL} seed=1")
    lines = Ledger(run / "ledger.jsonl").read()
    lines[1]["query"] = {}
    write_ledger(run / "ledger.jsonl", lines[:2])
    results = load([tmp_path])
    assert results.problems == ()
    assert results.runs.state.tolist() == ["finished"]


@pytest.mark.slow
def test_two_thousand_runs(tmp_path, capsys):
    """Load and tabulate; a minute of writing them, then seconds of reading, which are printed."""
    from al_bench.analysis.arms import settings
    from al_bench.analysis.contrasts import Contrasts
    from al_bench.tables.build import build
    from al_bench.tables.specs import available, read

    seeds = ",".join(map(str, range(1, 126)))
    models = "model@acquisition=distilbert_uncased model@successor=bert_base_uncased,electra_base"
    chosen = "dataset=ag_news,trec6 strategy=least_confidence,entropy subsampling=none,ups schedule=paper"
    written = write_runs(tmp_path, f"-m {models} {chosen} seed={seeds}")
    assert len(written) == 2000
    began = time.perf_counter()
    results = load([tmp_path])
    loaded = time.perf_counter()
    measures = Measures(results)
    contrasts = Contrasts(measures, settings(measures))
    tables = [build(read(path), contrasts, "") for path in available().values()]
    done = time.perf_counter()
    with capsys.disabled():
        print(f"\n2,000 runs: {loaded - began:.1f} s to load, {done - loaded:.1f} s for {len(tables)} tables")
    assert len(results.runs) == 2000
    assert results.problems == ()
    assert Measures(results).wide("successor/accuracy").shape == (2000, 16)
