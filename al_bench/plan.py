"""`al-bench plan`: what a run or a sweep will train, what of it is there already, and how long the rest may take.

Everything a run computes has an identity that its config alone determines (`identity.py`), so a plan is the
union of these identities over all jobs, less what is on disk. Nothing is loaded, nothing is trained.
"""

import platform
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config import ModelConfig, RunConfig, TrainingConfig, uses_pseudo_labels
from al_bench.identity import (
    dataset_identity,
    digest,
    first_look_back,
    fit_identity,
    model_identity,
    pseudo_labels_identity,
    run_folder,
    suspicion_identity,
    trajectory_identity,
)
from al_bench.jobs import EXPERIMENT
from al_bench.learners.engine.batching import small_data_rule
from al_bench.ledger.ledger import Ledger, read_json
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.steps import finished, step_folder

LISTED = 40  # jobs that are listed one by one


@dataclass(frozen=True)
class Unit:
    """One fit that a job needs.

    key: equal for fits that are one and the same
    model: its name; rate: what past fits must have in common with it to tell its seconds
    work: training examples x epochs, None where the size of the training split is not known
    steps: gradient steps
    done: whether its result is on disk
    """

    key: str
    part: str
    model: str
    rate: str
    work: float | None
    steps: float | None
    done: bool


@dataclass(frozen=True)
class Job:
    """One run of the plan: its command's overrides, its config or why it is refused, and its state on disk."""

    overrides: tuple[str, ...]
    config: RunConfig | None = None
    refused: str | None = None
    state: str = "to do"
    every: tuple[Unit, ...] = field(default=(), repr=False)  # with the successor at every cycle
    asked: tuple[Unit, ...] = field(default=(), repr=False)  # with the successor where `evaluate_at` says


def job_of(overrides: Sequence[str], config: RunConfig, precision: str) -> Job:
    """The plan of one resolved config. precision: "float32" or "bfloat16"."""
    cycles = list(range(config.schedule.cycles + 1))
    asked = config.evaluate_at
    at = asked if isinstance(asked, list) else cycles if asked == "all" else cycles[-1:]
    every = cycles if config.successor is not None and asked != [] else []
    folder = Path(config.output_dir) / run_folder(config)
    run = RunDirectory(folder)
    return Job(
        tuple(overrides),
        config,
        state="finished" if run.finished else "begun" if run.ledger.path.exists() else "to do",
        every=tuple(units(config, precision, every)),
        asked=tuple(units(config, precision, at)),
    )


def units(config: RunConfig, precision: str, at: list[int]) -> Iterator[Unit]:
    """Every fit of a run whose successor is evaluated at the given cycles."""
    acquires = config.replay is None and bool(STRATEGIES[config.strategy.name].needs)
    root = Path(config.output_dir)
    if acquires:
        identity = digest(trajectory_identity(config, precision))
        there = len(Ledger(root / "trajectories" / identity / "ledger.jsonl").read())
        for cycle in range(config.schedule.cycles + 1):
            n = labelled_at(config, cycle)
            yield _unit(f"{identity}/{cycle}", "acquisition", config, config.acquisition, n, cycle < there)
    if config.successor is None:
        return
    same = acquires and model_identity(config.successor) == model_identity(config.acquisition)
    for cycle in at:
        if uses_pseudo_labels(config):
            yield from _pseudo_units(config, precision, cycle, root / "steps")
        elif not same:  # else the acquisition model's fit is the successor's
            yield _fit_unit(config, precision, cycle, "successor", root / "steps")


def _fit_unit(config: RunConfig, precision: str, cycle: int, role: str, steps: Path) -> Unit:
    identity = fit_identity(config, precision, cycle, role)
    folder = step_folder(steps, identity)
    return _unit(
        folder.name, role, config, getattr(config, role), labelled_at(config, cycle), finished(folder)
    )


def _pseudo_units(config: RunConfig, precision: str, cycle: int, steps: Path) -> Iterator[Unit]:
    """PLASM at one cycle: labeller, verifier, the fit that filters look back on, and the last fit."""
    n, everything = labelled_at(config, cycle), training_examples(config)
    assert config.successor is not None
    filters = config.pseudo_labeling.filters
    if config.pseudo_labeler is not None:
        folder = step_folder(steps, pseudo_labels_identity(config, precision, cycle))
        yield _unit(folder.name, "pseudo_labeler", config, config.pseudo_labeler, n, finished(folder))
    for number, chosen in enumerate(filters):
        if chosen.by == "verifier" and config.verifier is not None:
            folder = step_folder(steps, suspicion_identity(config, precision, cycle, number))
            yield _unit(folder.name, "verifier", config, config.verifier, n, finished(folder))
    first = first_look_back(filters)
    for before in [*([] if first is None else [filters[:first]]), filters]:
        folder = step_folder(steps, fit_identity(config, precision, cycle, "successor", before))
        yield _unit(folder.name, "successor", config, config.successor, everything, finished(folder))


def _unit(key: str, part: str, config: RunConfig, model: ModelConfig, n: float | None, done: bool) -> Unit:
    work = steps = None
    if n is not None:
        steps, epochs = steps_of(model.training, n) if model.learner == "transformer" else (1.0, 1)
        work = n * epochs
    rate = rate_of(dataset_identity(config), model_identity(model))
    return Unit(key, part, f"{model.name} on {config.dataset.name}", rate, work, steps, done)


def rate_of(dataset: dict[str, Any], model: dict[str, Any]) -> str:
    """Fits of one model on one dataset cost about the same per step, whatever their number of epochs."""
    same = {key: value for key, value in model.items() if key != "training"}
    return digest([dataset, same, model["training"].get("batch_size")])


def steps_of(training: TrainingConfig, n: float) -> tuple[float, int]:
    """(gradient steps, epochs) of a fit on n examples."""
    values = dict(vars(training))
    early = values["dev_share"] > 0
    size = max(1, round(n * (1 - values["dev_share"])))
    epochs = values["epochs"] * (2 if early else 1)
    batch, raised = small_data_rule(
        size, values["batch_size"], values["min_batch_size"], epochs, values["min_steps"]
    )
    epochs = epochs if early else raised
    return float(epochs * -(-size // batch)), epochs


def training_examples(config: RunConfig) -> int | None:
    limit, size = config.dataset.limit.train, config.dataset.train_examples
    return limit if size is None else size if limit is None else min(limit, size)


def labelled_at(config: RunConfig, cycle: int) -> float | None:
    """Examples labelled at a cycle; a budget in words is taken for the same share of the examples."""
    n, schedule = training_examples(config), config.schedule
    if n is None or config.replay is not None:
        return None
    words = config.dataset.train_words
    total = 0.0
    for budget in (schedule.initial, *[schedule.step] * cycle):
        if isinstance(budget, float):
            total += budget * n
        elif schedule.unit == "examples":
            total += budget
        elif words is not None:
            total += budget / words * n
        else:
            return None
    return min(total, float(n))


# ------------------------------------------------------------------------------------ seconds, from the past


class Past:
    """What fits cost on this machine so far: seconds of training per step, and seconds of all around it."""

    def __init__(self, output_dir: Path) -> None:
        self._train: dict[str, list[float]] = {}  # rate: [seconds, steps]
        self._around: dict[tuple[str, str], list[float]] = {}  # (rate, part): [seconds, times]
        for folder in sorted((output_dir / "trajectories").glob("*/")):
            self._see_trajectory(folder)
        for folder in sorted((output_dir / "steps").glob("*/")):
            if finished(folder):
                self._see_step(folder)

    def seconds(self, unit: Unit) -> float | None:
        """Of making it; None where nothing alike was ever made here."""
        rate, around = self._train.get(unit.rate), self._around.get((unit.rate, unit.part))
        if unit.steps is None or rate is None or around is None:
            return None
        return unit.steps * rate[0] / rate[1] + around[0] / around[1]

    def _see_trajectory(self, folder: Path) -> None:
        if not (folder / "identity.json").exists():
            return
        identity = read_json(folder / "identity.json")["identity"]
        for line in Ledger(folder / "costs.jsonl").read():
            if "acquisition" in identity and line.get("host") == platform.node():
                self._see("acquisition", identity["dataset"], identity["acquisition"], line["seconds"], line)

    def _see_step(self, folder: Path) -> None:
        identity, spent = read_json(folder / "identity.json")["identity"], read_json(folder / "costs.json")
        part, fit = "successor", identity.get("fit", identity)
        if identity["step"] == "pseudo_labels":
            part = "pseudo_labeler"
        elif identity["step"] == "suspicion":
            part = "verifier" if identity["by"] == "verifier" else "look_back"
        if spent["host"] == platform.node() and "dataset" in fit:
            self._see(part, fit["dataset"], fit["model"], spent["seconds"], spent["counts"])

    def _see(
        self,
        part: str,
        dataset: dict[str, Any],
        model: dict[str, Any],
        seconds: dict[str, float],
        counts: dict[str, Any],
    ) -> None:
        rate = rate_of(dataset, model)
        train = sum(value for phase, value in seconds.items() if phase.endswith("train"))
        steps = sum(value for name, value in counts.items() if name.endswith("steps"))
        if steps:
            total = self._train.setdefault(rate, [0.0, 0.0])
            total[0], total[1] = total[0] + train, total[1] + steps
        around = self._around.setdefault((rate, part), [0.0, 0.0])
        around[0], around[1] = around[0] + sum(seconds.values()) - train, around[1] + 1


# --------------------------------------------------------------------------------------------- what is printed


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


def union(groups: Iterable[Sequence[Unit]]) -> dict[str, Unit]:
    """Every fit once."""
    return {unit.key: unit for group in groups for unit in group}


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
    strangers = sorted({f"{u.part} {u.model}" for u, s in zip(left, known, strict=True) if s is None})
    if told:
        yield f"time: about {duration(sum(told))} for {len(told):,} of {len(left):,} fits, by past runs on this machine"
    if strangers:
        shown = ", ".join(strangers[:4]) + (f" and {len(strangers) - 4} more" if len(strangers) > 4 else "")
        yield f"time: unknown for {len(left) - len(told):,} fits, since no run here has made their like ({shown})"


def commands(words: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """The command lines that do what is left: one for each experiment among the jobs."""
    if not jobs:
        return []
    experiments = dict.fromkeys(word for job in jobs for word in job.overrides if word.startswith(EXPERIMENT))
    lines = [[word for word in words if not word.startswith(EXPERIMENT)]]
    if experiments:
        lines = [[*(w for w in words if not w.startswith(EXPERIMENT)), chosen] for chosen in experiments]
    return ["to run it:", *(f"  al-bench run {shlex.join(line)}" for line in lines)]


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
