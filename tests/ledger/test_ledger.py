"""Records that survive a kill at any byte."""

import pytest

from al_bench.ledger.ledger import Ledger, read_json, write_json, write_whole

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
    assert ledger.path.read_bytes() == b"".join([*lines[:number], b'{"next": 1}\n'])


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
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"half of wha")
    assert read_json(path) == {"state": "running"}
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "new.json", b"half")
    assert not (tmp_path / "new.json").exists()


def test_a_written_file_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a", b"1")
    write_whole(tmp_path / "a", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"2"
