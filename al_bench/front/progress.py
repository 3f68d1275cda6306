"""What a person sees while a run goes on, and the table at its end."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from al_bench.costs import iteration_seconds, successor_seconds
from al_bench.data.metrics import headline


class Display:
    """Cycle, phase and time left on a terminal; a line per cycle elsewhere.

    style: auto | bar | plain | none
    """

    def __init__(self, style: str, cycles: int, task: str) -> None:
        if style == "auto":
            style = "bar" if sys.stdout.isatty() else "plain"
        self._style, self._cycles, self._headline = style, cycles, headline(task)
        # A file or a pipe has no width to fold tables to.
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._cycle_began = time.perf_counter()
        self._number = 0
        if style == "bar":
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
            self._task = self._bar.add_task("starting", total=cycles + 1, left="")
            self._bar.start()

    def say(self, text: str) -> None:
        if self._style != "none":
            self._console.print(text, markup=False, soft_wrap=True)

    def phase(self, name: str) -> None:
        if self._bar is not None:
            words = name.replace("_", " ")
            self._bar.update(self._task, description=f"cycle {self._number}/{self._cycles}: {words}")

    def cycle(self, decided: dict[str, Any], spent: dict[str, Any], *, fresh: bool) -> None:
        """A committed cycle; not fresh if an earlier run committed it."""
        took = time.perf_counter() - self._cycle_began
        self._cycle_began = time.perf_counter()
        self._number = decided["cycle"] + 1
        if fresh:
            self.say(self._line(decided, spent))
        if self._bar is not None:
            # Cycles grow slowly, so the last one is the best guess for each that is left.
            left = f"~{took * (self._cycles - decided['cycle']) / 60:.1f} min left" if fresh else ""
            self._bar.update(self._task, completed=self._number, left=left)

    def _line(self, decided: dict[str, Any], spent: dict[str, Any]) -> str:
        parts = [f"cycle {decided['cycle']}/{self._cycles}", f"{decided['labelled']} labelled"]
        for role in ("acquisition", "successor"):
            if decided[role]:
                parts.append(f"{role} {self._headline} {decided[role][self._headline]:.4f}")
        phases = [f"{name.replace('_', ' ')} {s:.1f}" for name, s in spent["seconds"].items() if s >= 0.05]
        return "  ".join([*parts, f"seconds: {', '.join(phases)}" if phases else ""]).rstrip()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def table(self, rows: list[tuple[dict[str, Any], dict[str, Any]]], title: str) -> None:
        self.close()
        if self._style != "none":
            self._console.print(result_table(rows, self._headline, title))


def result_table(rows: list[tuple[dict[str, Any], dict[str, Any]]], metric: str, title: str) -> Table:
    """Both models' headline metric per cycle; seconds of the AL iteration, and of making the successor."""
    table = Table(title=title, title_justify="left")
    heads = ("cycle", "labelled", "words", f"acquisition {metric}", f"successor {metric}")
    for head in (*heads, "iteration s", "successor s"):
        table.add_column(head, justify="right")
    for decided, spent in rows:
        successor = successor_seconds(spent["seconds"])
        table.add_row(
            str(decided["cycle"]),
            f"{decided['labelled']:,}",
            f"{decided['words']:,}",
            _shown(decided["acquisition"], metric),
            _shown(decided["successor"], metric),
            f"{iteration_seconds(spent['seconds']) or 0.0:.1f}",
            "-" if successor is None else f"{successor:.1f}",
        )
    return table


def _shown(metrics: dict[str, float] | None, metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metrics else "-"
