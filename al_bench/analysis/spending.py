"""What active learning cost: seconds by phase, of an iteration, and of all that led to a score."""

import math
from dataclasses import dataclass

import pandas as pd

from al_bench.analysis.comparisons import ends
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.statistics import Estimate, mean_interval

# What blocks an annotator, in the order of an iteration; the last two take next to nothing, most often.
PHASES = {
    "train": ("seconds/train",),
    "predict": ("seconds/predict", "seconds/rescore"),
    "rest": ("seconds/subsample", "seconds/select"),
}


@dataclass(frozen=True)
class Iteration:
    """Means over the cycles that query: the last one only trains, and nobody waits for it.

    seconds: over seeds; shares: of them, by phase; scored: examples, where any are; pace: sub-words scored per second
    bound: how many times as fast iterations would be, were scoring free
    """

    seconds: Estimate
    shares: dict[str, float]
    scored: float
    pace: float

    @property
    def bound(self) -> float:
        return 1 / (1 - self.shares["predict"]) if self.shares["predict"] < 1 else math.inf


def iteration(setting: Setting, method: Method) -> Iteration | None:
    """None where no cycle queried, or nobody wrote down what it cost."""
    seconds = setting.values(method, "seconds/iteration")
    queried = setting.values(method, "seconds/select").notna()

    def of(metric: str) -> pd.DataFrame:
        values = setting.values(method, metric).reindex(index=seconds.index, columns=seconds.columns)
        return values.where(queried.reindex_like(seconds).eq(True))

    by_seed = of("seconds/iteration").mean(axis=1).dropna()
    whole = float(of("seconds/iteration").sum().sum())
    if not whole > 0:
        return None
    spent = {phase: sum(float(of(name).sum().sum()) for name in names) for phase, names in PHASES.items()}
    scored, tokens = of("scored"), float(of("cost/scored_tokens").sum().sum())
    return Iteration(
        mean_interval(by_seed),
        {phase: one / whole for phase, one in spent.items()},
        float(scored.where(scored > 0).stack().mean()),
        tokens / spent["predict"] if tokens and spent["predict"] else math.nan,
    )


def phase_means(setting: Setting, method: Method) -> pd.DataFrame:
    """Mean seconds, cycle x phase; a phase that a cycle does not have took none."""
    cycles = setting.values(method, "scored").columns
    means = {
        phase: sum(setting.values(method, name).mean(axis=0).reindex(cycles, fill_value=0) for name in names)
        for phase, names in PHASES.items()
    }
    return pd.DataFrame(means)


def spent_by(setting: Setting, method: Method) -> pd.Series:
    """Seconds by repeat up to the last cycle: of all iterations, and of the successor that was trained there."""
    cycle, scores = ends(setting, method)
    if cycle is None:
        return pd.Series(dtype=float)
    seconds = setting.values(method, "seconds/iteration").reindex(scores.index)
    successor = setting.values(method, "seconds/successor_total").reindex(scores.index)
    # A successor that is the acquisition model costs no fit of its own.
    last = successor.get(cycle, pd.Series(0.0, scores.index)).fillna(0.0)
    return seconds.loc[:, :cycle].sum(axis=1) + last
