"""Cost accounting: where all seconds went, what sharing saved of them, and what an iteration takes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.store import Results
from al_bench.costs import ITERATION, TOTALS

DERIVED = {f"seconds/{total}" for total in (*TOTALS, "cumulative")}
# The count, and the seconds that were spent on it.
COUNTS = {
    ("cost/train_tokens", "seconds/train"): "to train acquisition models",
    ("cost/scored_tokens", "seconds/predict"): "to score",
    ("cost/labeller_tokens", "seconds/labeller_train"): "to train labellers",
    ("cost/pseudo_labelled_tokens", "seconds/pseudo_label"): "to pseudo-label",
    ("cost/first_successor_tokens", "seconds/first_successor_train"): "to train what filters look back on",
    ("cost/successor_tokens", "seconds/successor_train"): "to train successors",
}
MEASURED = {
    "seconds": "seconds/iteration", "train": "seconds/train", "predict": "seconds/predict",
    "once": "seconds/one_off", "scored": "scored", "tokens": "cost/scored_tokens", "bound": "amdahl",
    "parameters": "cost/trained_parameters",
}  # fmt: skip


def iterations(setting: Setting) -> Iterator[tuple[Method, dict[str, np.ndarray], dict[str, float]]]:
    """Each selection that took time, with samples and means of its iterations by `MEASURED`; NaN: not recorded."""
    for method in setting.acquirers():
        samples = {name: setting.iterations(method, metric) for name, metric in MEASURED.items()}
        # Not a mean over the cycles that query: another model of a schedule is prepared, too.
        samples["once"] = setting.iterations(method, MEASURED["once"], "total")
        means = {name: float(values.mean()) if len(values) else np.nan for name, values in samples.items()}
        if means["seconds"] > 0:
            yield method, samples, means


def spent_by(setting: Setting, method: Method) -> pd.Series:
    """Seconds by seed until the last score: one-off work, all iterations, and the successor that was trained there.

    Of the runs on the machine that most of them were on.
    """
    cycle, measures = setting.end(method)[0], setting.measures
    if cycle is None:
        return pd.Series(dtype=float)
    spent, last = (
        pd.Series(measures.sample(method.runs, f"seconds/{name}", cycle).values, dtype=float)
        for name in ("cumulative", "successor_total")
    )
    if last.empty:  # a successor that is the acquisition model costs no fit of its own
        return spent
    return spent.add(last, fill_value=0.0 if spent.empty else None).dropna()


def paid_by(setting: Setting, method: Method) -> pd.Series:
    """Money by seed at the method's end, for labels and machine, as far as these have a price."""
    cycle = setting.end(method)[0]
    values = {} if cycle is None else setting.measures.sample(method.runs, "money/total", cycle).values
    return pd.Series(values, dtype=float)


def phases(results: Results) -> pd.DataFrame:
    """By phase: seconds and times that were computed, and what it would have been had runs shared nothing.

    What a run takes over from another it records with the seconds that it took there, to the last digit, so a number
    that occurs twice was spent once.
    """
    seconds = results.cycles[results.cycles.metric.astype(str).str.startswith("seconds/")]
    seconds = seconds[~seconds.metric.isin(DERIVED) & (seconds.value > 0)]
    phase = seconds.metric.astype(str).str.removeprefix("seconds/").rename("phase")
    alone = seconds.value.groupby(phase).agg(["sum", "count"])
    once = seconds.value[~seconds.duplicated(["metric", "value"])].groupby(phase).agg(["sum", "count"])
    spent = pd.concat([once, alone], axis=1).set_axis(["seconds", "times", "alone", "times_alone"], axis=1)
    return spent.loc[sorted(spent.index, key=lambda name: (name not in ITERATION, -spent.seconds[name]))]


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
