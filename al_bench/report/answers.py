"""What a setting says, in sentences: the numbers behind each, how sure they are, and what the runs cannot say."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from al_bench.analysis import statistics, suggest
from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import MARGIN, QUESTIONS, Answered, Contrast, Contrasts, ceiling_of, unmismatched_of
from al_bench.analysis.measures import MOST, At, Paired
from al_bench.analysis.statistics import FEW, mean_interval, pairs_needed
from al_bench.analysis.words import MINUS, count, interval, number, p_value, percent, sentence
from al_bench.costs import HARD, duration
from al_bench.report.costs import iterations
from al_bench.report.figures.curves import score_name
from al_bench.report.phrases import budget_of, model, seeds_of, selecting
from al_bench.report.wording import SENTENCES, fill

ENOUGH = pairs_needed()  # seeds with which one exact paired test can reach 5 %
More = dict[str, Any]  # text, detail, numbers to be added to an answer


@dataclass(frozen=True)
class Answer:
    """text: a sentence or two; detail: tests, for who wants to know

    verdict: of the contrast (`contrasts.Contrast`), or equivalent, chance, fact
    numbers: others that the text mentions
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


def answers(setting: Setting, contrasts: Contrasts) -> list[Answer]:
    """All that can be said of a setting, in the order of the questions; contrasts: of all settings on the page."""
    asked = ((question, one) for question in QUESTIONS for one in contrasts.family(question))
    compared = [_answer(question, one) for question, one in asked if one.setting is setting]
    return [*reached(setting), *brackets(setting), *blind(setting), *compared, *costs(setting)]


def _answer(question: str, one: Answered) -> Answer:
    contrast, equivalent = one.contrast, question == "subsampling" and one.contrast.equivalent(MARGIN)
    verdict = "equivalent" if equivalent else contrast.verdict
    key = verdict if verdict in SENTENCES[question] else "open"
    more = MORE[question](one) if question in MORE else {}
    text = f"{sentence(fill(question, key, **_phrases(one)))} {more.get('text', '')}".strip()
    detail = f"{more.get('detail', '')} {_test(contrast)}".strip()
    return Answer(question, text, verdict, detail, contrast, more.get("numbers", {}))


def _phrases(one: Answered) -> dict[str, Any]:
    setting, contrast, about = one.setting, one.contrast, one.first.about
    difference, unit, verdicts = contrast.difference, f" points of {score_name(setting)}", SENTENCES["verdicts"]
    digits = min(4, max(1, math.ceil(-math.log10(abs(difference.mean) or 1))))  # as many as show that it is not 0
    return {
        "about": about,
        "selecting": selecting(one.first),
        "acquiring": selecting(one.first, part=False),
        "how": f"`{about.strategy}`" + (f" and `{about.subsampling}`" if about.subsampling != "none" else ""),
        "model": model(one.first),
        "score": score_name(setting),
        "budget": budget_of(setting, one.first, contrast.cycle, contrast.seeds),
        "a": number(contrast.a.mean()),
        "b": number(contrast.b.mean()),
        "size": interval(difference, digits).removeprefix(MINUS) + unit,
        "difference": interval(difference, digits, sign=True) + unit,
        "seeds": seeds_of(difference.n, paired=True),
        "open": verdicts.get(contrast.verdict, ""),
        "few": verdicts["few"].format(Seeds="One seed" if difference.n == 1 else "Two seeds"),
        "margin": MARGIN,
        "tost": p_value(statistics.tost(contrast.a, contrast.b, MARGIN)[0]) if difference.n > 1 else "",
    }


def _test(contrast: Contrast) -> str:
    if contrast.verdict == "few":
        return ""
    n, tests = contrast.difference.n, contrast.tests
    holm = fill("test", "holm", p=p_value(contrast.p), tests=tests) if tests > 1 else ""
    reachable = statistics.reachable(n, tests)
    untestable = "" if reachable else fill("test", "untestable", n=n, needed=pairs_needed(tests))
    return fill("test", "wilcoxon", p=p_value(contrast.raw_p), holm=holm, untestable=untestable)


def _together(setting: Setting, methods: Sequence[Method], metric: str, at: At) -> Paired:
    samples = [setting.measures.sample(method.runs, metric, at) for method in methods]
    return setting.measures.together(samples, metric, at)


def _faster(one: Answered) -> More:
    """How many labels the mean curve needs for random's last score, where it is said to end above that."""
    if one.contrast.verdict != "more":
        return {}
    setting, seeds = one.setting, list(one.contrast.seeds)
    column, things = ("words", "words") if one.first.about.unit == "words" else ("labelled", "labels")
    curves = []
    for arm in (one.second, one.first):
        scores = setting.scores(arm).loc[seeds].mean(axis=0).dropna()
        at = setting.values(arm, column).loc[seeds].mean(axis=0)[scores.index]
        curves.append((at.tolist(), scores.tolist()))
    random, method = curves
    target = random[1][-1]
    needs, needed = (statistics.labels_to_reach(*curve, target) for curve in (random, method))
    if not (needs.exact and needed.exact) or needs.low < 1.05 * needed.low:
        return {}
    factor = needs.low / needed.low
    phrases = {"needed": number(needed.low, 0), "all": number(needs.low, 0), "things": things}
    return {"detail": fill("more", "faster", factor=number(factor), **phrases), "numbers": {"speed_up": factor}}


def _saved(one: Answered) -> More:
    """What fewer scores saved, beside what no scoring at all would save; seconds of one machine."""
    setting, methods = one.setting, (one.first, one.second)
    scored, all_scored = _together(setting, methods, "scored", "total").arrays
    if not all_scored.sum():  # a strategy may select without scores
        return {}
    shares = {"scored": float(scored.sum() / all_scored.sum())}
    phrases = {"about": one.first.about, "scored": percent(shares["scored"]), "sure": ""}
    part, whole = _together(setting, methods, "seconds/iteration", "total").arrays
    if not len(part):
        timed = all(setting.values(method, "seconds/iteration").size for method in methods)
        return {"text": fill("more", "machines", **phrases)} if timed else {}
    ratio = statistics.geometric(part / whole)
    bound = setting.measures.sample(one.second.runs, "amdahl", "total").array.mean()
    shares |= {"saved": 1 - ratio.mean, "longer": ratio.mean - 1, "most": float(1 - 1 / bound)}
    phrases |= {name: percent(share) for name, share in shares.items()}
    key = "saves" if ratio.mean < 1 else "slower"
    if ratio.n >= FEW:
        low, high = (1 - ratio.high, 1 - ratio.low) if ratio.low <= 1 else (ratio.low - 1, ratio.high - 1)
        phrases["sure"] = fill("more", "sure", low=percent(low), high=percent(high))
        key = "unclear" if ratio.low <= 1 <= ratio.high else key
    beyond = key != "unclear" and not 0 < shares["saved"] <= shares["most"]
    text = sentence(fill("more", key, **phrases)) + (fill("more", "otherwise") if beyond else "")
    return {"text": text, "numbers": shares}


def _closed(one: Answered) -> More:
    """Which share of the gap between mismatch and none the pseudo-labels close."""
    setting, top = one.setting, unmismatched_of(one.setting, one.first)
    if top is None or one.second.arm != "ASM" or len(one.contrast.seeds) < FEW:
        return {}
    three = _together(setting, (top, one.second, one.first), setting.score(one.first), "last")
    if len(three.seeds) < FEW:
        return {}
    gap, share = statistics.gap_closed(*(100 * scores for scores in three.arrays))
    if share is None:
        return {"detail": fill("more", "no_gap", gap=interval(gap, sign=True))}
    shares = {"share": share.mean, "low": share.low, "high": share.high}
    shown = shares if share.mean >= 0 else {"share": -share.mean, "low": -share.high, "high": -share.low}
    key = "closed" if share.mean >= 0 else "widened"
    text = fill("more", key, **{name: percent(end) for name, end in shown.items()})
    return {"text": text, "numbers": shares}


MORE: dict[str, Callable[[Answered], More]] = {"selection": _faster, "subsampling": _saved, "pseudo": _closed}


def reached(setting: Setting) -> Iterator[Answer]:
    """The method with the highest mean at its end, and how far from the ceiling it is.

    A few lucky seeds are no result beside many: methods with less than two thirds of the most do not compete.
    """
    rivals = [method for method in setting.methods if method.competes]
    ends = {method: scores for method in rivals if len(scores := setting.end(method)[1])}
    least = max(map(len, ends.values()), default=0) * MOST
    finals = {method: mean_interval(scores) for method, scores in ends.items() if len(scores) >= least}
    if not finals:
        return
    best = max(finals, key=lambda method: finals[method].mean)
    final, (end, scores) = finals[best], setting.end(best)
    curve = 100 * setting.scores(best).loc[scores.index].mean(axis=0).dropna().loc[:end]
    first, moves, since = float(curve.iloc[0]), "up", ""
    if len(curve) > 1:
        start = budget_of(setting, best, int(curve.index[0]), scores.index).partition(HARD)[0]
        level = number(final.mean) == number(first)  # as far as a reader can see
        moves = "level" if level else "up" if final.mean > first else "down"
        since = fill("reached", "since", moves, first=number(first), start=start)
    text = fill(
        "reached",
        "text",
        model=model(best),
        moves=fill("reached", "moves", moves),
        final=interval(final),
        score=score_name(setting),
        budget=budget_of(setting, best, end, scores.index),
        how=f"when {selecting(best)}" if best.selects else f"chosen by `{best.about.strategy}`",
        since=since,
        seeds=seeds_of(final.n),
    )
    if len(finals) > 1:
        enough = fill("reached", "enough", n=math.ceil(least)) if len(finals) < len(ends) else ""
        text += fill("reached", "best", methods=len(finals), enough=enough)
    ceiling = ceiling_of(setting, best)
    top = float(setting.end(ceiling)[1].mean()) if ceiling is not None else math.nan
    if top > 0:
        text += fill("reached", "ceiling", share=percent(final.mean / top, 1), top=number(top))
    yield Answer("reached", sentence(text), numbers={"final": final.mean, "first": first})


def brackets(setting: Setting) -> Iterator[Answer]:
    """What is reached by selections that nobody can or would make: a fact beside the others, and no comparison."""
    for method in setting.methods:
        cycle, scores = setting.end(method)
        if method.bracket and len(scores):
            final = mean_interval(scores)
            text = fill(
                "bracket",
                "text",
                selecting=selecting(method),
                model=model(method),
                final=interval(final),
                score=score_name(setting),
                budget=budget_of(setting, method, cycle, scores.index),
                seeds=seeds_of(final.n),
            )
            yield Answer("bracket", sentence(text), detail=fill("bracket", "detail"), numbers={"final": final.mean})


def blind(setting: Setting) -> Iterator[Answer]:
    """The selections whose model was at chance when it queried."""
    for method in setting.acquirers():
        chance = setting.at_chance(method)
        times, queries = int(chance.sum().sum()), int(chance.count().sum())
        if times:
            scores = 100 * setting.values(method, f"acquisition/{setting.metric}")[chance.columns].mean(axis=0)
            first, last = number(scores.iloc[0]), number(scores.iloc[-1])
            text = fill(
                "chance",
                "text",
                selecting=selecting(method, themselves=True),
                blind=number(times, 0),
                queries=count(queries, "query", "queries"),
                seeds=count(len(chance), "seed"),
                score=score_name(setting),
                baseline=number(setting.baseline),
                since=fill("chance", "since", first=first, last=last) if len(scores) > 1 else "",
            )
            examples = float(setting.values(method, "baseline/examples").max().max())
            detail = fill("chance", "detail", examples=number(examples, 0))
            yield Answer("chance", text, "chance", detail, numbers={"blind": times, "queries": queries})


def costs(setting: Setting) -> Iterator[Answer]:
    for method, samples, means in iterations(setting):
        if method.bracket:  # what it looks at has no price
            continue
        seconds, once, scored = mean_interval(samples["seconds"]), means["once"], means["scored"]
        # A phase that no iteration has took none: a selection may score nothing, or fit nothing.
        shares = {name: float(np.nan_to_num(means[name])) / seconds.mean for name in ("train", "predict")}
        half = f"{HARD}±{HARD}{duration(seconds.mean - seconds.low)}" if seconds.n >= FEW else ""
        text = fill(
            "cost",
            "text",
            selecting=selecting(method, themselves=True),
            seconds=duration(seconds.mean) + half,
            scored=fill("cost", "scored", scored=number(scored, 0)) if scored > 0 else "",
            once=fill("cost", "once", seconds=duration(once)) if once >= 0.05 * seconds.mean else "",
            **{name: percent(share) for name, share in shares.items()},
        )
        detail = fill("cost", "amdahl", bound=number(means["bound"], 2)) if scored > 0 else ""
        yield Answer("cost", sentence(text), detail=detail, numbers={"seconds": seconds.mean, **shares})


# By kind of run: which methods are to be compared with one and what answers for them, and how a config becomes one.
KINDS: dict[str, tuple[tuple[Any, Any], Callable[[suggest.Config], suggest.Config]]] = {
    "seeds": ((lambda m: True, lambda _, m: m if len(m.runs) >= ENOUGH else None), lambda config: config),
    "random": (QUESTIONS["selection"], suggest.with_random_examples),
    "mismatch": (QUESTIONS["mismatch"], suggest.without_mismatch),
    "whole": (QUESTIONS["subsampling"], suggest.without_subsampling),
    "ceiling": ((lambda m: m.role == "successor", ceiling_of), suggest.with_everything_labelled),
}


def unknowns(setting: Setting) -> list[Unknown]:
    """One for each kind of run that is missing to all methods with the same successor; seeds are each method's own."""
    made = []
    trained = [m for m in setting.methods if m.competes and m.arm != "replay" and m.about[m.role] is not None]
    for kind, ((asks, other_of), change) in KINDS.items():
        groups: dict[str, list[Method]] = {}
        for method in filter(asks, trained):
            groups.setdefault(method.label if kind == "seeds" else str(method.about.successor), []).append(method)
        lacking = (group[0] for group in groups.values() if not any(other_of(setting, m) for m in group))
        for method in islice(lacking, 1):
            few = "one seed shows" if len(method.runs) == 1 else f"{len(method.runs)} seeds show"
            text = fill("unknown", kind, trained=model(method), about=method.about, enough=ENOUGH, few=few)
            config = change(suggest.stored(method.about.directory))
            made.append(Unknown(text, suggest.command(config, more_seeds(method.seeds))))
    return made


def more_seeds(seeds: tuple[int, ...]) -> list[int]:
    """The seeds that there are, and the next ones up to `ENOUGH`."""
    return [*seeds, *range(max(seeds) + 1, max(seeds) + 1 + ENOUGH - len(seeds))]
