"""Selections that give no scores, or whose model is never fitted: nothing breaks, and no sentence has a hole."""

import re

import pytest
from made import write_ledger
from sweeps import varied
from synthetic import contrasts_of, write_runs

from al_bench.analysis.store import load
from al_bench.ledger.ledger import Ledger
from al_bench.report.answers import answers
from al_bench.report.page import chapters_of, page
from al_bench.report.tables import iteration_table, penalty_table, score_table
from al_bench.tables.build import build
from al_bench.tables.render import FORMATS
from al_bench.tables.specs import available, read

SEEDS = "seed=1,2,3"


@pytest.fixture(params=["no scores", "no fit"])
def unscored(request, tmp_path):
    """A selection that looks at embeddings, fitted or as they come; the same of a part of the pool; and random."""
    strategy = "coreset" if request.param == "no scores" else "coreset_pretrained"
    for changes in ((f"strategy={strategy}",), (f"strategy={strategy}", "subsampling=seals"), ("strategy=random",)):
        for folder in write_runs(tmp_path, varied(*changes, SEEDS)):
            lines = Ledger(folder / "ledger.jsonl").read()
            costs = Ledger(folder / "costs.jsonl").read()
            for line, cost in zip(lines, costs, strict=True):
                line["scored"] = 0
                cost["seconds"].pop("predict", None)
                if request.param == "no fit":
                    line["acquisition"] = None
                    cost["seconds"].pop("train", None)
            write_ledger(folder / "ledger.jsonl", lines)
            write_ledger(folder / "costs.jsonl", costs)
    return tmp_path


def test_the_report_is_whole(unscored):
    contrasts = contrasts_of(unscored)
    html = page(load([unscored]), chapters_of(contrasts))
    assert not re.search(r"\bnan\b|None(?! is bold)", re.sub(r"<(style|script|svg).*?</\1>", "", html, flags=re.S))
    (setting,) = contrasts.settings
    said = answers(setting, contrasts)
    assert {answer.topic for answer in said} >= {"reached", "selection", "subsampling", "cost"}
    for answer in said:
        assert "–" not in f"{answer.text} {answer.detail}", answer
    assert penalty_table(setting) is not None
    assert len(score_table(setting, None).rows) == 4  # with always the most frequent label
    assert [row[0].text for row in iteration_table(setting).rows] == [m.selection for m in setting.acquirers()]


def test_the_tables_are_whole(unscored):
    contrasts = contrasts_of(unscored)
    for path in available().values():
        for render, _ in FORMATS.values():
            assert "nan" not in render(build(read(path), contrasts, ""))
