"""Prints a plan: the jobs, the fits they need, and the time these may take."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from al_bench.config.catalog import EXPERIMENT
from al_bench.costs import HARD, duration
from al_bench.errors import known as listed
from al_bench.planning.units import Job, Past, Unit, training_examples, union

MOST_JOBS = 40  # that are listed one by one


def show(jobs: Sequence[Job], words: Sequence[str]) -> None:
    """Print the plan of all jobs. words: those of the command line after `plan`"""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    good = [job for job in jobs if job.refused is None]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(Counter(job.state for job in jobs).items()))
    parts: list[str | Table] = [f"{len(jobs)} jobs: {counts}"]
    if 1 < len(jobs) <= MOST_JOBS:
        parts.append(_job_table(jobs))
    parts += [f"refused: {' '.join(job.overrides)}: {job.refused}" for job in jobs if job.refused is not None]
    if good:
        asked = union(job.asked for job in good)
        parts += [_count_table(good, asked), _model_table(asked), *_estimate(good, asked)]
        parts += _commands(words, [job for job in good if job.state != "finished"])
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


def _table(title: str, *heads: str, left: int) -> Table:
    """A table whose first columns are flush left and whose others hold numbers."""
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number < left else "right", overflow="fold")
    return table


def _job_table(jobs: Sequence[Job]) -> Table:
    """Every job: state, and how many of its fits are new, shared with a job above, or done."""
    table = _table("jobs", "job", "overrides", "state", "fits", "new", "shared", "done", left=3)
    seen: set[str] = set()
    for number, job in enumerate(jobs):
        keys = {unit.key for unit in job.asked}
        done = {unit.key for unit in job.asked if unit.done}
        counts = (len(keys), len(keys - seen - done), len((keys & seen) - done), len(done))
        cells = "-" * len(counts) if job.refused is not None else map(str, counts)
        table.add_row(str(number), " ".join(job.overrides), job.state, *cells)
        seen |= keys
    return table


def _count_table(jobs: Sequence[Job], asked: Sequence[Unit]) -> Table:
    """The number of fits: every run on its own, shared, and shared where successors are evaluated."""
    naive = [unit for job in jobs for unit in job.every]
    naive_work = _work(naive)
    table = _table("fits", "", "fits", "of naive", "training examples x epochs", "of naive", left=1)
    for name, units in (
        ("naive: every run on its own, the successor at every cycle", naive),
        ("shared, the successor at every cycle", union(job.every for job in jobs)),
        ("shared, the successor where evaluate_at asks for it", asked),
        ("  of these still missing", [unit for unit in asked if not unit.done]),
    ):
        work, share = _work(units), f"{len(units) / max(len(naive), 1):.0%}"
        size = "unknown" if work is None else f"{work:,.0f}"
        of_naive = "unknown" if work is None or not naive_work else f"{work / naive_work:.0%}"
        table.add_row(name, f"{len(units):,}", share, size, of_naive)
    return table


def _work(units: Sequence[Unit]) -> float | None:
    """Training examples x epochs; None where the size of a training split is not known."""
    work = [unit.work for unit in units if unit.work is not None]
    return sum(work) if len(work) == len(units) else None


def _model_table(units: Sequence[Unit]) -> Table:
    """The fits that are needed, by part and model."""
    needed = Counter((unit.part, unit.model) for unit in units)
    missing = Counter((unit.part, unit.model) for unit in units if not unit.done)
    table = _table("fits by model", "part", "model", "fits", "missing", left=2)
    for key, count in sorted(needed.items()):
        table.add_row(*key, f"{count:,}", f"{missing[key]:,}")
    return table


def _estimate(jobs: Sequence[Job], asked: Sequence[Unit]) -> Iterator[str]:
    """The time that the missing fits may take, one after the other."""
    missing = [unit for unit in asked if not unit.done]
    if not missing:
        yield "time: nothing is left to train"
        return
    pasts = [Past(Path(folder)) for folder in {job.config.output_dir for job in jobs if job.config}]
    estimates = {unit: [s for past in pasts if (s := past.seconds(unit)) is not None] for unit in missing}
    seconds = [known[0] for known in estimates.values() if known]
    unsized = [unit for unit in missing if unit.steps is None]
    unlike = [unit for unit in missing if not estimates[unit] and unit.steps is not None]
    if seconds:
        total = duration(sum(seconds)).replace(HARD, " ")  # no console breaks a line there
        yield f"time: about {total} for {len(seconds):,} of {len(missing):,} fits, by past runs on this machine"
    if unlike:
        names = sorted({f"{unit.part} {unit.model}" for unit in unlike})
        some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        yield f"time: unknown for {len(unlike):,} fits, since no run on this machine had one like them ({some})"
    if unsized:
        configs = [job.config for job in jobs if job.config is not None and training_examples(job.config) is None]
        datasets = listed({config.dataset.name for config in configs})
        remedy = f"; add dataset.train_examples=N, the size of {datasets}" if datasets else ""
        yield f"time: unknown for {len(unsized):,} fits, since their number of training examples is unknown{remedy}"


def _commands(words: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """The command lines for the given jobs: one for each experiment among them."""
    if not jobs:
        return []
    others = [word for word in words if not word.startswith(EXPERIMENT)]
    experiments = dict.fromkeys(word for job in jobs for word in job.overrides if word.startswith(EXPERIMENT))
    lines = [[*others, experiment] for experiment in experiments] or [others]
    return ["to run it:", *(f"  al-bench run {shlex.join(line)}" for line in lines)]
