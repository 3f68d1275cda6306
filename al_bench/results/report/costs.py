"""Cost accounting: what iterations cost by selection, and where all seconds went."""

import pandas as pd

from al_bench.progress import ITERATION
from al_bench.results.comparisons import acquirers
from al_bench.results.figures.style import looks
from al_bench.results.frame import Results
from al_bench.results.report.svg import css_color
from al_bench.results.report.table import Table, amount, estimate, word
from al_bench.results.settings import Setting
from al_bench.results.spending import iteration
from al_bench.results.words import duration, number, percent

DERIVED = ("seconds/iteration", "seconds/cumulative", "seconds/successor_total")
SHARED_HEADS = ("seconds without sharing", "times without sharing")
SHARING = (
    "Runs that need the same trajectory, fit or pseudo-labels compute it once; the columns to the right are what it "
    "would have taken without that."
)
COUNTS = {
    "cost/train_tokens": "to train acquisition models",
    "cost/scored_tokens": "to score",
    "cost/successor_tokens": "to train successors",
    "cost/pseudo_labelled_tokens": "to pseudo-label",
}


def iteration_table(setting: Setting) -> Table:
    """Mean seconds of an iteration by selection, what of it is scoring, and how fast that is."""
    heads = ["selection", "s per iteration", "training", "scoring", "rest", "examples scored per query",
             "sub-words scored per s", "speed-up if scoring were free"]  # fmt: skip
    colors, rows = looks(setting), []
    for method in acquirers(setting):
        found = iteration(setting, method)
        if found is None:
            continue
        rows.append(
            [
                word(method.selection, css_color(colors[method.label].color)),
                estimate(found.seconds),
                *(amount(share, percent(share)) for share in found.shares.values()),
                amount(found.scored, number(found.scored, 0)),
                amount(found.pace, number(found.pace, 0)),
                amount(found.bound, f"{number(found.bound, 2)}×"),
            ]
        )
    caption = (
        "Means over the cycles that query, and over seeds; evaluation is timed apart. The last column is "
    )
    caption += "Amdahl’s bound on what scoring fewer examples can bring."
    return Table(heads, rows, caption)


def account(results: Results) -> Table:
    """Seconds of every phase: computed, and what it would have been had runs shared nothing.

    What a run takes over from another it records with the seconds that it took there, to the last digit, so a number
    that occurs twice was spent once.
    """
    rows = []
    for phase, mine in _phases(results).groupby("metric", observed=True):
        spent = mine.value.drop_duplicates()
        name = str(phase).removeprefix("seconds/")
        rows.append((name, float(spent.sum()), len(spent), float(mine.value.sum()), len(mine)))
    rows.sort(key=lambda row: (row[0] not in ITERATION, -row[1]))
    whole = sum(row[1] for row in rows)
    some = any(times < asked for _, _, times, _, asked in rows)
    table = Table(
        ["phase", "seconds", "share", "times", *(SHARED_HEADS if some else [])],
        caption="All runs of this report. " + (SHARING if some else "They had nothing to share."),
    )
    for name, spent, times, charged, asked in rows:
        label = name.replace("_", " ") + (" (iteration)" if name in ITERATION else "")
        alone = [amount(charged, duration(charged)), amount(asked, number(asked, 0))] if some else []
        share = amount(spent / whole, percent(spent / whole, 1))
        cells = [word(label), amount(spent, duration(spent)), share, amount(times, number(times, 0))]
        table.rows.append([*cells, *alone])
    return table


def shared(results: Results) -> dict[str, float]:
    """fits of acquisition models, needed and made; seconds that all took, and would have taken alone"""
    fits = results.cycles[results.cycles.metric == "seconds/train"].value
    seconds = _phases(results)
    return {
        "fits needed": len(fits),
        "fits made": fits.nunique(),
        "seconds": float(seconds.drop_duplicates(["metric", "value"]).value.sum()),
        "seconds alone": float(seconds.value.sum()),
    }


def _phases(results: Results) -> pd.DataFrame:
    """The rows of `Results.cycles` that are seconds of a phase."""
    seconds = results.cycles[results.cycles.metric.astype(str).str.startswith("seconds/")]
    return seconds[~seconds.metric.isin(DERIVED) & (seconds.value > 0)]


def tokens(results: Results) -> list[tuple[str, float]]:
    """What was processed, counted once where it was shared, as far as seconds can tell."""
    found = []
    for metric, name in COUNTS.items():
        mine = results.cycles[results.cycles.metric == metric]
        trajectories = results.runs.trajectory.reindex(mine.run).to_numpy()
        once = mine.assign(trajectory=trajectories).drop_duplicates(["trajectory", "cycle", "value"])
        if len(once):
            found.append((name, float(once.value.sum())))
    return found
