"""`al-bench plan`: what it counts is what a sweep then does; nothing is trained, and nothing is loaded to say so."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from scipy.stats import wilcoxon

from al_bench.config.catalog import listing
from al_bench.config.schema import PAPER_TRAINING, TrainingConfig
from al_bench.front.cli import hydra_options
from al_bench.front.jobs import jobs_of, register
from al_bench.planning.units import Job, Past, job_of, labelled_at, steps_of, union

EXPERIMENTS = [name for name in listing("experiment", None) if name.startswith("paper/") and name != "paper/base"]
# The rows of the paper's matrix; the others were configured for it and never published, or are ours.
PUBLISHED = ("no_mismatch", "no_mismatch_mahalanobis", "random", "plasm", "plasm_ups", "plasm_threshold", "ups")


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> Callable[..., list[Job]]:
    """The plan of a command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return plan_of


def plan_of(*words: str) -> list[Job]:
    from hydra.core.global_hydra import GlobalHydra

    register()
    GlobalHydra.instance().clear()
    configs = list(jobs_of(hydra_options(list(words))))
    return [job_of(overrides, config, "float32") for overrides, config in configs]


@cache
def with_one_seed(experiment: str) -> list[Job]:
    """In an empty folder."""
    return plan_of(f"+experiment={experiment}", "seed=23419")


def counts(jobs: list[Job]) -> tuple[int, int, int]:
    """(naive, shared at every cycle, shared where asked for)"""
    naive = sum(len(job.every or job.asked) for job in jobs)
    return naive, len(union(job.every for job in jobs)), len(union(job.asked for job in jobs))


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    "name", [n if i % 3 == 0 else pytest.param(n, marks=pytest.mark.slow) for i, n in enumerate(EXPERIMENTS)]
)
def test_every_experiment_of_the_paper_plans(name):
    """With one of its seeds: it composes, passes the rules, and its fits can be weighed."""
    planned = with_one_seed(name)
    assert planned
    for job in planned:
        assert job.config is not None
        assert job.config.seed == 23419
        assert job.state == "to do"
        assert all(unit.work is not None and not unit.done for unit in job.asked)
    parts = {unit.part for job in planned for unit in job.asked}
    assert ("acquisition" in parts) == ("random" not in name and "ceilings" not in name)
    assert ("pseudo_labeler" in parts) == ("plasm" in name)


@pytest.mark.usefixtures("jobs")
def test_the_papers_matrix_in_fits():
    """52 runs a seed, 312 in all. By hand, for one seed: 1,424 fits naively, 580 - 4 shared with successors at 4 budgets.

    Naive: a run without mismatch, or on random examples, is 16 fits, with mismatch 32, with PLASM 64: AG News
    6 + 6 + 1 + 2 runs of the first kind, 8 of the second, 3 of the third, IMDb 4, 2, 1, CoNLL 6, 4, 2, OntoNotes 4, 2, 1.
    """
    published = [name for name in EXPERIMENTS if Path(name).name in PUBLISHED or "/asm_" in name]
    planned = [job for name in published for job in with_one_seed(name)]
    naive, every, asked = counts(planned)
    assert len(planned) == 52
    assert naive == 1424
    assert asked == 576
    assert asked < 0.5 * naive
    assert asked < every < naive


def test_six_seeds_of_the_paper(jobs):
    """The paper's five and one more: of five pairs, the exact Wilcoxon test gives no p below 0.0625."""
    planned = jobs("+experiment=paper/imdb/plasm")
    seeds = [job.config.seed for job in planned if job.config]
    assert seeds == [23419, 705525, 4837, 10671619, 1084218, 220503598]
    assert wilcoxon(range(1, len(seeds) + 1)).pvalue < 0.05 < wilcoxon(range(1, len(seeds))).pvalue
    assert counts(planned) == (6 * 64, 6 * 64, 6 * (16 + 4 * 3))


def test_random_selection_needs_no_acquisition(jobs):
    (job,) = jobs("strategy=random", "evaluate_at=all")
    assert [unit.part for unit in job.asked] == ["successor"] * 16


def test_a_successor_that_is_the_acquisition_model_needs_no_fit(jobs):
    (job,) = jobs("model@successor=minilm_l3", "evaluate_at=all")
    assert [unit.part for unit in job.asked] == ["acquisition"] * 16


def test_sharing(jobs):
    """Successors share the trajectory, strategies the fit on the seed set."""
    sweep = jobs("-m", "model@successor=minilm_l6,mpnet_base", "evaluate_at=[0,3]")
    assert counts(sweep) == (2 * 32, 16 + 2 * 16, 16 + 2 * 2)
    sweep = jobs("-m", "strategy=entropy,random", "evaluate_at=[0,3]")
    assert len(union(job.asked for job in sweep)) == 16 + 1 + 1 + 1


def test_filters_share_what_comes_before_them(jobs):
    words = ("model@pseudo_labeler=minilm_l6", "evaluate_at=last")
    sweep = jobs("-m", "pseudo_labeling=plasm,plasm_unfiltered,plasm_verifier", *words)
    parts = [unit.part for unit in union(job.asked for job in sweep)]
    assert parts.count("acquisition") == 16
    assert parts.count("pseudo_labeler") == 1
    # plasm: the first fit, which is the unfiltered one's last, and its own last; verifier: its last.
    assert parts.count("successor") == 3
    assert parts.count("verifier") == 1


@pytest.mark.parametrize(
    ("settings", "n", "expected"),
    [
        ({}, 1200, (750, 10)),
        ({}, 100, (350, 14)),  # in batches of 4, 25 steps an epoch
        ({}, 40, (350, 35)),
        ({"dev_share": 0.1}, 1000, (20 * 57, 20)),
    ],
)
def test_steps_of_a_fit(settings, n, expected):
    steps, epochs = steps_of(TrainingConfig(**{**PAPER_TRAINING["classification"], **settings}), n)
    assert epochs == expected[1]
    assert steps == pytest.approx(expected[0], rel=0.2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dataset=ag_news",), [1200, 2400]),
        (("dataset=ag_news", "schedule.initial=100", "schedule.step=7"), [100, 107]),
        (("dataset=ag_news", "dataset.limit.train=1000"), [10, 20]),
        (("dataset=conll2003", "strategy=mnlp", "schedule=paper_tagging"), [0.02 * 14041, 0.04 * 14041]),
        (("dataset=conll2003", "strategy=mnlp", "schedule.unit=words", "schedule.initial=2036", "schedule.step=2036"),
         [140.4, 280.8]),
    ],
)  # fmt: skip
def test_labelled_examples(jobs, words, expected):
    (job,) = jobs(*words)
    assert [labelled_at(job.config, cycle) for cycle in (0, 1)] == pytest.approx(expected, rel=1e-3)


def test_a_split_of_unknown_size_cannot_be_weighed(jobs):
    (job,) = jobs("dataset=ag_news", "dataset.train_examples=null")
    assert all(unit.work is None for unit in job.asked)


OWN = ("dataset=ag_news", "dataset.name=tickets", "dataset.path=tickets.csv", "dataset.text=[body]")


def test_data_of_ones_own_is_not_of_the_shipped_size(al, jobs, tmp_path):
    """`path` replaces the data of an option, and with it what is known of them; what the user says counts."""
    (tmp_path / "tickets.csv").write_text("body,queue\nhello,a\nbye,b\n")
    done = al("plan", *OWN, "dataset.label=[queue]")
    assert done.code == 0, done.err
    assert "120,000" not in done.out
    assert re.search(
        r"time: unknown for \d+ fits, since their number of training examples is unknown; "
        r"add dataset.train_examples=N, the size of tickets",
        done.out,
    )
    assert "no run on this machine had one like them" not in done.out
    for words, expected in (
        ((), None),
        (("dataset.train_examples=500",), 5),
        (("dataset.limit.train=300",), 3),
        (("dataset.train_words=9000",), None),
    ):
        (job,) = jobs(*OWN, *words)
        assert labelled_at(job.config, 0) == expected


def test_an_option_of_ones_own_knows_its_size(jobs, tmp_path):
    """Its file has both the path and the size, and no other source."""
    (tmp_path / "tickets.csv").write_text("text,label\nhello,a\n")
    (tmp_path / "mine" / "dataset").mkdir(parents=True)
    text = "name: tickets\ntask: classification\npath: tickets.csv\ntrain_examples: 700\n"
    (tmp_path / "mine" / "dataset" / "tickets.yaml").write_text(text)
    (job,) = jobs("--config-dir", "mine", "dataset=tickets")
    assert labelled_at(job.config, 0) == 7


def test_the_plan_is_what_the_sweep_does(al, tiny_run, tmp_path, monkeypatch):
    """Fits are counted where they are made; afterwards nothing is missing, and the past tells the seconds."""
    from al_bench.learners.transformer import TransformerLearner

    words = [*tiny_run, "-m", "strategy=entropy,random", "successor.num_hidden_layers=1,2", "evaluate_at=[0,2]"]
    words += ["schedule.cycles=2", "dataset.train_examples=120"]
    before = al("plan", *words)
    assert before.code == 0, before.err
    assert "4 jobs: 4 to do" in before.out
    assert "time: unknown for" in before.out
    assert not (tmp_path / "outputs").exists(), "a plan writes nothing"
    made = []
    fit = TransformerLearner.fit
    monkeypatch.setattr(TransformerLearner, "fit", lambda *a, **k: made.append(1) or fit(*a, **k))
    assert al("run", *words).code == 0
    assert row(before.out, "shared, the successor where") == len(made)
    after = al("plan", *words)
    assert "4 jobs: 4 finished" in after.out
    assert row(after.out, "of these still missing") == 0
    assert "nothing is left to train" in after.out
    assert "to run it" not in after.out
    more = al("plan", *words, "seed=1,2")
    assert re.search(r"time: about \d+\.\d s for \d+ of \d+ fits", more.out), more.out


def row(printed: str, name: str) -> int:
    (line,) = [line for line in printed.splitlines() if name in line]
    return int(line.split("│")[2].replace(",", ""))


def test_half_a_trajectory_counts_as_done(al, tiny_run, jobs, tmp_path):
    words = [*tiny_run, "evaluate_at=last"]
    assert al("run", *words).code == 0
    ledger = next(tmp_path.glob("outputs/trajectories/*/ledger.jsonl"))
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:2]))
    (job,) = jobs(*words)
    assert [unit.done for unit in job.asked] == [True, True, False, False, True]


def test_a_shorter_runs_cycles_are_done(al, quick_run, jobs):
    assert al("run", *quick_run, "evaluate_at=last").code == 0
    (job,) = jobs(*quick_run, "schedule.cycles=4", "evaluate_at=[1,4]")
    assert job.state == "to do"
    assert [unit.part for unit in job.asked] == ["acquisition"] * 5 + ["successor"] * 2
    assert [unit.done for unit in job.asked] == [True, True, False, False, False, True, False]


def test_a_sweep_over_cycles_shares_all_equal_cycles(jobs):
    sweep = jobs("-m", "model@successor=minilm_l6", "schedule.cycles=5,10", "evaluate_at=all")
    assert len(union(job.asked for job in sweep)) == 11 + 11


@pytest.mark.parametrize(("by", "each"), [("verifier", 5), ("aum", 1)])
def test_relabelling_needs_fits_of_its_own(jobs, by, each):
    """Of its folds, or one whose margins are watched, before the cycle's own."""
    words = ["+experiment=demo", "schedule.cycles=3", "evaluate_at=none", "strategy=entropy"]
    ((plain,), (relabelled,)) = (
        jobs(*words), jobs(*words, "relabel=drop", f"relabel.filter.by={by}", "relabel.at=[0,2]")
    )  # fmt: skip
    assert len(union([relabelled.asked])) == len(union([plain.asked])) + 2 * each == 4 + 2 * each


def test_a_filter_that_drops_nothing_needs_no_fit_to_look_back_on(jobs):
    words = ("pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", "evaluate_at=last")
    for drop, fits in ((0.1, 2), (0.0, 1)):
        filters = f"pseudo_labeling.filters=[{{by: tracin, drop: {drop}}}]"
        (job,) = jobs(*words, filters, "model@successor=mpnet_base")
        assert [unit.part for unit in job.asked].count("successor") == fits


def test_refused_jobs(al):
    done = al("plan", "-m", "strategy=mnlp,entropy", "dataset=rotten_tomatoes")
    assert done.code == 1
    assert "2 jobs: 1 refused, 1 to do" in done.out
    assert "does not work on classification" in done.out
    assert done.err.splitlines() == ["al-bench: 1 of 2 jobs refused; mend them before you run"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["+experiment=paper/xx*"], "matches none"),
        (["schedule.cycels=3"], "did you mean schedule.cycles?"),
        (["seed=1,2"], "add -m"),
        (["strategy"], "is no KEY=VALUE"),
        (["--nonsense"], "unrecognized arguments"),
        (["--config-dir", "nowhere"], "al-bench: --config-dir=nowhere: no such folder; give the folder"),
    ],
)
def test_bad_command_lines(al, words, expected):
    done = al("plan", *words)
    assert done.code != 0
    assert "Traceback" not in done.err
    assert expected in done.err + done.out
    assert "to run it" not in done.out


def test_another_machines_past_tells_nothing(tmp_path, al, jobs, tiny_run, monkeypatch):
    words = [*tiny_run, "evaluate_at=last", "dataset.train_examples=120"]
    assert al("run", *words).code == 0
    (job,) = jobs(*words)
    assert all(Past(tmp_path / "outputs").seconds(unit) is not None for unit in job.asked)
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    assert all(Past(tmp_path / "outputs").seconds(unit) is None for unit in job.asked)
