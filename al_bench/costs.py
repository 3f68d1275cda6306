"""What active learning costs: seconds by phase, which total each phase belongs to, and the clock that measures them.

Every phase belongs to one total, and to no other:

iteration   what an annotator waits for between two queries: `ITERATION`
one-off     what is done once for a corpus, in the cycle that first needs it: `ONE_OFF`
evaluation  scoring the test split, which real active learning does not do: phases that end in "evaluate"
successor   all else: fits of the successor, the pseudo-labeller and the verifier, pseudo-labels and filters
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

QUERY = ("subsample", "predict", "select", "rescore")
ITERATION = ("train", *QUERY)
ONE_OFF = ("prepare",)
Seconds = Mapping[str, float]
Listener = Callable[[str], None]
HARD = "\u00a0"  # a space that does not break


@dataclass
class Costs:
    """seconds: by phase; counts: steps, sub-words, bytes. Never compared between runs, never fed back.

    machine: the hardware that computed, as it is recorded
    """

    seconds: dict[str, float]
    counts: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)


class Clock:
    """Adds up wall seconds per phase.

    synchronise: waits for the device; called at the edges of a phase only, so that work inside stays
    asynchronous. listener: called with the name of each phase as it begins.
    """

    def __init__(self, synchronise: Callable[[], None], listener: Listener | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronise = synchronise
        self._listener = listener

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if self._listener is not None:
            self._listener(name)
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
            self._synchronise()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def iteration_seconds(seconds: Seconds) -> float | None:
    """Of one cycle; None where no model was trained and nothing queried, as in a replay."""
    return _total(seconds, lambda phase: phase in ITERATION)


def one_off_seconds(seconds: Seconds) -> float | None:
    return _total(seconds, lambda phase: phase in ONE_OFF)


def successor_seconds(seconds: Seconds) -> float | None:
    """All that the successor cost beside its evaluation, pseudo-labels and filters included; None: there is none."""
    return _total(
        seconds, lambda phase: phase not in (*ITERATION, *ONE_OFF) and not phase.endswith("evaluate")
    )


def seconds_until_scores(cycles: Sequence[Seconds]) -> list[float]:
    """By cycle, what had been spent when its acquisition model was fitted.

    That is the one-off work, all iterations before, and the cycle's own training: the query that follows serves the
    next cycle's score.
    """
    spent, until = 0.0, []
    for seconds in cycles:
        spent += one_off_seconds(seconds) or 0.0
        until.append(spent + seconds.get("train", 0.0))
        spent += iteration_seconds(seconds) or 0.0
    return until


def _total(seconds: Seconds, belongs: Callable[[str], bool]) -> float | None:
    parts = [value for phase, value in seconds.items() if belongs(phase)]
    return sum(parts) if parts else None


def duration(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 5 h 40 min"""
    if math.isnan(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f}{HARD}s" if seconds >= 0.05 or seconds == 0 else f"<{HARD}0.1{HARD}s"
    if seconds < 6000:
        return f"{seconds // 60:.0f}{HARD}min{HARD}{seconds % 60:02.0f}{HARD}s"
    return f"{seconds // 3600:,.0f}{HARD}h{HARD}{seconds % 3600 // 60:02.0f}{HARD}min"
