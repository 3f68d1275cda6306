"""Sentences on made-up runs with known effects: the words say what the numbers say, and no more."""

import re

import numpy as np
import pytest
from sweeps import SWEEP, varied
from synthetic import contrasts_of, jobs, settings_of, write_job, write_runs

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.statistics import Estimate, differences, mean_interval, signed_rank
from al_bench.analysis.store import load
from al_bench.analysis.words import interval, listed, number, p_value, signed, spans_of
from al_bench.costs import duration
from al_bench.report.answers import answers, more_seeds, unknowns


def effects(**by_kind: float):
    """Points added to the successor's score, by what a run is."""

    def effect(row) -> float:
        points = 0.0
        if row["acquisition"] is None:
            points += by_kind.get("random", 0.0)
        elif row["acquisition"] != row["successor"]:
            points += by_kind.get("mismatch", 0.0)
        if row["subsampling"] != "none":
            points += by_kind.get("ups", 0.0)
        if row["pseudo_labeling"]:
            points += by_kind.get("plasm", 0.0)
        return points / 100

    return effect


def answers_of(tmp_path, *commands, noise=0.001, **by_kind):
    for command in commands:
        write_runs(tmp_path, command, effects(**by_kind), noise)
    contrasts = contrasts_of(tmp_path)
    (setting,) = contrasts.settings
    by_topic = {}
    for answer in answers(setting, contrasts):
        by_topic.setdefault(answer.topic, []).append(answer)
    return setting, by_topic


def seeds(n: int) -> str:
    return "seed=" + ",".join(map(str, range(1, n + 1)))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("`", "")


def test_a_selection_that_is_worth_something(tmp_path):
    _, by_topic = answers_of(
        tmp_path, varied(seeds(8)), varied("strategy=random", seeds(8)), random=-3.0, mismatch=-1.0
    )
    (answer,) = by_topic["selection"]
    assert answer.verdict == "more"
    both = answer.contrast
    expected = mean_interval(both.a - both.b)
    assert expected.mean == pytest.approx(2.0, abs=0.2)
    assert plain(answer.text) == (
        f"When minilm_l3 selects by least_confidence, minilm_l6 reaches {both.a.mean():.1f} % accuracy with 400 labelled "
        f"examples: {expected.mean:.1f} ± {expected.mean - expected.low:.1f} points of accuracy more than on random "
        "examples (8 seeds, paired 95 % t interval)."
    )
    assert vars(both.difference) == pytest.approx(vars(expected))
    assert both.p == signed_rank(differences(both.a, both.b)) == 2 / 2**8
    assert "p = 0.008." in plain(answer.detail)
    assert re.search(r"random’s last score with \d+ labels; random needs 400, 1\.\d times as many", answer.detail)


def test_a_mismatch_that_costs(tmp_path):
    _, by_topic = answers_of(tmp_path, varied("model@acquisition=minilm_l3,minilm_l6", seeds(6)), mismatch=-1.5)
    (answer,) = by_topic["mismatch"]
    assert answer.verdict == "less"
    assert answer.contrast.difference.mean == pytest.approx(-1.5, abs=0.2)
    assert re.match(
        r"minilm_l6 loses 1\.\d ± 0\.\d points of accuracy at 400 labelled examples when minilm_l3 selects in its "
        r"place by least_confidence \(6 seeds, paired 95 % t interval\)\.$",
        plain(answer.text),
    )


def test_no_difference_is_not_called_one(tmp_path):
    several = "seed=11,12,13,14,15,16"  # one draw in twenty shows a difference where there is none
    _, by_topic = answers_of(tmp_path, varied(several), varied("strategy=random", several), noise=0.01)
    (answer,) = by_topic["selection"]
    assert answer.verdict == "open"
    assert "is not significant" in answer.text
    assert " more than" not in answer.text
    mean = answer.contrast.difference.mean
    assert f"difference of {signed(mean, 1 if abs(mean) >= 0.1 else 2)} ±" in plain(answer.text)


def test_a_loss_to_random_is_called_one(tmp_path):
    _, by_topic = answers_of(tmp_path, varied(seeds(6)), varied("strategy=random", seeds(6)), random=2.0)
    assert by_topic["selection"][0].verdict == "less"
    assert "points of accuracy less than on random examples" in by_topic["selection"][0].text


@pytest.mark.parametrize(("seeds_", "who"), [("seed=1", "One seed"), ("seed=1,2", "Two seeds")])
def test_few_seeds_tell_nothing(tmp_path, seeds_, who):
    _, by_topic = answers_of(tmp_path, varied(seeds_), varied("strategy=random", seeds_), random=-3.0)
    (answer,) = by_topic["selection"]
    assert answer.verdict == "few"
    assert answer.text.endswith(f"{who} cannot tell this from chance.")
    assert "±" not in "".join(a.text for topic in by_topic.values() for a in topic)
    assert "more than" not in answer.text


def test_three_seeds_are_not_testable(tmp_path):
    _, by_topic = answers_of(tmp_path, SWEEP, varied("strategy=random"), random=-3.0)
    (answer,) = by_topic["selection"]
    assert answer.verdict == "untestable"
    assert "cannot be tested with so few seeds" in answer.text
    assert " more than" not in answer.text
    assert "±" in answer.text, "the interval is shown"
    assert "3 seeds cannot reach 5 % here, 6 could" in plain(answer.detail)


def test_holm_over_the_answers_to_one_question(tmp_path):
    _, by_topic = answers_of(
        tmp_path, varied("subsampling=none,ups", seeds(6)), varied("strategy=random", seeds(6)), random=-3.0
    )
    assert [answer.contrast.p for answer in by_topic["selection"]] == [4 / 2**6, 4 / 2**6]
    detail = plain(by_topic["selection"][0].detail)
    assert (
        "p = 0.031, p = 0.062 after Holm’s correction for 2 comparisons; 6 seeds cannot reach 5 % here, 7 could"
        in detail
    )


def test_equivalence_is_tested_and_not_assumed(tmp_path):
    _, by_topic = answers_of(tmp_path, varied("subsampling=none,ups", "subsampling.refresh=[0]", seeds(6)))
    (answer,) = by_topic["subsampling"]
    assert answer.verdict == "equivalent"
    assert "is as good with ups as with scoring the whole pool, within 0.5 points" in plain(answer.text)
    # Cycle 0 scores 1,900 of 1,900; cycles 1 and 2 score 11 % of 1,800 and 1,700.
    assert answer.numbers["scored"] == pytest.approx((1900 + 198 + 187) / 5400, abs=0.001)
    assert "ups scores 42 % of the examples, which saves" in plain(answer.text)
    assert 0 < answer.numbers["saved"] < answer.numbers["most"] < 1


def test_no_difference_is_not_equivalence(tmp_path):
    _, by_topic = answers_of(tmp_path, varied("subsampling=none,ups", seeds(6)), noise=0.01)
    (answer,) = by_topic["subsampling"]
    assert answer.verdict == "open"
    assert "equivalence within 0.5 points is not shown either" in answer.text


def test_pseudo_labels_and_the_gap_they_close(tmp_path):
    plasm = ("pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", "evaluate_at=last")
    _, by_topic = answers_of(
        tmp_path,
        varied("model@acquisition=minilm_l3,minilm_l6", seeds(6)),
        varied(*plasm, seeds(6)),
        mismatch=-4.0,
        plasm=3.0,
    )
    (answer,) = by_topic["pseudo"]
    assert answer.verdict == "more"
    assert answer.contrast.difference.mean == pytest.approx(3.0, abs=0.3)
    assert answer.numbers["share"] == pytest.approx(0.75, abs=0.1)
    assert answer.numbers["low"] < answer.numbers["share"] < answer.numbers["high"]


def test_the_best_beside_its_ceiling(rivals):
    (setting,) = settings_of(rivals)
    answer = answers(setting, contrasts_of(rivals))[0]
    assert answer.topic == "reached"
    assert "No other of the 5 methods ends with a higher mean." in answer.text
    best = max(100 * setting.scores(method)[3].mean() for method in setting.methods[1:])
    ceiling = 100 * setting.scores(setting.methods[0])[0].mean()
    assert f"That is {number(100 * best / ceiling)} % of what it reaches with everything labelled" in plain(answer.text)


def test_few_lucky_seeds_are_not_the_best(tmp_path):
    _, by_topic = answers_of(
        tmp_path, varied(seeds(6)), varied("model@acquisition=minilm_l6", "seed=1,2"), mismatch=-3.0
    )
    (answer,) = by_topic["reached"]
    assert "when minilm_l3 selects by least_confidence" in plain(answer.text)
    assert "higher mean" not in answer.text
    _, by_topic = answers_of(tmp_path, varied("strategy=random", seeds(4)), random=-3.0)
    assert "No other of the 2 methods that have 4 seeds or more there ends" in plain(by_topic["reached"][0].text)


def test_what_an_iteration_costs(tmp_path):
    """Of the cycles that query; the last one only trains."""
    setting, by_topic = answers_of(tmp_path, varied("seed=1"))
    (answer,) = by_topic["cost"]
    seconds, train, predict = (
        setting.values(setting.methods[0], f"seconds/{name}").iloc[0].loc[:2]
        for name in ("iteration", "train", "predict")
    )
    share = train.sum() / seconds.sum()
    assert answer.numbers["train"] == pytest.approx(share)
    assert f"takes {seconds.mean():.1f} s on average: {100 * share:.0f} % training" in plain(answer.text)
    assert "scoring 1,800 examples." in plain(answer.text)
    assert f"{1 / (1 - predict.sum() / seconds.sum()):.2f} times as fast" in answer.detail


def test_seconds_that_scatter_save_nothing(tmp_path):
    _, by_topic = answers_of(tmp_path, varied("subsampling=none,ups", "subsampling.refresh=[0]", seeds(6)))
    clear = plain(by_topic["subsampling"][0].text)
    low, high = map(int, re.search(r"\(95 % interval: (\d+) % to (\d+) %\); no scoring", clear).groups())
    assert low < 100 * by_topic["subsampling"][0].numbers["saved"] < high
    results = load([tmp_path])
    slow = results.cycles.run.str.contains("-ups-") & results.cycles.run.str.contains("seed1-|seed2-")
    slow &= results.cycles.metric == "seconds/iteration"
    results.cycles.loc[slow, "value"] *= 5
    contrasts = Contrasts.of(results)
    (answer,) = [one for one in answers(contrasts.settings[0], contrasts) if one.topic == "subsampling"]
    assert "whether that saves seconds of iterations is open" in plain(answer.text)


def test_words_are_the_budget_of_taggers(tmp_path):
    command = varied("dataset=conll2003", "strategy=mnlp", "schedule.unit=words", "schedule.initial=1400",
                     "schedule.step=1400", "seed=1")  # fmt: skip
    _, by_topic = answers_of(tmp_path, command)
    assert "% F1 with 5,600 labelled words when minilm_l3 selects by mnlp, up from" in plain(
        by_topic["reached"][0].text
    )


def test_a_model_that_selects_for_itself(tmp_path):
    _, by_topic = answers_of(tmp_path, varied("model@acquisition=minilm_l6", "seed=1,2,3"), varied("strategy=random"))
    assert "minilm_l6 reaches" in plain(by_topic["reached"][0].text)
    assert plain(by_topic["selection"][0].text).startswith("When it selects for itself by least_confidence, minilm_l6")


# -------------------------------------------------------------------------------------- what cannot be said


def test_what_is_missing_comes_with_its_command(tmp_path):
    from synthetic import configs

    write_runs(tmp_path, varied("seed=7", "subsampling=ups"))
    (setting,) = settings_of(tmp_path)
    by_topic = {unknown.text.partition(":")[0]: unknown.command for unknown in unknowns(setting)}
    assert list(by_topic) == [
        "How much is chance",
        "Whether selecting is better than chance",
        "What the mismatch costs",
        "What `ups` costs or saves",
        "How far it is from the ceiling",
    ]
    for command in by_topic.values():
        jobs = configs(command.removeprefix("al-bench run "))
        assert [config.seed for _, config in jobs] == [7, 8, 9, 10, 11, 12]
    (_, random), *_ = configs(by_topic["Whether selecting is better than chance"].removeprefix("al-bench run "))
    assert (random.strategy.name, random.subsampling.name, random.schedule.step) == ("random", "none", 100)
    (_, alone), *_ = configs(by_topic["What the mismatch costs"].removeprefix("al-bench run "))
    assert alone.acquisition.name == alone.successor.name == "minilm_l6"
    (_, ceiling), *_ = configs(by_topic["How far it is from the ceiling"].removeprefix("al-bench run "))
    assert (ceiling.schedule.initial, ceiling.schedule.cycles) == (1.0, 0)


def asked(folder, *commands) -> dict[str, list]:
    """{what is missing: the configs of the jobs that its command starts}"""
    for command in commands:
        write_job(folder, command)
    (setting,) = settings_of(folder)
    return {unknown.text.partition(":")[0]: jobs(unknown.command) for unknown in unknowns(setting)}


@pytest.mark.parametrize(
    "command",
    [
        "+experiment=conll_distil_ups seed=7",
        "+experiment=paper/ag_news/plasm seed=7",
        "subsampling.gamma=0.05 subsampling.temperature=0.1 +experiment=paper/conll2003/ups_grid seed=7",
        "pseudo_labeling=plasm_knn +experiment=paper/conll2003/plasm_filters seed=7",
    ],
)
def test_what_is_missing_to_an_experiment_is_a_command_that_runs(tmp_path, command):
    """Whatever the experiment chooses or sweeps, each command is taken, and trains what it says: once a seed."""
    for kind, by_topic in asked(tmp_path, command).items():
        assert [config.seed for config in by_topic] == [7, 8, 9, 10, 11, 12], kind
        for config in by_topic:
            if kind.startswith(("Whether selecting", "How far")):
                assert (config.strategy.name, config.subsampling.name) == ("random", "none")
                assert (config.pseudo_labeling.name, config.pseudo_labeler) == ("none", None)


@pytest.mark.parametrize(
    "command",
    [
        varied("seed=7").removeprefix("-m ") + " successor.name=mine successor.max_length=48",
        varied("seed=7").replace("model@successor=minilm_l6 ", "").removeprefix("-m ") + " successor.name=mine",
        "+experiment=conll_distil successor.name=mine acquisition.name=mine seed=7",
    ],
)
def test_a_name_is_no_option(tmp_path, command):
    """The model that selects for itself is the one which the run trains, whatever that run calls it."""
    (trained,) = jobs(command)
    for config in asked(tmp_path, command)["What the mismatch costs"]:
        assert config.acquisition == trained.successor
        assert config.successor == trained.successor


def test_nothing_is_missing_where_all_is_there(rivals):
    (setting,) = settings_of(rivals)
    assert [unknown.text.partition(":")[0] for unknown in unknowns(setting)] == ["How much is chance"]


def test_what_one_method_answers_is_known(rivals):
    """No run has `minilm_l6` select from a part of the pool, but what a mismatch costs is known from the whole one."""
    (setting,) = settings_of(rivals)
    labels = {method.label for method in setting.methods}
    assert "minilm_l3 + ups" in labels
    assert "minilm_l6 + ups" not in labels
    assert not any("mismatch" in unknown.text for unknown in unknowns(setting))


def test_more_seeds():
    assert more_seeds((42,)) == [42, 43, 44, 45, 46, 47]
    assert more_seeds((1, 2, 3, 4, 5, 6, 7)) == [1, 2, 3, 4, 5, 6, 7]


# ---------------------------------------------------------------------------------------------- numbers


def test_numbers_are_set_with_care():
    assert number(-1234.56) == "−1,234.6"
    assert number(-0.04) == "0.0"
    assert number(float("nan")) == "–"
    assert signed(0.04) == "0.0"
    assert signed(1.25, 2) == "+1.25"
    assert interval(Estimate(1.0, 0.1, 0.8, 1.2, 6), sign=True) == "+1.0\u00a0±\u00a00.2"
    assert interval(mean_interval([1.0, 2.0])) == "1.5"
    assert p_value(0.0001) == "p\u00a0<\u00a00.001"
    assert [duration(s).replace("\u00a0", " ") for s in (0, 0.01, 4.21, 200, 20400)] == [
        "0.0 s", "< 0.1 s", "4.2 s", "3 min 20 s", "5 h 40 min",
    ]  # fmt: skip
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert spans_of(["1", "2", "3", "5", "8", "9"]) == "1–3, 5, 8, 9"


def test_numbers_do_not_lie_about_rounding():
    rng = np.random.default_rng(0)
    for value in rng.normal(0, 3, 200):
        assert float(signed(value).replace("−", "-")) == pytest.approx(value, abs=0.0501)
