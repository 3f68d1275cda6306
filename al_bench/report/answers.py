"""What a setting says: the numbers behind each sentence, how sure they are, and the sentence."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from al_bench.analysis.comparisons import (
    Pair,
    acquirers,
    ceiling_of,
    ends,
    pair,
    random_of,
    unlabelled_of,
    unmismatched_of,
    unsubsampled_of,
)
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.spending import iteration
from al_bench.analysis.statistics import (
    Estimate,
    gap_closed,
    geometric,
    holm,
    mean_interval,
    paired,
    pairs_needed,
    reachable,
    speed_up,
    tost,
)
from al_bench.analysis.words import FEW, interval, number, p_value, percent
from al_bench.costs import HARD, duration
from al_bench.report import sentences as say
from al_bench.report.sentences import Answer, budget_of, fill, model, score_name, seeds_of, selecting

MARGIN = 0.5  # points of the headline metric: subsampling that differs by less counts as equivalent

# (text, detail, numbers) to be added to an answer
More = tuple[str, str, dict[str, float]]
Finder = Callable[[Setting, Method], Method | None]


@dataclass(frozen=True)
class Comparison:
    """Methods that `asks` picks, each against the one that `other` finds for it."""

    topic: str
    asks: Callable[[Method], bool]
    other: Finder
    more: Callable[[Setting, Pair], More] = lambda setting, found: ("", "", {})


def answers(setting: Setting) -> list[Answer]:
    """All that can be said of a setting, in the order of `sentences.QUESTIONS`."""
    made = [*reached(setting)]
    for comparison in COMPARISONS:
        found = (_compare(setting, comparison, method) for method in setting.methods)
        made += _adjusted([answer for answer in found if answer is not None])
    return [*made, *costs(setting)]


def _phrases(setting: Setting, found: Pair, difference: Estimate) -> dict[str, str]:
    about, unit = found.first.about, f" points of {score_name(setting)}"
    whole = about.copy()
    whole["subsampling"] = "none"
    half, digits = difference.mean - difference.low, 1 if abs(difference.mean) >= 0.1 else 2
    size = replace(difference, mean=abs(difference.mean), low=abs(difference.mean) - half)
    how = f"`{about.strategy}`" + (f" and `{about.subsampling}`" if about.subsampling != "none" else "")
    test = tost(found.a, found.b, MARGIN)
    return {
        "selecting": selecting(about, found.first.arm),
        "acquiring": selecting(whole, found.first.arm),
        "acquisition": str(about.acquisition),
        "how": how,
        "subsampling": f"`{about.subsampling}`",
        "labeller": str(about.pseudo_labeler),
        "pseudo_labeling": str(about.pseudo_labeling),
        "model": model(found.first),
        "score": score_name(setting),
        "budget": budget_of(about.unit, found.labelled, found.words),
        "a": number(found.a.mean()),
        "b": number(found.b.mean()),
        "size": interval(size, digits) + unit,
        "difference": interval(difference, digits, sign=True) + unit,
        "seeds": seeds_of(difference.n),
        "Seeds": "One seed" if difference.n == 1 else "Two seeds",
        "margin": f"{MARGIN}",
        "tost": p_value(test.p),
    }


def _compare(setting: Setting, comparison: Comparison, method: Method) -> Answer | None:
    other = comparison.other(setting, method) if comparison.asks(method) else None
    found = pair(setting, method, other) if other is not None else None
    if found is None:
        return None
    result = paired(found.a, found.b)
    verdict = _verdict(found, result.difference, comparison.topic)
    text = fill(say.COMPARED[comparison.topic][verdict], **_phrases(setting, found, result.difference))
    more, detail, numbers = comparison.more(setting, found)
    p = math.nan if verdict == "few" else result.wilcoxon
    text = f"{text} {more}".strip()
    return Answer(comparison.topic, text, verdict, detail, result.difference, p, numbers)


def _verdict(found: Pair, difference: Estimate, topic: str) -> str:
    if difference.n < FEW:
        return "few"
    if topic == "subsampling" and tost(found.a, found.b, MARGIN).equivalent:
        return "equivalent"
    if difference.low > 0:
        return "more"
    return "less" if difference.high < 0 else "open"


def _adjusted(made: list[Answer]) -> list[Answer]:
    """With the tests spelled out, over all answers on the topic."""
    tested = [answer for answer in made if not math.isnan(answer.p)]
    adjusted = iter(holm([answer.p for answer in tested]))
    return [
        answer if math.isnan(answer.p) else _with_test(answer, next(adjusted), len(tested)) for answer in made
    ]


def _with_test(answer: Answer, p: float, tests: int) -> Answer:
    assert answer.difference is not None
    n = answer.difference.n
    spelled = fill(
        say.WILCOXON,
        p=p_value(answer.p),
        holm=say.HOLM.format(p=p_value(p), tests=tests) if tests > 1 else "",
        untestable="" if reachable(n, tests) else say.UNTESTABLE.format(n=n, needed=pairs_needed(tests)),
    )
    return replace(answer, p=p, detail=f"{answer.detail} {spelled}".strip())


def _faster(setting: Setting, found: Pair) -> More:
    """How many labels the mean curve needs for random's last score, where it clearly ends above that."""
    if _verdict(found, mean_interval(found.a - found.b), "") != "more":
        return "", "", {}
    column = "words" if found.first.about.unit == "words" else "labelled"
    curves = []
    for method in (found.second, found.first):
        scores = setting.scores(method).loc[list(found.repeats)].mean(axis=0).dropna()
        at = setting.values(method, column).loc[list(found.repeats)].mean(axis=0)[scores.index]
        curves.append((at.tolist(), scores.tolist()))
    (labels, scores), mine = curves
    factor = speed_up((labels, scores), mine, scores[-1])
    if factor is None or factor < 1.05:
        return "", "", {}
    things = "words" if column == "words" else "labels"
    counts = {"needed": number(labels[-1] / factor, 0), "all": number(labels[-1], 0)}
    detail = fill(say.FASTER, **counts, things=things, factor=number(factor))
    return "", detail, {"speed_up": factor}


def _saved(setting: Setting, found: Pair) -> More:
    """What fewer scores saved, beside what no scoring at all would save."""

    def total(method: Method, metric: str) -> pd.Series:
        values = setting.values(method, metric).reindex(list(found.repeats))
        return values.loc[:, : found.cycle].sum(axis=1)

    mine, whole = (total(method, "seconds/iteration") for method in (found.first, found.second))
    timed = (mine > 0) & (whole > 0)
    if not timed.any():  # nobody wrote down what it cost
        return "", "", {}
    ratio = geometric((mine / whole)[timed])
    shares = {
        "scored": total(found.first, "scored").sum() / total(found.second, "scored").sum(),
        "saved": 1 - ratio.mean,
        "longer": ratio.mean - 1,
        "most": total(found.second, "seconds/predict")[timed].sum() / whole[timed].sum(),
    }
    phrases = {name: percent(share) for name, share in shares.items()}
    phrases |= {"subsampling": f"`{found.first.about.subsampling}`", "sure": ""}
    if ratio.n >= FEW:
        bounds = [1 - ratio.high, 1 - ratio.low] if ratio.low <= 1 else [ratio.low - 1, ratio.high - 1]
        phrases["sure"] = say.SURE.format(low=percent(bounds[0]), high=percent(bounds[1]))
    if ratio.n >= FEW and ratio.low <= 1 <= ratio.high:
        return fill(say.UNCLEAR, **phrases), "", shares
    text = fill(say.SAVES if ratio.mean < 1 else say.SLOWER, **phrases)
    return text + ("" if 0 < shares["saved"] <= shares["most"] else say.OTHERWISE), "", shares


def _closed(setting: Setting, found: Pair) -> More:
    """Which share of the gap between mismatch and none the pseudo-labels close."""
    top = unmismatched_of(setting, found.first)
    if top is None or found.second.arm != "ASM" or len(found.repeats) < FEW:
        return "", "", {}
    best = setting.scores(top).reindex(list(found.repeats))
    if found.cycle not in best.columns or best[found.cycle].isna().any():
        return "", "", {}
    closed = gap_closed(100 * best[found.cycle].to_numpy(), found.b, found.a)
    if closed.share is None:
        return "", fill(say.NO_GAP, gap=interval(closed.gap, sign=True)), {}
    shares = {"share": closed.share.mean, "low": closed.share.low, "high": closed.share.high}
    return fill(say.CLOSED, **{name: percent(share) for name, share in shares.items()}), "", shares


COMPARISONS = (
    Comparison("selection", lambda m: m.selects and m.arm != "PLASM", random_of, _faster),
    Comparison("mismatch", lambda m: m.arm == "ASM", unmismatched_of),
    Comparison("subsampling", lambda m: m.selects and m.about.subsampling != "none", unsubsampled_of, _saved),
    Comparison("pseudo", lambda m: m.arm == "PLASM", unlabelled_of, _closed),
)


# ----------------------------------------------------------------------------- what compares no two methods


def reached(setting: Setting) -> Iterator[Answer]:
    """The method with the highest mean at its end, and how far from the ceiling it is.

    A few lucky seeds are no result beside many: methods with less than two thirds of the most do not compete.
    """
    candidates = {m: ends(setting, m)[1] for m in setting.methods if m.arm != "ceiling"}
    least = max((len(scores) for scores in candidates.values()), default=0) * 2 / 3
    finals = {m: mean_interval(scores) for m, scores in candidates.items() if len(scores) >= max(least, 1)}
    if not finals:
        return
    best = max(finals, key=lambda method: finals[method].mean)
    final = finals[best]
    curve = 100 * setting.scores(best).mean(axis=0).dropna()
    curve = curve.loc[: ends(setting, best)[0]]
    at = {name: setting.values(best, name).mean(axis=0) for name in ("labelled", "words")}
    budgets = [
        budget_of(best.about.unit, at["labelled"][cycle], at["words"][cycle])
        for cycle in (curve.index[0], curve.index[-1])
    ]
    since = f", up from {number(curve.iloc[0])} % with {budgets[0].partition(HARD)[0]}"
    text = fill(
        say.REACHED,
        model=model(best),
        final=interval(final),
        score=score_name(setting),
        budget=budgets[1],
        how=f"when {selecting(best.about, best.arm)}"
        if best.selects
        else f"chosen by `{best.about.strategy}`",
        since=since if len(curve) > 1 else "",
        seeds=seeds_of(final.n).replace("paired ", ""),
    )
    if len(finals) > 1:
        some = len(finals) < sum(len(scores) > 0 for scores in candidates.values())
        seeds = say.ENOUGH.format(n=math.ceil(least)) if some else ""
        text += fill(say.BEST, methods=str(len(finals)), enough=seeds)
    ceiling = ceiling_of(setting, best)
    if ceiling is not None:
        top = float(100 * setting.scores(ceiling).ffill(axis=1).iloc[:, -1].mean())
        text += fill(say.CEILING, share=percent(final.mean / top, 1), top=number(top))
    yield Answer("reached", text, numbers={"final": final.mean, "first": float(curve.iloc[0])})


def costs(setting: Setting) -> Iterator[Answer]:
    for method in acquirers(setting):
        found = iteration(setting, method)
        if found is None:
            continue
        scores = not math.isnan(found.scored)
        seconds, half = found.seconds.mean, found.seconds.mean - found.seconds.low
        text = fill(
            say.COST,
            selecting=selecting(method.about),
            seconds=duration(seconds) + (f"{HARD}±{HARD}{duration(half)}" if found.seconds.n >= FEW else ""),
            train=percent(found.shares["train"]),
            predict=percent(found.shares["predict"]),
            scored=say.SCORED.format(scored=number(found.scored, 0)) if scores else "",
        )
        detail = fill(say.AMDAHL, bound=number(found.bound, 2)) if scores else ""
        yield Answer("cost", text, detail=detail, numbers={"seconds": seconds, **found.shares})
