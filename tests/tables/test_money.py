"""What labels and the machine cost, and scores at equal money: by hand, and never beyond what was spent."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import write_ledger
from matplotlib.figure import Figure
from sweeps import varied
from synthetic import WORDS, contrasts_of, jobs, write_runs

from al_bench.analysis.measures import Measures
from al_bench.analysis.statistics import at_equal_cost
from al_bench.analysis.store import load
from al_bench.ledger.ledger import Ledger
from al_bench.report.pictures import pictures
from al_bench.report.tables import paid_table
from al_bench.tables.build import Table, build
from al_bench.tables.render import comma_separated, latex, markdown
from al_bench.tables.specs import available, read

MONEY = read(available()["money"])
SEEDS = "seed=1,2"
EVERYTHING = ("strategy=random", "schedule.initial=1.0", "schedule.cycles=0", SEEDS)


def priced(
    example: float | None = None, word: float | None = None, oracle: str = "gold", **price: Any
) -> dict[str, Any]:
    params = {} if oracle == "gold" else {"rate": 0.25}
    return {"oracle": {"name": oracle, "params": params, "price": {"example": example, "word": word}}, "price": price}


def with_scores(folder: Path, curve: list[float], seconds: float = 0.0) -> None:
    """The run with other scores of its successor and, per cycle, other seconds and money of the machine."""
    lines = Ledger(folder / "ledger.jsonl").read()
    for line, score in zip(lines, curve, strict=True):
        line["successor"]["accuracy"] = score
    write_ledger(folder / "ledger.jsonl", lines)
    costs = Ledger(folder / "costs.jsonl").read()
    write_ledger(folder / "costs.jsonl", [{**one, "money_machine": seconds} for one in costs])


def cells(table: Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By arm and oracle of a row, its cells by head."""
    return {(row.key[2], row.key[5]): dict(zip(table.heads, row.cells, strict=True)) for row in table.rows}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (([10, 20], [1, 2]), ([0, 40], [0, 8]), (2, 4)),  # at 20
        (([10, 20], [1, 2]), ([0, 15], [0, 3]), (1.5, 3)),  # at 15
        (([40], [9]), ([0, 80], [0, 8]), (9, 4)),  # one point
        (([40], [9]), ([0, 30], [0, 8]), None),  # beyond the other's end
        (([40], [9]), ([50, 80], [0, 8]), None),  # before its beginning
        (([0, 1], [1, 2]), ([1, 2], [5, 6]), (2, 5)),  # one cost in common
        (([0, 5, 5], [1, 2, 3]), ([0, 10], [0, 10]), (3, 5)),  # what costs nothing more
        (([], []), ([0, 10], [0, 10]), None),
    ],
)
def test_equal_cost_by_hand(a, b, expected):
    assert at_equal_cost(a, b) == expected


curves = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 40), min_size=n, max_size=n, unique=True).map(sorted),
        st.lists(st.integers(-50, 50), min_size=n, max_size=n),
    )
)


@given(curves, curves)
def test_equal_cost_is_on_both_curves(a, b):
    """By drawing each curve at every whole cost: nothing is said outside of either, and the dearest is taken."""
    both = sorted(set(range(a[0][0], a[0][-1] + 1)) & set(range(b[0][0], b[0][-1] + 1)))
    found = at_equal_cost(a, b)
    assert (found is None) == (not both)
    if found is not None:
        for (costs, scores), one in zip((a, b), found, strict=True):
            after = next(i for i, cost in enumerate(costs) if cost >= both[-1])
            before = max(after - 1, 0)
            share = (both[-1] - costs[before]) / (costs[after] - costs[before]) if after > before else 1.0
            assert one == pytest.approx(scores[before] + share * (scores[after] - scores[before]))
        assert at_equal_cost(b, a) == found[::-1]


def test_money_adds_up(tmp_path):
    """100 examples, then 100 more each time, of 14 words; the machine takes 2 a cycle."""
    (folder,) = write_runs(tmp_path, varied("seed=1"), facts=priced(0.5, 0.01, hour=1.0, currency="EUR"))
    with_scores(folder, [0.5] * 4, seconds=2.0)
    measures = Measures(load([tmp_path]))
    labels = [n * (0.5 + 0.01 * WORDS) for n in (100, 200, 300, 400)]
    assert measures.wide("money/labels").iloc[0].tolist() == pytest.approx(labels)
    assert measures.wide("money/machine").iloc[0].tolist() == [2, 4, 6, 8]
    total = [one + other for one, other in zip(labels, (2, 4, 6, 8), strict=True)]
    assert measures.wide("money/total").iloc[0].tolist() == pytest.approx(total)


@pytest.mark.parametrize(
    ("facts", "known"),
    [
        (priced(), []),
        (priced(0.0, hour=None, currency="EUR"), ["labels", "total"]),  # free, which is a price
        (priced(0.5), ["labels", "total"]),
        (priced(hour=3.6), ["machine", "total"]),
        (priced(word=0.5, hour=3.6), ["labels", "machine", "total"]),
    ],
)
def test_only_what_has_a_price_is_shown(tmp_path, facts, known):
    write_runs(tmp_path, varied("seed=1"), facts=facts)
    results = load([tmp_path])
    assert sorted(name[6:] for name in set(results.cycles.metric) if name.startswith("money/")) == known
    assert results.runs.priced.tolist() == [bool(known)]
    table = build(MONEY, contrasts_of(tmp_path), "")
    assert bool(table.rows) == bool(known)


@pytest.fixture(scope="module")
def paid(tmp_path_factory) -> Path:
    """Gold costs 0.2 an example and the noisy oracle 0.02, so that 40 buys 200 of gold or all 2,000 of the noisy."""
    folder: Path = tmp_path_factory.mktemp("paid")
    gold, noisy = priced(0.2, currency="EUR"), priced(0.02, oracle="noisy", currency="EUR")
    for seed, folder_ in enumerate(write_runs(folder, varied("strategy=random", SEEDS), facts=gold)):
        with_scores(folder_, [0.5 + 0.1 * seed, 0.6, 0.7, 0.8])  # for 20, 40, 60 and 80
    for folder_ in write_runs(folder, varied(SEEDS), facts=gold):
        with_scores(folder_, [0.6, 0.7, 0.8, 0.9])
    for folder_ in write_runs(folder, varied(*EVERYTHING), facts=noisy):
        with_scores(folder_, [0.75])  # for 40
    for folder_ in write_runs(folder, varied(SEEDS), facts=noisy):
        with_scores(folder_, [0.4, 0.5, 0.6, 0.7])  # for 2 to 8
    for folder_ in write_runs(folder, varied("model@acquisition=minilm_l6", SEEDS)):
        with_scores(folder_, [0.4, 0.5, 0.6, 0.7])  # for nobody knows what
    return folder


def test_the_table_of_money(paid):
    table = build(MONEY, contrasts_of(paid), "")
    rows = cells(table)
    assert sorted(rows) == [
        ("ASM", "gold"),
        ("ASM", "noisy (rate=0.25)"),
        ("ceiling", "noisy (rate=0.25)"),
        ("random", "gold"),
    ]
    everything = rows["ceiling", "noisy (rate=0.25)"]
    means = {head: cell.estimate.mean for head, cell in everything.items() if cell.estimate is not None}
    assert means == pytest.approx(
        {"score": 75, "right": 75, "labels": 40, "together": 40, "at equal money": 75, "random then": 60, "gain": 15}
    )
    selected = rows["ASM", "gold"]
    assert (selected["at equal money"].estimate.mean, selected["random then"].estimate.mean) == pytest.approx((90, 80))
    assert selected["gain"].estimate.mean == pytest.approx(10)
    assert rows["ASM", "noisy (rate=0.25)"]["gain"].word == "no common money"
    assert {cell.word for head, cell in rows["random", "gold"].items() if head == "gain"} == {"reference"}
    text = markdown(table)
    assert "Money in EUR" in text
    assert "seed by seed at the most money that both methods spend" in text
    assert "+15.00" in text
    assert r"\begin{tabular}" in latex(table)
    rows_of_csv = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert [row["mean"] for row in rows_of_csv if row["show"] == "gain_at_money" and row["mean"]] == ["10", "15"]


def test_the_report_of_money(paid):
    (setting,) = contrasts_of(paid).settings
    table = paid_table(setting)
    assert table is not None
    rows = {row[0].text: [cell.text for cell in row[6:]] for row in table.rows}
    assert rows["everything, labelled by noisy (rate=0.25)"] == ["40.00", "–", "40.00", "EUR", "75.0"]
    assert rows["minilm_l6"] == ["–", "–", "–", "–", "70.0"]
    drawn = {picture.name: picture for picture in pictures(setting, [])}
    for name in ("curve_money", "score_against_money"):
        figure = drawn[name].figure
        assert isinstance(figure, Figure)
        assert figure.axes[-1].get_xlabel() == "money until the score was known (EUR)"
    names = [text.get_text() for text in drawn["score_against_money"].figure.legends[0].get_texts()]
    assert not any(name.startswith("minilm_l6") for name in names)
    (front,) = [line for line in drawn["score_against_money"].figure.axes[0].lines if line.get_linestyle() == ":"]
    assert np.asarray(front.get_xydata()) == pytest.approx(np.array([[8, 70], [40, 75], [80, 90]]))


def test_nothing_of_money_without_prices(tmp_path):
    write_runs(tmp_path, varied(SEEDS))
    write_runs(tmp_path, varied("strategy=random", SEEDS))
    (setting,) = contrasts_of(tmp_path).settings
    assert paid_table(setting) is None
    assert not any("money" in picture.name for picture in pictures(setting, []))


def test_currencies_are_not_mixed(tmp_path):
    write_runs(tmp_path, varied("strategy=random", SEEDS), facts=priced(0.2, currency="EUR"))
    write_runs(tmp_path, varied(SEEDS), facts=priced(0.2, currency="USD"))
    contrasts = contrasts_of(tmp_path)
    table = build(MONEY, contrasts, "")
    assert cells(table)["ASM", "gold"]["gain"].estimate is None
    drawn = {picture.name: picture.figure for picture in pictures(contrasts.settings[0], [])}
    assert drawn["curve_money"] == "prices are in several currencies (EUR, USD)"


def test_the_shipped_arms_have_money_in_common(tmp_path):
    """What the cheap oracle takes for everything lies between the first and the last sum of those who ask people."""
    answers = tmp_path / "weak.csv"
    answers.write_text("id,label\n", encoding="utf-8")
    (everything,) = jobs(f"+experiment=trec6_money/weak_all oracle.params.file={answers}")
    cost = everything.oracle.price.example * everything.dataset.train_examples
    for name in ("gold_active", "gold_random"):
        (config,) = jobs(f"+experiment=trec6_money/{name}")
        schedule = config.schedule
        assert schedule.initial <= cost <= schedule.initial + schedule.cycles * schedule.step
