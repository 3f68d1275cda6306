"""The result table of a setting: every method's score along its curve."""

import pandas as pd

from al_bench.results.comparisons import ends, pair
from al_bench.results.figures.style import looks
from al_bench.results.queries import evenly
from al_bench.results.report.svg import css_color
from al_bench.results.report.table import Table, amount, estimate, word
from al_bench.results.settings import Method, Setting
from al_bench.results.spending import iteration, spent_by
from al_bench.results.statistics import Estimate, aulc, mean_interval, paired
from al_bench.results.words import FEW, duration, number, sentence

BUDGETS = 5  # columns at most


def score_table(setting: Setting) -> Table:
    """Scores in percent at some budgets, area under the curve, and what was spent."""
    cycles = shown_cycles(setting)
    best = clearly_best(setting)
    heads = ["method", "seeds", *(budget_head(setting, cycle) for cycle in cycles)]
    heads += [
        "at the end",
        "mean of the curve",
        "s per iteration",
        "time of all iterations and last successor",
    ]
    colors, rows = looks(setting), []
    for method in setting.methods:
        scores = 100 * setting.scores(method)
        _, final = ends(setting, method)
        if final.empty:
            continue
        row = [word(method.label, css_color(colors[method.label].color))]
        ended, runs = len(final), len(method.runs)
        row.append(amount(ended, str(runs) if ended == runs else f"{ended} of {runs}"))
        row += [estimate(_at(scores, method, cycle)) for cycle in cycles]
        row.append(estimate(mean_interval(final), strong=method is best))
        row.append(estimate(_area(setting, method, scores)))
        one, total = iteration(setting, method), float(spent_by(setting, method).mean())
        row.append(estimate(one.seconds if one is not None and method.selects else None))
        rows.append([*row, amount(total, duration(total))])
    return Table(heads, rows, _caption(setting, best))


def _caption(setting: Setting, best: Method | None) -> str:
    score = "F1 of spans" if setting.metric == "f1" else sentence(setting.metric)
    text = f"{score} on the test split in %"
    if max(len(method.runs) for method in setting.methods) >= FEW:
        text += f", mean over seeds; from {FEW} seeds on ± half the width of its 95 % t interval"
    if best is not None:
        return f"{text}. Bold: better than every other method, by paired 95 % t intervals."
    if len(setting.methods) > 1:
        text += ". None is bold, because none is better than every other one by paired 95 % t intervals"
    return f"{text}."


def shown_cycles(setting: Setting) -> list[int]:
    """Budgets before the last one, evenly spaced; none where methods label by different schedules."""
    curves = [method for method in setting.methods if method.arm != "ceiling"]
    if len({method.parts["schedule"] for method in curves}) != 1:
        return []
    cycles = sorted(
        {c for method in curves for c in setting.scores(method).dropna(axis=1, how="all").columns}
    )
    return [cycles[i] for i in evenly(len(cycles), BUDGETS)][:-1]


def budget_head(setting: Setting, cycle: int) -> str:
    method = next(method for method in setting.methods if method.arm != "ceiling")
    unit = "words" if method.about.unit == "words" else "labelled"
    mean = max(
        setting.values(m, unit).mean(axis=0).get(cycle, 0.0) for m in setting.methods if m.arm != "ceiling"
    )
    return f"{number(mean, 0)} {'words' if unit == 'words' else 'labels'}"


def _at(scores: pd.DataFrame, method: Method, cycle: int) -> Estimate | None:
    there = scores[cycle].dropna() if cycle in scores.columns and method.arm != "ceiling" else []
    return mean_interval(there) if len(there) else None


def _area(setting: Setting, method: Method, scores: pd.DataFrame) -> Estimate | None:
    """Over repetitions that were evaluated at every cycle: fewer points make another mean."""
    at = setting.values(method, "words" if method.about.unit == "words" else "labelled")
    whole = scores.reindex(columns=at.columns).dropna()
    if whole.shape[1] < 2 or not len(whole):
        return None
    return mean_interval([aulc(at.loc[repeat], whole.loc[repeat]) for repeat in whole.index])


def clearly_best(setting: Setting) -> Method | None:
    """The method, ceilings aside, that beats every other one by its paired interval."""
    methods = [m for m in setting.methods if m.arm != "ceiling" and not ends(setting, m)[1].empty]
    if len(methods) < 2:
        return None
    best = max(methods, key=lambda method: ends(setting, method)[1].mean())
    for method in methods:
        found = pair(setting, best, method) if method is not best else None
        if method is not best and (found is None or not paired(found.a, found.b).difference.low > 0):
            return None
    return best
