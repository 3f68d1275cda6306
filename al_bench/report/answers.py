"""What a setting says, in sentences: the numbers behind each, how sure they are, and what the runs cannot say."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import (
    MARGIN,
    QUESTIONS,
    Answered,
    Contrast,
    Contrasts,
    ceiling_of,
    random_of,
    unmismatched_of,
    unsubsampled_of,
)
from al_bench.analysis.measures import MOST
from al_bench.analysis.statistics import (
    FEW,
    gap_closed,
    geometric,
    mean_interval,
    pairs_needed,
    reachable,
    speed_up,
    tost,
)
from al_bench.analysis.suggest import (
    command,
    stored,
    with_everything_labelled,
    with_random_examples,
    without_mismatch,
    without_subsampling,
)
from al_bench.analysis.words import count, interval, number, p_value, percent, sentence
from al_bench.costs import HARD, duration

ENOUGH = pairs_needed()  # seeds with which one exact paired test can reach 5 %
# (text, detail, numbers) to be added to an answer
More = tuple[str, str, dict[str, float]]


@dataclass(frozen=True)
class Answer:
    """text: a sentence or two; detail: tests, for who wants to know

    verdict: of the contrast (`contrasts.Contrast`), or equivalent, or fact; numbers: others that the text mentions
    """

    topic: str
    text: str
    verdict: str = "fact"
    detail: str = ""
    contrast: Contrast | None = None
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """What the runs cannot say, and the command that would find it out."""

    text: str
    command: str


@cache
def sentences() -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = yaml.safe_load(
        Path(__file__).with_name("sentences.yaml").read_text(encoding="utf-8")
    )
    return content


def fill(topic: str, key: str, **phrases: Any) -> str:
    return sentences()[topic][key].format(**phrases).replace(" %", f"{HARD}%")


def answers(setting: Setting, contrasts: Contrasts) -> list[Answer]:
    """All that can be said of a setting, in the order of the questions; contrasts: of all settings on the page."""
    made = [*reached(setting)]
    for question in QUESTIONS:
        made += [_answer(question, one) for one in contrasts.family(question) if one.setting is setting]
    return [*made, *costs(setting)]


# --------------------------------------------------------------------------------------- comparisons


def _answer(question: str, one: Answered) -> Answer:
    contrast = one.contrast
    verdict = contrast.verdict
    if question == "subsampling" and contrast.equivalent(MARGIN):
        verdict = "equivalent"
    key = verdict if verdict in sentences()[question] else "open"
    more, detail, numbers = MORE[question](one)
    text = sentence(fill(question, key, **_phrases(one)))
    return Answer(question, f"{text} {more}".strip(), verdict, f"{detail} {_test(contrast)}".strip(), contrast, numbers)


def _phrases(one: Answered) -> dict[str, str]:
    setting, contrast, about = one.setting, one.contrast, one.first.about
    difference, unit = contrast.difference, f" points of {score_name(setting)}"
    half, digits = difference.mean - difference.low, 1 if abs(difference.mean) >= 0.1 else 2
    size = interval(replace(difference, mean=abs(difference.mean), low=abs(difference.mean) - half), digits)
    verdicts = sentences()["verdicts"]
    return {
        "selecting": selecting(about, one.first.arm),
        "acquiring": selecting(about, one.first.arm, part=False),
        "acquisition": str(about.acquisition),
        "how": f"`{about.strategy}`" + (f" and `{about.subsampling}`" if about.subsampling != "none" else ""),
        "subsampling": f"`{about.subsampling}`",
        "labeler": str(about.pseudo_labeler),
        "pseudo_labeling": str(about.pseudo_labeling),
        "model": model(one.first),
        "score": score_name(setting),
        "budget": budget_of(setting, one.first, contrast.cycle, contrast.seeds),
        "a": number(contrast.a.mean()),
        "b": number(contrast.b.mean()),
        "size": size + unit,
        "difference": interval(difference, digits, sign=True) + unit,
        "seeds": seeds_of(difference.n, paired=True),
        "open": verdicts.get(contrast.verdict, ""),
        "few": verdicts["few"].format(Seeds="One seed" if difference.n == 1 else "Two seeds"),
        "margin": f"{MARGIN}",
        "tost": p_value(tost(contrast.a, contrast.b, MARGIN).p) if difference.n > 1 else "",
    }


def _test(contrast: Contrast) -> str:
    if contrast.verdict == "few":
        return ""
    n, tests = contrast.difference.n, contrast.tests
    return fill(
        "test",
        "wilcoxon",
        p=p_value(contrast.raw_p),
        holm=fill("test", "holm", p=p_value(contrast.p), tests=tests) if tests > 1 else "",
        untestable="" if reachable(n, tests) else fill("test", "untestable", n=n, needed=pairs_needed(tests)),
    )


def _faster(one: Answered) -> More:
    """How many labels the mean curve needs for random's last score, where it is said to end above that."""
    if one.contrast.verdict != "more":
        return "", "", {}
    setting, column = one.setting, "words" if one.first.about.unit == "words" else "labelled"
    curves = []
    for method in (one.second, one.first):
        scores = setting.scores(method).loc[list(one.contrast.seeds)].mean(axis=0).dropna()
        at = setting.values(method, column).loc[list(one.contrast.seeds)].mean(axis=0)[scores.index]
        curves.append((at.tolist(), scores.tolist()))
    (labels, scores), curve = curves
    factor = speed_up((labels, scores), curve, scores[-1])
    if not factor.exact or factor.low < 1.05:
        return "", "", {}
    things = "words" if column == "words" else "labels"
    needed = number(labels[-1] / factor.low, 0)
    detail = fill("more", "faster", needed=needed, all=number(labels[-1], 0), things=things, factor=number(factor.low))
    return "", detail, {"speed_up": factor.low}


def _saved(one: Answered) -> More:
    """What fewer scores saved, beside what no scoring at all would save; seconds of one machine."""
    setting, measures = one.setting, one.setting.measures
    methods = (one.first, one.second)

    def totals(metric: str) -> tuple[np.ndarray, ...]:
        samples = [measures.sample(method.runs, metric, "total") for method in methods]
        return measures.together(samples, metric, "total").arrays

    scored = totals("scored")
    shares = {"scored": float(scored[0].sum() / scored[1].sum())} if len(scored[0]) else {}
    phrases = {
        "subsampling": f"`{one.first.about.subsampling}`",
        "scored": percent(shares.get("scored", math.nan)),
    }
    part, whole = totals("seconds/iteration")
    if not len(part):
        timed = all(setting.values(method, "seconds/iteration").size for method in methods)
        return (fill("more", "machines", **phrases) if timed and shares else ""), "", {}
    ratio = geometric(part / whole)
    bound = measures.sample(one.second.runs, "amdahl", "total").array
    shares |= {"saved": 1 - ratio.mean, "longer": ratio.mean - 1, "most": float(1 - 1 / bound.mean())}
    phrases |= {name: percent(share) for name, share in shares.items()} | {"sure": ""}
    if ratio.n >= FEW:
        low, high = (1 - ratio.high, 1 - ratio.low) if ratio.low <= 1 else (ratio.low - 1, ratio.high - 1)
        phrases["sure"] = fill("more", "sure", low=percent(low), high=percent(high))
        if ratio.low <= 1 <= ratio.high:
            return sentence(fill("more", "unclear", **phrases)), "", shares
    text = sentence(fill("more", "saves" if ratio.mean < 1 else "slower", **phrases))
    return text + ("" if 0 < shares["saved"] <= shares["most"] else fill("more", "otherwise")), "", shares


def _closed(one: Answered) -> More:
    """Which share of the gap between mismatch and none the pseudo-labels close."""
    setting, top = one.setting, unmismatched_of(one.setting, one.first)
    if top is None or one.second.arm != "ASM" or len(one.contrast.seeds) < FEW:
        return "", "", {}
    metric = setting.score(one.first)
    samples = [setting.measures.sample(method.runs, metric, "last") for method in (top, one.second, one.first)]
    three = setting.measures.together(samples, metric, "last")
    if len(three.seeds) < FEW:
        return "", "", {}
    closed = gap_closed(*(100 * scores for scores in three.arrays))
    if closed.share is None:
        return "", fill("more", "no_gap", gap=interval(closed.gap, sign=True)), {}
    shares = {"share": closed.share.mean, "low": closed.share.low, "high": closed.share.high}
    return fill("more", "closed", **{name: percent(share) for name, share in shares.items()}), "", shares


MORE: dict[str, Callable[[Answered], More]] = {
    "selection": _faster,
    "mismatch": lambda one: ("", "", {}),
    "subsampling": _saved,
    "pseudo": _closed,
}


# ----------------------------------------------------------------------------- what compares no two methods


def reached(setting: Setting) -> Iterator[Answer]:
    """The method with the highest mean at its end, and how far from the ceiling it is.

    A few lucky seeds are no result beside many: methods with less than two thirds of the most do not compete.
    """
    candidates = {m: setting.end(m)[1] for m in setting.methods if m.arm != "ceiling"}
    least = max((len(scores) for scores in candidates.values()), default=0) * MOST
    finals = {m: mean_interval(scores) for m, scores in candidates.items() if len(scores) >= max(least, 1)}
    if not finals:
        return
    best = max(finals, key=lambda method: finals[method].mean)
    final, (end, scores) = finals[best], setting.end(best)
    curve = 100 * setting.scores(best).loc[scores.index].mean(axis=0).dropna().loc[:end]
    first = float(curve.iloc[0])
    start = budget_of(setting, best, int(curve.index[0]), scores.index).partition(HARD)[0]
    direction = "up" if final.mean > first else "down"
    text = fill(
        "reached",
        "text",
        model=model(best),
        final=interval(final),
        score=score_name(setting),
        budget=budget_of(setting, best, end, scores.index),
        how=f"when {selecting(best.about, best.arm)}" if best.selects else f"chosen by `{best.about.strategy}`",
        since=fill("reached", "since", direction=direction, first=number(first), start=start) if len(curve) > 1 else "",
        seeds=seeds_of(final.n),
    )
    if len(finals) > 1:
        some = len(finals) < sum(len(scores) > 0 for scores in candidates.values())
        enough = fill("reached", "enough", n=math.ceil(least)) if some else ""
        text += fill("reached", "best", methods=len(finals), enough=enough)
    ceiling = ceiling_of(setting, best)
    if ceiling is not None and len(setting.end(ceiling)[1]):
        top = float(setting.end(ceiling)[1].mean())
        text += fill("reached", "ceiling", share=percent(final.mean / top, 1), top=number(top))
    yield Answer("reached", sentence(text), numbers={"final": final.mean, "first": first})


def costs(setting: Setting) -> Iterator[Answer]:
    for method in setting.acquirers():
        sample = setting.iterations(method, ITERATION)
        if not len(sample["iteration"]) or not sample["iteration"].mean() > 0:
            continue
        seconds = mean_interval(sample["iteration"])
        means = {name: float(values.mean()) if len(values) else 0.0 for name, values in sample.items()}
        shares = {name: means[name] / seconds.mean for name in ("train", "predict")}
        once, scored = means["once"], means["scored"]
        half = f"{HARD}±{HARD}{duration(seconds.mean - seconds.low)}" if seconds.n >= FEW else ""
        text = fill(
            "cost",
            "text",
            selecting=selecting(method.about),
            seconds=duration(seconds.mean) + half,
            scored=fill("cost", "scored", scored=number(scored, 0)) if scored else "",
            once=fill("cost", "once", seconds=duration(once)) if once >= 0.05 * seconds.mean else "",
            **{name: percent(share) for name, share in shares.items()},
        )
        detail = fill("cost", "amdahl", bound=number(float(sample["bound"].mean()), 2)) if scored else ""
        yield Answer("cost", sentence(text), detail=detail, numbers={"seconds": seconds.mean, **shares})


ITERATION = {
    "iteration": "seconds/iteration", "train": "seconds/train", "predict": "seconds/predict", "once": "seconds/one_off",
    "scored": "scored", "bound": "amdahl",
}  # fmt: skip


# ------------------------------------------------------------------------------------ what cannot be said


def unknowns(setting: Setting) -> list[Unknown]:
    """One for each kind of run that is missing to all methods with the same successor."""
    asked: dict[tuple[str, str], Callable[[], Unknown] | None] = {}
    for method in setting.methods:
        for kind, unknown in _missing(setting, method):
            key = kind, method.label if kind == "seeds" else str(method.about.successor)
            asked[key] = None if unknown is None else asked.get(key, unknown)
    first: dict[str, Callable[[], Unknown]] = {}
    for (kind, _), unknown in asked.items():
        if unknown is not None:
            first.setdefault(kind, unknown)
    return [unknown() for unknown in first.values()]


def _missing(setting: Setting, method: Method) -> Iterator[tuple[str, Callable[[], Unknown] | None]]:
    """(kind of run, what cannot be said for want of it, None where it is there)"""
    about, n = method.about, len(method.runs)
    if method.arm in ("ceiling", "replay") or about[method.role] is None:
        return
    phrases = {"trained": f"`{about[method.role]}`", "subsampling": about.subsampling, "enough": ENOUGH}
    phrases["few"] = "one seed shows" if n == 1 else f"{n} seeds show"

    def unless(there: object, kind: str, change: Callable[[Any], Any]) -> tuple[str, Callable[[], Unknown] | None]:
        def unknown() -> Unknown:
            run = command(change(stored(about.directory)), more_seeds(method.seeds))
            return Unknown(fill("unknown", kind, **phrases), run)

        return kind, None if there else unknown

    yield unless(n >= ENOUGH, "seeds", dict)
    if method.selects and method.arm != "PLASM":
        yield unless(random_of(setting, method), "random", with_random_examples)
    if method.arm == "ASM":
        yield unless(unmismatched_of(setting, method), "mismatch", without_mismatch)
    if method.selects and about.subsampling != "none":
        yield unless(unsubsampled_of(setting, method), "whole", without_subsampling)
    if method.role == "successor":
        yield unless(ceiling_of(setting, method), "ceiling", with_everything_labelled)


def more_seeds(seeds: tuple[int, ...]) -> list[int]:
    """The seeds that there are, and the next ones up to `ENOUGH`."""
    return [*seeds, *range(max(seeds) + 1, max(seeds) + 1 + max(0, ENOUGH - len(seeds)))]


# ------------------------------------------------------------------------------------------------ phrases


def selecting(about: pd.Series, arm: str = "", *, part: bool = True) -> str:
    """Such as "`minilm_l3` selects by `mnlp` from a part of the pool (`ups`)"."""
    who = "it selects for itself" if arm == "no mismatch" else f"`{about.acquisition}` selects"
    pool = f" from a part of the pool (`{about.subsampling}`)" if part and about.subsampling != "none" else ""
    return f"{who} by `{about.strategy}`{pool}"


def model(method: Method) -> str:
    return f"`{method.about.acquisition if method.role == 'acquisition' else method.about.successor}`"


def budget_of(setting: Setting, method: Method, cycle: int | None, seeds: Any) -> str:
    """What was labelled at a cycle, on average over the seeds; at the end of the method where there is none."""
    unit = "words" if method.about.unit == "words" else "labelled"
    table = setting.values(method, unit)
    at = setting.end(method)[0] if cycle is None else cycle
    mean = float(table.loc[list(seeds), at].mean())
    return f"{number(mean, 0)}{HARD}labelled {'words' if unit == 'words' else 'examples'}"


def score_name(setting: Setting) -> str:
    return "F1" if setting.metric == "f1" else setting.metric


def seeds_of(n: int, *, paired: bool = False) -> str:
    kind = "paired " if paired else ""
    return count(n, "seed") + (f", {kind}95{HARD}% t{HARD}interval" if n >= FEW else "")
