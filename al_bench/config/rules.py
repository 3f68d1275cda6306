"""The rules of a config: what can be checked before data, model or torch is loaded."""

import math
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from al_bench.acquisition.aggregates import AGGREGATES, is_aggregate
from al_bench.acquisition.relabelling import EVIDENCE
from al_bench.acquisition.selection import costs_of, target
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.batches import STOCHASTIC
from al_bench.acquisition.strategies.protocol import Strategy
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.acquisition.view import PRETRAINED
from al_bench.config.identity import ROLES, file_hash
from al_bench.config.schema import (
    COLUMN_ROLES,
    SOURCE,
    TASKS,
    FilterConfig,
    ModelConfig,
    OracleConfig,
    RunConfig,
    uses_pseudo_labels,
)  # fmt: skip
from al_bench.data.corpus import Corpus
from al_bench.data.metrics import is_shipped
from al_bench.data.readers.formats import READERS, WAYS, is_outside
from al_bench.errors import UserError, known, not_one_of, reject, rule
from al_bench.filters import FILTERS, settings
from al_bench.learners.families import GIVES, LEARNERS
from al_bench.learners.metrics import METRICS
from al_bench.oracles import ORACLES
from al_bench.plugins import Registry

Problem = tuple[str, str, str]  # a key, the rule that its value breaks, and the remedy


def validate(config: RunConfig) -> None:
    """Raise `UserError` with a line for every rule the config breaks; needs neither data nor torch."""
    problems, lines = [*_homes(config)], []
    if not problems:
        problems = [*_value_problems(config, "")]
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
    for part in re.findall(r"\w+", key):
        if isinstance(value, list | dict):
            value = value[int(part) if isinstance(value, list) else part]
        else:
            value = getattr(value, part)
    return getattr(value, "name", value)


def _value_problems(group: Any, where: str) -> Iterator[Problem]:
    """Values that the schema does not allow, in a group of keys and the groups in it."""
    for key in fields(group):
        value = getattr(group, key.name)
        name = where if key.name == "name" else f"{where}.{key.name}".lstrip(".")
        if value not in key.metadata.get("one_of", [value]):
            yield name, *not_one_of(value, key.metadata["one_of"])
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        typed = "params" in (key.name, where.rpartition(".")[2])  # by its component
        if not typed and any(isinstance(part, list | dict) for part in parts):  # OmegaConf lets these pass
            yield name, "must hold single values", "leave the inner brackets out"
        if "between" in key.metadata:
            yield from _between(name, value, *key.metadata["between"])
        if is_dataclass(value):
            yield from _value_problems(value, name)


def _between(key: str, value: float | None, low: float, high: float, remedy: str) -> Iterator[Problem]:
    if value is not None and not (low <= value <= high):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        yield key, f"must be {limits}", remedy


def _homes(config: RunConfig) -> Iterator[Problem]:
    """Paths from the home folder of a user who has none; no other rule can look at them."""
    models = [f"{role}.path" for role in ROLES if getattr(config, role) is not None]
    for key in ("output_dir", "dataset.path", "schedule.seed_set", "replay", *models):
        try:
            Path(_value(config, key) or "").expanduser()
        except RuntimeError:
            yield key, "no such home folder", "write the whole path"


def _unknown(registry: Registry[Any], name: str) -> bool:
    """Whether a name is none of a registry's; MODULE:ATTRIBUTE is looked up when it is used."""
    return ":" not in name and name not in list(registry)


def _is_count(value: Any, below: float = math.inf) -> bool:
    """Whether a value is a whole number from 0 on, and less than `below`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _dataset(config: RunConfig) -> Iterator[Problem]:
    dataset = config.dataset
    if not is_outside(dataset.format):
        for key, value in dataset.params.items():
            broken = f"dataset.format={dataset.format} takes none"
            yield "dataset.params", f"has {key}={value}, and {broken}", "leave it out, or name a reader of your own"
    elif _unknown(READERS, dataset.format):
        yield "dataset.format", *not_one_of(dataset.format, [*WAYS, *READERS])
    else:
        kind = READERS[dataset.format]
        yield from _value_problems(kind.settings(**kind.typed(dataset.params, "dataset.params")), "dataset.params")
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


def _models(config: RunConfig) -> Iterator[Problem]:
    for role, model in [(role, getattr(config, role)) for role in ROLES]:
        if model is None:
            continue
        if _unknown(LEARNERS, model.learner):
            yield f"{role}.learner", *not_one_of(model.learner, list(LEARNERS))
            continue
        kind, task = LEARNERS[model.learner], config.dataset.task
        if task in TASKS and task not in kind.tasks:
            able = known(name for name, other in LEARNERS.items() if task in other.tasks)
            yield f"{role}.learner", f"does not work on {task}", f"choose one of {able}"
        yield from _value_problems(kind.settings(**kind.typed(model.params, f"{role}.params")), f"{role}.params")
        if kind.source:
            yield from _source(role, model)
        elif any(getattr(model, key) is not None for key in SOURCE):
            broken = f"is an encoder, and {role}.learner={model.learner} reads none"
            yield role, broken, f"set model@{role}={model.learner}"
    yield from _capabilities(config)


def _source(role: str, model: ModelConfig) -> Iterator[Problem]:
    if model.path is None and model.package is None and model.hub is None:
        yield role, "has no source", f"set {role}.path, {role}.package or {role}.hub"
    if model.path is not None and not Path(model.path).expanduser().is_dir():
        remedy = "give a folder written by save_pretrained (config.json, model.safetensors, tokenizer files)"
        yield f"{role}.path", "no such folder", remedy
    if model.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", model.sha256):
        yield f"{role}.sha256", "must be 64 lower-case hex digits", "see sha256sum FILE"


def _capabilities(config: RunConfig) -> Iterator[Problem]:
    """What is needed of a learner that does not give it."""
    for key, role, needs in _needs(config):
        learner = getattr(config, role).learner
        if learner in LEARNERS and (missing := set(needs) & set(GIVES) - set(LEARNERS[learner].gives)):
            able = known(name for name, kind in LEARNERS.items() if missing <= set(kind.gives))
            broken = f"needs {known(missing)}, which {role}.learner={learner} does not give"
            yield key, broken, f"choose another one, or set {role}.learner to one of {able}"


def _needs(config: RunConfig) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(a key, a role, what the key's value needs of the role's learner)"""
    if config.replay is None:
        if config.relabel.action != "none" and config.relabel.filter.by in FILTERS:
            yield "relabel.filter.by", "acquisition", FILTERS[config.relabel.filter.by].needs
        yield "strategy", "acquisition", STRATEGIES[config.strategy.name].needs
        yield "subsampling", "acquisition", CANDIDATE_POOLS[config.subsampling.name].needs
        if config.schedule.seed_by in STRATEGIES:
            yield "schedule.seed_by", "acquisition", STRATEGIES[config.schedule.seed_by].needs
    if config.successor is None or not uses_pseudo_labels(config):
        return
    pseudo = config.pseudo_labeling
    if pseudo.labels == "soft":
        yield "pseudo_labeling.labels", "successor", ("soft labels",)
    if pseudo.smoothing > 0:
        yield "pseudo_labeling.smoothing", "successor", ("soft labels",)
    if pseudo.gold_weight != 1:
        yield "pseudo_labeling.gold_weight", "successor", ("weights",)
    for number, chosen in enumerate(pseudo.filters):
        if not _unknown(FILTERS, chosen.by):  # which `_filter_problems` refuses
            yield f"pseudo_labeling.filters[{number}].by", "successor", FILTERS[chosen.by].needs


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
    if schedule.seed_by != "random":
        yield from _seed_by(config)


def _seed_by(config: RunConfig) -> Iterator[Problem]:
    """Of a seed set that a strategy selects."""
    schedule, task = config.schedule, config.dataset.task
    able = [name for name, other in STRATEGIES.items() if seeds(other) and task in other.tasks]
    if ":" not in schedule.seed_by and schedule.seed_by not in STRATEGIES:
        yield "schedule.seed_by", *not_one_of(schedule.seed_by, able)
        return
    strategy = STRATEGIES[schedule.seed_by]
    if not seeds(strategy):
        lacking = known(set(strategy.needs) - set(PRETRAINED))
        yield "schedule.seed_by", f"needs {lacking} of a fitted model, and none is", f"choose one of {known(able)}"
    elif task in TASKS and task not in strategy.tasks:
        yield "schedule.seed_by", f"does not work on {task}", f"choose one of {known(able)}"
    elif required := {f.name for f in fields(strategy.settings)} - strategy.defaults.keys():
        broken = f"has settings without a default ({known(required)}), which a seed set cannot give"
        yield "schedule.seed_by", broken, "give them defaults, or choose another strategy"
    if schedule.seed_set is not None:
        yield "schedule.seed_by", "selects the seed set, and schedule.seed_set has it", "set one of the two"
    if schedule.stratified:
        yield "schedule.seed_by", "knows no class to stratify by", "set schedule.stratified=false, or this to random"


def seeds(strategy: Strategy) -> bool:
    """Whether it can select a seed set: before any fit."""
    return set(strategy.needs) <= set(PRETRAINED)


def _relabel(config: RunConfig) -> Iterator[Problem]:
    relabel = config.relabel
    if relabel.action == "none":
        return
    if config.replay is not None:
        yield "relabel.action", "looks at labels before each fit, and a replay has none", "set relabel=none"
    if relabel.at != "all" and not (isinstance(relabel.at, list) and relabel.at and all(map(_is_count, relabel.at))):
        yield "relabel.at", "must be a list of cycles, or all", "try [0,2]"
    chosen = relabel.filter
    yield from _filter_problems("relabel.filter", chosen)
    if chosen.drop == "adaptive":
        yield "relabel.filter.drop", "needs a labeller whose quality is known", "set a share such as 0.1"
    if chosen.by in FILTERS and (other := set(FILTERS[chosen.by].needs) - set(EVIDENCE)):
        able = known(name for name, kind in FILTERS.items() if set(kind.needs) <= set(EVIDENCE))
        yield "relabel.filter.by", f"needs {known(other)}, which labels of an oracle have not", f"choose one of {able}"
    mistaken = config.oracle.name != "gold"
    if relabel.oracle is not None:
        if relabel.action == "ask" and relabel.oracle.name == "gold" and not mistaken:
            yield "relabel.oracle.name", "would say the same as oracle=gold", "set relabel=none, or another oracle"
        yield from _answering("relabel.oracle", relabel.oracle, config)
        if relabel.action == "drop":
            yield "relabel.oracle", "is asked by relabel.action=ask alone", "set it to null"
        if config.oracle.price.is_known and not relabel.oracle.price.is_known:
            yield "relabel.oracle.price.example", "is open, and the first answers have a price", "set it, or to 0"
    elif relabel.action == "ask" and not ORACLES[config.oracle.name].random:
        broken = f"asks again, and oracle={config.oracle.name} would say the same"
        yield "relabel.action", broken, "set relabel=ask_gold or relabel=drop" if mistaken else "set relabel=none"


def _oracle(config: RunConfig) -> Iterator[Problem]:
    price = config.oracle.price
    yield from _answering("oracle", config.oracle, config)
    if config.schedule.unit == "money" and not (price.example or price.word):
        yield "schedule.unit", "is money, and a label costs nothing", "set oracle.price.example or oracle.price.word"


def _answering(key: str, chosen: OracleConfig, config: RunConfig) -> Iterator[Problem]:
    dataset, kind = config.dataset, ORACLES[chosen.name]
    if dataset.task in TASKS and dataset.kind not in kind.kinds:
        names = known(name for name, other in ORACLES.items() if dataset.kind in other.kinds)
        yield key, f"does not label {dataset.kind} data", f"choose one of {names}"
    params = kind.typed(chosen.params, f"{key}.params")
    yield from _value_problems(kind.settings(**params), f"{key}.params")
    for name in kind.files:
        if params[name] is not None:
            file_hash(f"{key}.params.{name}", Path(params[name]).expanduser())


def _strategy(config: RunConfig) -> Iterator[Problem]:
    chosen, task, candidates = config.strategy, config.dataset.task, config.subsampling.name
    if not is_aggregate(chosen.aggregate):
        allowed = [*AGGREGATES, "topK (such as top3)"]
        yield "strategy.aggregate", *not_one_of(chosen.aggregate, allowed)
    strategy = STRATEGIES[chosen.name]
    if task in TASKS and task not in strategy.tasks:
        names = known(name for name, other in STRATEGIES.items() if task in other.tasks)
        yield "strategy", f"does not work on {task}", f"choose one of {names}"
    yield from _value_problems(strategy.settings(**strategy.typed(chosen.params, "strategy.params")), "strategy.params")
    if candidates != "none" and not strategy.needs:
        yield "subsampling", f"saves nothing: strategy={chosen.name} scores no pool", "use subsampling=none with it"
    elif CANDIDATE_POOLS[candidates].needs_scores and not strategy.scores:
        broken = f"reads last-known scores, and strategy={chosen.name} gives none"
        yield "subsampling", broken, "use another one, such as random"
    if strategy.scores:  # those of random draws are no scores, but a sweep over strategies may have them among others
        if config.rescore and chosen.batch in STOCHASTIC:
            yield "rescore", f"looks at the top, and strategy.batch={chosen.batch} draws", "set rescore=0"
    else:
        why = f"orders scores, and strategy={chosen.name} gives none"
        if chosen.batch != "top":
            yield "strategy.batch", why, "set it to top"
        if config.rescore:
            yield "rescore", f"computes scores again, and strategy={chosen.name} gives none", "set rescore=0"
    if chosen.no_entity == "last":
        if config.dataset.kind != "tagging":
            yield "strategy.no_entity", "is of tagging with entities", "set it to score"
        elif not strategy.scores or not {"predictions", "embeddings"} & set(strategy.needs):
            yield "strategy.no_entity", f"strategy={chosen.name} predicts no tags", "set it to score"


def _subsampling(config: RunConfig) -> Iterator[Problem]:
    sub = config.subsampling
    kind, task = CANDIDATE_POOLS[sub.name], config.dataset.task
    if task in TASKS and task not in kind.tasks:
        yield "subsampling", f"does not work on {task}", "choose another one"
    if "gamma" in kind.defaults:
        if sub.gamma is None or isinstance(sub.gamma, bool):
            yield "subsampling.gamma", "is missing", "set a share such as 0.1"
        elif isinstance(sub.gamma, int) and sub.name == "ups":
            yield "subsampling.gamma", "must be a share (a float) for ups", "try 0.1"
        else:
            limits: tuple[float, float] = (1, math.inf) if isinstance(sub.gamma, int) else (0, 1)
            yield from _between("subsampling.gamma", sub.gamma, *limits, "a float is a share, an int a count")
    if "temperature" in kind.defaults:
        if sub.temperature is None:
            yield "subsampling.temperature", "is missing", "the paper uses 0.01"
        yield from _between("subsampling.temperature", sub.temperature, 0, math.inf, "the paper uses 0.01")
    shared = {key: getattr(sub, key) for key in ("gamma", "temperature") if key in kind.defaults}
    if None not in shared.values():
        settings = kind.settings(**kind.typed({**shared, **sub.params}, "subsampling.params"))
        yield from _value_problems(settings, "subsampling.params")
    if isinstance(sub.refresh, list):
        if not all(map(_is_count, sub.refresh)):
            yield "subsampling.refresh", "must hold query rounds 0, 1, 2, ...", "try [0,1,4,8]"
    elif sub.refresh not in ("all", "none"):
        yield "subsampling.refresh", 'must be a list of rounds, "all" or "none"', "try [0,1,4,8]"


def _pseudo_labeling(config: RunConfig) -> Iterator[Problem]:
    pseudo, labeler = config.pseudo_labeling, config.pseudo_labeler
    if not uses_pseudo_labels(config):
        if labeler is not None:
            broken = "labels nothing under pseudo_labeling=none"
            yield "pseudo_labeler", broken, "add pseudo_labeling=plasm, or leave it out"
        return
    if labeler is None:
        yield "pseudo_labeler", f"{pseudo.name} needs one", "add model@pseudo_labeler=NAME"
    if config.successor is None:
        yield "successor", f"{pseudo.name} needs one", "add model@successor=NAME"
    elif config.evaluate_at in ("none", None, False):
        yield "evaluate_at", f"leaves {pseudo.name} nothing to do", "set it to all or last"
    if pseudo.smoothing > 0 and pseudo.labels == "soft":
        yield "pseudo_labeling.smoothing", "is of hard labels", "set it to 0"
    for number, chosen in enumerate(pseudo.filters):
        yield from _filter_problems(f"pseudo_labeling.filters[{number}]", chosen)


def _filter_problems(where: str, chosen: FilterConfig) -> Iterator[Problem]:
    yield from _value_problems(chosen, where)
    if _unknown(FILTERS, chosen.by):
        yield f"{where}.by", *not_one_of(chosen.by, list(FILTERS))
        return
    kind, drop = FILTERS[chosen.by], chosen.drop
    yield from _value_problems(kind.settings(**settings(chosen, f"{where}.params")), f"{where}.params")
    if chosen.threshold is not None:
        if not kind.confidence:
            yield f"{where}.threshold", "is of the confidence filter", "set drop instead"
        yield from _between(f"{where}.threshold", chosen.threshold, -math.inf, 1, "confidence is 1 at most")
    elif drop == "disagreement":
        if not kind.contradicts:
            yield f"{where}.drop", f"{chosen.by} contradicts nobody", "set a share such as 0.1, or adaptive"
    elif drop != "adaptive" and not (_is_count(drop, 1) or (isinstance(drop, float) and 0 <= drop < 1)):
        yield f"{where}.drop", "must be a share from 0 to 1, adaptive or disagreement", "try adaptive"


def _metrics(config: RunConfig) -> Iterator[Problem]:
    for name in config.metrics:
        if is_shipped(name):
            raise reject("metrics", name, "every run has it", "leave it out, or give your own another name")
        if len(METRICS[name].defaults) < len(fields(METRICS[name].settings)):
            broken = "has settings without a default, and no run sets them"
            raise reject("metrics", name, broken, "give each a default")
    if len(set(config.metrics)) < len(config.metrics):
        yield "metrics", "has one twice", "leave it out"


def _evaluation(config: RunConfig) -> Iterator[Problem]:
    at, cycles, replay = config.evaluate_at, config.schedule.cycles, config.replay
    if not isinstance(at, list):
        if at not in ("all", "last", "none", None, False):
            yield "evaluate_at", 'must be "all", "last", "none" or a list of cycles', "try all"
    elif replay is None and not (at and all(_is_count(cycle, cycles + 1) for cycle in at)):
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
        yield from _between("rescore", config.rescore, 1, 1000, remedy)
    if config.tracking not in ("none", "sqlite") and "://" not in config.tracking:
        yield "tracking", 'must be "sqlite", "none" or an MLflow URI', "for example tracking=http://localhost:5000"
    if not re.fullmatch(r"(?!\.+$)[\w.+-]{1,200}", config.name):
        yield "name", "names a folder", "use up to 200 letters, digits, _ . + and -, and not dots alone"
    if not config.output_dir:
        yield "output_dir", "is empty", "name a folder, or leave it out for outputs"


CHECKS = (
    _dataset, _models, _schedule, _oracle, _relabel, _strategy, _subsampling, _pseudo_labeling, _evaluation, _metrics,
    _machine,
)  # fmt: skip


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
