"""Every file that is read back, damaged in every way: named in a line, never used, and mended by the line's remedy."""

import json
import os
import random
import re
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from made import decided

from al_bench.analysis.store import REMEDY, load
from al_bench.errors import UserError
from al_bench.front import sweep

Damage = Callable[[bytes], bytes | None]


def swapped(content: bytes) -> bytes:
    first, second, *rest = content.splitlines(keepends=True)
    return b"".join([second, first, *rest])


def without_a_key(content: bytes) -> bytes:
    record = json.loads(content)
    del record[next(iter(record))]
    return json.dumps(record).encode()


def another_number(content: bytes) -> bytes:
    return re.sub(rb"\d", lambda digit: b"7" if digit[0] != b"7" else b"8", content, count=1)


def flipped(content: bytes) -> bytes:
    return content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]


ANY: dict[str, Damage] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "null": lambda content: b"null\n",
    "a list": lambda content: b"[]\n",
    "no text": lambda content: b"\xff\xfe\n",
    "flipped": flipped,
    "gone": lambda content: None,
}
TEXT = {**ANY, "another number": another_number}
RECORD = {**TEXT, "without a key": without_a_key}
LINES: dict[str, Damage] = {
    **TEXT,
    "swapped": swapped,
    "doubled": lambda content: content.splitlines(keepends=True)[0] + content,
    "without the first": lambda content: content.partition(b"\n")[2],
    "without the last": lambda content: content[: content[:-1].rindex(b"\n") + 1],
    "other keys": lambda content: content.replace(b'"cycle": 1', b'"cycles": 1'),
}
DAMAGES = {".json": RECORD, ".jsonl": LINES, ".npy": ANY, ".yaml": TEXT}


# By folder: what else must go, so that a run reads these files again.
READ_AGAIN = {"runs": (), "trajectories": ("runs",), "steps": ("runs",), "cache": ("runs", "steps", "trajectories")}


@pytest.fixture
def command(tiny_run, tiny_model) -> list[str]:
    """A run that leaves every kind of file, in seconds."""
    words = [*tiny_run, "schedule.cycles=1", "training.epochs=1", "evaluate_at=last", "progress=plain"]
    words += ["strategy=entropy", "subsampling=ups", "subsampling.refresh=[0]", "pseudo_labeling=plasm"]
    words += ["model@pseudo_labeler=minilm_l6", f"pseudo_labeler.path={tiny_model}", "pseudo_labeler.sha256=null"]
    return ["run", *words, "pseudo_labeler.max_length=32"]


@pytest.fixture
def whole(al, command, tmp_path) -> Path:
    """What the command left, for copies."""
    assert al(*command).code == 0
    (tmp_path / "outputs").rename(tmp_path / "whole")
    return tmp_path / "whole"


def kinds(whole: Path) -> dict[str, Path]:
    """A file of each kind that is read back, by folder and name."""
    places = {}
    for path in sorted(whole.rglob("*")):
        room, *parts = path.relative_to(whole).parts
        if room in READ_AGAIN and path.suffix in DAMAGES:
            kind = parts[1:] if room in ("trajectories", "steps") else parts[2:]
            places.setdefault("/".join([room, *kind]), path.relative_to(whole))
    return places


def follow(al, command: list[str]) -> str:
    """Give the command until it succeeds, deleting what it says; returns all that it printed."""
    printed = ""
    for _ in range(4):
        done = al(*command)
        printed += done.out + done.err
        if done.code == 0:
            return printed
        (line,) = done.err.splitlines()
        assert line.startswith("al-bench: ")
        shutil.rmtree(re.search(r"restore the file or delete (\S+) to compute all of it again", line)[1])
    raise AssertionError(printed)


def damaged_and_mended(al, command: list[str], whole: Path, path: Path, damage: Damage) -> None:
    outputs = whole.with_name("outputs")
    shutil.rmtree(outputs, ignore_errors=True)
    shutil.copytree(whole, outputs)
    for other in READ_AGAIN[path.parts[0]]:
        shutil.rmtree(outputs / other)
    before = (outputs / path).read_bytes()
    after = damage(before)
    assert after != before
    (outputs / path).unlink() if after is None else (outputs / path).write_bytes(after)
    printed = ""
    if path.parts[0] == "runs":
        (problem, *_) = load([outputs]).problems
        assert path.name in problem.reason or "ledger" in problem.reason
        assert REMEDY in problem.reason
        tables = al("tables", "iteration")
        assert "Traceback" not in tables.err
        printed = tables.err
    printed += follow(al, command)
    for problem in load([outputs]).problems:  # of files that a finished run does not read
        shutil.rmtree(problem.directory)
    printed += follow(al, command)
    assert decided(outputs) == decided(whole)
    assert load([outputs]).problems == ()
    if path.parts[0] == "runs" or (after is not None and path.suffix in (".npy", ".json")):
        assert path.name in printed or (path.parts[0] == "cache" and "is damaged; it is computed again" in printed)


SOME = {
    "runs/config.yaml": "another number",
    "runs/costs.jsonl": "swapped",
    "runs/identity.json": "null",
    "runs/ledger.jsonl": "without the last",
    "runs/provenance.json": "empty",
    "runs/status.json": "cut",
    "trajectories/ledger.jsonl": "another number",
    "trajectories/scores/cycle_0000.npy": "flipped",
    "steps/score.npy": "flipped",
    "steps/values.json": "without a key",
    "cache/tokens.npy": "flipped",
}


def test_what_is_damaged_is_named_and_mended(al, command, whole):
    paths = kinds(whole)
    for place, name in SOME.items():
        damaged_and_mended(al, command, whole, paths[place], DAMAGES[paths[place].suffix][name])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("learner", ["transformer", "linear"])
def test_every_file_damaged_in_every_way(al, command, whole, learner, tmp_path):
    if learner == "linear":
        command += ["acquisition.learner=linear", "strategy=mahalanobis"]
        shutil.rmtree(whole)
        assert al(*command).code == 0
        (tmp_path / "outputs").rename(whole)
    tried = 0
    for path in kinds(whole).values():
        for damage in DAMAGES[path.suffix].values():
            damaged_and_mended(al, command, whole, path, damage)
            tried += 1
    assert tried > 150


def test_reports_are_made_of_the_other_runs(al, command, whole, tmp_path):
    """With every file of one run damaged, one of each kind in a step, and both trajectories."""
    assert al(*command, "seed=7", "output_dir=whole").code == 0
    files = {whole / path for path in kinds(whole).values() if path.parts[0] != "cache"}
    for path in files | {*whole.glob("trajectories/*/ledger.jsonl")}:
        path.write_bytes(flipped(path.read_bytes()))
    report = al("report", "--output-dir", "whole", "--tracking", "none")
    assert report.code == 0, report.err
    page = (whole / "report.html").read_text()
    assert "config.yaml is damaged, or of an earlier format; restore it, or delete the folder" in page
    assert "ledger.jsonl is missing or damaged, and left out; restore it, or delete" in report.err
    tables = al("tables", "iteration", "--output-dir", "whole")
    assert tables.code == 0, tables.err
    assert tables.err.count("config.yaml is damaged") == 1
    plan = al("plan", *command[1:], "output_dir=whole")
    (line,) = plan.err.splitlines()
    assert "ledger.jsonl: missing or damaged" in line


def test_a_damaged_card_leaves_the_other_jobs_in_the_summary(tmp_path):
    for number in range(3):
        sweep.record_job(tmp_path, number, [f"seed={number}"], tmp_path / "runs" / str(number))
    (tmp_path / "jobs" / "0001.json").write_text("null")
    sweep.started.append((tmp_path, "outputs", [[f"seed={number}"] for number in range(3)]))
    with pytest.raises(UserError) as caught:
        sweep.close()
    assert [line.partition(")")[0] for line in str(caught.value).splitlines()] == [
        f"job {number} (seed={number}" for number in range(3)
    ]
    assert len(json.loads((tmp_path / "summary.json").read_text())) == 3


# ------------------------------------------------------------------------------------------ one after the other

FAULTS = 100


def in_fork(action: Callable[[], int]) -> int:
    """The process that does it, and exits with what it returns."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = action()
        finally:
            os._exit(code)  # or two processes would go on with the tests
    return child


def small_files(al, command: list[str], longest: int) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, longest))
    done = al(*command)
    assert done.code == 0 or "File too large; make room, then the same command continues" in done.err
    return done.code


def committed(outputs: Path) -> dict[Path, bytes]:
    """The complete lines of every ledger."""
    return {path: path.read_bytes().rpartition(b"\n")[0] for path in outputs.rglob("ledger.jsonl")}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_random_faults_of_all_kinds(al, command, whole, capfd, monkeypatch):
    """Kills, terminations, full disks and damaged files at random, until what is done equals the undisturbed run."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # or a fork is warned of
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    outputs, rng, counts = whole.with_name("outputs"), random.Random(0), Counter()
    began = time.monotonic()
    assert al(*command).code == 0
    length, rounds = time.monotonic() - began, 0
    assert decided(outputs) == decided(whole)
    while counts.total() < FAULTS:
        rounds += 1
        shutil.rmtree(outputs)
        finished = False
        while not finished:
            fault = rng.choice(["kill", "terminate", "full disk", "damage", "damage"])
            before = committed(outputs)
            if fault == "damage":
                files = [path for path in outputs.rglob("*") if path.suffix in DAMAGES]
                if not files:
                    continue
                path = rng.choice(sorted(files))
                after = rng.choice(list(ANY.values()))(path.read_bytes())
                path.unlink() if after is None else path.write_bytes(after)
                done = al(*command)
                if done.code:
                    (line,) = done.err.splitlines()
                    shutil.rmtree(re.search(r"restore the file or delete (\S+) to compute all of it again", line)[1])
                counts[fault] += 1
                finished = done.code == 0 and rng.random() < 0.5
                continue
            if fault == "full disk":
                child = in_fork(partial(small_files, al, command, rng.randrange(300, 12_000)))
            else:
                child = in_fork(lambda: al(*command).code)
                time.sleep(rng.random() * length)
                os.kill(child, signal.SIGKILL if fault == "kill" else signal.SIGTERM)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 1, 143, -signal.SIGKILL, -signal.SIGTERM), code
            assert all(path.read_bytes().startswith(content) for path, content in before.items())
            counts[fault] += code != 0
            finished = code == 0 and rng.random() < 0.5
        shutil.rmtree(outputs / "runs", ignore_errors=True)  # so that all is read again
        follow(al, command)
        assert decided(outputs) == decided(whole), counts
        assert load([outputs]).problems == ()
        assert not list(outputs.rglob(".*.tmp"))
    with capfd.disabled():
        print(f"\n{rounds} rounds, {dict(counts)}")
