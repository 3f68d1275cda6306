"""Who beats whom: made-up runs with known effects."""

import numpy as np
from made import write_ledger
from sweeps import varied
from synthetic import settings_of, write_runs
from test_answers import effects

from al_bench.ledger.ledger import Ledger
from al_bench.report.tables import Table, penalty_table

SEEDS = "seed=1,2,3,4,5"
ARMS = (varied(SEEDS), varied(SEEDS, "model@acquisition=minilm_l6"), varied(SEEDS, "strategy=random"))


def table_of(folder, *commands, **by_kind) -> Table | None:
    for command in commands:
        write_runs(folder, command, effects(**by_kind), 0.0005)
    (setting,) = settings_of(folder)
    return penalty_table(setting)


def test_the_better_beat_the_worse_at_every_budget(tmp_path):
    """Random loses 5 points, a mismatched selection 2: the order is total, and known."""
    table = table_of(tmp_path, *ARMS, random=-5.0, mismatch=-2.0)
    assert table.heads == ["who beats whom", "1", "2", "3", "beats", "is beaten"]
    names = [row[0].text for row in table.rows]
    assert names == ["1. minilm_l6", "2. minilm_l3", "3. random"]
    shown = [[cell.text.replace("\u202f", " ").replace("\u00a0", " ") for cell in row[1:]] for row in table.rows]
    assert shown == [
        ["–", "100 %", "100 %", "100 %", "0 %"],
        ["0 %", "–", "100 %", "50 %", "50 %"],
        ["0 %", "0 %", "–", "0 %", "100 %"],
    ]


def test_a_budget_where_one_was_not_evaluated_does_not_count(tmp_path):
    late = varied(SEEDS, "model@acquisition=minilm_l6", "evaluate_at=[3]")
    table = table_of(tmp_path, ARMS[0], late, ARMS[2], random=-5.0, mismatch=-2.0)
    assert [cell.sort for cell in table.rows[0][2:4]] == [1.0, 1.0]


def test_the_seed_set_that_all_share_does_not_count(tmp_path):
    """Whoever is best at all budgets that queries decide beats the others at all of them, not at three of four."""
    for command in ARMS:
        for folder in write_runs(tmp_path, command, effects(random=-5.0, mismatch=-2.0), 0.0005):
            first, *rest = Ledger(folder / "ledger.jsonl").read()
            fitted = first | {"successor": {"accuracy": 0.5, "ece": 0.1}}
            write_ledger(folder / "ledger.jsonl", [fitted, *rest])
    (setting,) = settings_of(tmp_path)
    assert [cell.sort for cell in penalty_table(setting).rows[0][2:4]] == [1.0, 1.0]


def test_before_the_first_query_there_is_nothing_to_compare(tmp_path):
    commands = (f"{command} evaluate_at=[0]" for command in ARMS)
    assert table_of(tmp_path, *commands, random=-5.0, mismatch=-2.0) is None


def test_nobody_beats_anybody(tmp_path):
    """Made of the same numbers: the page says so in a line."""
    for command in ARMS:
        write_runs(tmp_path, command, lambda row: 0.0, 0.0)
    (setting,) = settings_of(tmp_path)
    table = penalty_table(setting)
    assert table.rows == []
    assert table.caption.startswith("No method beats another")


def test_what_cannot_be_compared_has_no_table(tmp_path):
    """Two methods are compared by a sentence; other budgets, or single seeds, by nothing."""
    assert table_of(tmp_path / "two", *ARMS[:2]) is None
    other = varied(SEEDS, "strategy=random", "schedule.step=150")
    assert table_of(tmp_path / "budgets", *ARMS[:2], other) is None
    single = [command.replace(SEEDS, f"seed={seed}") for seed, command in enumerate(ARMS, start=1)]
    assert table_of(tmp_path / "single", *single) is None


def test_a_ceiling_takes_no_part(tmp_path):
    ceiling = varied(SEEDS, "strategy=random", "schedule.initial=1.0", "schedule.cycles=0")
    table = table_of(tmp_path, *ARMS, ceiling, random=-5.0, mismatch=-2.0)
    assert len(table.rows) == 3
    assert not any(np.isnan(cell.sort) for row in table.rows for cell in row[1:])
