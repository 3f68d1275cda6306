"""What is charged, to which total, once or again, and on which machine."""

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLearner, FakeModel, collected, config_of, corpus_of, fake_for
from hypothesis import given
from hypothesis import strategies as st
from made import write_ledger
from omegaconf import OmegaConf

from al_bench.acquisition.loop import acquire
from al_bench.acquisition.setup import Setup
from al_bench.config.identity import fit_identity
from al_bench.config.schema import ModelConfig
from al_bench.costs import ITERATION, TOTALS, Costs, charged_once, seconds_until_scores, total_of, totals
from al_bench.front.jobs import jobs_at_once
from al_bench.front.progress import result_table, seconds_in_words
from al_bench.learners.base import FitCosts
from al_bench.ledger.ledger import Ledger, read_json
from al_bench.ledger.provenance import machine
from al_bench.ledger.store import Step, Steps
from al_bench.ledger.tracking import metrics_of
from al_bench.ledger.trajectory import Trajectory
from al_bench.planning.units import Past, Unit, rate_of
from al_bench.successor.successor import Succession, succeed

# Every phase that the code uses, by hand. The runs below have all of them but those of a network's overheads.
PHASES = {
    "iteration": {"relabel", "train", "subsample", "predict", "select", "rescore"},
    "one_off": {"prepare"},
    "evaluation": {"evaluate", "successor_evaluate", "first_successor_evaluate"},
    "successor_total": {
        "successor_prepare", "successor_embed", "successor_train", "first_successor_train",
        "labeller_prepare", "labeller_train", "pseudo_label", "verifier_prepare", "verifier_train", "verify",
        "influence", "margins", "suspect",
    },
}  # fmt: skip
OVERHEADS = {"load", "check", "capture"}
OVERHEADS |= {
    f"{role}_{phase}" for role in ("successor", "labeller", "verifier", "first_successor") for phase in OVERHEADS
}
FILTERS = ("confidence", "knn", "verifier", "tracin", "aum")


class FakeTime:
    """A clock that only work moves: patched for time.perf_counter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


# -------------------------------------------------------------------------------------------------- the totals


@given(st.dictionaries(st.sampled_from(sorted(OVERHEADS.union(*PHASES.values()))), st.integers(0, 999)))
def test_totals_add_up_to_all_phases(seconds: dict[str, int]) -> None:
    assert sum(totals(seconds).values()) == sum(seconds.values())
    assert set(totals(seconds)) <= set(TOTALS)
    for name in PHASES:
        parts = [value for phase, value in seconds.items() if phase in PHASES[name]]
        assert totals(seconds).get(name) == (sum(parts) if parts else None)


def test_each_phase_has_its_total() -> None:
    for total, phases in {**PHASES, "overhead": OVERHEADS}.items():
        assert {total_of(phase) for phase in phases} == {total}
    assert set(ITERATION) == PHASES["iteration"]


def labeller_and_verifier(model: Path) -> list[str]:
    words = [
        "pseudo_labeling=plasm",
        f"pseudo_labeling.filters=[{','.join(f'{{by: {f}, drop: 0.05}}' for f in FILTERS)}]",
    ]
    for role in ("pseudo_labeler", "verifier"):
        words += [f"model@{role}=minilm_l6", f"{role}.path={model}", f"{role}.sha256=null", f"{role}.max_length=32"]
    return words


def runs_costs(folder: Path) -> dict[str, list[dict]]:
    """By run, its lines of costs."""
    return {path.parent.name: Ledger(path).read() for path in folder.glob("outputs/runs/test/*/costs.jsonl")}


def trajectory_costs(folder: Path) -> list[dict]:
    (path,) = folder.glob("outputs/trajectories/*/costs.jsonl")
    return Ledger(path).read()


def test_real_runs_have_these_phases_and_no_others(al, tiny_run, tiny_model, tmp_path) -> None:
    """UPS with rescoring and all filters behind it; a linear learner in both roles, with relabelling."""
    short = [*tiny_run, "schedule.cycles=1", "training.epochs=1"]
    first = ["subsampling=ups", "subsampling.gamma=0.5", "rescore=2", *labeller_and_verifier(tiny_model)]
    for words in (first, ["acquisition.learner=linear", "successor.learner=linear", "relabel.action=drop"]):
        done = al("run", *short, *words)
        assert done.code == 0, done.err
    lines = [line for run in runs_costs(tmp_path).values() for line in run]
    assert len(lines) == 4
    phases = {phase for line in lines for phase in line["seconds"]}
    assert phases - OVERHEADS == set().union(*PHASES.values())
    for line in lines:
        assert all(seconds >= 0 for seconds in line["seconds"].values())
        assert sum(totals(line["seconds"]).values()) == pytest.approx(sum(line["seconds"].values()))
    assert len({phase for line in lines for phase in line["seconds"] if phase.endswith("embed")}) == 1


def test_a_query_is_spent_for_the_next_score() -> None:
    cycles = [
        {"prepare": 100.0, "train": 10.0, "predict": 5.0, "evaluate": 7.0, "successor_train": 50.0, "load": 3.0},
        {"train": 20.0, "predict": 5.0},
        {"train": 30.0},
    ]
    assert seconds_until_scores(cycles) == [110.0, 135.0, 170.0]
    cycles[1]["relabel"] = 4.0  # before the cycle's own fit
    assert seconds_until_scores(cycles) == [110.0, 139.0, 174.0]


def test_metrics_have_the_totals() -> None:
    decided = {"labelled": 1, "words": 1, "scored": 1, "acquisition": None, "successor": None, "pseudo": None}
    seconds = {"prepare": 4.0, "train": 2.0, "predict": 1.0, "successor_prepare": 3.0, "successor_train": 5.0}
    metrics = metrics_of({"cycle": 0, **decided}, {"cycle": 0, "seconds": seconds, "machines": {}})
    assert metrics["seconds/iteration"] == 3.0
    assert metrics["seconds/one_off"] == 4.0
    assert metrics["seconds/successor_total"] == 8.0
    assert metrics["seconds/predict"] == 1.0


# -------------------------------------------------------------------------------------- the pool is prepared once


def test_a_trajectory_prepares_once_however_often_it_is_interrupted(tmp_path) -> None:
    corpus, config = corpus_of(), config_of(schedule__cycles=3, rescore=2.0)
    for cycles in (1, 3, None):
        trajectory = Trajectory(tmp_path, {"a": 1}, {"data": "d"}, len(corpus.train))
        list(islice(acquire(Setup(config, corpus, lambda cycle: fake_for(corpus)), trajectory.cycle), cycles))
    lines = Ledger(trajectory.folder / "costs.jsonl").read()
    assert [line["seconds"].get("prepare") for line in lines] == [20.0, None, None, None], "of exact scores too"


def test_without_rescoring_nothing_is_prepared_for_it() -> None:
    corpus = corpus_of()
    done = collected(config_of(schedule__cycles=1), corpus, fake_for(corpus))
    assert done[0][1].seconds["prepare"] == 16.0


@pytest.mark.parametrize("learner", ["transformer", "linear"])
def test_another_run_pays_what_the_first_paid(al, tiny_run, tmp_path, learner) -> None:
    """One trajectory, two successors: its one-off seconds are those of the first run, once in each run."""
    words = [*tiny_run, "schedule.cycles=2", "training.epochs=1", f"acquisition.learner={learner}"]
    for other in ("successor.learner=transformer", "successor.learner=linear"):
        done = al("run", *words, other)
        assert done.code == 0, done.err
    recorded = [line["seconds"] for line in trajectory_costs(tmp_path)]
    assert ["prepare" in seconds for seconds in recorded] == [True, False, False]
    runs = runs_costs(tmp_path)
    assert len(runs) == 2
    for lines in runs.values():
        for line, seconds in zip(lines, recorded, strict=True):
            spent, expected = totals(line["seconds"]), totals(seconds)
            assert spent.get("one_off") == expected.get("one_off")
            assert spent["iteration"] == pytest.approx(expected["iteration"])
        assert ["successor_prepare" in line["seconds"] for line in lines] == [True, False, False]


def test_a_successor_is_prepared_once_a_run_also_after_an_interruption(
    al, tiny_run, tmp_path, interrupt_successor
) -> None:
    """Each step records it, as if it were alone; the run charges it in its first cycle with a successor."""
    interrupt_successor(3)
    words = [*tiny_run, "training.epochs=1", "successor.learner=linear", "evaluate_at=[1,2,3]"]
    assert al("run", *words).code == 130
    assert al("run", *words).code == 0
    (lines,) = runs_costs(tmp_path).values()
    assert ["successor_prepare" in line["seconds"] for line in lines] == [False, True, False, False]
    steps = [read_json(path) for path in tmp_path.glob("outputs/steps/*/costs.json")]
    assert len(steps) == 3
    assert all(step["seconds"]["prepare"] > 0 for step in steps)
    assert lines[1]["seconds"]["successor_prepare"] in [step["seconds"]["prepare"] for step in steps]


def test_what_happens_once_is_charged_once() -> None:
    seconds = {"successor_prepare": 1.0, "labeller_prepare": 2.0, "successor_load": 3.0, "successor_train": 4.0}
    charged = {"successor_prepare", "successor_load", "successor_train"}
    assert charged_once(seconds, charged) == {"labeller_prepare": 2.0, "successor_train": 4.0}
    costs = Costs({})
    for _ in range(2):
        costs.add(Costs(dict(seconds), {"peak_memory_bytes": 5, "steps": 1}))
    assert costs.seconds == {**seconds, "successor_train": 8.0}
    assert costs.counts == {"peak_memory_bytes": 5, "steps": 1}


def test_a_plan_counts_no_fit_for_what_happens_once(tmp_path) -> None:
    """The next fits of a model on a corpus find its arrays in the cache, and its network loaded."""
    config = config_of(successor=ModelConfig(name="m", hub="some/model"))
    identity = fit_identity(config, "float32", 1, "successor")
    seconds = {"prepare": 1000.0, "load": 100.0, "train": 10.0, "evaluate": 1.0}
    steps = Steps(tmp_path / "steps", {"data": "d", "successor": "s"})
    steps.get(identity, ("successor",), lambda: Step({}, costs=Costs(seconds, {"steps": 5})))
    rate = rate_of(identity["dataset"], identity["model"])
    unit = Unit(key="k", part="successor", model="m", rate=rate, work=1.0, steps=20.0, done=False)
    assert Past(tmp_path).seconds(unit) == 20 * 10.0 / 5 + 1.0


# ------------------------------------------------------------------------------------- overheads are no training


class Graphed(FakeLearner):
    """Takes 10 seconds to fit, 4 of which capture graphs; 3 to load and 2 to check."""

    clock: FakeTime

    def fit(self, *arguments, **more) -> FakeModel:
        self.clock.now += 10.0
        return replace(super().fit(*arguments, **more), costs=FitCosts(1, 1, 1, 1, 1, capture_seconds=4.0))


def graphed(corpus, clock: FakeTime) -> Graphed:
    learner = Graphed(len(corpus.label_names), corpus.task)
    learner.clock, learner.overheads = clock, {"load": 3.0, "check": 2.0, "capture": 8.0}
    return learner


def test_loading_checks_and_capture_are_in_no_iteration(clock) -> None:
    corpus = corpus_of()
    done = collected(config_of(schedule__cycles=1), corpus, graphed(corpus, clock))
    seconds = [costs.seconds for _, costs in done]
    assert (seconds[0]["load"], seconds[0]["check"], seconds[0]["prepare"]) == (3.0, 2.0, 16.0)
    assert not {"load", "check", "prepare"} & set(seconds[1])
    for cycle in seconds:
        assert (cycle["train"], cycle["capture"]) == (6.0, 4.0)
        assert totals(cycle)["iteration"] == 6.0


def test_loading_checks_and_capture_are_in_no_successor(clock, tmp_path) -> None:
    corpus = corpus_of()
    config = config_of(successor=ModelConfig(name="m", hub="some/model"), evaluate_at="all")
    steps = Steps(tmp_path, {"data": "d", "successor": "s"}, machine={"device": "here"})
    s = Succession(config, corpus, "float32", lambda role: graphed(corpus, clock), steps)
    _, costs = succeed(s, np.array([1, 2]), 1)
    assert costs.seconds == {
        "successor_load": 3.0, "successor_check": 2.0, "successor_prepare": 16.0, "successor_train": 6.0,
        "successor_capture": 4.0, "successor_evaluate": 0.0,
    }  # fmt: skip
    assert totals(costs.seconds) == {"overhead": 9.0, "successor_total": 22.0, "evaluation": 0.0}
    assert costs.machine == {"device": "here"}


# ---------------------------------------------------------------------------------------------------- machines


def test_a_reused_cycle_keeps_the_machine_that_computed_it(al, tiny_run, tmp_path) -> None:
    words = [*tiny_run, "schedule.cycles=1", "training.epochs=1"]
    assert al("run", *words).code == 0
    (path,) = tmp_path.glob("outputs/trajectories/*/costs.jsonl")
    lines = Ledger(path).read()
    here = lines[0]["machine"]
    assert set(here) == {"processor", "device", "threads", "precision", "engine", "jobs"}
    assert (here["device"], here["threads"], here["precision"], here["jobs"]) == ("cpu", 1, "float32", 1)
    elsewhere = {**here, "processor": "another"}
    lines[0]["machine"] = elsewhere
    write_ledger(path, lines)
    assert al("run", *words, "successor.learner=linear").code == 0
    (costs,) = [lines for run, lines in runs_costs(tmp_path).items() if lines[0]["machines"]["acquisition"] != here]
    assert [line["machines"] for line in costs] == [
        {"acquisition": elsewhere, "successor": here},
        {"acquisition": here, "successor": here},
    ]
    provenances = [read_json(path) for path in tmp_path.glob("outputs/runs/test/*/provenance.json")]
    assert all({key: facts[key] for key in here} == here for facts in provenances)
    built = sorted(sorted(facts["optimizations"]) for facts in provenances)
    assert built == [["acquisition", "successor"], ["successor"]], "the second run needs no acquisition model"


def test_a_role_that_computed_nothing_has_no_machine(al, tiny_run, tmp_path) -> None:
    """The acquisition model as its own successor; and a replay."""
    assert al("run", *tiny_run, "schedule.cycles=0", "successor.num_hidden_layers=1").code == 0
    (lines,) = runs_costs(tmp_path).values()
    assert set(lines[0]["machines"]) == {"acquisition"}
    (trajectory,) = tmp_path.glob("outputs/trajectories/*")
    assert al("run", *tiny_run, "training.epochs=1", "evaluate_at=last", f"replay={trajectory}").code == 0
    (replayed,) = [lines for run, lines in runs_costs(tmp_path).items() if "replay" in run]
    assert set(replayed[-1]["machines"]) == {"successor"}


def test_work_of_two_machines_is_of_neither() -> None:
    one, other = {"device": "cpu", "threads": 2}, {"device": "cpu", "threads": 4}
    costs = Costs({})
    costs.add(Costs({}, machine=one))
    assert costs.machine == one
    costs.add(Costs({}, machine=dict(one)))
    assert costs.machine == one
    costs.add(Costs({}, machine=other))
    assert costs.machine == {"device": "cpu", "threads": "2 + 4"}


def test_a_gpu_is_named() -> None:
    hardware = {"device": "cuda:0", "threads": 8, "gpu": "Some GPU", "gpu_memory_bytes": 1}
    here = machine(hardware, "bfloat16", "plain", 3)
    assert {**here, "processor": ""} == {
        "processor": "", "device": "Some GPU", "threads": 8, "precision": "bfloat16", "engine": "plain", "jobs": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("launcher", "jobs"), [({}, 1), ({"n_jobs": 3}, 3), ({"n_jobs": -1}, 8), ({"n_jobs": -3}, 6), ({"n_jobs": -99}, 1)]
)
def test_jobs_at_once(launcher, jobs, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert jobs_at_once(OmegaConf.create(launcher)) == jobs


# ----------------------------------------------------------------------------------------------------- display


def shown(*cycles: dict[str, float]) -> tuple[list[list[str]], str | None]:
    """The cells of iteration and successor, and the line under the table."""
    decided = {"cycle": 0, "labelled": 1, "words": 1, "acquisition": None, "successor": None}
    table = result_table([(decided, {"seconds": seconds}) for seconds in cycles], "f1", "a run")
    caption = table.caption
    assert caption is None or isinstance(caption, str)
    return [[*column.cells] for column in table.columns[-2:]], caption


def test_one_off_seconds_stand_under_the_table_unless_negligible() -> None:
    cells, caption = shown({"prepare": 30.0, "train": 1.0, "load": 5.0}, {"train": 2.0, "successor_train": 4.0})
    assert cells == [["1.0", "2.0"], ["-", "4.0"]]
    assert caption is not None
    assert "30.0 s" in caption
    assert shown({"prepare": 30.0, "train": 3001.0})[1] is None
    assert shown({"prepare": 0.04})[1] is None
    assert shown({"train": 1.0})[1] is None


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ({"asked": 200, "answered": 105, "right": 65, "money_labels": 1.05}, "200 labels and gave 105, 65 of them right, for 1.05."),
        ({"asked": 50, "answered": 50, "right": 49, "money_labels": None}, "50 labels and gave 50, 49 of them right."),
        ({"asked": 50, "answered": 50, "right": 50, "money_labels": 5.0}, "50 labels and gave 50, 50 of them right, for 5.00."),
        ({"asked": 50, "answered": 50, "right": 50, "money_labels": None}, None),  # gold, as everybody expects
        ({}, None),  # of a run that recorded none
    ],
)  # fmt: skip
def test_what_the_oracle_said_stands_under_the_table(answers, line) -> None:
    decided = {"cycle": 0, "labelled": 1, "words": 1, "acquisition": None, "successor": None}
    rows = [(decided, {"seconds": {"train": 1.0}}), (decided | answers, {"seconds": {"train": 1.0}})]
    caption = result_table(rows, "f1", "a run").caption
    assert caption == (line and f"The oracle was asked for {line}")


def test_a_line_has_totals_and_their_phases() -> None:
    seconds = {"prepare": 1.0, "train": 5.0, "predict": 2.5, "select": 0.01, "evaluate": 1.0, "successor_train": 6.0}
    words = ["iteration 7.5 s (train 5.0, predict 2.5)", "one-off 1.0 s", "evaluation 1.0 s", "successor 6.0 s"]
    assert seconds_in_words(seconds) == words
    assert seconds_in_words({"train": 0.01}) == []
