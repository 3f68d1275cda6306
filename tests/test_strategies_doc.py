"""docs/strategies.md is what its script makes of the registries and the measurements, and these are of all of them."""

import sys
from pathlib import Path

import pytest

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def test_the_page_is_not_stale():
    from strategies_doc import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `python scripts/strategies_doc.py`"


def test_every_strategy_and_candidate_pool_is_measured_at_every_size():
    from bench_strategies import RESULTS, SIZES, read

    names = [("strategy", name) for name in STRATEGIES.shipped]
    names += [("subsampling", name) for name in CANDIDATE_POOLS.shipped if name != "none"]
    missing = {(*name, n) for name in names for n in SIZES} - read(RESULTS).keys()
    assert not missing, "run `python scripts/bench_strategies.py`"


def test_a_query_is_measured(tmp_path, monkeypatch, capsys):
    from bench_strategies import main

    words = ["--only", "badge", "ups", "--sizes", "300", "--output", str(tmp_path / "s.csv")]
    monkeypatch.setattr(sys, "argv", ["bench_strategies", *words])
    main()
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["badge at 300", "ups at 300"]
    rows = (tmp_path / "s.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:3] for row in rows] == [["strategy", "badge", "300"], ["subsampling", "ups", "300"]]
    assert all(0 < float(row.split(",")[3]) < 60 for row in rows)
