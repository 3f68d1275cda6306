"""Whatever the numbers, no sentence contradicts them: curves that rise, fall, stay, scatter, stop early or are zero."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweeps import varied
from synthetic import write_runs

from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.store import Results, load
from al_bench.report.answers import Answer, answers
from al_bench.report.tables import score_table, what_was_run

SEEDS = "seed=1,2,3,4,5,6,7,8"
METHODS = (
    (SEEDS,),
    ("model@acquisition=minilm_l6", SEEDS),
    ("subsampling=ups", SEEDS),
    ("strategy=random", SEEDS),
    ("strategy=random", "schedule.initial=1.0", "schedule.cycles=0", SEEDS),
    ("pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", SEEDS),
)
SHAPES = {
    "rising": lambda rng, x: 0.3 + 0.6 * x,
    "falling": lambda rng, x: 0.9 - 0.6 * x,
    "flat": lambda rng, x: 0 * x + 0.5,
    "zero": lambda rng, x: 0 * x,
    "peak": lambda rng, x: 0.8 - 0.5 * abs(x - 0.5),
    "early": lambda rng, x: 0.3 + 0.65 * np.sqrt(x),
    "any": lambda rng, x: rng.random(len(x)),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Results:
    folder: Path = tmp_path_factory.mktemp("many")
    for changes in METHODS:
        write_runs(folder, varied(*changes))
    return load([folder])


def with_curves(results: Results, shapes: dict[str, str], scatter: float, missing: float, seed: int) -> Results:
    """The same runs with other scores and seconds.

    shapes: by arm, others are "any"; scatter: over seeds; missing: share of scores that nobody has
    """
    pace = np.where(results.cycles.run.map(results.runs.subsampling) == "ups", 1 + 4 * (seed % 2), 1)
    rng, cycles = np.random.default_rng(seed), results.cycles.copy()
    for metric, part in cycles.groupby("metric", observed=True):
        if metric.startswith("seconds/"):
            cycles.loc[part.index, "value"] *= pace[part.index] * rng.lognormal(0, 10 * scatter, size=len(part))
        elif metric.endswith("/accuracy") and not metric.startswith("baseline/"):
            for run, rows in part.groupby("run"):
                curve = SHAPES[shapes.get(results.runs.arm[run], "any")](rng, np.linspace(0, 1, len(rows)))
                curve = curve + scatter * rng.normal(size=len(rows))
                cycles.loc[rows.index, "value"] = np.where(
                    rng.random(len(rows)) < missing, np.nan, np.clip(curve, 0, 1)
                )
    return replace(results, cycles=cycles.dropna(subset="value"))


NUMBER = r"([−+]?[\d,]+(?:\.\d+)?)"


def numbers(pattern: str, text: str) -> list[float]:
    """Those that stand where the pattern has #; none where it does not match."""
    match = re.search(pattern.replace("#", NUMBER), text)
    return [float(group.replace("−", "-").replace(",", "")) for group in match.groups()] if match else []


def check(answer: Answer) -> Counter[str]:
    """Every claim of a direction against its numbers; which of them there were."""
    text = f"{answer.text} {answer.detail}".replace("\u00a0", " ").replace("`", "")
    assert not re.search(r"\b(nan|inf)\b|[{}]", text), text
    mean = answer.contrast.difference.mean if answer.contrast else None
    claims: Counter[str] = Counter()

    def claim(name: str, holds: bool) -> None:
        claims[name] += 1
        assert holds, (name, text)

    if found := numbers("reaches # .*, up from #", text):
        claim("up", found[0] > found[1])
    if found := numbers("falls to # .*, down from #", text):
        claim("down", found[0] < found[1])
    assert ("up from" in text) <= ("reaches" in text)
    assert ("down from" in text) == ("falls to" in text)
    if "stays at" in text:
        claim("level", abs(answer.numbers["final"] - answer.numbers["first"]) < 0.1)
    for pattern, name, sign in (
        ("# ± .* more than on random", "more", 1),
        ("# ± .* less than on random", "less", -1),
        ("gains #", "gains", 1),
        ("loses #", "loses", -1),
    ):
        if found := numbers(pattern, text):
            claim(name, sign * mean > 0 and found[0] >= 0)
    if found := numbers("score with # .*; random needs #, # times as many", text):
        needed, needs, factor = found
        claim("faster", needed < needs and factor == pytest.approx(needs / needed, abs=0.06) and factor > 1)
    if found := numbers("saves # %.* would save", text):
        claim("saves", found[0] >= 0)
    if found := numbers("yet takes # % more seconds", text):
        claim("slower", found[0] >= 0)
    if found := numbers(r"this closes is # % \(95 % interval: # % to # %\)", text):
        claim("closed", found[0] >= 0 and found[1] <= found[0] <= found[2])
    if found := numbers(r"gets wider by # % of it \(95 % interval: # % to # %\)", text):
        claim("widened", found[0] >= 0 and found[1] <= found[0] <= found[2])
    if found := numbers("in # of # quer.* above the # %", text):
        claim("chance", 0 < found[0] <= found[1])
    if "as good with" in text:
        claim("equivalent", abs(mean) < 0.5)
    return claims


def claims_of(results: Results) -> Counter[str]:
    contrasts = Contrasts.of(results)
    claims: Counter[str] = Counter()
    for setting in contrasts.settings:
        for answer in answers(setting, contrasts):
            claims += check(answer)
        for made in (score_table(setting, None), what_was_run([setting])):
            assert not any("nan" in cell.text for row in made.rows for cell in row)
    return claims


shapes = st.dictionaries(
    st.sampled_from(["random", "ASM", "no mismatch", "PLASM", "ceiling"]), st.sampled_from([*SHAPES])
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes, st.sampled_from([0.0, 0.001, 0.1]), st.sampled_from([0.0, 0.0, 0.3, 0.9]), st.integers(0, 2**32 - 1))
def test_no_sentence_contradicts_its_numbers(many, shapes, scatter, missing, seed):
    claims_of(with_curves(many, shapes, scatter, missing, seed))


def test_every_direction_is_there_to_be_checked(many):
    """Else the test above would hold for a report that says nothing."""
    claims: Counter[str] = Counter()
    for seed, (random, asm, whole, plasm) in enumerate(
        [
            ("rising", "peak", "rising", "rising"),
            ("zero", "falling", "falling", "zero"),
            ("peak", "zero", "peak", "zero"),
            ("flat", "flat", "flat", "flat"),
            ("rising", "early", "any", "peak"),
        ]
    ):
        chosen = {"random": random, "ASM": asm, "no mismatch": whole, "PLASM": plasm, "ceiling": "zero"}
        claims += claims_of(with_curves(many, chosen, 0.001, 0.0, seed))
    assert {"up", "down", "level", "more", "less", "gains", "loses", "equivalent"} <= set(claims)
    assert {"faster", "saves", "slower", "closed", "widened", "chance"} <= set(claims)
