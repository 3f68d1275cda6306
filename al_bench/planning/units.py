"""The fits behind a job.

Everything a run computes has an identity that its config alone determines (`identity.py`), so a plan is the
union of these identities over all jobs, less what is on disk. Nothing is loaded, nothing is trained.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.identity import (
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
from al_bench.config.schema import DatasetConfig, ModelConfig, RunConfig, TrainingConfig, uses_pseudo_labels
from al_bench.learners.engine.batching import small_data_rule
from al_bench.ledger.ledger import Ledger
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.steps import finished, step_folder


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
    config = replace(config, dataset=sized(config.dataset, overrides))
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


def sized(dataset: DatasetConfig, overrides: Sequence[str]) -> DatasetConfig:
    """Without the sizes of the data that an option ships, where `path` puts other data in its place."""
    if dataset.path is None or (dataset.hub is None and dataset.package is None):
        return dataset
    given = {word.partition("=")[0].lstrip("+") for word in overrides}
    examples = dataset.train_examples if "dataset.train_examples" in given else None
    words = dataset.train_words if "dataset.train_words" in given else None
    return replace(dataset, train_examples=examples, train_words=words)


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


def union(groups: Iterable[Sequence[Unit]]) -> dict[str, Unit]:
    """Every fit once."""
    return {unit.key: unit for group in groups for unit in group}
