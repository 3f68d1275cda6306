"""The rules between a config's fields: all that can be said before data, model or torch is loaded."""

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from al_bench.acquisition.selection import costs_of, target
from al_bench.acquisition.strategies import AGGREGATES, STRATEGIES
from al_bench.config.identity import ROLES
from al_bench.config.schema import (
    CONTRADICTING,
    ENGINES,
    FILTERS,
    TASKS,
    DatasetConfig,
    FilterConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    uses_pseudo_labels,
)
from al_bench.data.corpus import Corpus
from al_bench.errors import UserError, known, reject, rule

FORMATS = ("auto", "conll", "csv", "json", "parquet", "folder")
SCHEMES = ("auto", "iob1", "iob2", "bilou")
SUBSAMPLINGS = ("none", "random", "naive", "ups")
LEARNERS = ("transformer", "linear")


def validate(config: RunConfig) -> None:
    """Raise `UserError` with a line for every rule the config breaks; needs neither data nor torch."""
    problems = list(_problems(config))
    if problems:
        raise UserError("\n".join(problems))


def _problems(config: RunConfig) -> Iterator[str]:
    yield from _dataset_problems(config.dataset)
    for role in ROLES:
        model = getattr(config, role)
        if model is not None:
            yield from _model_problems(role, model)
    yield from _training_problems("training", config.training)
    yield from _schedule_problems(config)
    yield from _strategy_problems(config)
    yield from _subsampling_problems(config)
    yield from _pseudo_labeling_problems(config)
    yield from _evaluation_problems(config)
    yield from _machine_problems(config)


def one_of(name: str, value: str, allowed: tuple[str, ...] | list[str]) -> Iterator[str]:
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else "choose one of these"
        yield rule(name, value, f"must be one of {known(allowed)}", hint)


def _within(name: str, value: float | None, low: float, high: float, what: str) -> Iterator[str]:
    if value is not None and not (low <= value <= high):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        yield rule(name, value, f"must be {limits}", what)


def _dataset_problems(dataset: DatasetConfig) -> Iterator[str]:
    yield from one_of("dataset.task", dataset.task, TASKS)
    yield from one_of("dataset.format", dataset.format, FORMATS)
    yield from one_of("dataset.scheme", dataset.scheme, SCHEMES)
    if not 0 < dataset.test_share < 1:
        yield rule("dataset.test_share", dataset.test_share, "must lie between 0 and 1", "try 0.2")
    for split in fields(dataset.limit):
        yield from _within(
            f"dataset.limit.{split.name}",
            getattr(dataset.limit, split.name),
            1,
            math.inf,
            "set a number of examples, or null for all",
        )
    if dataset.path is not None:
        if not Path(dataset.path).expanduser().exists():
            yield rule(
                "dataset.path", dataset.path, "no such file or folder", f"it is read relative to {Path.cwd()}"
            )
    elif dataset.package is None and dataset.hub is None:
        yield rule(
            "dataset", dataset.name, "has no source", "set dataset.path, dataset.package or dataset.hub"
        )
    for name in ("text", "label", "words", "tags"):
        if not getattr(dataset, name):
            yield rule(f"dataset.{name}", [], "names no column", f"set dataset.{name}=[COLUMN]")
    try:
        "".encode(dataset.encoding)
    except LookupError:
        yield rule(
            "dataset.encoding", dataset.encoding, "is no encoding Python knows", "try utf-8 or latin-1"
        )


def _model_problems(role: str, model: ModelConfig) -> Iterator[str]:
    if model.path is None and model.package is None and model.hub is None:
        yield rule(role, model.name, "has no source", f"set {role}.path, {role}.package or {role}.hub")
    if model.path is not None and not Path(model.path).expanduser().is_dir():
        yield rule(
            f"{role}.path",
            model.path,
            "no such folder",
            "give a folder written by save_pretrained (config.json, model.safetensors, tokenizer files)",
        )
    if model.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", model.sha256):
        yield rule(f"{role}.sha256", model.sha256, "must be 64 lower-case hex digits", "see sha256sum FILE")
    yield from one_of(f"{role}.learner", model.learner, LEARNERS)
    yield from _within(f"{role}.regularization", model.regularization, 1e-9, math.inf, "1 is usual")
    yield from _within(
        f"{role}.num_hidden_layers", model.num_hidden_layers, 1, math.inf, "or null for all layers"
    )
    yield from _within(f"{role}.max_length", model.max_length, 8, math.inf, "counted in sub-words")
    yield from _training_problems(f"{role}.training", model.training)


def _training_problems(where: str, training: TrainingConfig) -> Iterator[str]:
    for name, low, high, what in (
        ("learning_rate", 0, 1, "the paper uses 2e-5 (classification) and 5e-5 (tagging)"),
        ("weight_decay", 0, 1, "the paper uses 0.01"),
        ("epochs", 1, math.inf, "the paper uses 10 (classification) and 15 (tagging)"),
        ("min_steps", 0, math.inf, "0 switches the small-data rule off"),
        ("batch_size", 1, math.inf, "the paper uses 16"),
        ("min_batch_size", 1, math.inf, "the paper uses 4"),
        ("warmup", 0, 1, "it is a share of all steps; the paper uses 0.1"),
        ("clip", 1e-8, math.inf, "the paper uses 1.0"),
        ("dropout", 0, 0.99, "the paper uses 0"),
        ("dev_share", 0, 0.9, "0 trains without a dev split"),
        ("patience", 1, math.inf, "it counts epochs"),
    ):
        yield from _within(f"{where}.{name}", getattr(training, name), low, high, what)


def _budget_problems(name: str, value: int | float) -> Iterator[str]:
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        yield rule(name, value, "must be positive", "an int counts, a float up to 1.0 is a share")
    elif isinstance(value, float) and value > 1:
        yield rule(name, value, "is a share above 1.0", f"write {value:.0f} for a count")


def _schedule_problems(config: RunConfig) -> Iterator[str]:
    schedule = config.schedule
    yield from one_of("schedule.unit", schedule.unit, ("examples", "words"))
    yield from _within("schedule.cycles", schedule.cycles, 0, math.inf, "it counts queries")
    budgets = list(_budget_problems("schedule.initial", schedule.initial))
    budgets += _budget_problems("schedule.step", schedule.step)
    yield from budgets
    if not budgets and schedule.cycles > 0:
        shares = [v for v in (schedule.initial, schedule.step * schedule.cycles) if isinstance(v, float)]
        if sum(shares) > 1 + 1e-9:
            yield rule(
                "schedule.cycles",
                schedule.cycles,
                f"asks for {sum(shares):.0%} of the training split (initial + cycles x step)",
                "lower schedule.cycles, schedule.step or schedule.initial",
            )
        limit = config.dataset.limit.train
        if limit is not None and schedule.unit == "examples":
            wanted = sum(
                v * limit if isinstance(v, float) else v
                for v in (schedule.initial, *[schedule.step] * schedule.cycles)
            )
            if wanted > limit and not shares:
                yield rule(
                    "schedule.cycles",
                    schedule.cycles,
                    f"asks for {wanted:.0f} examples of a pool of {limit} (dataset.limit.train)",
                    "lower schedule.cycles, schedule.step or schedule.initial",
                )
    if schedule.stratified and config.dataset.task == "tagging":
        yield rule(
            "schedule.stratified", True, "needs one class per example", "use it with classification only"
        )
    if schedule.seed_set is not None and not Path(schedule.seed_set).expanduser().is_file():
        yield rule("schedule.seed_set", schedule.seed_set, "no such file", "give a file with one id a line")


def _strategy_problems(config: RunConfig) -> Iterator[str]:
    name = config.strategy.name
    yield from one_of("strategy", name, list(STRATEGIES))
    yield from one_of("strategy.aggregate", config.strategy.aggregate, list(AGGREGATES))
    if (
        name in STRATEGIES
        and config.dataset.task in TASKS
        and config.dataset.task not in STRATEGIES[name].tasks
    ):
        fitting = known(s.name for s in STRATEGIES.values() if config.dataset.task in s.tasks)
        yield rule("strategy", name, f"does not work on {config.dataset.task}", f"choose one of {fitting}")


def _subsampling_problems(config: RunConfig) -> Iterator[str]:
    sub = config.subsampling
    yield from one_of("subsampling", sub.name, SUBSAMPLINGS)
    strategy = STRATEGIES.get(config.strategy.name)
    if sub.name != "none" and strategy is not None and not strategy.needs:
        yield rule(
            "subsampling",
            sub.name,
            f"saves nothing: strategy={strategy.name} scores no pool",
            "use subsampling=none with it",
        )
    if sub.name in ("random", "naive", "ups"):
        if sub.gamma is None or isinstance(sub.gamma, bool):
            yield rule("subsampling.gamma", sub.gamma, "is missing", "set a share such as 0.1")
        elif isinstance(sub.gamma, int) and sub.name == "ups":
            yield rule("subsampling.gamma", sub.gamma, "must be a share (a float) for ups", "try 0.1")
        else:
            high = math.inf if isinstance(sub.gamma, int) else 1.0
            low = 1 if isinstance(sub.gamma, int) else 0.0
            yield from _within(
                "subsampling.gamma", sub.gamma, low, high, "a float is a share, an int a count"
            )
    if sub.name == "ups":
        if sub.temperature is None:
            yield rule("subsampling.temperature", None, "is missing", "the paper uses 0.01")
        else:
            yield from _within("subsampling.temperature", sub.temperature, 0, math.inf, "the paper uses 0.01")
    if isinstance(sub.refresh, list):
        wrong = [r for r in sub.refresh if isinstance(r, bool) or not isinstance(r, int) or r < 0]
        if wrong:
            yield rule(
                "subsampling.refresh", sub.refresh, "must hold query rounds 0, 1, 2, ...", "try [0,1,4,8]"
            )
    elif sub.refresh not in ("all", "none"):
        yield rule(
            "subsampling.refresh", sub.refresh, 'must be a list of rounds, "all" or "none"', "try [0,1,4,8]"
        )


def _pseudo_labeling_problems(config: RunConfig) -> Iterator[str]:
    pseudo = config.pseudo_labeling
    if not uses_pseudo_labels(config):
        if config.pseudo_labeler is not None:
            yield rule(
                "pseudo_labeler",
                config.pseudo_labeler.name,
                "labels nothing under pseudo_labeling=none",
                "add pseudo_labeling=plasm, or leave it out",
            )
        return
    if config.pseudo_labeler is None:
        yield rule("pseudo_labeler", None, f"{pseudo.name} needs one", "add model@pseudo_labeler=NAME")
    if config.successor is None:
        yield rule("successor", None, f"{pseudo.name} needs one", "add model@successor=NAME")
    elif config.evaluate_at in ("none", None, False):
        yield rule(
            "evaluate_at", config.evaluate_at, f"leaves {pseudo.name} nothing to do", "set it to all or last"
        )
    yield from one_of("pseudo_labeling.labels", pseudo.labels, ("hard", "soft"))
    yield from _within("pseudo_labeling.smoothing", pseudo.smoothing, 0, 0.99, "0.1 is usual")
    if pseudo.smoothing > 0 and pseudo.labels == "soft":
        yield rule("pseudo_labeling.smoothing", pseudo.smoothing, "is of hard labels", "set it to 0")
    yield from _within(
        "pseudo_labeling.gold_weight", pseudo.gold_weight, 1e-6, math.inf, "1 weighs all alike"
    )
    for number, chosen in enumerate(pseudo.filters):
        yield from _filter_problems(f"pseudo_labeling.filters[{number}]", chosen)


def _filter_problems(where: str, chosen: FilterConfig) -> Iterator[str]:
    yield from one_of(f"{where}.by", chosen.by, FILTERS)
    yield from _within(f"{where}.checkpoints", chosen.checkpoints, 1, math.inf, "the paper uses 3")
    yield from _within(f"{where}.neighbours", chosen.neighbours, 1, math.inf, "10 is usual")
    drop = chosen.drop
    if chosen.threshold is not None:
        if chosen.by != "confidence":
            yield rule(
                f"{where}.threshold", chosen.threshold, "is of the confidence filter", "set drop instead"
            )
        yield from _within(f"{where}.threshold", chosen.threshold, -math.inf, 1, "confidence is 1 at most")
    elif drop == "disagreement":
        if chosen.by not in CONTRADICTING:
            yield rule(
                f"{where}.drop",
                drop,
                f"{chosen.by} contradicts nobody",
                "set a share such as 0.1, or adaptive",
            )
    elif drop != "adaptive" and (
        isinstance(drop, bool) or not isinstance(drop, int | float) or not 0 <= drop < 1
    ):
        yield rule(
            f"{where}.drop", drop, "must be a share from 0 to 1, adaptive or disagreement", "try adaptive"
        )


def _evaluation_problems(config: RunConfig) -> Iterator[str]:
    at = config.evaluate_at
    if isinstance(at, list):
        wrong = [
            c
            for c in at
            if isinstance(c, bool) or not isinstance(c, int) or not 0 <= c <= config.schedule.cycles
        ]
        if (wrong or not at) and config.replay is None:
            yield rule(
                "evaluate_at",
                at,
                f"must hold cycles from 0 to schedule.cycles={config.schedule.cycles}",
                'or "all", "last" or "none"',
            )
    elif at not in ("all", "last", "none", None, False):
        yield rule("evaluate_at", at, 'must be "all", "last", "none" or a list of cycles', "try all")
    if config.successor is None and at not in ("none", None, False):
        yield rule(
            "successor",
            None,
            "is missing",
            "add model@successor=NAME (see `al-bench ls models`), or evaluate_at=none to acquire only",
        )
    if config.replay is not None:
        if not Path(config.replay).expanduser().exists():
            yield rule(
                "replay",
                config.replay,
                "no such file or folder",
                "give a trajectory's folder, or a file with a JSON list of ids per cycle and line",
            )
        if config.successor is None:
            yield rule("replay", config.replay, "needs a successor to train", "add model@successor=NAME")


def _machine_problems(config: RunConfig) -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", config.device):
        yield rule("device", config.device, "is no device", "use auto, cpu, cuda, cuda:N or mps")
    yield from one_of("precision", config.precision, ("auto", "float32", "bfloat16"))
    yield from one_of("engine", config.engine, ENGINES)
    if config.rescore != 0:
        what = "0, or how many times the query's size is scored again in float32"
        yield from _within("rescore", config.rescore, 1, math.inf, what)
    yield from one_of("progress", config.progress, ("auto", "bar", "plain", "none"))
    if config.tracking not in ("none", "sqlite") and "://" not in config.tracking:
        yield rule(
            "tracking",
            config.tracking,
            'must be "sqlite", "none" or an MLflow URI',
            "for example tracking=http://localhost:5000",
        )
    for name in ("seed", *(f"seeds.{f.name}" for f in fields(config.seeds))):
        value = config.seed if name == "seed" else getattr(config.seeds, name.removeprefix("seeds."))
        yield from _within(name, value, 0, 2**63 - 1, "any whole number")
    if not re.fullmatch(r"[\w.+-]+", config.name):
        yield rule("name", config.name, "names a folder", "use letters, digits, _ . + and - only")


def validate_with_data(config: RunConfig, corpus: Corpus) -> None:
    """What only the data can tell: raise `UserError` where the seed set leaves nothing to query."""
    schedule = config.schedule
    if schedule.seed_set is not None or schedule.cycles == 0 or config.replay is not None:
        return
    there = int(costs_of(corpus.train.words, schedule.unit).sum())
    wanted = target(schedule.initial, costs_of(corpus.train.words, schedule.unit), schedule.unit)
    if wanted >= there:
        raise reject(
            "schedule.initial", schedule.initial,
            f"takes {wanted:,.0f} {schedule.unit}, but the training split has {there:,} and a query would find none",
            "lower schedule.initial, or set schedule.cycles=0 to train on everything",
        )  # fmt: skip
