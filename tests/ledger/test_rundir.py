"""A run's directory: whose it is, and how the run in it ended."""

import threading
from pathlib import Path

import pytest
from fakes import changed, config_of

from al_bench.config.identity import run_identity
from al_bench.errors import UserError
from al_bench.ledger.rundir import RunDirectory, read_config
from al_bench.ledger.store import claim

CONFIG = config_of()
FINGERPRINTS = {"data": "d1", "acquisition": "w1", "trajectory": "t1", "precision": "float32"}
JOB = {"overrides": ["seed=1"]}


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "one")


def work(directory: RunDirectory, config=CONFIG, fingerprints=FINGERPRINTS) -> None:
    """A run's first cycle."""
    claim(directory.folder, run_identity(config), fingerprints)
    directory.commit({"cycle": 0}, {"cycle": 0, "seconds": {}})


def done(directory: RunDirectory, config=CONFIG) -> None:
    with directory.claimed(config, JOB):
        work(directory, config)


def failed(directory: RunDirectory, error: BaseException, *, committed: bool = True) -> None:
    def fail() -> None:
        if committed:
            work(directory)
        else:
            claim(directory.folder, run_identity(CONFIG), FINGERPRINTS)
        raise error

    with pytest.raises(type(error)), directory.claimed(CONFIG, JOB):
        fail()


def test_a_run_that_ends_well(directory):
    with directory.claimed(CONFIG, JOB):
        assert directory.status["state"] == "running"
        assert "ended_at" not in directory.status
        claim(directory.folder, run_identity(CONFIG), FINGERPRINTS)
    status = directory.status
    assert status["state"] == "finished"
    assert directory.finished
    assert status["started_at"] <= status["ended_at"]
    assert status["overrides"] == ["seed=1"]
    assert status["cycles"] == 0
    assert directory.fingerprints == FINGERPRINTS
    assert not (directory.folder / "traceback.txt").exists()
    assert "name: least_confidence" in (directory.folder / "config.yaml").read_text()


def test_a_run_that_fails_leaves_its_reason(directory):
    failed(directory, UserError("seed=-1: must be positive"))
    assert directory.status["state"] == "failed"
    assert directory.status["error"] == "seed=-1: must be positive"
    assert directory.status["ended_at"]
    traceback = (directory.folder / "traceback.txt").read_text()
    assert "Traceback" in traceback
    assert traceback.strip().endswith("UserError: seed=-1: must be positive")


def test_an_error_without_words_has_a_name(directory):
    failed(directory, MemoryError())
    assert directory.status["error"] == "MemoryError"


def test_whatever_is_raised_is_a_failure(directory):
    failed(directory, ZeroDivisionError("by zero"))
    assert directory.status["state"] == "failed"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(144)])
def test_an_interrupted_run_is_no_failure(directory, error):
    """Nor is one whose launcher exits to queue it again."""
    failed(directory, error)
    assert directory.status["state"] == "interrupted"
    assert "error" not in directory.status
    assert not (directory.folder / "traceback.txt").exists()


@pytest.mark.parametrize("then", [None, KeyboardInterrupt()])
def test_an_old_reason_goes_when_the_run_goes_on(directory, then):
    failed(directory, ValueError("once"))
    if then is None:
        done(directory)
    else:
        failed(directory, then)
    assert directory.status["state"] == ("finished" if then is None else "interrupted")
    assert "error" not in directory.status
    assert not (directory.folder / "traceback.txt").exists()


def test_a_finished_run_is_left_as_it_is(directory):
    done(directory)
    files = {path: path.read_bytes() for path in directory.folder.iterdir()}
    with directory.claimed(CONFIG, {"overrides": []}):
        assert directory.finished
    assert {path: path.read_bytes() for path in directory.folder.iterdir()} == files


# ----------------------------------------------------------------------------------------------- refusals


def test_another_config_is_refused_by_the_keys_that_differ(directory):
    done(directory)
    status = directory.status
    other = changed(CONFIG, {"strategy.name": "entropy", "schedule.step": 6, "device": "cuda", "name": "x"})
    with pytest.raises(UserError) as caught, directory.claimed(other, JOB):
        pytest.fail("it was let in")
    assert "(schedule.step, strategy.name differ)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert directory.status == status
    assert "step: 5" in (directory.folder / "config.yaml").read_text()


def test_an_unfinished_run_is_as_protected(directory):
    failed(directory, KeyboardInterrupt())
    with pytest.raises(UserError, match=r"seeds\.model differ"):
        done(directory, changed(CONFIG, {"seeds.model": 9}))
    assert directory.status["state"] == "interrupted"


def test_what_does_not_matter_may_change(directory):
    failed(directory, KeyboardInterrupt())
    done(directory, changed(CONFIG, {"device": "cpu", "tracking": "none", "progress": "none"}))
    assert directory.finished


@pytest.mark.parametrize("key", FINGERPRINTS)
def test_other_data_or_weights_are_refused(directory, key):
    failed(directory, KeyboardInterrupt())
    with (
        pytest.raises(UserError, match=rf"one: {key} changed since it was begun; restore"),
        directory.claimed(CONFIG, JOB),
    ):
        claim(directory.folder, run_identity(CONFIG), FINGERPRINTS | {key: "other"})
    assert directory.fingerprints == FINGERPRINTS
    assert directory.status["state"] == "failed"
    done(directory)


@pytest.mark.parametrize("key", FINGERPRINTS)
def test_before_the_first_cycle_data_and_weights_may_be_mended(directory, key):
    failed(directory, UserError("no such file"), committed=False)
    with directory.claimed(changed(CONFIG, {"schedule.step": 6}), JOB):
        work(directory, fingerprints=FINGERPRINTS | {key: "mended"})
    assert directory.fingerprints == FINGERPRINTS | {key: "mended"}


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written .*set output_dir"):
        done(RunDirectory(tmp_path / "file" / "run"))


# ---------------------------------------------------------------- reasons of runs that never got this far


def test_the_reason_of_a_run_that_could_not_begin(directory):
    directory.leave_reason(UserError("dataset.path=x: no such file"))
    assert directory.status["state"] == "failed"
    assert directory.status["error"] == "dataset.path=x: no such file"
    assert "no such file" in (directory.folder / "traceback.txt").read_text()
    directory.leave_reason(ValueError("something else"))
    assert directory.status["error"] == "something else"
    assert "something else" in (directory.folder / "traceback.txt").read_text()


def test_a_reason_never_replaces_what_a_run_left(directory):
    done(directory)
    directory.leave_reason(UserError("holds a run with another config"))
    assert directory.status["state"] == "finished"
    directory.ledger.path.unlink()
    directory.leave_reason(UserError("ledger.jsonl: missing or damaged"))
    assert directory.status["state"] == "finished"


def test_a_later_reason_replaces_one_of_a_run_that_committed_nothing(directory):
    failed(directory, ValueError("early"), committed=False)
    directory.leave_reason(ValueError("later"))
    assert directory.status["error"] == "later"


def test_a_reason_is_not_written_twice(directory):
    with pytest.raises(ValueError, match="early"), directory.claimed(CONFIG, JOB):
        raise ValueError("early")
    status = directory.status
    directory.leave_reason(ValueError("early"))
    assert directory.status == status
    assert status["overrides"] == ["seed=1"]


# ------------------------------------------------------------------------------------------------- rows


def test_rows_are_the_committed_cycles(directory):
    directory.folder.mkdir(parents=True)
    directory.commit({"cycle": 0}, {"cycle": 0, "seconds": {}})
    directory.costs.put(1, {"cycle": 1, "seconds": {"train": 1.0}})
    assert directory.rows() == [({"cycle": 0}, {"cycle": 0, "seconds": {}})]
    directory.commit({"cycle": 1}, {"cycle": 1, "seconds": {"train": 2.0}})
    assert [spent["seconds"] for _, spent in directory.rows()] == [{}, {"train": 2.0}]
    assert len(directory.costs.read()) == 2


def test_in_use(directory, tmp_path):
    elsewhere = RunDirectory(Path(directory.folder))
    with directory.claimed(CONFIG, JOB):
        assert elsewhere.in_use
    assert not elsewhere.in_use


# ------------------------------------------------------------------------------------- damage, and others


@pytest.mark.parametrize("damage", ["costs are shorter", "a line is broken"])
def test_a_damaged_ledger_is_named(directory, damage):
    done(directory)
    for cycle in (1, 2):
        directory.commit({"cycle": cycle}, {"cycle": cycle, "seconds": {}})
    name = "costs.jsonl" if damage == "costs are shorter" else "ledger.jsonl"
    lines = (directory.folder / name).read_text().splitlines()
    kept = lines[:1] if damage == "costs are shorter" else [lines[0], lines[1][:5], lines[2]]
    (directory.folder / name).write_text("\n".join(kept) + "\n")
    with pytest.raises(UserError, match=rf"{name}: missing or damaged, .*delete .*one to compute all of it again"):
        directory.rows()


@pytest.mark.parametrize("left", [0, 1, 2, None])
def test_a_finished_run_that_lost_its_last_lines_is_not_finished(directory, left):
    with directory.claimed(CONFIG, JOB):
        work(directory)
        for cycle in (1, 2):
            directory.commit({"cycle": cycle}, {"cycle": cycle, "seconds": {}})
    for ledger in (directory.ledger, directory.costs):
        lines = ledger.path.read_bytes().splitlines(keepends=True)
        ledger.path.unlink() if left is None else ledger.path.write_bytes(b"".join(lines[:left]))
    with (
        pytest.raises(UserError, match=r"ledger\.jsonl: missing or damaged, .*delete .*one to compute all"),
        directory.claimed(CONFIG, JOB),
    ):
        pytest.fail("it was taken for finished")
    assert directory.finished


@pytest.mark.parametrize("lines", [0, 1])
def test_a_ledger_that_lost_two_lines_is_damaged(directory, lines):
    """A kill between the two files costs the ledger one line, not two."""
    failed(directory, KeyboardInterrupt())
    for cycle in range(1, lines + 2):
        directory.commit({"cycle": cycle}, {"cycle": cycle, "seconds": {}})
    content = directory.ledger.path.read_bytes().splitlines(keepends=True)
    directory.ledger.path.write_bytes(b"".join(content[:lines]))
    with pytest.raises(UserError, match=r"ledger\.jsonl: missing or damaged"):
        directory.rows()


def test_a_run_goes_on_without_its_status(directory):
    done(directory)
    for text in ("", "null", "[1]", "{", '{"state": "finished", "cycles": 1}'):
        (directory.folder / "status.json").write_text(text)
        assert (directory.status, directory.finished) == ({}, False)
        with directory.claimed(CONFIG, JOB):
            assert directory.rows() == [({"cycle": 0}, {"cycle": 0, "seconds": {}})]
        assert directory.finished


def test_a_committed_run_needs_its_identity(directory):
    done(directory)
    path = directory.folder / "identity.json"
    path.write_text(path.read_text().replace("w1", "w2"))
    with pytest.raises(UserError, match=r"identity\.json: missing or damaged"), directory.claimed(CONFIG, JOB):
        pytest.fail("it was let in")


def test_a_config_that_was_edited_is_no_config_of_the_run(directory):
    done(directory)
    text = read_config(directory.folder)
    assert "step: 5" in text
    path = directory.folder / "config.yaml"
    for damage in (b"", b"null", path.read_bytes().replace(b"step: 5", b"step: 6"), path.read_bytes()[:-3], b"\xff"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"config\.yaml: missing or damaged"):
            read_config(directory.folder)


def test_a_torn_last_line_is_no_damage(directory):
    done(directory)
    with (directory.folder / "ledger.jsonl").open("a") as file:
        file.write('{"cycle"')
    assert directory.rows() == [({"cycle": 0}, {"cycle": 0, "seconds": {}})]


def test_who_waits_for_another_process_says_so(directory):
    entered, release, messages = threading.Event(), threading.Event(), []

    def hold() -> None:
        with directory.claimed(CONFIG, JOB, lambda: messages.append("the first")):
            claim(directory.folder, run_identity(CONFIG), FINGERPRINTS)
            entered.set()
            assert release.wait(20)

    def waiting() -> None:
        messages.append("the second")
        release.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(20)
    with directory.claimed(CONFIG, JOB, waiting):
        assert directory.finished
    holder.join()
    assert messages == ["the second"]
