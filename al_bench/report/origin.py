"""Where the results come from: versions, hardware, commands, and a line for every run."""

import shlex
from collections import Counter
from typing import Any

from al_bench.analysis.store import Results
from al_bench.analysis.words import count
from al_bench.report.tables import HEADS, TEXTS, Table, amount, word
from al_bench.report.wording import CAPTIONS


def facts(provenances: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was recorded, by name; where runs differ, each value with the number of its runs."""
    values = [(name, _counted(provenances, key)) for key, name in CAPTIONS["facts"].items()]
    versions = [provenance.get("versions") or {} for provenance in provenances]
    packages = [(name, _counted(versions, name)) for name in sorted({name for one in versions for name in one})]
    values.append(("packages", ", ".join(f"{name} {version}" for name, version in packages if version)))
    return [(name, text) for name, text in values if text]


def _counted(records: list[dict[str, Any]], key: str) -> str:
    counted = Counter(text for text in (_text(record.get(key)) for record in records) if text)
    if len(counted) < 2:
        return "".join(counted)
    return "; ".join(f"{value} ({count(n, 'run')})" for value, n in counted.items())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items())
    return "" if value is None else str(value)


def commands(provenances: list[dict[str, Any]]) -> list[str]:
    """The command lines that were typed, once each."""
    lines: dict[str, None] = {}
    for provenance in provenances:
        typed = [str(part) for part in provenance.get("command") or []]
        if typed:
            # `python -m al_bench`, or the script that pip installed, is `al-bench` to who types it.
            program = shlex.split(typed[0]) if typed[0].startswith("al-bench") else ["al-bench"]
            lines[shlex.join([*program, *typed[1:]])] = None
    return list(lines)


def run_table(results: Results) -> Table:
    """Every run that could be read: its folder's name ends in the hash of its config."""
    rows = []
    for run, row in results.runs.iterrows():
        done = row.cycles_done / max(row.cycles_planned, 1)
        cells = [word(run), word(row["name"]), amount(row.seed, str(row.seed)), word(row.state)]
        cells.append(amount(done, f"{row.cycles_done} of {row.cycles_planned}"))
        rows.append([*cells, *(word(part or "–") for part in (row.trajectory, row.precision, row.host))])
    return Table(HEADS["runs"], rows, TEXTS["runs"])
