"""Where the results come from: versions, hardware, commands, and a line for every run."""

import shlex
from typing import Any

from al_bench.analysis.store import Results
from al_bench.analysis.words import count
from al_bench.report.tables import Table, amount, word

FACTS = {
    "al_bench": "al-bench",
    "git": "commit",
    "python": "Python",
    "precision": "precision",
    "hardware": "device",
    "processor": "processor",
    "cpu_count": "CPU cores",
    "platform": "platform",
    "host": "host",
}
RUNS = ("run", "experiment", "seed", "state", "cycles", "trajectory", "precision", "host")
RUNS_CAPTION = """A run’s name ends in the hash of all in its config that its results depend on; a trajectory’s name is
the hash of all that its queries depend on."""


def facts(provenances: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was recorded, by name; where runs differ, each value with the number of its runs."""
    values = [(name, _counted([_text(p.get(key)) for p in provenances])) for key, name in FACTS.items()]
    values.append(("packages", _packages([provenance.get("versions") or {} for provenance in provenances])))
    return [(name, text) for name, text in values if text]


def _packages(versions: list[dict[str, Any]]) -> str:
    names = sorted({name for one in versions for name in one})
    values = [(name, _counted([_text(one.get(name)) for one in versions])) for name in names]
    return ", ".join(f"{name} {version}" for name, version in values if version)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items())
    return "" if value is None else str(value)


def _counted(values: list[str]) -> str:
    counted = {value: values.count(value) for value in dict.fromkeys(values) if value}
    if len(counted) < 2:
        return "".join(counted)
    return "; ".join(f"{value} ({count(n, 'run')})" for value, n in counted.items())


def commands(provenances: list[dict[str, Any]]) -> list[str]:
    """The command lines that were typed, once each."""
    lines = []
    for provenance in provenances:
        typed = [str(part) for part in provenance.get("command") or []]
        # `python -m al_bench`, or the script that pip installed, is `al-bench` to who types it.
        program = shlex.split(typed[0]) if typed and typed[0].startswith("al-bench") else ["al-bench"]
        lines.append(shlex.join([*program, *typed[1:]]) if typed else "")
    return [line for line in dict.fromkeys(lines) if line]


def run_table(results: Results) -> Table:
    """Every run that could be read: its folder's name ends in the hash of its config."""
    rows = []
    for run, row in results.runs.iterrows():
        done = row.cycles_done / max(row.cycles_planned, 1)
        cells = [word(run), word(row["name"]), amount(row.seed, str(row.seed)), word(row.state)]
        cells.append(amount(done, f"{row.cycles_done} of {row.cycles_planned}"))
        rows.append([*cells, *(word(part or "–") for part in (row.trajectory, row.precision, row.host))])
    return Table(RUNS, rows, RUNS_CAPTION)
