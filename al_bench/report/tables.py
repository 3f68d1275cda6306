"""Tables of the page: what stands in a cell and by what it is sorted, and a table for each question."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.runs import GOLD
from al_bench.analysis.statistics import FEW, jaccard, mean_interval, penalty_matrix
from al_bench.analysis.stopping import CRITERIA
from al_bench.analysis.store import Results
from al_bench.analysis.words import interval, number, percent, sentence, spans_of
from al_bench.costs import duration, total_of
from al_bench.report.costs import iterations, spent_by
from al_bench.report.figures.style import COLORS, looks
from al_bench.report.texts import evenly, queried
from al_bench.report.wording import CAPTIONS

BUDGETS = 5  # columns at most
WHOLE = partial(number, digits=0)
HEADS, TEXTS = CAPTIONS["heads"], CAPTIONS["tables"]


@dataclass(frozen=True)
class Cell:
    """sort: a number, or text where the cell holds words; key: a colour before it, as in the figures"""

    text: str
    sort: float | str
    strong: bool = False
    key: str = ""


@dataclass(frozen=True)
class Table:
    """heads: of the columns; caption: what is in it, and how to read it"""

    heads: Sequence[str]
    rows: list[list[Cell]]
    caption: str

    @property
    def numeric(self) -> list[bool]:
        """Which columns are to be set to the right."""
        return [all(not isinstance(row[i].sort, str) for row in self.rows) for i in range(len(self.heads))]


def word(text: object, key: str = "") -> Cell:
    return Cell(str(text), str(text).lower(), key=key)


def named(setting: Setting, method: Method, text: str) -> Cell:
    """After the colour that the method has in the figures."""
    return word(text, COLORS[looks(setting)[method.label]["color"]])


def amount(value: float, written: str | Callable[[float], str] = WHOLE) -> Cell:
    """A number as it is written, or with what writes it; what is missing is a dash, and sorts last."""
    text = written if isinstance(written, str) else written(value)
    return Cell("–", math.inf) if math.isnan(value) else Cell(text, value)


def estimate(values: np.ndarray, digits: int = 1, *, strong: bool = False, sign: bool = False) -> Cell:
    """Mean and half the width of the interval."""
    if not len(values):
        return amount(math.nan)
    mean = mean_interval(values)
    return Cell(interval(mean, digits, sign=sign), mean.mean, strong)


def what_was_run(settings: Sequence[Setting]) -> Table:
    rows = []
    for setting, method in ((one, method) for one in settings for method in one.methods):
        labelled = setting.values(method, "labelled").mean(axis=0)
        parts = method.about[["acquisition", "strategy", "subsampling", "successor", "pseudo_labeling"]]
        first, last = (number(labelled.iloc[at], 0) for at in (0, -1))
        rows.append([
            *map(word, (setting.title, method.label, method.arm)),
            *(word("–" if part in (None, "none") else part) for part in parts),
            amount(len(method.runs), spans_of(list(map(str, method.seeds)))),
            amount(labelled.iloc[-1], f"{first} to {last}" if len(labelled) > 1 else last),
        ])  # fmt: skip
    return Table(HEADS["what"], rows, TEXTS["what"])


def score_table(setting: Setting, best: Method | None) -> Table:
    """Scores in percent at some budgets, area under the curve, and what was spent. best: the one that is bold"""
    measures, budgets, rows = setting.measures, budgets_of(setting), []
    for method in setting.methods:
        score, (end, final), runs = setting.score(method), setting.end(method), len(method.runs)
        if end is None or final.empty:
            continue
        at_cycles = [measures.sample(method.runs, score, cycle).array for cycle in budgets]
        iteration = setting.iterations(method, "seconds/iteration") if method.selects else np.empty(0)
        # A mean over fewer budgets is of other budgets, and no number to hold beside the others.
        everywhere = setting.scores(method).shape[1] == setting.values(method, "labelled").shape[1]
        rows.append([
            named(setting, method, method.label),
            amount(len(final), str(runs) if len(final) == runs else f"{len(final)} of {runs}"),
            *(estimate(100 * at if method.arm != "ceiling" else np.empty(0)) for at in at_cycles),
            estimate(final.to_numpy(), strong=method is best),
            estimate(100 * measures.sample(method.runs, f"acquisition/{setting.metric}", end).array),
            estimate(100 * measures.sample(method.runs, score, "aulc").array if everywhere else np.empty(0)),
            estimate(iteration),
            amount(float(spent_by(setting, method).mean()), duration),
        ])  # fmt: skip
    if rows and not math.isnan(setting.baseline):
        blank, at = amount(math.nan), 2 + len(budgets)
        constant = [blank] * at + [amount(setting.baseline, number)] + [blank] * (len(rows[0]) - at - 1)
        rows.append([word(TEXTS["baseline"]), *constant[1:]])
    intervals = any(len(method.runs) >= FEW for method in setting.methods)
    caption = TEXTS["scores"].format(
        score="F1 of spans" if setting.metric == "f1" else sentence(setting.metric.replace("_", " ")),
        intervals=TEXTS["intervals"].format(few=FEW) if intervals else "",
        bold=TEXTS["bold"] if best else TEXTS["not_bold"] if len(setting.methods) > 1 else "",
    )
    heads = [*HEADS["scores"][:2], *budgets.values(), *HEADS["scores"][2:]]
    return Table(heads, rows, caption.removesuffix(" ."))


def budgets_of(setting: Setting) -> dict[int, str]:
    """Head by cycle, of budgets before the last one, evenly spaced; none where methods label by different schedules."""
    curves = [method for method in setting.methods if method.arm != "ceiling"]
    if len({method.parts["schedule"] for method in curves}) != 1:
        return {}
    column, unit = ("words", "words") if curves[0].about.unit == "words" else ("labelled", "labels")
    labelled = pd.concat([setting.values(method, column).mean(axis=0) for method in curves], axis=1).max(axis=1)
    cycles = sorted({cycle for method in curves for cycle in setting.scores(method).columns})
    shown = [cycles[i] for i in evenly(len(cycles), BUDGETS)][:-1]
    return {cycle: f"{number(labelled.get(cycle, 0.0), 0)} {unit}" for cycle in shown}


def penalty_table(setting: Setting) -> Table | None:
    """Who beats whom, of three or more methods on the same budgets with two seeds in common; else None."""
    methods = [m for m in setting.methods if m.competes and not setting.scores(m).empty]
    if len(methods) < 3 or len({method.parts["schedule"] for method in methods}) > 1:
        return None
    scores = [setting.scores(method) for method in methods]
    # Before the first query all learn from the same seed set, most often in the same fit, and nobody can beat anybody.
    cycles = sorted({cycle for table in scores for cycle in table.columns} - {0})
    seeds = sorted({seed for table in scores for seed in table.index})
    arrays = [table.reindex(index=seeds, columns=cycles).to_numpy().T for table in scores]
    matrix = penalty_matrix(np.stack(arrays))
    np.fill_diagonal(matrix, np.nan)
    shares = pd.DataFrame(matrix)
    if shares.isna().all(axis=None):
        return None
    if not shares.max(axis=None):
        return Table((), [], TEXTS["no_penalties"])
    beats, beaten = shares.mean(axis=1), shares.mean(axis=0)
    rows = []
    for i, method in enumerate(methods):
        shown = (*matrix[i], beats[i], beaten[i])
        rows.append([named(setting, method, f"{i + 1}. {method.label}"), *(amount(x, percent) for x in shown)])
    numbers = [str(i + 1) for i in range(len(methods))]
    return Table(["who beats whom", *numbers, "beats", "is beaten"], rows, TEXTS["penalties"])


def stopping_table(setting: Setting, stopped: Sequence[tuple[Method, pd.DataFrame]]) -> Table:
    """stopped: methods, each with what `stopping.stops` gives for it"""
    rows = []
    for method, stops in stopped:
        for criterion in CRITERIA:
            of_all = stops[stops.criterion == criterion.name]
            ended = of_all.dropna(subset="cycle")
            if ended.empty:
                continue
            known = ended.dropna(subset=["score", "last"])
            rows.append([
                named(setting, method, method.label),
                word(criterion.name),
                word(" and ".join(sorted(set(ended.split))) or "–"),
                amount(len(ended) / len(of_all), f"{len(ended)} of {len(of_all)}"),
                amount(ended.labelled.mean()),
                amount(1 - (ended.labelled / ended.all_labelled).mean(), percent),
                estimate(100 * known.score.to_numpy()),
                estimate(100 * (known.score - known["last"]).to_numpy(), sign=True),
            ])  # fmt: skip
    return Table(HEADS["stops"], rows, TEXTS["stops" if rows else "no_stops"])


def iteration_table(setting: Setting) -> Table:
    """Mean seconds of an iteration by selection, what of it is scoring, and how fast that is."""
    rows = []
    for method, samples, means in iterations(setting):
        pace = means["tokens"] / means["predict"] if means["predict"] else math.nan
        rows.append([
            named(setting, method, method.selection),
            estimate(samples["seconds"]),
            *(amount(means[phase] / means["seconds"], percent) for phase in ("train", "predict")),
            estimate(samples["once"]),
            amount(means["scored"]),
            amount(pace),
            amount(means["bound"], f"{number(means['bound'], 2)}×"),
            amount(means["parameters"]),
        ])  # fmt: skip
    return Table(HEADS["iterations"], rows, TEXTS["iterations"])


def paid_table(setting: Setting) -> Table | None:
    """What labels were, what they and the machine cost, and the score for it; None where all is gold and has no price.

    Means over seeds, at the end of each method.
    """
    methods = [method for method in setting.methods if not setting.end(method)[1].empty]
    asked, priced = any(m.about.oracle != GOLD for m in methods), any(m.about.priced for m in methods)
    if not asked and not priced:
        return None

    def at_end(method: Method, metric: str) -> float:
        values = setting.measures.sample(method.runs, metric, setting.end(method)[0] or 0).array
        return float(values.mean()) if len(values) else math.nan

    rows = []
    for method in methods:
        row = [named(setting, method, method.label)]
        if asked:
            counts = (amount(at_end(method, f"oracle/{name}")) for name in ("asked", "answered"))
            shares = (amount(at_end(method, f"oracle/{name}"), percent) for name in ("abstained", "right"))
            row += [word(method.about.oracle), *counts, *shares]
        if priced:
            money = (at_end(method, f"money/{name}") for name in ("labels", "machine", "total"))
            row += [*(amount(one, partial(number, digits=2)) for one in money), word(method.about.currency or "–")]
        rows.append([*row, estimate(setting.end(method)[1].to_numpy())])
    heads = ["method", *(HEADS["asked"] if asked else []), *(HEADS["paid"] if priced else []), "score at the end"]
    caption = " ".join(TEXTS[name] for name, holds in (("asked", asked), ("paid", priced)) if holds)
    return Table(heads, rows, caption)


def overlap_table(setting: Setting) -> Table:
    """Of each two selections the Jaccard overlap of all they queried, seed by seed."""
    selections = [(method.selection, queried(method)) for method in setting.selections()]
    rows = []
    for i, (name, own) in enumerate(selections):
        for another, its in selections[:i]:
            shares = np.array([jaccard(own[seed], its[seed]) for seed in own if seed in its])
            if len(shares):
                rows.append([word(name), word(another), estimate(shares, 2), amount(len(shares))])
    return Table(HEADS["overlap"], rows, TEXTS["overlap"])


def account(spent: pd.DataFrame) -> Table:
    """spent: as `costs.phases` gives it"""
    shared = bool((spent.times < spent.times_alone).any())
    rows, width = [], 6 if shared else 4
    for phase, row in spent.iterrows():
        label = f"{phase} ({total_of(str(phase)).removesuffix('_total')})".replace("_", " ")
        share = amount(row.seconds / spent.seconds.sum(), partial(percent, digits=1))
        computed, alone = amount(row.seconds, duration), amount(row.alone, duration)
        rows.append([word(label), computed, share, amount(row.times), alone, amount(row.times_alone)][:width])
    return Table(HEADS["account"][:width], rows, TEXTS["shared" if shared else "unshared"])


def run_table(results: Results) -> Table:
    """Every run that could be read: its folder's name ends in the hash of its config."""
    rows = []
    for run, row in results.runs.iterrows():
        cycles = amount(row.cycles_done / max(row.cycles_planned, 1), f"{row.cycles_done} of {row.cycles_planned}")
        cells = [word(run), word(row["name"]), amount(row.seed, str(row.seed)), word(row.state), cycles]
        rows.append([*cells, *(word(part or "–") for part in (row.trajectory, row.precision, row.host))])
    return Table(HEADS["runs"], rows, TEXTS["runs"])
