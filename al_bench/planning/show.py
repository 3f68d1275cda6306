"""A plan as a person reads it."""

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
from al_bench.planning.past import Past
from al_bench.planning.units import Job, Unit, training_examples, union

LISTED = 40  # jobs that are listed one by one


def show(jobs: Sequence[Job], words: Sequence[str]) -> None:
    """Print the plan of all jobs; words: the command line's, after `plan`."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    good = [job for job in jobs if job.refused is None]
    states = Counter("refused" if job.refused is not None else job.state for job in jobs)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    console.print(f"{len(jobs)} jobs: {told}", markup=False)
    if 1 < len(jobs) <= LISTED:
        console.print(_job_table(jobs), markup=False)
    for job in jobs:
        if job.refused is not None:
            console.print(f"refused: {' '.join(job.overrides)}: {job.refused}", markup=False, soft_wrap=True)
    if not good:
        return
    console.print(_count_table(good), markup=False)
    console.print(_model_table(good), markup=False)
    for line in _estimate(good):
        console.print(line, markup=False, soft_wrap=True)
    for line in commands(words, [job for job in good if job.state != "finished"]):
        console.print(line, markup=False, soft_wrap=True)


def _job_table(jobs: Sequence[Job]) -> Table:
    """Every job: state, and how many of its fits are new, shared with a job above, or done."""
    table = Table(title="jobs", title_justify="left")
    for head in ("job", "overrides", "state", "fits", "new", "shared", "done"):
        table.add_column(head, justify="left" if head in ("overrides", "state") else "right", overflow="fold")
    seen: set[str] = set()
    for number, job in enumerate(jobs):
        keys = {unit.key for unit in job.asked}
        done = {unit.key for unit in job.asked if unit.done}
        new = keys - seen - done
        counts = (
            (len(keys), len(new), len((keys & seen) - done), len(done)) if job.refused is None else ("-",) * 4
        )
        state = job.state if job.refused is None else "refused"
        table.add_row(str(number), " ".join(job.overrides), state, *map(str, counts))
        seen |= keys
    return table


def _count_table(jobs: Sequence[Job]) -> Table:
    """How many fits there are: every run on its own, shared, and shared where successors are asked for."""
    naive = [unit for job in jobs for unit in job.every or job.asked]
    every, asked = union(job.every for job in jobs), union(job.asked for job in jobs)
    left = {key: unit for key, unit in asked.items() if not unit.done}
    table = Table(title="fits", title_justify="left")
    for head in ("", "fits", "of naive", "training examples x epochs", "of naive"):
        table.add_column(head, justify="right" if head else "left")
    for name, units_ in (
        ("naive: every run on its own, the successor at every cycle", naive),
        ("shared, the successor at every cycle", list(every.values())),
        ("shared, the successor where evaluate_at asks for it", list(asked.values())),
        ("  of these still missing", list(left.values())),
    ):
        work, all_work = _work(units_), _work(naive)
        known = work is not None and all_work
        table.add_row(
            name,
            f"{len(units_):,}",
            f"{len(units_) / max(len(naive), 1):.0%}",
            "unknown" if work is None else f"{work:,.0f}",
            f"{work / all_work:.0%}" if known else "unknown",  # type: ignore[operator]
        )
    return table


def _work(units_: Sequence[Unit]) -> float | None:
    work = [unit.work for unit in units_]
    return None if None in work else sum(w for w in work if w is not None)


def _model_table(jobs: Sequence[Job]) -> Table:
    """The fits that are needed, by part and model."""
    counts: dict[tuple[str, str], list[int]] = {}
    for unit in union(job.asked for job in jobs).values():
        row = counts.setdefault((unit.part, unit.model), [0, 0])
        row[0], row[1] = row[0] + 1, row[1] + (not unit.done)
    table = Table(title="fits by model", title_justify="left")
    for head in ("part", "model", "fits", "missing"):
        table.add_column(head, justify="right" if head in ("fits", "missing") else "left")
    for (part, model), (total, missing) in sorted(counts.items()):
        table.add_row(part, model, f"{total:,}", f"{missing:,}")
    return table


def _estimate(jobs: Sequence[Job]) -> Iterator[str]:
    """How long what is missing may take, one after the other."""
    left = [unit for unit in union(job.asked for job in jobs).values() if not unit.done]
    if not left:
        yield "time: nothing is left to train"
        return
    pasts = {folder: Past(Path(folder)) for folder in {job.config.output_dir for job in jobs if job.config}}
    known = [
        next((s for past in pasts.values() if (s := past.seconds(unit)) is not None), None) for unit in left
    ]
    told = [seconds for seconds in known if seconds is not None]
    unsized = [unit for unit in left if unit.steps is None]
    unlike = [unit for unit, s in zip(left, known, strict=True) if s is None and unit.steps is not None]
    strangers = sorted({f"{unit.part} {unit.model}" for unit in unlike})
    if told:
        about = duration(sum(told)).replace(HARD, " ")  # no console breaks a line there
        yield f"time: about {about} for {len(told):,} of {len(left):,} fits, by past runs on this machine"
    if strangers:
        shown = ", ".join(strangers[:4]) + (f" and {len(strangers) - 4} more" if len(strangers) > 4 else "")
        yield f"time: unknown for {len(unlike):,} fits, since no run here has made their like ({shown})"
    if unsized:
        configs = [job.config for job in jobs if job.config is not None]
        names = listed({config.dataset.name for config in configs if training_examples(config) is None})
        remedy = f"; add dataset.train_examples=N, the size of {names}" if names else ""
        yield f"time: unknown for {len(unsized):,} fits, since nobody knows on how many examples{remedy}"


def commands(words: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """The command lines that do what is left: one for each experiment among the jobs."""
    if not jobs:
        return []
    experiments = dict.fromkeys(word for job in jobs for word in job.overrides if word.startswith(EXPERIMENT))
    lines = [[word for word in words if not word.startswith(EXPERIMENT)]]
    if experiments:
        lines = [[*(w for w in words if not w.startswith(EXPERIMENT)), chosen] for chosen in experiments]
    return ["to run it:", *(f"  al-bench run {shlex.join(line)}" for line in lines)]
