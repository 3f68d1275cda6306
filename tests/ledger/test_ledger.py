"""Records that survive a kill at any byte."""

import errno
import json
import os
import platform
import subprocess
import sys
import time

import pytest

from al_bench.errors import UserError
from al_bench.ledger.ledger import Ledger, load_record, read_json, remove_leftovers, sealed, write_json, write_whole

RECORDS = [{"cycle": 0, "names": "ä\u2028\n"}, {"cycle": 1, "ids": [1, 2]}, {"cycle": 2, "score": 0.1, "x": None}]


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number, record in enumerate(RECORDS):
        ledger.put(number, record)
    return ledger


def test_reads_what_was_put(ledger, tmp_path):
    assert ledger.read() == RECORDS
    assert Ledger(tmp_path / "none.jsonl").read() == []
    assert ledger.path.read_bytes().count(b"\n") == 3


def test_a_line_torn_anywhere_is_dropped_and_writing_goes_on(ledger):
    whole = ledger.path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for cut in range(start, len(whole)):
        ledger.path.write_bytes(whole[:cut])
        assert ledger.read() == RECORDS[:2]
        ledger.put(2, RECORDS[2])
        assert ledger.path.read_bytes() == whole


def test_a_torn_first_line(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_bytes(b'{"cycle')
    assert ledger.read() == []
    ledger.put(0, RECORDS[1])
    assert ledger.read() == [RECORDS[1]]


@pytest.mark.parametrize("tail", [b"", b'{"cycle": 3, "ha'])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_put_replaces_a_record_and_all_after_it(ledger, number, tail):
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines) + tail)
    ledger.put(number, {"next": 1})
    assert ledger.read() == [*RECORDS[:number], {"next": 1}]
    assert ledger.path.read_bytes().startswith(b"".join([*lines[:number], b'{"next": 1, "check": "']))


def test_records_are_put_in_order(tmp_path):
    ledger = Ledger(tmp_path / "none.jsonl")
    with pytest.raises(AssertionError):
        ledger.put(1, RECORDS[1])
    ledger.put(0, RECORDS[0])
    assert ledger.read() == RECORDS[:1]


def test_a_record_that_is_no_json_leaves_no_trace(ledger):
    before = ledger.path.read_bytes()
    for record in ({"score": float("nan")}, {"ids": {1, 2}}):
        with pytest.raises((ValueError, TypeError)):
            ledger.put(3, record)
    assert ledger.path.read_bytes() == before


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    write_json(path, {"state": "running"})

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match=r"no space left: '.*status\.json'"):
        write_whole(path, b"half of wha")
    assert read_json(path) == {"state": "running"}
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "new.json", b"half")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"], "no temporary file takes room"


def test_a_written_file_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a", b"1")
    write_whole(tmp_path / "a", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"2"


# ------------------------------------------------------------------------------------------------- damage

LOST = {
    "changed": lambda lines: [lines[0], lines[1].replace(b"2", b"3"), lines[2]],
    "another key": lambda lines: [lines[0], lines[1].replace(b"ids", b"idx"), lines[2]],
    "dropped": lambda lines: [lines[0], lines[2]],
    "doubled": lambda lines: [lines[0], lines[0], lines[1], lines[2]],
    "swapped": lambda lines: [lines[0], lines[2], lines[1]],
    "without its check": lambda lines: [lines[0], lines[1].partition(b', "check"')[0] + b"}\n", lines[2]],
    "empty": lambda lines: [lines[0], b"\n", lines[2]],
    "null": lambda lines: [lines[0], b"null\n", lines[2]],
    "no JSON": lambda lines: [lines[0], b"{]\n", lines[2]],
    "from another file": lambda lines: [lines[0], *sealed([b'{"cycle": 1, "ids": [1, 2]}']), lines[2]],
}


@pytest.mark.parametrize("damage", LOST)
def test_a_damaged_line_shows(ledger, damage):
    ledger.path.write_bytes(b"".join(LOST[damage](ledger.path.read_bytes().splitlines(keepends=True))))
    assert ledger.scan() == (RECORDS[:1], 2)
    with pytest.raises(UserError, match=rf"ledger\.jsonl: missing or damaged, .*delete {ledger.path.parent} to"):
        ledger.read()
    before = ledger.path.read_bytes()
    with pytest.raises(UserError):
        ledger.put(3, {"cycle": 3})
    assert ledger.path.read_bytes() == before, "damage is not sealed in"
    ledger.put(1, RECORDS[1])
    assert ledger.read() == RECORDS[:2], "what is replaced may be damaged"


RECORD = {"state": "finished", "cycles": 3, "values": {"f1": 0.25, "none": None, "names": ["ä", 1]}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:-3],
        lambda text: "",
        lambda text: "null",
        lambda text: "[]",
        lambda text: "3",
        lambda text: '"text"',
        lambda text: "{}",
        lambda text: text.replace("0.25", "0.26"),
        lambda text: text.replace('"cycles": 3,', ""),
        lambda text: text.replace('"cycles"', '"cyclez"'),
        lambda text: text.replace('"cycles": 3,', '"cycles": 3, "more": 1,'),
        lambda text: text.replace('"sha256"', '"sha255"'),
        lambda text: "[" * 100_000,
        lambda text: None,
    ],
)
def test_a_damaged_record_is_named(tmp_path, damage):
    path = tmp_path / "values.json"
    write_json(path, RECORD)
    assert read_json(path) == load_record(path) == RECORD
    text = damage(path.read_text())
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(
        UserError, match=rf"^{path}: missing or damaged, .* delete {tmp_path} to compute all of it again"
    ):
        read_json(path)
    assert load_record(path) == {}


def test_a_record_may_be_laid_out_anew(tmp_path):
    path = tmp_path / "values.json"
    write_json(path, RECORD)
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert read_json(path) == RECORD


# ------------------------------------------------------------------------------------- what a kill leaves


def test_what_dead_processes_left_is_removed(tmp_path):
    here, elsewhere = platform.node(), "some.other-host"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [f".status.json.{here}.{dead.pid}.tmp", f"runs/x/.ledger.jsonl.{here}.{os.getpid()}.tmp"]
    gone += [f"cache/.key.{here}.{dead.pid}.tmp/tokens.npy", f"steps/.values.json.{elsewhere}.1.tmp"]
    kept = [f"runs/.status.json.{here}.{os.getppid()}.tmp", f"runs/.status.json.{elsewhere}.1.tmp"]
    kept += ["runs/.hidden", "notes.tmp", f"mlartifacts/.a.{here}.{dead.pid}.tmp"]
    for name in [*gone, *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / gone[-1], (two_days_ago, two_days_ago))
    remove_leftovers(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
