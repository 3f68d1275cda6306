"""What a setting says without comparing two methods: the best score, and what an iteration costs."""

import math
from collections.abc import Iterator

from al_bench.results.comparisons import acquirers, ceiling_of, ends
from al_bench.results.report import sentences as say
from al_bench.results.report.phrases import Answer, budget_of, fill, model, score_name, seeds_of, selecting
from al_bench.results.settings import Setting
from al_bench.results.spending import iteration
from al_bench.results.statistics import mean_interval
from al_bench.results.words import FEW, HARD, duration, interval, number, percent


def reached(setting: Setting) -> Iterator[Answer]:
    """The method with the highest mean at its end, and how far from the ceiling it is."""
    candidates = {m: ends(setting, m)[1] for m in setting.methods if m.arm != "ceiling"}
    finals = {method: mean_interval(scores) for method, scores in candidates.items() if len(scores)}
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
        text += fill(say.BEST, methods=str(len(finals)))
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
