"""Cost accounting: where all seconds went, and what sharing saved of them."""

import pandas as pd

from al_bench.analysis.store import Results
from al_bench.analysis.words import number, percent
from al_bench.costs import ITERATION, TOTALS, duration, total_of
from al_bench.report.tables import Table, amount, word

DERIVED = {f"seconds/{total}" for total in (*TOTALS, "cumulative")}
SHARED_HEADS = ("seconds without sharing", "times without sharing")
SHARING = (
    "Runs that need the same trajectory, fit or pseudo-labels compute it once; the columns to the right are what it "
    "would have taken without that."
)
# The count, and the seconds that were spent on it.
COUNTS = {
    ("cost/train_tokens", "seconds/train"): "to train acquisition models",
    ("cost/scored_tokens", "seconds/predict"): "to score",
    ("cost/labeller_tokens", "seconds/labeller_train"): "to train labellers",
    ("cost/pseudo_labelled_tokens", "seconds/pseudo_label"): "to pseudo-label",
    ("cost/first_successor_tokens", "seconds/first_successor_train"): "to train what filters look back on",
    ("cost/successor_tokens", "seconds/successor_train"): "to train successors",
}


def phases(results: Results) -> pd.DataFrame:
    """By phase: seconds and times that were computed, and what it would have been had runs shared nothing.

    What a run takes over from another it records with the seconds that it took there, to the last digit, so a number
    that occurs twice was spent once.
    """
    seconds = results.cycles[results.cycles.metric.astype(str).str.startswith("seconds/")]
    seconds = seconds[~seconds.metric.isin(DERIVED) & (seconds.value > 0)]
    groups = {
        str(metric).removeprefix("seconds/"): (part.drop_duplicates(), part)
        for metric, part in seconds.groupby("metric", observed=True).value
    }
    rows = [(name, once.sum(), len(once), all_.sum(), len(all_)) for name, (once, all_) in groups.items()]
    rows.sort(key=lambda row: (row[0] not in ITERATION, -row[1]))
    return pd.DataFrame(rows, columns=["phase", "seconds", "times", "alone", "times_alone"]).set_index("phase")


def account(spent: pd.DataFrame) -> Table:
    """spent: as `phases` gives it"""
    some = bool((spent.times < spent.times_alone).any())
    table = Table(
        ["phase", "seconds", "share", "times", *(SHARED_HEADS if some else [])],
        caption="All runs of this report. " + (SHARING if some else "They had nothing to share."),
    )
    for row in spent.itertuples():
        label = f"{row.Index} ({total_of(str(row.Index)).removesuffix('_total')})".replace("_", " ")
        share = row.seconds / spent.seconds.sum()
        cells = [word(label), amount(row.seconds, duration(row.seconds)), amount(share, percent(share, 1))]
        cells.append(amount(row.times, number(row.times, 0)))
        if some:
            cells.append(amount(row.alone, duration(row.alone)))
            cells.append(amount(row.times_alone, number(row.times_alone, 0)))
        table.rows.append(cells)
    return table


def tokens(results: Results) -> list[tuple[str, float]]:
    """What was processed, counted once where it was shared: with the seconds that `phases` counts once."""
    cycles = results.cycles.set_index(["run", "cycle"])
    totals = []
    for (count, phase), name in COUNTS.items():
        counts = cycles[cycles.metric == count].value
        seconds = cycles[cycles.metric == phase].value.reindex(counts.index)
        once = counts[~seconds.duplicated() | seconds.isna()]
        if len(once):
            totals.append((name, float(once.sum())))
    return totals
