"""Tables and report, on the same random sweeps: every number, mark and verdict that both show is the same."""

import re

import numpy as np
import pytest
from sweeps import RIVALS, varied
from synthetic import contrasts_of, write_runs

from al_bench.analysis.contrasts import best_of
from al_bench.ledger.ledger import read_json, write_json
from al_bench.report.answers import answers
from al_bench.report.tables import iteration_table, score_table
from al_bench.tables.build import build
from al_bench.tables.specs import available, read

SEEDS = 8


def random_sweep(folder, number: int) -> None:
    """Some of the rivals, some of their seeds, unknown effects, and here and there another machine."""
    rng = np.random.default_rng(number)
    effects = dict(
        zip(("ASM", "no mismatch", "PLASM", "random", "ceiling", "ups"), rng.normal(0, 0.01, 6), strict=True)
    )

    def effect(row) -> float:
        return effects[row["arm"]] + (effects["ups"] if row["subsampling"] != "none" else 0.0)

    seeds = ",".join(map(str, range(1, SEEDS + 1)))
    for changes in ((), *RIVALS):
        if changes and rng.random() < 0.25:
            continue
        runs = write_runs(folder, varied(*changes, f"seed={seeds}"), effect, float(rng.choice([0.001, 0.01])))
        for run in rng.permutation(runs)[: rng.integers(0, 4)]:
            (run / "config.yaml").unlink()
        for run in rng.permutation(runs)[: rng.integers(0, 3)]:
            write_json(run / "provenance.json", {**read_json(run / "provenance.json"), "host": "another"})


@pytest.mark.parametrize("number", [*range(6), *(pytest.param(n, marks=pytest.mark.slow) for n in range(6, 20))])
def test_both_pages_show_the_same(number, tmp_path):
    random_sweep(tmp_path, number)
    contrasts = contrasts_of(tmp_path)
    for check in (scores_and_areas, differences_and_stars, areas_against_random, seconds_and_bounds, bold):
        check(contrasts)


def table_cells(contrasts, name):
    """(row's key by name, cells by head) of a shipped table."""
    made = build(read(available()[name]), contrasts, "")
    for row in made.rows:
        yield dict(zip(made.keys, row.key, strict=True)), dict(zip(made.heads, row.cells, strict=True))


def method_of(setting, arm: str, acquisition: str | None = None, subsampling: str = "none"):
    methods = [m for m in setting.methods if m.arm == arm and m.about.subsampling == subsampling]
    return next(m for m in methods if acquisition is None or m.about.acquisition == acquisition)


def scores_and_areas(contrasts):
    (setting,) = contrasts.settings
    report = score_table(setting, best_of(contrasts.settings).get(setting.key))
    shown = {row[0].text: dict(zip(report.heads, row, strict=True)) for row in report.rows}
    compared = 0
    for name, head, column in (("mismatch", "at the end", {}), ("efficiency", "mean of the curve", {"AL": "ASM"})):
        for key, cells in table_cells(contrasts, name):
            for arm in ("no mismatch", "ASM", "random"):
                cell = cells.get({value: k for k, value in column.items()}.get(arm, arm))
                if (
                    cell is None
                    or cell.estimate is None
                    or (name == "efficiency" and arm == "ASM" and key["acquisition"] == key["successor"])
                ):
                    continue
                method = method_of(setting, arm, key["acquisition"] if arm == "ASM" else None)
                assert shown[method.label][head].sort == pytest.approx(cell.estimate.mean)
                assert setting.measures.sample(method.runs, "successor/accuracy", "last").seeds == method.seeds
                compared += 1
    assert compared >= 1


def differences_and_stars(contrasts):
    (setting,) = contrasts.settings
    by_topic = {}
    for answer in answers(setting, contrasts):
        if answer.contrast is not None:
            by_topic.setdefault(answer.topic, []).append(answer)
    for topic, name, head in (("mismatch", "mismatch", "ASM − no mismatch"), ("pseudo", "mismatch", "PLASM − ASM")):
        cells = [cells[head] for _, cells in table_cells(contrasts, name) if cells[head].estimate]
        whole = [a for a in by_topic.get(topic, ()) if "from a part" not in a.text and "`ups`" not in a.text]
        assert len(cells) == len(whole)
        for cell, answer in zip(cells, whole, strict=True):
            one = answer.contrast
            assert vars(cell.estimate) == pytest.approx(vars(one.difference), nan_ok=True)
            assert cell.p == pytest.approx(one.p)
            assert (cell.marks == "*") == (answer.verdict in ("more", "less"))
            stated = re.search(r"^(?!Whether).* (gains|loses|more than|less than) ", answer.text)
            assert bool(stated) == (cell.marks == "*")
            assert (cell.marks == "†") == (answer.verdict in ("untestable", "few"))
            assert cell.seeds == one.seeds
    for answer in by_topic.get("subsampling", ()):
        (cell,) = [c["UPS − whole pool"] for _, c in table_cells(contrasts, "ups") if c["UPS − whole pool"].estimate]
        assert (cell.marks == " ≡") == (answer.verdict == "equivalent")
        assert cell.estimate.mean == pytest.approx(answer.contrast.difference.mean)


def areas_against_random(contrasts):
    """At another point of the curve it is another family, but still that of the question."""
    family = contrasts.family("selection", "aulc")
    cells = [c["AL − random"] for _, c in table_cells(contrasts, "efficiency") if c["AL − random"].estimate]
    ps = sorted(one.contrast.p for one in family if one.first.about.subsampling == "none")
    assert sorted(cell.p for cell in cells) == pytest.approx(ps)


def seconds_and_bounds(contrasts):
    (setting,) = contrasts.settings
    report = iteration_table(setting)
    shown = {row[0].text: dict(zip(report.heads, row, strict=True)) for row in report.rows}
    for key, cells in table_cells(contrasts, "iteration"):
        if cells["iteration"].estimate is None:
            continue
        method = next(
            m
            for m in setting.acquirers()
            if m.about.acquisition == key["acquisition"] and m.about.subsampling == "none"
        )
        row = shown[method.selection]
        assert row["s per iteration"].sort == pytest.approx(cells["iteration"].estimate.mean)
        assert row["speed-up if scoring were free"].sort == pytest.approx(cells["bound"].estimate.mean)


def bold(contrasts):
    """Where a row has all methods of the setting in it, its best is bold on both pages, or on neither."""
    (setting,) = contrasts.settings
    best = best_of(contrasts.settings).get(setting.key)
    rivals = {m.label for m in setting.methods if m.arm != "ceiling"}
    for key, cells in table_cells(contrasts, "mismatch"):
        heads = [head for head in ("no mismatch", "ASM", "PLASM", "random") if cells[head].estimate]
        methods = {
            method_of(setting, head, key["acquisition"] if head in ("ASM", "PLASM") else None).label: head
            for head in heads
        }
        if set(methods) == rivals:
            assert [head for head in heads if cells[head].bold] == ([methods[best.label]] if best else [])


@pytest.mark.parametrize("seeds", [5, 8])
def test_without_any_effect_hardly_a_report_says_more_or_less(seeds):
    """Six methods against one random: unadjusted intervals called one in four such reports a difference."""
    from al_bench.analysis.contrasts import contrast, in_family
    from al_bench.analysis.measures import Paired

    rng, claims = np.random.default_rng(0), 0
    for _ in range(400):
        random = rng.normal(0, 1, seeds)
        pairs = [Paired(tuple(range(seeds)), (rng.normal(0, 1, seeds), random)) for _ in range(6)]
        family = in_family([contrast(one, "wilcoxon") for one in pairs], "wilcoxon")
        claims += any(one.verdict in ("more", "less") for one in family)
    assert claims <= 0.05 * 400 + 2 * (400 * 0.05 * 0.95) ** 0.5
