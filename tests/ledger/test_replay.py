"""Selections from elsewhere."""

import numpy as np
import pytest
from fakes import config_of, corpus_of, fake_for

from al_bench.acquisition.loop import acquire
from al_bench.acquisition.setup import Setup, annotator_of
from al_bench.config.digests import content_hash
from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, write_json
from al_bench.ledger.replay import replay
from al_bench.ledger.trajectory import Trajectory

CORPUS = corpus_of(train=20)
GOLD = annotator_of(config_of(), CORPUS)


@pytest.fixture
def acquired(tmp_path) -> tuple[Trajectory, list]:
    """A finished trajectory of 3 cycles, and its cycles."""
    trajectory = Trajectory(tmp_path / "trajectories", {"a": 1}, {"data": CORPUS.fingerprint}, 20)
    learner = fake_for(CORPUS)
    setup = Setup(config_of(schedule__cycles=2, schedule__step=3), CORPUS, lambda cycle: learner)
    return trajectory, list(acquire(setup, trajectory.cycle))


def ids_of(cycles) -> list[list[int]]:
    return [cycle.queried.tolist() for cycle, _ in cycles]


def test_a_trajectory_is_replayed_as_it_was(acquired):
    trajectory, original = acquired
    again = list(replay(trajectory.folder, CORPUS, GOLD))
    assert len(again) == len(original) == 3
    for (cycle, costs), (first, _) in zip(again, original, strict=True):
        for name in ("number", "labelled", "words", "metrics"):
            assert getattr(cycle, name) == getattr(first, name), name
        assert np.array_equal(cycle.seed_set, first.seed_set)
        assert np.array_equal(cycle.queried, first.queried)
        assert cycle.query.items() <= first.query.items(), "all but the scores"
        assert costs.seconds == {}


def test_a_trajectory_that_is_not_finished_is_replayed_as_far_as_it_goes(acquired):
    trajectory, original = acquired
    trajectory.ledger.put(1, trajectory.ledger.read()[1])
    again = list(replay(trajectory.folder, CORPUS, GOLD))
    assert ids_of(again) == ids_of(original)
    assert [cycle.metrics is None for cycle, _ in again] == [False, False, True]


def test_a_file_is_a_seed_set_and_queries(tmp_path):
    path = tmp_path / "ids.jsonl"
    path.write_text("[4, 1, 9]\n[0, 19]\n[7]\n")
    cycles = [cycle for cycle, _ in replay(path, CORPUS, GOLD)]
    assert cycles[0].seed_set.tolist() == [4, 1, 9]
    assert [cycle.queried.tolist() for cycle in cycles] == [[0, 19], [7], []]
    assert [cycle.labelled for cycle in cycles] == [3, 5, 6]
    assert [cycle.words for cycle in cycles] == [
        CORPUS.train.words[ids].sum() for ids in ([4, 1, 9], [4, 1, 9, 0, 19], [4, 1, 9, 0, 19, 7])
    ]
    assert [cycle.metrics for cycle in cycles] == [None] * 3
    assert cycles[0].query["examples"] == 2
    assert cycles[-1].query == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2]\n[2]\n", "holds id 2 twice"),
        (b"[1, 2]\n[20]\n", "holds id 20, but the training split has ids 0 to 19"),
        (b"[-1]\n", "holds id -1, but"),
        (b"[1]\n[" + b"9" * 30 + b"]\n", "holds id 999999999999999999999999999999, but"),
        (b"[1]\n2\n", "line 2 is not a list of whole numbers"),
        (b"[1.0]\n", "line 1 is not a list of whole numbers"),
        (b"[true]\n", "line 1 is not a list of whole numbers"),
        (b'["1"]\n', "line 1 is not a list of whole numbers"),
        (b"[1]\n[]\n", "line 2 is not a list of whole numbers"),
        (b'{"cycle": 0}\n', "line 1 is not a list of whole numbers"),
        (b"[1]\n\n[2]\n", "line 2 is not JSON"),
        (b"1 2 3\n", "line 1 is not JSON"),
        (b"\x93NUMPY\x01\x00", "line 1 is not JSON"),
        (b"", "holds no line"),
    ],
)
def test_bad_files(tmp_path, content, says):
    path = tmp_path / "ids.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(replay(path, CORPUS, GOLD))
    message = str(caught.value)
    assert message.startswith(f"replay={path}: ")
    assert says in message
    assert "\n" not in message


def test_a_seed_set_without_an_answer_is_refused(tmp_path):
    """No successor can be fitted on nothing."""
    (tmp_path / "ids.jsonl").write_text("[1, 2]\n[3]\n")
    silent = annotator_of(config_of(oracle__name="noisy", oracle__params={"rate": 0.0, "abstain": 1.0}), CORPUS)
    with pytest.raises(UserError, match=r"^oracle=noisy: gives 0 different labels for the 2 examples of the seed set"):
        next(replay(tmp_path / "ids.jsonl", CORPUS, silent))


def test_other_data_is_refused(acquired):
    other = corpus_of(train=20, seed=1)
    with pytest.raises(UserError, match=r"replay=.*: was acquired on other data than this run's dataset"):
        list(replay(acquired[0].folder, other, GOLD))


def test_a_runs_folder_is_refused_by_the_name_of_its_trajectory(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / "identity.json", {"fingerprints": {"data": CORPUS.fingerprint, "trajectory": "abc123"}})
    Ledger(folder / "ledger.jsonl").put(0, {"cycle": 0, "labelled": 5})
    with pytest.raises(UserError, match=r"is a run's folder.*trajectories/abc123"):
        list(replay(folder, CORPUS, GOLD))


def test_a_folder_without_a_cycle(tmp_path):
    with pytest.raises(UserError, match="holds no finished cycle; finish the run"):
        list(replay(tmp_path, CORPUS, GOLD))


def test_a_folder_that_does_not_say_which_data_it_is_of(acquired):
    trajectory, _ = acquired
    (trajectory.folder / "identity.json").unlink()
    with pytest.raises(UserError, match=r"has no identity\.json"):
        list(replay(trajectory.folder, CORPUS, GOLD))


def test_the_hash_is_of_the_ids(acquired, tmp_path):
    trajectory, _ = acquired
    before = content_hash(trajectory.folder)
    trajectory.costs.put(0, {"more": 1})
    assert content_hash(trajectory.folder) == before
    trajectory.ledger.put(1, trajectory.ledger.read()[1])
    assert content_hash(trajectory.folder) != before
    with pytest.raises(UserError, match=r"replay=.*cannot be read.*give a trajectory's folder"):
        content_hash(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read"):
        content_hash(tmp_path)
