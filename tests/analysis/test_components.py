"""Methods that differ by components from outside, by brackets, by oracles and by nothing but training."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sweeps import varied
from synthetic import configs, contrasts_of, jobs, settings_of, write_job, write_runs

from al_bench.acquisition.strategies.protocol import by_score
from al_bench.analysis.arms import Setting
from al_bench.analysis.contrasts import QUESTIONS, Contrasts, best_of
from al_bench.analysis.runs import columns_of, oracle_name, strategy_name
from al_bench.analysis.store import load
from al_bench.analysis.suggest import command, filling, stored
from al_bench.config.component_identity import is_bracket, strategy_identity
from al_bench.config.identity import run_identity
from al_bench.ledger.ledger import read_json, write_json
from al_bench.report.answers import answers
from al_bench.report.tables import paid_table, penalty_table, score_table, what_was_run
from al_bench.tables.build import build
from al_bench.tables.render import markdown
from al_bench.tables.specs import parse

SEEDS = "seed=1,2,3,4,5,6"
ONE = varied("seed=7").removeprefix("-m ")
TYPICAL = {
    "name": "gone.module:typical", "aggregate": "mean", "batch": "top", "no_entity": "score",
    "params": {"temperature": 0.5}, "code": "0123456789abcdef",
}  # fmt: skip
NEARBY = {"name": "gone.pools:nearby", "params": {"neighbours": 50}, "refresh": [0]}
NOISY = {"name": "noisy", "params": {"rate": 0.25}, "price": {"example": None, "word": None}}


@by_score(bracket=True)
def peeking(predictions, rng, aggregate, *, depth: int = 2):
    """the first of the pool"""
    return -predictions.sub_words


@by_score(needs=("gold",))
def unmarked(predictions, rng, aggregate):
    """what its author forgot to call a bracket"""
    return -predictions.sub_words


def labels_of(folder: Path) -> list[str]:
    (setting,) = settings_of(folder)
    return [method.label for method in setting.methods]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Setting, Contrasts]:
    """The bracket ends 10 points above all others; the strategy that is gone 4 above random."""
    folder: Path = tmp_path_factory.mktemp("brackets")
    write_runs(folder, varied(SEEDS), lambda row: 0.02)
    write_runs(folder, varied("strategy.batch=bottom", SEEDS), lambda row: 0.10)
    write_runs(folder, varied("strategy.batch=power", "strategy.beta=2", SEEDS), lambda row: 0.02)
    write_runs(folder, varied("strategy=random", SEEDS))
    write_runs(folder, varied(SEEDS), lambda row: 0.04, facts={"strategy": TYPICAL})
    write_runs(folder, varied("subsampling=ups", SEEDS), lambda row: 0.02, facts={"subsampling": NEARBY})
    write_runs(folder, varied(SEEDS), lambda row: -0.02, facts={"oracle": NOISY})
    write_runs(folder, varied("strategy=random", SEEDS), lambda row: -0.04, facts={"oracle": NOISY})
    contrasts = contrasts_of(folder)
    return contrasts.settings[0], contrasts


def test_labels_say_in_what_methods_differ(page):
    setting, _ = page
    assert [method.label for method in setting.methods] == [
        "least_confidence",
        "least_confidence (power, beta=2)",
        "least_confidence, labelled by noisy (rate=0.25)",
        "typical (temperature=0.5)",
        "least_confidence + nearby (neighbours=50)",
        "random",
        "random, labelled by noisy (rate=0.25)",
        "least_confidence (bottom, bracket)",
    ]
    assert [len(method.runs) for method in setting.methods] == [6] * 8


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ({"name": "entropy"}, "entropy"),
        ({"name": "entropy", "batch": "power", "beta": 1.0}, "entropy (power)"),
        ({"name": "entropy", "batch": "bottom", "beta": 3.0}, "entropy (bottom)"),
        ({"name": "entropy", "aggregate": "top3", "no_entity": "last"}, "entropy (top3, no entity last)"),
        ({"name": "my.module:entropy", "params": {}}, "my.module:entropy"),
        ({"name": "my.module:typical", "params": {"k": 2, "by": "norm"}}, "typical (k=2, by=norm)"),
        ({"name": "my.module:typical", "params": {"k": 2}, "batch": "top"}, "typical (k=2)"),
    ],
)
def test_names_of_strategies(strategy, name):
    assert strategy_name(strategy) == name


def test_names_of_oracles():
    assert oracle_name(NOISY) == "noisy (rate=0.25)"
    assert oracle_name({"name": "crowd:asked", "params": {}}) == "asked"
    assert oracle_name({"name": "mine:gold"}) == "mine:gold"


def test_a_module_that_a_folder_names_is_never_imported(tmp_path, monkeypatch):
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    strategy = TYPICAL | {"name": "explosive:typical"}
    facts = {"strategy": strategy, "oracle": NOISY | {"name": "explosive:crowd"}}
    folder = write_runs(tmp_path / "out", varied("seed=1"), facts=facts)[0]
    assert labels_of(tmp_path / "out") == ["typical (temperature=0.5)"]
    (folder / "identity.json").unlink()  # then the config has to do
    assert load([tmp_path / "out"]).runs.acquisition.tolist() == ["minilm_l3"]
    assert "explosive" not in sys.modules


def test_changed_code_is_another_method(tmp_path):
    for code in ("0123456789abcdef", "fedcba9876543210", "my-plugin 1.2"):
        write_runs(tmp_path, varied("seed=1"), facts={"strategy": TYPICAL | {"code": code}})
    found = labels_of(tmp_path)
    assert found == [
        f"typical (temperature=0.5) [strategy.code={code}]" for code in ("0123456", "fedcba9", "my-plugin 1.2")
    ]


def test_a_selection_without_a_model_is_not_random(tmp_path):
    """Such as by length: it is compared with random, and is none."""
    write_runs(tmp_path, varied("strategy=random", SEEDS))
    facts = {"strategy": {"name": "my.module:longest", "params": {}, "code": "my 1"}}
    write_runs(tmp_path, varied("strategy=random", SEEDS), lambda row: 0.03, facts=facts)
    contrasts = contrasts_of(tmp_path)
    (answer,) = contrasts.family("selection")
    assert (answer.first.label, answer.second.label) == ("longest", "random")
    texts = [one.text for one in answers(answer.setting, contrasts)]
    assert any("When no model is asked and `longest` selects" in text for text in texts)


def test_brackets_take_part_in_nothing(page):
    setting, contrasts = page
    (bracket,) = (method for method in setting.methods if method.bracket)
    assert bracket.arm == "bracket"
    for question in QUESTIONS:
        compared = [method for one in contrasts.family(question) for method in (one.first, one.second)]
        assert bracket not in compared
    best = best_of(contrasts.settings)
    assert [method.label for method in best.values()] == ["typical (temperature=0.5)"]
    penalties = penalty_table(setting)
    assert penalties is not None
    assert not any("bracket" in row[0].text for row in penalties.rows)


def test_brackets_are_marked_wherever_they_are_shown(page):
    setting, contrasts = page
    said = answers(setting, contrasts)
    (bound,) = (answer for answer in said if answer.topic == "bracket")
    assert bound.text.startswith("When `minilm_l3` selects by `least_confidence (bottom)` (a bracket), `minilm_l6` ")
    assert not any("bottom" in answer.text for answer in said if answer is not bound)
    (row,) = (row for row in score_table(setting, None).rows if "bottom" in row[0].text)
    assert row[0].text == "least_confidence (bottom, bracket)"
    assert "bracket" in [cell.text for row in what_was_run([setting]).rows for cell in row]


SPEC: dict[str, Any] = {
    "title": "all",
    "rows": ["dataset"],
    "where": {"subsampling": "none", "oracle": "gold"},
    "columns": {
        "upside down": {"where": {"batch": "bottom"}},
        "usual": {"where": {"strategy": "least_confidence"}},
        "random": {"where": {"arm": "random"}},
        "less": {"show": "difference", "of": ["upside down", "random"]},
        "same": {"show": "equivalence", "of": ["upside down", "usual"], "margin": 50.0},
        "gain": {"show": "difference", "of": ["usual", "random"]},
    },
    "best": ["upside down", "usual", "random"],
}


def test_brackets_in_a_table_are_marked_and_neither_tested_nor_bold(page):
    _, contrasts = page
    table = build(parse(SPEC, "all"), contrasts, "")
    (row,) = table.rows
    cells = dict(zip(table.heads, row.cells, strict=True))
    assert [head for head, cell in cells.items() if cell.marks == "‡"] == ["upside down", "less", "same"]
    assert [head for head, cell in cells.items() if cell.bold] == ["usual"]
    assert [head for head, cell in cells.items() if cell.tests] == ["gain"]
    assert cells["less"].estimate is not None
    assert "‡ a bracket" in markdown(table)


def test_a_bracket_from_outside_stays_marked_where_it_is_gone(tmp_path):
    (config,) = jobs(f"{ONE} strategy.name=test_components:peeking")
    identity = strategy_identity(config)
    assert identity["bracket"] is True
    (config,) = jobs(f"{ONE} strategy.name=test_components:unmarked")
    assert is_bracket(strategy_identity(config))
    write_runs(tmp_path, varied("seed=1"), facts={"strategy": identity | {"name": "gone:peeking"}})
    assert labels_of(tmp_path) == ["peeking (depth=2, bracket)"]


def test_what_is_a_bracket():
    assert is_bracket({"name": "gone:x", "batch": "bottom"})
    assert not is_bracket({"name": "gone:x", "batch": "power"})
    assert not is_bracket({"name": "random", "params": {}})


def test_oracles_in_sentences_and_tables(page):
    setting, contrasts = page
    texts = [answer.text.replace("\u00a0", " ") for answer in answers(setting, contrasts)]
    assert any("(labels of the oracle `noisy (rate=0.25)`, right in 75 %)" in text for text in texts)
    table = paid_table(setting)
    assert table is not None
    assert list(table.heads) == ["method", "oracle", "asked", "answered", "abstained", "right", "score at the end"]
    rows = {row[0].text: [cell.text.replace("\u00a0", " ") for cell in row[1:6]] for row in table.rows}
    noisy = rows["least_confidence, labelled by noisy (rate=0.25)"]
    assert noisy == ["noisy (rate=0.25)", "500", "400", "20 %", "75 %"]
    assert rows["random"] == ["gold", "400", "400", "0 %", "100 %"]


def test_runs_of_different_oracles_are_not_compared(page):
    _, contrasts = page
    oracles = [(one.first.about.oracle, one.second.about.oracle) for one in contrasts.family("selection")]
    assert sorted(set(oracles)) == [("gold", "gold"), ("noisy (rate=0.25)", "noisy (rate=0.25)")]


def test_what_differs_in_training_only_is_described_apart(tmp_path):
    for epochs in (3, 4, 5):
        write_runs(tmp_path, varied(f"successor.training.epochs={epochs}", SEEDS))
    write_runs(tmp_path, varied("strategy=random", "successor.training.epochs=3", SEEDS))
    write_runs(tmp_path, varied("strategy=random", "successor.training.epochs=4", SEEDS))
    contrasts = contrasts_of(tmp_path)
    texts = [one.text for one in answers(contrasts.settings[0], contrasts) if one.topic == "selection"]
    assert len(texts) == 2
    for text, epochs in zip(sorted(texts, key=lambda text: "epochs=4" in text), (3, 4), strict=True):
        assert f"`minilm_l6` (`successor.training.epochs={epochs}`) reaches" in text


def test_columns_without_an_identity():
    """Of a run that failed before it wrote one."""
    (_, config), *_ = configs(varied("strategy=random", "seed=1"))
    assert columns_of(asdict(config))["arm"] == "random"
    assert columns_of(asdict(config) | {"strategy": TYPICAL})["arm"] == "ASM"


OUTSIDE = "strategy.name=test_components:peeking +strategy.params.depth=5"


@pytest.mark.parametrize(
    "line",
    [
        f"{ONE} {OUTSIDE}",
        f"{ONE} {OUTSIDE} strategy.batch=softmax strategy.beta=0.5",
        f"{ONE} strategy=entropy strategy.batch=bottom",
    ],
)
def test_a_command_reproduces_settings_of_components(tmp_path, line):
    folder = write_job(tmp_path, line)
    (expected,) = jobs(line)
    (again,) = jobs(command(stored(str(folder)), [7]))
    assert run_identity(again) == run_identity(expected)
    assert again.strategy == expected.strategy


def test_a_missing_run_has_the_strategy_as_another_run_has_it(tmp_path):
    write_job(
        tmp_path, f"{ONE} {OUTSIDE} strategy.batch=power".replace("acquisition=minilm_l3", "acquisition=minilm_l6")
    )
    write_job(tmp_path, f"{ONE} strategy=random")
    runs = load([tmp_path]).runs
    name = "peeking (depth=5, power)"
    assert set(runs.strategy) == {name, "random"}
    wanted = {"dataset": "trec6", "successor": "minilm_l6", "acquisition": "minilm_l3", "strategy": name}
    line = filling(runs, wanted, [7])
    assert line is not None
    (config,) = jobs(line)
    chosen = config.strategy
    assert (chosen.name, chosen.params, chosen.batch) == ("test_components:peeking", {"depth": 5}, "power")
    assert config.acquisition.name == "minilm_l3"


def test_a_labeller_of_other_texts_does_not_bring_their_length(tmp_path):
    write_job(tmp_path, ONE)
    plasm = "pseudo_labeling=plasm model@pseudo_labeler=minilm_l6 pseudo_labeler.max_length=32"
    other = ONE.replace("dataset=trec6", "dataset=ag_news")
    write_job(tmp_path, f"{other} {plasm}")
    runs = load([tmp_path]).runs
    wanted = {"dataset": "trec6", "successor": "minilm_l6", "acquisition": "minilm_l3", "strategy": "least_confidence"}
    line = filling(runs, wanted | {"arm": "PLASM", "pseudo_labeler": "minilm_l6"}, [7])
    assert line is not None
    assert "max_length" not in line
    (config,) = jobs(line)
    assert config.pseudo_labeler.max_length == config.successor.max_length == 256


def test_identity_of_another_shape_is_named(tmp_path):
    (folder,) = write_runs(tmp_path, varied("seed=1"))
    record = read_json(folder / "identity.json")
    record["identity"]["strategy"] = 3
    write_json(folder / "identity.json", record)
    (problem,) = load([tmp_path]).problems
    assert problem.directory == folder
