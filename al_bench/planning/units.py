"""The fits that a job needs, and what such fits have cost on this machine so far.

Everything a run computes has an identity that its config alone determines (`identity.py`), so a plan is the
union of these identities over all jobs, less those on disk. Nothing is loaded, nothing is trained.
"""

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.needs import fits
from al_bench.acquisition.relabelling import fits_for_relabelling
from al_bench.config import identity as identities
from al_bench.config.component_identity import dataset_identity, model_identity
from al_bench.config.digests import digest
from al_bench.config.roles import SCHEDULED, acquirer, models_by_role, start_of
from al_bench.config.schema import DatasetConfig, ModelConfig, RunConfig, TrainingConfig, uses_pseudo_labels
from al_bench.costs import happens_once
from al_bench.filters import FILTERS
from al_bench.learners.engine.batching import small_data_rule
from al_bench.learners.families import LEARNERS
from al_bench.ledger.ledger import Ledger, load_record
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.store import finished, step_folder


@dataclass(frozen=True)
class Unit:
    """One fit that a job needs.

    key: equal for fits that are shared
    model: its name; rate: equal for fits whose seconds per step are alike
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
    """One run of the plan: its overrides, its config or the reason of its refusal, and its state on disk."""

    overrides: tuple[str, ...]
    config: RunConfig | None = None
    state: str = "to do"
    every: tuple[Unit, ...] = field(default=(), repr=False)  # with the successor at every cycle
    asked: tuple[Unit, ...] = field(default=(), repr=False)  # with the successor at `evaluate_at`
    refused: str | None = None


def job_of(overrides: Sequence[str], config: RunConfig, precision: str) -> Job:
    """The plan of one resolved config. precision: "float32" or "bfloat16"."""
    config = replace(config, dataset=sized(config.dataset, overrides))
    cycles, at = list(range(config.schedule.cycles + 1)), config.evaluate_at
    asked = at if isinstance(at, list) else cycles if at == "all" else cycles[-1:]
    run = RunDirectory(Path(config.output_dir) / identities.run_folder(config))
    state = "finished" if run.finished else "begun" if run.begun else "to do"
    every = units(config, precision, cycles if asked else [])
    return Job(tuple(overrides), config, state, tuple(every), tuple(units(config, precision, asked)))


def units(config: RunConfig, precision: str, at: list[int]) -> Iterator[Unit]:
    """Every fit of a run whose successor is evaluated at the given cycles.

    The cycles of a shorter run's trajectory are done. Its last model is fitted once more, for its query, which is not
    counted here: another job may make that query first.
    """
    acquired: dict[int, dict[str, Any]] = {}  # by cycle
    if fits(config):
        trajectory = digest(identities.trajectory_identity(config, precision))
        done = len(Ledger(Path(config.output_dir, "trajectories", trajectory, "ledger.jsonl")).read())
        for cycle in range(config.schedule.cycles + 1):
            _, model = acquirer(config, cycle)
            acquired[cycle] = model_identity(model)
            before = [f"/relabel/{number}" for number in range(fits_for_relabelling(config, cycle))]
            for part in [*before, ""]:
                key = f"{trajectory}/{cycle}{part}"
                yield _unit(key, "acquisition", model, config, labelled_at(config, cycle), cycle < done)
    if config.successor is None:
        return
    for cycle in at:
        if uses_pseudo_labels(config):
            yield from _pseudo_units(config, precision, cycle)
        elif model_identity(config.successor) != acquired.get(cycle):  # else it shares that fit
            identity = identities.fit_identity(config, precision, cycle, "successor")
            yield _step_unit(identity, "successor", config, labelled_at(config, cycle))


def _pseudo_units(config: RunConfig, precision: str, cycle: int) -> Iterator[Unit]:
    """PLASM at one cycle: labeller, verifier, the fit that filters look back on, and the last fit."""
    n, everything = labelled_at(config, cycle), training_examples(config)
    filters = config.pseudo_labeling.filters
    yield _step_unit(identities.pseudo_labels_identity(config, precision, cycle), "pseudo_labeler", config, n)
    for number, chosen in enumerate(filters):
        if "verifier" in FILTERS[chosen.by].needs:
            identity = identities.suspicion_identity(config, precision, cycle, number)
            yield _step_unit(identity, "verifier", config, n)
    first = identities.first_look_back(filters)
    looks_back = any(FILTERS[chosen.by].looks_back and chosen.drop != 0 for chosen in filters)
    for before in [*([filters[:first]] if looks_back else []), filters]:
        identity = identities.fit_identity(config, precision, cycle, "successor", before)
        yield _step_unit(identity, "successor", config, everything)


def _step_unit(identity: dict[str, Any], role: str, config: RunConfig, n: float | None) -> Unit:
    folder = step_folder(Path(config.output_dir, "steps"), identity)
    return _unit(folder.name, role, models_by_role(config)[role], config, n, finished(folder))


def _unit(key: str, part: str, model: ModelConfig, config: RunConfig, n: float | None, done: bool) -> Unit:
    work, steps = None, None
    if n is not None:
        steps, epochs = steps_of(model.training, n) if LEARNERS[model.learner].epochs else (1.0, 1)
        work = n * epochs
    rate = rate_of(dataset_identity(config), model_identity(model))
    return Unit(key, part, f"{model.name} on {config.dataset.name}", rate, work, steps, done)


def rate_of(dataset: dict[str, Any], model: dict[str, Any]) -> str:
    """The same for fits of one model on one dataset: they cost about the same per step, whatever their epochs."""
    same = {key: value for key, value in model.items() if key != "training"}
    return digest([dataset, same, (model.get("training") or {}).get("batch_size")])


def steps_of(training: TrainingConfig, n: float) -> tuple[float, int]:
    """(gradient steps, epochs) of a fit on n examples."""
    values = dict(vars(training))  # all set by now
    early = values["dev_share"] > 0
    size, epochs = max(1, round(n * (1 - values["dev_share"]))), values["epochs"] * (2 if early else 1)
    batch, raised = small_data_rule(size, values["batch_size"], values["min_batch_size"], epochs, values["min_steps"])
    epochs = epochs if early else raised
    return float(epochs * -(-size // batch)), epochs


def sized(dataset: DatasetConfig, overrides: Sequence[str]) -> DatasetConfig:
    """Without the sizes that a shipped option states, where `path` replaces its data."""
    if dataset.path is None or (dataset.hub is None and dataset.package is None):
        return dataset
    given = {word.partition("=")[0].lstrip("+") for word in overrides}
    sizes = ("train_examples", "train_words")
    unknown: dict[str, Any] = {key: None for key in sizes if f"dataset.{key}" not in given}
    return replace(dataset, **unknown)


def training_examples(config: RunConfig) -> int | None:
    sizes = (config.dataset.limit.train, config.dataset.train_examples)
    return min((size for size in sizes if size is not None), default=None)


def labelled_at(config: RunConfig, cycle: int) -> float | None:
    """Examples labelled at a cycle, if the oracle answers all; a budget in words or money buys average examples."""
    n, schedule, words = training_examples(config), config.schedule, config.dataset.train_words
    budgets, price = (schedule.initial, *[schedule.step] * cycle), config.oracle.price
    in_money = schedule.unit == "money"
    in_words = schedule.unit == "words" and any(isinstance(budget, int) for budget in budgets)
    if n is None or config.replay is not None or (words is None and (in_words or (in_money and price.word))):
        return None
    if in_money:
        return min(sum(budgets) / price.of(1, (words or 0) / n), float(n))
    per_unit = n / words if in_words and words else 1.0
    total = sum(budget * (n if isinstance(budget, float) else per_unit) for budget in budgets)
    return min(total, float(n))


def union(groups: Iterable[Sequence[Unit]]) -> list[Unit]:
    """Every fit once."""
    return list({unit.key: unit for group in groups for unit in group}.values())


PARTS = {"fit": "successor", "pseudo_labels": "pseudo_labeler"}  # by the step that has the fit's costs


class Past:
    """Of the fits on this machine, seconds of training per step by rate, and of all other phases by rate and part."""

    def __init__(self, output_dir: Path) -> None:
        self._train: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))  # seconds, steps
        self._other: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(2))  # seconds, fits
        for folder in sorted((output_dir / "trajectories").glob("*/")):
            identity = load_record(folder / "identity.json").get("identity", {})
            first = identity.get("acquisition") or {"training": None}
            if first.get("training", {}) is None:  # none, or its encoder as it comes: nothing was fitted
                continue
            models = {0: first, **{int(start): model for start, model in identity.get(SCHEDULED, {}).items()}}
            for record in Ledger(folder / "costs.jsonl").scan()[0]:
                model = models[start_of(models, record["cycle"])]
                self._add("acquisition", identity["dataset"], model, record)
        for folder in filter(finished, sorted((output_dir / "steps").glob("*/"))):
            identity, costs = (load_record(folder / f"{name}.json") for name in ("identity", "costs"))
            if not identity or not costs:  # damage stops the run that needs it, not this estimate
                continue
            identity = identity["identity"]
            fit = identity.get("verifier", identity.get("fit", identity))
            part = "verifier" if "verifier" in identity else PARTS.get(identity["step"], "look_back")
            if "dataset" in fit:
                self._add(part, fit["dataset"], fit["model"], costs)

    def seconds(self, unit: Unit) -> float | None:
        """Of a fit; None where no fit of its rate and part was made on this machine."""
        train, other = self._train.get(unit.rate), self._other.get((unit.rate, unit.part))
        if unit.steps is None or train is None or other is None:
            return None
        return float(unit.steps * train[0] / train[1] + other[0] / other[1])

    def _add(self, part: str, dataset: dict[str, Any], model: dict[str, Any], record: dict[str, Any]) -> None:
        if record["host"] != platform.node():
            return
        rate, seconds = rate_of(dataset, model), record["seconds"]
        often = sum(value for phase, value in seconds.items() if not happens_once(phase))
        train = sum(value for phase, value in seconds.items() if phase.endswith("train"))
        steps = sum(value for name, value in record.get("counts", {}).items() if name.endswith("steps"))
        self._other[rate, part] += (often - train, 1)
        if steps:
            self._train[rate] += (train, steps)
