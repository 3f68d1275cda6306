"""The rules of a config about its components: strategies, candidate pools, oracles, filters and metrics.

They follow from what a component declares of itself. There are no lists of names.
"""

import math
from collections.abc import Iterator

from al_bench.acquisition import subsampling
from al_bench.acquisition.aggregates import AGGREGATES, is_aggregate
from al_bench.acquisition.relabelling import EVIDENCE
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.batches import STOCHASTIC
from al_bench.acquisition.strategies.protocol import Strategy
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.acquisition.view import PRETRAINED
from al_bench.config.digests import file_hashes
from al_bench.config.model_rules import models
from al_bench.config.schema import TASKS, FilterConfig, OracleConfig, RunConfig, uses_pseudo_labels
from al_bench.config.values import Problem, is_count, is_unknown, limit_problems, value_problems
from al_bench.data.metrics import is_shipped
from al_bench.errors import known, not_one_of, reject
from al_bench.filters import FILTERS, settings
from al_bench.learners.metrics import METRICS
from al_bench.oracles import ORACLES


def _seed_by(config: RunConfig) -> Iterator[Problem]:
    """Of a seed set that a strategy selects."""
    schedule, task = config.schedule, config.dataset.task
    if schedule.seed_by == "random":
        return
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
    elif required := set(strategy.parameters) - strategy.defaults.keys():
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
    if relabel.at != "all" and not (isinstance(relabel.at, list) and relabel.at and all(map(is_count, relabel.at))):
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
    yield from value_problems(kind.settings(**params), f"{key}.params")
    file_hashes(kind.files, params, f"{key}.params")


def _strategy(config: RunConfig) -> Iterator[Problem]:
    chosen, task, candidates = config.strategy, config.dataset.task, config.subsampling.name
    if not is_aggregate(chosen.aggregate):
        allowed = [*AGGREGATES, "topK (such as top3)"]
        yield "strategy.aggregate", *not_one_of(chosen.aggregate, allowed)
    strategy = STRATEGIES[chosen.name]
    if task in TASKS and task not in strategy.tasks:
        names = known(name for name, other in STRATEGIES.items() if task in other.tasks)
        yield "strategy", f"does not work on {task}", f"choose one of {names}"
    yield from value_problems(strategy.settings(**strategy.typed(chosen.params, "strategy.params")), "strategy.params")
    if candidates != "none" and not strategy.needs:
        yield "subsampling", f"saves nothing: strategy={chosen.name} scores no pool", "use subsampling=none with it"
    elif CANDIDATE_POOLS[candidates].needs_scores and not strategy.scores:
        broken = f"reads last-known scores, and strategy={chosen.name} gives none"
        yield "subsampling", broken, "use another one, such as random"
    if strategy.scores:  # those of random draws are no scores, but a sweep over strategies may have them among others
        if config.rescore and chosen.batch in STOCHASTIC:
            yield "rescore", f"looks at the top, and strategy.batch={chosen.batch} draws", "set rescore=0"
    else:
        if chosen.batch in STOCHASTIC:
            yield "strategy.batch", f"draws by scores, and strategy={chosen.name} gives none", "set it to top or bottom"
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
    if "gamma" in kind.shared:
        if sub.gamma is None or isinstance(sub.gamma, bool):
            yield "subsampling.gamma", "is missing", "set a share such as 0.1"
        elif isinstance(sub.gamma, int) and sub.name == "ups":
            yield "subsampling.gamma", "must be a share (a float) for ups", "try 0.1"
        else:
            limits: tuple[float, float] = (1, math.inf) if isinstance(sub.gamma, int) else (0, 1)
            yield from limit_problems("subsampling.gamma", sub.gamma, *limits, "a float is a share, an int a count")
    if "temperature" in kind.shared:
        if sub.temperature is None:
            yield "subsampling.temperature", "is missing", "the paper uses 0.01"
        yield from limit_problems("subsampling.temperature", sub.temperature, 0, math.inf, "the paper uses 0.01")
    if None not in subsampling.shared_settings(sub).values():
        yield from value_problems(kind.settings(**subsampling.settings(sub)), "subsampling.params")
    if isinstance(sub.refresh, list):
        if not all(map(is_count, sub.refresh)):
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
    yield from value_problems(chosen, where)
    if is_unknown(FILTERS, chosen.by):
        yield f"{where}.by", *not_one_of(chosen.by, list(FILTERS))
        return
    kind, drop = FILTERS[chosen.by], chosen.drop
    yield from value_problems(kind.settings(**settings(chosen, f"{where}.params")), f"{where}.params")
    if chosen.threshold is not None:
        if not kind.confidence:
            yield f"{where}.threshold", "is of the confidence filter", "set drop instead"
        yield from limit_problems(f"{where}.threshold", chosen.threshold, -math.inf, 1, "confidence is 1 at most")
    elif drop == "disagreement":
        if not kind.contradicts:
            yield f"{where}.drop", f"{chosen.by} contradicts nobody", "set a share such as 0.1, or adaptive"
    elif drop != "adaptive" and not (is_count(drop, 1) or (isinstance(drop, float) and 0 <= drop < 1)):
        yield f"{where}.drop", "must be a share from 0 to 1, adaptive or disagreement", "try adaptive"


def _metrics(config: RunConfig) -> Iterator[Problem]:
    for name in config.metrics:
        if is_shipped(name):
            raise reject("metrics", name, "every run has it", "leave it out, or give your own another name")
        if len(METRICS[name].defaults) < len(METRICS[name].parameters):
            broken = "has settings without a default, and no run sets them"
            raise reject("metrics", name, broken, "give each a default")
    if len(set(config.metrics)) < len(config.metrics):
        yield "metrics", "has one twice", "leave it out"


COMPONENT_CHECKS = (models, _seed_by, _oracle, _relabel, _strategy, _subsampling, _pseudo_labeling, _metrics)
