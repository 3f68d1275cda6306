"""What a run prints: its progress, a line per cycle, and the table at its end."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from al_bench.costs import TOTALS, total_of, totals
from al_bench.data.metrics import at_chance, headline
from al_bench.ledger.ledger import Row

VISIBLE = 0.05  # seconds: the least that rounds to 0.1
NEGLIGIBLE = 0.01  # of all iterations: one-off seconds up to this share are not shown under the table


class Display:
    """Cycle, phase and time left on a terminal; a line per cycle elsewhere.

    style: auto | bar | plain | none
    label: of a job beside which others print; such jobs have no bars, which would overwrite each other
    """

    def __init__(self, style: str, cycles: int, kind: str, label: str = "") -> None:
        if style == "auto":
            style = "bar" if sys.stdout.isatty() else "plain"
        if style == "bar" and label:
            style = "plain"
        self._cycles, self._headline, self._number, self._label = cycles, headline(kind), 0, label
        # A file or a pipe has no width to which a table could be folded.
        width = None if sys.stdout.isatty() else 120
        self._console = Console(highlight=False, quiet=style == "none", width=width)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        self._bar = Progress(
            *columns, TimeElapsedColumn(), console=self._console, transient=True, disable=style != "bar"
        )
        self._task = self._bar.add_task("starting", total=cycles + 1, left="")
        self._bar.start()
        self._cycle_began = time.perf_counter()

    def say(self, text: str) -> None:
        self._console.print(self._label + text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Whatever the style: what goes wrong beside the run must not stay unsaid."""
        print(text, file=sys.stderr)

    def phase(self, name: str) -> None:
        words = name.replace("_", " ")
        self._bar.update(self._task, description=f"cycle {self._number}/{self._cycles}: {words}")

    def cycle(self, decided: dict[str, Any], spent: dict[str, Any], *, fresh: bool) -> None:
        """Show a committed cycle; not fresh: an earlier run committed it."""
        elapsed = time.perf_counter() - self._cycle_began
        self._cycle_began = time.perf_counter()
        self._number = decided["cycle"] + 1
        if fresh:
            self.say(self._line(decided, spent))
        # Cycles grow slowly, so the last one is the best estimate for each remaining one.
        left = f"~{elapsed * (self._cycles - decided['cycle']) / 60:.1f} min left" if fresh else ""
        self._bar.update(self._task, completed=self._number, left=left)

    def _line(self, decided: dict[str, Any], spent: dict[str, Any]) -> str:
        parts = [f"cycle {decided['cycle']}/{self._cycles}", f"{decided['labelled']} labelled"]
        for role in ("acquisition", "successor"):
            if decided[role]:
                chance = " (at chance)" if is_at_chance(decided, role, self._headline) else ""
                parts.append(f"{role} {self._headline} {decided[role][self._headline]:.4f}{chance}")
        return "  ".join([*parts, *seconds_in_words(spent["seconds"])])

    def close(self) -> None:
        if self._bar.live.is_started:  # else an older rich prints an empty line
            self._bar.stop()

    def table(self, rows: list[Row], title: str) -> None:
        self.close()
        self._console.print(result_table(rows, self._headline, self._label + title))
        if note := chance_note(rows, self._headline):
            self.say(f"note: {note}")


def seconds_in_words(seconds: dict[str, float]) -> list[str]:
    """["iteration 7.6 s (train 5.0, predict 2.6)", "one-off 0.3 s", ...]: totals, with their phases if several."""
    words = []
    for name in TOTALS:
        parts = {phase: s for phase, s in seconds.items() if total_of(phase) == name and s >= VISIBLE}
        if parts:
            phases = ", ".join(f"{phase.replace('_', ' ')} {s:.1f}" for phase, s in parts.items())
            title = name.removesuffix("_total").replace("_", "-")
            total = f"{title} {totals(seconds)[name]:.1f} s"
            words.append(f"{total} ({phases})" if len(parts) > 1 else total)
    return words


def result_table(rows: list[Row], metric: str, title: str) -> Table:
    """Both models' headline metric per cycle, and seconds of the iteration and of the successor."""
    captions = [line for line in (_baseline(rows, metric), _answers(rows), _one_off(rows)) if line]
    table = Table(title=title, title_justify="left", caption="\n".join(captions) or None, caption_justify="left")
    models = (f"acquisition {metric}", f"successor {metric}")
    for head in ("cycle", "labelled", "words", *models, "iteration s", "successor s"):
        table.add_column(head, justify="right")
    for decided, spent in rows:
        seconds = totals(spent["seconds"])
        scores = [decided[role] and f"{decided[role][metric]:.4f}" for role in ("acquisition", "successor")]
        table.add_row(
            *(f"{decided[count]:,}" for count in ("cycle", "labelled", "words")),
            *(score or "-" for score in scores),
            f"{seconds.get('iteration', 0.0):.1f}",
            f"{seconds['successor_total']:.1f}" if "successor_total" in seconds else "-",
        )
    return table


def is_at_chance(decided: dict[str, Any], role: str, metric: str) -> bool:
    """Whether a cycle's model is; not where it has none, or comes from a run that recorded no baseline."""
    scores, baseline = decided[role], decided.get("baseline")
    if scores is None or baseline is None:
        return False
    return bool(at_chance(scores[metric], baseline[metric], baseline["examples"]))


def blind_cycles(rows: list[Row], metric: str) -> tuple[list[int], int]:
    """(the cycles whose query was of a model at chance, how many cycles queried)."""
    queried = [decided for decided, _ in rows if decided["acquisition"] and decided["query"]]
    return [one["cycle"] for one in queried if is_at_chance(one, "acquisition", metric)], len(queried)


def chance_note(rows: list[Row], metric: str) -> str | None:
    """In which of the cycles that queried the selector was at chance."""
    blind, queried = blind_cycles(rows, metric)
    if not blind:
        return None
    return (
        f"the acquisition model selected at chance in {len(blind)} of {queried} cycles, the last of them cycle "
        f"{blind[-1]}: its {metric} is not clearly above that of always predicting one label"
    )


def _baseline(rows: list[Row], metric: str) -> str | None:
    known = [decided["baseline"] for decided, _ in rows if decided.get("baseline")]
    if not known:
        return None
    return f"Always predicting the most frequent label has {metric} {known[-1][metric]:.4f}."


def _answers(rows: list[Row]) -> str | None:
    """What the oracle said until the last fit, where not all of it was right, and what that cost."""
    last = rows[-1][0] if rows else {}
    asked, right, money = (last.get(key) for key in ("asked", "right", "money_labels"))
    if asked is None or (asked == right and money is None):
        return None
    cost = "" if money is None else f", for {money:,.2f}"
    return f"The oracle was asked for {asked:,} labels and gave {last['answered']:,}, {right:,} of them right{cost}."


def _one_off(rows: list[Row]) -> str | None:
    """The seconds that the table has in no row, where they are more than negligible."""
    seconds = sum(totals(spent["seconds"]).get("one_off", 0.0) for _, spent in rows)
    iterations = sum(totals(spent["seconds"]).get("iteration", 0.0) for _, spent in rows)
    if seconds < max(VISIBLE, NEGLIGIBLE * iterations):
        return None
    selecting = " and to select the seed set" if any("seed" in spent["seconds"] for _, spent in rows) else ""
    return f"In no iteration: {seconds:.1f} s to prepare the pool for the acquisition model{selecting}, once."
