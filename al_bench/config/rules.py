"""The rules of a config: what can be checked before data, model or torch is loaded."""

import math
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from al_bench.acquisition.selection import costs_of, target
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.uncertainty import AGGREGATES
from al_bench.config.identity import ROLES
from al_bench.config.schema import CONTRADICTING, INFINITY, TASKS, FilterConfig, RunConfig, uses_pseudo_labels
from al_bench.data.corpus import Corpus
from al_bench.errors import UserError, known, not_one_of, reject, rule


def validate(config: RunConfig) -> None:
    """Raise `UserError` with a line for every rule the config breaks; needs neither data nor torch."""
    problems = [*_value_problems(config, "")]
    for check in (_dataset, _models, _schedule, _strategy, _subsampling, _pseudo_labeling, _evaluation, _machine):
        problems += check(config)
    if problems:
        raise UserError("\n".join(problems))


def _value_problems(group: Any, where: str) -> Iterator[str]:
    """Values that the schema does not allow, in a group of keys and the groups in it."""
    for key in fields(group):
        value = getattr(group, key.name)
        # `name` is the option of a group, as in strategy=entropy.
        name = where if key.name == "name" else f"{where}.{key.name}".lstrip(".")
        if value not in key.metadata.get("one_of", [value]):
            yield not_one_of(name, value, key.metadata["one_of"])
        if "between" in key.metadata:
            yield from _between(name, value, *key.metadata["between"])
        if is_dataclass(value):
            yield from _value_problems(value, name)


def _between(name: str, value: float | None, low: float, high: float, remedy: str) -> Iterator[str]:
    if value is not None and not (low <= value <= high):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        yield rule(name, value, f"must be {limits}", remedy)


def _is_count(value: Any, below: float = INFINITY) -> bool:
    """Whether a value is a whole number from 0 on, and less than `below`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _dataset(config: RunConfig) -> Iterator[str]:
    dataset = config.dataset
    if not 0 < dataset.test_share < 1:
        yield rule("dataset.test_share", dataset.test_share, "must lie between 0 and 1", "try 0.2")
    if dataset.path is None and dataset.package is None and dataset.hub is None:
        remedy = "set dataset.path, dataset.package or dataset.hub"
        yield rule("dataset", dataset.name, "has no source", remedy)
    elif dataset.path is not None and not Path(dataset.path).expanduser().exists():
        remedy = f"it is read relative to {Path.cwd()}"
        yield rule("dataset.path", dataset.path, "no such file or folder", remedy)
    for name in ("text", "label", "words", "tags"):
        if not getattr(dataset, name):
            yield rule(f"dataset.{name}", [], "names no column", f"set dataset.{name}=[COLUMN]")
    try:
        "".encode(dataset.encoding)
    except LookupError:
        remedy = "try utf-8 or latin-1"
        yield rule("dataset.encoding", dataset.encoding, "is no encoding Python knows", remedy)


def _models(config: RunConfig) -> Iterator[str]:
    for role, model in [(role, getattr(config, role)) for role in ROLES]:
        if model is None:
            continue
        if model.path is None and model.package is None and model.hub is None:
            yield rule(role, model.name, "has no source", f"set {role}.path, {role}.package or {role}.hub")
        if model.path is not None and not Path(model.path).expanduser().is_dir():
            remedy = "give a folder written by save_pretrained (config.json, model.safetensors, tokenizer files)"
            yield rule(f"{role}.path", model.path, "no such folder", remedy)
        if model.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", model.sha256):
            yield rule(f"{role}.sha256", model.sha256, "must be 64 lower-case hex digits", "see sha256sum FILE")


def _budget(name: str, value: int | float) -> Iterator[str]:
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        yield rule(name, value, "must be positive", "an int counts, a float up to 1.0 is a share")
    elif isinstance(value, float) and value > 1:
        yield rule(name, value, "is a share above 1.0", f"write {value:.0f} for a count")


def _schedule(config: RunConfig) -> Iterator[str]:
    schedule, limit = config.schedule, config.dataset.limit.train
    problems = [*_budget("schedule.initial", schedule.initial), *_budget("schedule.step", schedule.step)]
    yield from problems
    if not problems and schedule.cycles > 0:  # budgets that are fine one by one may be too large together
        budgets = (schedule.initial, schedule.step * schedule.cycles)
        share = sum(budget for budget in budgets if isinstance(budget, float))
        broken = None
        if share > 1 + 1e-9:
            broken = f"asks for {share:.0%} of the training split (initial + cycles x step)"
        elif not share and limit is not None and schedule.unit == "examples" and sum(budgets) > limit:
            broken = f"asks for {sum(budgets)} examples of a pool of {limit} (dataset.limit.train)"
        if broken:
            remedy = "lower schedule.cycles, schedule.step or schedule.initial"
            yield rule("schedule.cycles", schedule.cycles, broken, remedy)
    if schedule.stratified and config.dataset.task == "tagging":
        remedy = "use it with classification only"
        yield rule("schedule.stratified", True, "needs one class per example", remedy)
    if schedule.seed_set is not None and not Path(schedule.seed_set).expanduser().is_file():
        yield rule("schedule.seed_set", schedule.seed_set, "no such file", "give a file with one id a line")


def _strategy(config: RunConfig) -> Iterator[str]:
    strategy, task = STRATEGIES.get(config.strategy.name), config.dataset.task
    if config.strategy.aggregate not in AGGREGATES:
        yield not_one_of("strategy.aggregate", config.strategy.aggregate, list(AGGREGATES))
    if strategy is None:
        yield not_one_of("strategy", config.strategy.name, list(STRATEGIES))
        return
    if task in TASKS and task not in strategy.tasks:
        names = known(name for name, other in STRATEGIES.items() if task in other.tasks)
        yield rule("strategy", config.strategy.name, f"does not work on {task}", f"choose one of {names}")
    if config.subsampling.name != "none" and not strategy.needs:
        broken = f"saves nothing: strategy={config.strategy.name} scores no pool"
        yield rule("subsampling", config.subsampling.name, broken, "use subsampling=none with it")


def _subsampling(config: RunConfig) -> Iterator[str]:
    sub = config.subsampling
    if sub.name in ("random", "naive", "ups"):
        if sub.gamma is None or isinstance(sub.gamma, bool):
            yield rule("subsampling.gamma", sub.gamma, "is missing", "set a share such as 0.1")
        elif isinstance(sub.gamma, int) and sub.name == "ups":
            yield rule("subsampling.gamma", sub.gamma, "must be a share (a float) for ups", "try 0.1")
        else:
            limits: tuple[float, float] = (1, INFINITY) if isinstance(sub.gamma, int) else (0, 1)
            yield from _between("subsampling.gamma", sub.gamma, *limits, "a float is a share, an int a count")
    if sub.name == "ups":
        if sub.temperature is None:
            yield rule("subsampling.temperature", None, "is missing", "the paper uses 0.01")
        yield from _between("subsampling.temperature", sub.temperature, 0, INFINITY, "the paper uses 0.01")
    broken = None
    if not isinstance(sub.refresh, list):
        broken = None if sub.refresh in ("all", "none") else 'must be a list of rounds, "all" or "none"'
    elif not all(map(_is_count, sub.refresh)):
        broken = "must hold query rounds 0, 1, 2, ..."
    if broken:
        yield rule("subsampling.refresh", sub.refresh, broken, "try [0,1,4,8]")


def _pseudo_labeling(config: RunConfig) -> Iterator[str]:
    pseudo, labeler = config.pseudo_labeling, config.pseudo_labeler
    if not uses_pseudo_labels(config):
        if labeler is not None:
            remedy = "add pseudo_labeling=plasm, or leave it out"
            yield rule("pseudo_labeler", labeler.name, "labels nothing under pseudo_labeling=none", remedy)
        return
    if labeler is None:
        yield rule("pseudo_labeler", None, f"{pseudo.name} needs one", "add model@pseudo_labeler=NAME")
    if config.successor is None:
        yield rule("successor", None, f"{pseudo.name} needs one", "add model@successor=NAME")
    elif config.evaluate_at in ("none", None, False):
        broken = f"leaves {pseudo.name} nothing to do"
        yield rule("evaluate_at", config.evaluate_at, broken, "set it to all or last")
    if pseudo.smoothing > 0 and pseudo.labels == "soft":
        yield rule("pseudo_labeling.smoothing", pseudo.smoothing, "is of hard labels", "set it to 0")
    for number, chosen in enumerate(pseudo.filters):
        yield from _filter_problems(f"pseudo_labeling.filters[{number}]", chosen)


def _filter_problems(where: str, chosen: FilterConfig) -> Iterator[str]:
    yield from _value_problems(chosen, where)
    drop = chosen.drop
    if chosen.threshold is not None:
        if chosen.by != "confidence":
            broken = "is of the confidence filter"
            yield rule(f"{where}.threshold", chosen.threshold, broken, "set drop instead")
        yield from _between(f"{where}.threshold", chosen.threshold, -INFINITY, 1, "confidence is 1 at most")
    elif drop == "disagreement":
        if chosen.by not in CONTRADICTING:
            remedy = "set a share such as 0.1, or adaptive"
            yield rule(f"{where}.drop", drop, f"{chosen.by} contradicts nobody", remedy)
    elif drop != "adaptive" and not (_is_count(drop, 1) or (isinstance(drop, float) and 0 <= drop < 1)):
        broken = "must be a share from 0 to 1, adaptive or disagreement"
        yield rule(f"{where}.drop", drop, broken, "try adaptive")


def _evaluation(config: RunConfig) -> Iterator[str]:
    at, cycles, replay = config.evaluate_at, config.schedule.cycles, config.replay
    if not isinstance(at, list):
        if at not in ("all", "last", "none", None, False):
            yield rule("evaluate_at", at, 'must be "all", "last", "none" or a list of cycles', "try all")
    elif replay is None and not (at and all(_is_count(cycle, cycles + 1) for cycle in at)):
        broken = f"must hold cycles from 0 to schedule.cycles={cycles}"
        yield rule("evaluate_at", at, broken, 'or "all", "last" or "none"')
    if config.successor is None and at not in ("none", None, False):
        remedy = "add model@successor=NAME (see `al-bench ls models`), or evaluate_at=none to acquire only"
        yield rule("successor", None, "is missing", remedy)
    if replay is not None and not Path(replay).expanduser().exists():
        remedy = "give a trajectory's folder, or a file with a JSON list of ids per cycle and line"
        yield rule("replay", replay, "no such file or folder", remedy)
    if replay is not None and config.successor is None:
        yield rule("replay", replay, "needs a successor to train", "add model@successor=NAME")


def _machine(config: RunConfig) -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", config.device):
        yield rule("device", config.device, "is no device", "use auto, cpu, cuda, cuda:N or mps")
    if config.rescore != 0:
        remedy = "0, or how many times the query's size is scored again in float32"
        yield from _between("rescore", config.rescore, 1, INFINITY, remedy)
    if config.tracking not in ("none", "sqlite") and "://" not in config.tracking:
        remedy = "for example tracking=http://localhost:5000"
        yield rule("tracking", config.tracking, 'must be "sqlite", "none" or an MLflow URI', remedy)
    if not re.fullmatch(r"[\w.+-]+", config.name):
        yield rule("name", config.name, "names a folder", "use letters, digits, _ . + and - only")


def validate_with_data(config: RunConfig, corpus: Corpus) -> None:
    """Check what needs the data. Raises `UserError` where the seed set leaves nothing to query."""
    schedule = config.schedule
    if schedule.seed_set is not None or schedule.cycles == 0 or config.replay is not None:
        return
    costs = costs_of(corpus.train.words, schedule.unit)
    initial, total = target(schedule.initial, costs, schedule.unit), int(costs.sum())
    if initial >= total:
        broken = f"takes {initial:,.0f} {schedule.unit}, but the training split has {total:,} and none would be left"
        remedy = "lower schedule.initial, or set schedule.cycles=0 to train on everything"
        raise reject("schedule.initial", schedule.initial, broken, remedy)
