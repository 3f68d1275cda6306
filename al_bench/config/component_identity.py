"""What of a component's settings its results depend on, and of one from outside its code.

All are functions of the resolved config, and of the files that it names.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from al_bench.acquisition.candidates import SHARED
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.batches import STOCHASTIC
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.config.digests import file_hashes
from al_bench.config.schema import SOURCE, FilterConfig, ModelConfig, OracleConfig, RunConfig
from al_bench.data.readers.formats import READERS, is_outside
from al_bench.filters import FILTERS, needed, shared_settings
from al_bench.learners.families import LEARNERS
from al_bench.learners.metrics import METRICS
from al_bench.oracles import ORACLES


def strategy_identity(config: RunConfig) -> dict[str, Any]:
    """Of a strategy what it reads; of one from outside also its code."""
    chosen, strategy = config.strategy, STRATEGIES[config.strategy.name]
    material: dict[str, Any] = {"name": chosen.name, "params": chosen.params}
    if strategy.needs:
        material = asdict(chosen)
        if chosen.batch not in STOCHASTIC:
            del material["beta"]
    if strategy.bracket:  # so that results stay marked where the strategy is gone
        material["bracket"] = True
    return with_code(material, STRATEGIES.code(chosen.name))


def is_bracket(strategy: Mapping[str, Any]) -> bool:
    """Whether a strategy, as an identity or a config has it, is a bound that nobody who annotates can reach or wants.

    Its results are shown and marked, and take no part in any comparison. Nothing is imported for it.
    """
    shipped = STRATEGIES.shipped.get(strategy["name"])
    by_kind = shipped is not None and shipped.bracket
    return by_kind or strategy.get("batch") == "bottom" or bool(strategy.get("bracket"))


def subsampling_identity(config: RunConfig) -> dict[str, Any]:
    """As `strategy_identity`, of a candidate pool."""
    chosen = config.subsampling
    if chosen.name == "none":
        return {"name": "none"}
    unread = set(SHARED) - set(CANDIDATE_POOLS[chosen.name].shared)
    material = {key: value for key, value in asdict(chosen).items() if key not in unread}
    return with_code(material, CANDIDATE_POOLS.code(chosen.name))


def oracle_identity(chosen: OracleConfig, unit: str = "") -> dict[str, Any]:
    """What its answers depend on: settings, of files their content, code; and where money is the budget, its price."""
    params = chosen.params | file_hashes(ORACLES[chosen.name].files, chosen.params, "oracle.params")
    price = {"price": asdict(chosen.price)} if unit == "money" else {}
    return with_code({"name": chosen.name, "params": params, **price}, ORACLES.code(chosen.name))


def relabel_identity(config: RunConfig) -> dict[str, Any] | None:
    chosen = config.relabel
    if chosen.action == "none":
        return None
    again = None if chosen.oracle is None else oracle_identity(chosen.oracle)
    folds = chosen.folds if needed([chosen.filter], "verifier") else None
    return {**asdict(chosen), "filter": filter_identity(chosen.filter), "folds": folds, "oracle": again}


def filter_identity(chosen: FilterConfig) -> dict[str, Any]:
    """The settings that a filter reads; a threshold replaces a share. Of one from outside also its code."""
    drop = chosen.drop if chosen.threshold is None else None
    own = {**shared_settings(chosen), "params": chosen.params}
    return with_code({"by": chosen.by, "drop": drop, "threshold": chosen.threshold, **own}, FILTERS.code(chosen.by))


def metrics_identity(config: RunConfig) -> dict[str, Any]:
    """Of the metrics that were chosen; without any, runs are what they were before there was a choice."""
    chosen = [with_code({"name": name}, METRICS.code(name)) for name in config.metrics]
    return {"metrics": chosen} if chosen else {}


def dataset_identity(config: RunConfig) -> dict[str, Any]:
    """A dataset by its source and how that is read; a reader from outside counts by its code, too."""
    immaterial = ("name", "train_examples", "train_words")
    material = {key: value for key, value in asdict(config.dataset).items() if key not in immaterial}
    name = config.dataset.format
    return with_code(material, READERS.code(name) if is_outside(name) else None)


def model_identity(model: ModelConfig) -> dict[str, Any]:
    """A model by its learner, what this reads, and its weights: their hash where the config pins it, else where they
    come from.
    """
    kind = LEARNERS[model.learner]
    material = {key: value for key, value in asdict(model).items() if key in kind.reads}
    if training := {key.partition(".")[2] for key in kind.reads if key.startswith("training.")}:
        material["training"] = {key: getattr(model.training, key) for key in sorted(training)}
    params = model.params | file_hashes(kind.files, model.params, f"{model.name}.params")
    material |= {"learner": model.learner, "params": params}
    if kind.source:
        material |= {key: getattr(model, key) for key in SOURCE}
        if model.sha256 is not None:
            material |= dict.fromkeys(("path", "package", "hub", "revision"))
        elif model.path is not None:
            material["path"] = str(Path(model.path).expanduser().absolute())
    return with_code(material, LEARNERS.code(model.learner))


def encoder_identity(model: ModelConfig) -> dict[str, Any]:
    """A model whose encoder is used as it comes: however it would be fitted."""
    return model_identity(model) | {"training": None, "regularization": None}


def with_code(material: dict[str, Any], code: str | None) -> dict[str, Any]:
    return material if code is None else {**material, "code": code}
