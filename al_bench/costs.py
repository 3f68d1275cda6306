"""What active learning costs: seconds by phase, the total that each phase belongs to, and the clock.

Every phase belongs to exactly one total:

iteration        what an annotator waits for between two queries: `ITERATION`
one_off          work that is done once per trajectory: preparing the pool, for each model in the cycle from which it
                 acquires, and selecting the seed set: `ONE_OFF`
evaluation       predicting what real active learning does not predict: phases that end in "evaluate"
overhead         loading, checking and capturing a network, for any role: phases that end in one of `OVERHEAD`
successor_total  all else: fits of the successor, pseudo-labeller and verifier, preparing the pool for them,
                 pseudo-labels and filters
"""

import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

QUERY = ("subsample", "predict", "select", "rescore")
ITERATION = ("relabel", "train", *QUERY)
ONE_OFF = ("prepare", "seed")
OVERHEAD = ("load", "check", "capture")
# Last words of the phases that happen once per model and corpus, however many fits follow.
ONCE = ("load", "check", "prepare", "embed", "seed")
TOTALS = ("iteration", "one_off", "evaluation", "overhead", "successor_total")
Seconds = Mapping[str, float]
Listener = Callable[[str], None]
HARD = "\u00a0"  # a space that does not break


@dataclass
class Costs:
    """Never compared between runs, never fed back.

    seconds: by phase; counts: steps, sub-words, bytes; machine: what computed it, as `provenance.machine` gives it
    """

    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def add(self, other: "Costs") -> None:
        """Append the costs of a later step. What both did once is charged once; the peak of memory is the larger."""
        for phase, seconds in charged_once(other.seconds, self.seconds).items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
        peaks = [c.counts["peak_memory_bytes"] for c in (self, other) if "peak_memory_bytes" in c.counts]
        self.counts |= {**other.counts, **({"peak_memory_bytes": max(peaks)} if peaks else {})}
        # Work that two machines shared is equal to neither, so that its seconds are compared with neither's.
        second = other.machine or self.machine
        pairs = [(key, value, second.get(key)) for key, value in self.machine.items()]
        self.machine = {key: a if a == b else f"{a} + {b}" for key, a, b in pairs} or second


class Clock:
    """Adds up wall seconds per phase.

    synchronise: waits for the device; called at the edges of a phase only, so that work inside stays
    asynchronous. listener: called with the name of each phase as it begins.
    A phase within a phase has its seconds for itself: they are not the outer one's, too.
    """

    def __init__(self, synchronise: Callable[[], None], listener: Listener | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronise = synchronise
        self._listener = listener
        self._inner: list[float] = []  # of each open phase, the seconds of the phases within it

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if self._listener is not None:
            self._listener(name)
        self._synchronise()
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
            self._synchronise()
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def move(self, seconds: float, source: str, target: str) -> None:
        """Charge seconds of the phase `source` to `target` instead."""
        if seconds:
            self.seconds[source] -= seconds
            self.seconds[target] = self.seconds.get(target, 0.0) + seconds


def total_of(phase: str) -> str:
    """The one of `TOTALS` that a phase belongs to. A role's name may stand before a phase: successor_train."""
    kind = phase.rpartition("_")[2]
    if phase in ITERATION:
        return "iteration"
    if phase in ONE_OFF:
        return "one_off"
    if kind == "evaluate":
        return "evaluation"
    return "overhead" if kind in OVERHEAD else "successor_total"


def totals(seconds: Seconds) -> dict[str, float]:
    """Seconds by total. A total without any phase is absent: "iteration" in a replay, "one_off" in most cycles."""
    sums: dict[str, float] = {}
    for phase, value in seconds.items():
        sums[total_of(phase)] = sums.get(total_of(phase), 0.0) + value
    return sums


def machine_money(seconds: Seconds, hour: float) -> float:
    """What the machine costs without evaluation, which real active learning does not do. hour: its price"""
    return hour * sum(value for phase, value in seconds.items() if total_of(phase) != "evaluation") / 3600


def seconds_until_scores(cycles: Sequence[Seconds]) -> list[float]:
    """By cycle, what had been spent when its acquisition model was fitted.

    That is the one-off work, all iterations before, and what comes before the cycle's own query: relabelling and
    training. The query serves the next cycle's score.
    """
    spent, until = 0.0, []
    for seconds in cycles:
        spent += totals(seconds).get("one_off", 0.0)
        until.append(spent + sum(seconds.get(phase, 0.0) for phase in ITERATION if phase not in QUERY))
        spent += totals(seconds).get("iteration", 0.0)
    return until


def happens_once(phase: str) -> bool:
    """Whether a phase happens once per model and corpus. Every step records it, as if the step were alone."""
    return phase.rpartition("_")[2] in ONCE


def charged_once(seconds: Seconds, charged: Container[str]) -> dict[str, float]:
    """The seconds without the phases that happen once and were charged before."""
    return {p: value for p, value in seconds.items() if not (happens_once(p) and p in charged)}


def duration(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 5 h 40 min"""
    if math.isnan(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f}{HARD}s" if seconds >= 0.05 or seconds == 0 else f"<{HARD}0.1{HARD}s"
    if seconds < 6000:
        return f"{seconds // 60:.0f}{HARD}min{HARD}{seconds % 60:02.0f}{HARD}s"
    return f"{seconds // 3600:,.0f}{HARD}h{HARD}{seconds % 3600 // 60:02.0f}{HARD}min"
