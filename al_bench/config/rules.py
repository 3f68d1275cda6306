"""The rules of a config: what can be checked before data, model or torch is loaded."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from al_bench.acquisition.selection import costs_of, target
from al_bench.config.component_rules import COMPONENT_CHECKS
from al_bench.config.model_rules import acquisition_schedule, inherited_hashes
from al_bench.config.roles import models_by_role
from al_bench.config.schema import COLUMN_ROLES, RunConfig
from al_bench.config.values import Problem, is_count, is_unknown, limit_problems, value_problems
from al_bench.data.corpus import Corpus
from al_bench.data.readers.formats import READERS, WAYS, is_outside
from al_bench.errors import UserError, not_one_of, reject, rule


def validate(config: RunConfig, overrides: Sequence[str] = ()) -> None:
    """Raise `UserError` with a line for every rule the config breaks; needs neither data nor torch.

    overrides: those of the command line, which say what the user set himself
    """
    problems, lines = [*acquisition_schedule(config), *_homes(config)], []
    if not problems:
        problems = [*value_problems(config, ""), *inherited_hashes(config, overrides)]
        for check in CHECKS:
            try:
                problems += check(config)
            except UserError as error:  # of a component that does not exist, or has no such parameter
                lines.append(str(error))
    lines += [rule(key, _value(config, key), *why) for key, *why in problems]
    if lines:
        raise UserError("\n".join(dict.fromkeys(lines)))


def _value(config: RunConfig, key: str) -> Any:
    """The value of a key such as pseudo_labeling.filters[0].by; of a group its option, as in strategy=entropy."""
    value: Any = config
    for part in filter(None, re.split(r"[.\[\]]+", key)):
        if isinstance(value, list | dict):
            value = value[int(part) if isinstance(value, list) else part]
        else:
            value = getattr(value, part)
    return getattr(value, "name", value)


def _homes(config: RunConfig) -> Iterator[Problem]:
    """Paths from the home folder of a user who has none; no other rule can look at them."""
    models = [f"{role}.path" for role in models_by_role(config)]
    for key in ("output_dir", "dataset.path", "schedule.seed_set", "replay", *models):
        try:
            Path(_value(config, key) or "").expanduser()
        except RuntimeError:
            yield key, "no such home folder", "write the whole path"


def _dataset(config: RunConfig) -> Iterator[Problem]:
    dataset = config.dataset
    if not is_outside(dataset.format):
        for key, value in dataset.params.items():
            broken = f"dataset.format={dataset.format} takes none"
            yield "dataset.params", f"has {key}={value}, and {broken}", "leave it out, or name a reader of your own"
    elif is_unknown(READERS, dataset.format):
        yield "dataset.format", *not_one_of(dataset.format, [*WAYS, *READERS])
    else:
        kind = READERS[dataset.format]
        yield from value_problems(kind.settings(**kind.typed(dataset.params, "dataset.params")), "dataset.params")
        if dataset.path is None and dataset.package is None:
            yield "dataset.format", "reads files, and there are none", "set dataset.path to a file or folder"
    if not 0 < dataset.test_share < 1:
        yield "dataset.test_share", "must lie between 0 and 1", "try 0.2"
    if dataset.path is None and dataset.package is None and dataset.hub is None:
        yield "dataset", "has no source", "set dataset.path, dataset.package or dataset.hub"
    if dataset.path is not None and not Path(dataset.path).expanduser().exists():
        yield "dataset.path", "no such file or folder", f"it is read relative to {Path.cwd()}"
    for role in COLUMN_ROLES:
        names = getattr(dataset, role)
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            yield f"dataset.{role}", "names no column", f"set dataset.{role}=COLUMN, or to a list of columns"
    try:
        "".encode(dataset.encoding)
    except (LookupError, ValueError):  # no text encoding at all, or one that always fails
        yield "dataset.encoding", "is no encoding Python knows", "try utf-8 or latin-1"


def _budget(key: str, value: int | float, unit: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        yield key, "must be positive", "an int counts, a float up to 1.0 is a share; in money both are amounts"
    elif isinstance(value, float) and value > 1 and unit != "money":
        yield key, "is a share above 1.0", f"write {value:.0f} for a count"


def _schedule(config: RunConfig) -> Iterator[Problem]:
    schedule, limit = config.schedule, config.dataset.limit.train
    budgets = {"schedule.initial": schedule.initial, "schedule.step": schedule.step}
    problems = [p for key, budget in budgets.items() for p in _budget(key, budget, schedule.unit)]
    yield from problems
    # Budgets that are fine one by one may be too large together.
    if not problems and schedule.cycles > 0 and schedule.unit != "money":
        together = (schedule.initial, schedule.step * schedule.cycles)
        share = sum(budget for budget in together if isinstance(budget, float))
        broken = None
        if share > 1 + 1e-9:
            broken = f"asks for {share:.0%} of the training split (initial + cycles x step)"
        elif not share and limit is not None and schedule.unit == "examples" and sum(together) > limit:
            broken = f"asks for {sum(together)} examples of a pool of {limit} (dataset.limit.train)"
        if broken:
            yield "schedule.cycles", broken, "lower schedule.cycles, schedule.step or schedule.initial"
    if schedule.stratified and config.dataset.task == "tagging":
        yield "schedule.stratified", "needs one class per example", "use it with classification only"
    if schedule.seed_set is not None and not Path(schedule.seed_set).expanduser().is_file():
        yield "schedule.seed_set", "no such file", "give a file with one id a line"


def _evaluation(config: RunConfig) -> Iterator[Problem]:
    at, cycles, replay = config.evaluate_at, config.schedule.cycles, config.replay
    if not isinstance(at, list):
        if at not in ("all", "last", "none", None, False):
            yield "evaluate_at", 'must be "all", "last", "none" or a list of cycles', "try all"
    elif replay is None and not (at and all(is_count(cycle, cycles + 1) for cycle in at)):
        yield "evaluate_at", f"must hold cycles from 0 to schedule.cycles={cycles}", 'or "all", "last" or "none"'
    if config.successor is None and at not in ("all", "none", None, False):
        remedy = "add model@successor=NAME (see `al-bench ls models`), or evaluate_at=none to acquire only"
        yield "successor", "is missing", remedy
    if replay is not None and not Path(replay).expanduser().exists():
        remedy = "give a trajectory's folder, or a file with a JSON list of ids per cycle and line"
        yield "replay", "no such file or folder", remedy
    if replay is not None and config.successor is None:
        yield "replay", "needs a successor to train", "add model@successor=NAME"


def _machine(config: RunConfig) -> Iterator[Problem]:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", config.device):
        yield "device", "is no device", "use auto, cpu, cuda, cuda:N or mps"
    if config.rescore != 0:
        remedy = "0, or how many times the query's size is scored again in float32"
        yield from limit_problems("rescore", config.rescore, 1, 1000, remedy)
    if config.tracking not in ("none", "sqlite") and "://" not in config.tracking:
        yield "tracking", 'must be "sqlite", "none" or an MLflow URI', "for example tracking=http://localhost:5000"
    if not re.fullmatch(r"(?!\.+$)[\w.+-]{1,200}", config.name):
        yield "name", "names a folder", "use up to 200 letters, digits, _ . + and -, and not dots alone"
    if not config.output_dir:
        yield "output_dir", "is empty", "name a folder, or leave it out for outputs"


CHECKS = (_dataset, _schedule, *COMPONENT_CHECKS, _evaluation, _machine)


def validate_with_data(config: RunConfig, corpus: Corpus) -> None:
    """Check what needs the data. Raises `UserError` where the seed set leaves nothing to query."""
    schedule = config.schedule
    if schedule.seed_set is not None or schedule.cycles == 0 or config.replay is not None:
        return
    costs = costs_of(corpus.train.words, schedule.unit, config.oracle.price)
    initial, total = target(schedule.initial, costs, schedule.unit), float(costs.sum())
    if initial >= total:
        has = f"takes {initial:,.10g} {schedule.unit}, but the training split has {total:,.10g}"
        broken = f"{has} and none would be left"
        remedy = "lower schedule.initial, or set schedule.cycles=0 to train on everything"
        raise reject("schedule.initial", schedule.initial, broken, remedy)
