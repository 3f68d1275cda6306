"""Models that acquire one after the other: who fits when, what it costs, and what the change does to scores."""

import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLearner, collected, config_of, corpus_of, fake_for, snapshot

from al_bench.acquisition.loop import Computed, acquire
from al_bench.acquisition.setup import Setup
from al_bench.config.identity import trajectory_identity
from al_bench.config.schema import ModelConfig, RunConfig, SubsamplingConfig
from al_bench.ledger.trajectory import Trajectory
from al_bench.run import evaluate_successor
from al_bench.successor.successor import Succession

LATER = {"2": ModelConfig(name="better", hub="some/better")}
CORPUS = corpus_of()


def scheduled(**changes) -> RunConfig:
    return config_of(acquisition_from=LATER, **changes)


class Pair:
    """Two learners, of which the second begins in cycle 2."""

    def __init__(self, task: str = "classification") -> None:
        self.corpus = corpus_of(task)
        self.first, self.second = fake_for(self.corpus), fake_for(self.corpus)

    def learner(self, cycle: int) -> FakeLearner:
        return self.first if cycle < 2 else self.second

    def collected(self, config: RunConfig) -> list[Computed]:
        setup = Setup(config, self.corpus, self.learner)
        return list(acquire(setup, lambda number, queries, compute: compute(None)))


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_each_model_fits_and_scores_in_its_own_cycles(task):
    pair = Pair(task)
    done = pair.collected(config_of(task, acquisition_from=LATER))
    assert [fit.seeds.cycle for fit in pair.first.fits] == [0, 1]
    assert [fit.seeds.cycle for fit in pair.second.fits] == [2, 3, 4]
    scored = [cycle.scored.tolist() for cycle, _ in done[:-1]]
    assert [ids.tolist() for ids in [*pair.first.asked, *pair.second.asked]] == scored
    labelled = np.sort(np.concatenate([done[0][0].seed_set, *(cycle.queried for cycle, _ in done[:2])]))
    assert pair.second.fits[0].ids.tolist() == labelled.tolist(), "the second model takes over what was labelled"


def test_preparing_is_charged_once_a_model_where_it_begins():
    done = Pair().collected(scheduled())
    assert [spent.seconds.get("prepare") for _, spent in done] == [16.0, None, 16.0, None, None]


def test_only_the_first_model_prepares_for_the_seed_set():
    """The second one prepares what cycles need: vectors of the pretrained encoder are for the seed set alone."""
    done = Pair().collected(scheduled(schedule__seed_by="embedding_kmeans"))
    assert [spent.seconds.get("prepare") for _, spent in done] == [17.0, None, 16.0, None, None]


def test_up_to_the_change_nothing_differs_from_a_run_without_one():
    pair, plain = Pair(), collected(config_of(), CORPUS, fake_for(CORPUS))
    done = pair.collected(scheduled())
    for (one, _), (other, _) in zip(done[:2], plain[:2], strict=True):
        assert one.queried.tolist() == other.queried.tolist()
        assert one.metrics == other.metrics


@pytest.mark.parametrize(
    ("name", "refresh", "whole"),
    [("ups", [0], [0, 2]), ("ups", "none", [2]), ("naive", [0], [0, 2]), ("random", "none", [])],
)
def test_scores_of_two_models_are_never_mixed(name, refresh, whole):
    """Candidate pools that read last-known scores see the whole pool scored by the model that takes over."""
    gamma, heat = 0.2, 0.05 if name == "ups" else None
    chosen = SubsamplingConfig(name, gamma, heat, refresh=refresh)
    done = Pair().collected(scheduled(subsampling=chosen))
    sizes = [len(CORPUS.train) - cycle.labelled for cycle, _ in done[:-1]]
    assert [c.number for (c, _), size in zip(done, sizes, strict=False) if len(c.scored) == size] == whole


# --------------------------------------------------------------------------------------------- on disk


def on_disk(root: Path, config: RunConfig) -> Trajectory:
    identity = trajectory_identity(config, "float32")
    return Trajectory(root, identity, {"data": "d", "acquisition": "a", "acquisition_from.2": "b"}, len(CORPUS.train))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Files of a trajectory that was never interrupted."""
    config, root = scheduled(), tmp_path_factory.mktemp("whole")
    trajectory = on_disk(root, config)
    list(acquire(Setup(config, CORPUS, Pair().learner), trajectory.cycle))
    return snapshot(trajectory.folder)


@pytest.mark.parametrize("cycles", [1, 2, 3, 4])
def test_interrupted_around_the_change(tmp_path, whole, cycles):
    """Each process has learners of its own, and builds the one that acquires then alone."""
    config, pair = scheduled(), Pair()
    trajectory = on_disk(tmp_path, config)
    list(islice(acquire(Setup(config, CORPUS, Pair().learner), trajectory.cycle), cycles))
    list(acquire(Setup(config, CORPUS, pair.learner, seeded=trajectory.seed_set), trajectory.cycle))
    assert snapshot(trajectory.folder) == whole
    assert [fit.seeds.cycle for fit in [*pair.first.fits, *pair.second.fits]] == list(range(cycles, 5))


@pytest.mark.parametrize("cycles", [2, 3])
def test_a_longer_run_continues_a_shorter_one(tmp_path, whole, cycles):
    """Also from the cycle in which the second model begins, which the shorter run evaluated and did not ask."""
    for length in (cycles, 4):
        config = scheduled(schedule__cycles=length)
        trajectory = on_disk(tmp_path, config)
        list(acquire(Setup(config, CORPUS, Pair().learner, seeded=trajectory.seed_set), trajectory.cycle))
    assert snapshot(trajectory.folder) == whole
    charged = [spent["seconds"].get("prepare") for _, spent in trajectory.rows()]
    assert charged == [16.0, None, 16.0, None, None]


def test_two_runs_share_it(tmp_path, whole):
    """At once, each with learners of its own: no cycle is computed twice, whoever computes it."""
    pairs = [Pair(), Pair()]

    def work(pair: Pair) -> None:
        trajectory = on_disk(tmp_path, scheduled())
        list(acquire(Setup(scheduled(), CORPUS, pair.learner, seeded=trajectory.seed_set), trajectory.cycle))

    threads = [threading.Thread(target=work, args=(pair,)) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert snapshot(on_disk(tmp_path, scheduled()).folder) == whole
    fits = [fit.seeds.cycle for pair in pairs for fit in [*pair.first.fits, *pair.second.fits]]
    assert sorted(fits) == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------ the successor


def test_a_successor_shares_the_fits_of_the_model_that_it_is(monkeypatch):
    """Of cycles in which that model acquires; in all others it is fitted."""
    fitted = []
    monkeypatch.setattr("al_bench.run.succeed", lambda s, labelled, cycle: (fitted.append(cycle), None))
    for successor, expected in (("some/better", [0, 1]), ("some/model", [2, 3, 4]), ("some/other", [0, 1, 2, 3, 4])):
        config = scheduled(successor=ModelConfig(name="s", hub=successor), evaluate_at="all")
        succession = Succession(config, CORPUS, "float32", None, None)
        for cycle, _ in Pair().collected(config):
            metrics = evaluate_successor(succession, cycle, np.arange(8))[0]
            assert (metrics is cycle.metrics) == (cycle.number not in expected)
        assert fitted == expected
        fitted.clear()
