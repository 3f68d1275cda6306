"""A config with every open value filled in: a function of the config alone."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from al_bench.acquisition import subsampling
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.component_identity import model_identity
from al_bench.config.roles import SCHEDULED
from al_bench.config.schema import (
    PAPER_MAX_LENGTH,
    PAPER_ON_PSEUDO_LABELS,
    PAPER_PSEUDO_LABELER,
    PAPER_TRAINING,
    ModelConfig,
    OracleConfig,
    RelabelConfig,
    RunConfig,
    uses_pseudo_labels,
)  # fmt: skip
from al_bench.data.readers.formats import READERS, is_outside
from al_bench.filters import needed, own_params
from al_bench.learners.families import LEARNERS, LearnerKind
from al_bench.oracles import ORACLES
from al_bench.oracles.protocol import Oracle


def resolve(config: RunConfig) -> RunConfig:
    """The same config with every open value filled in, but for device and precision.

    `subsampling.refresh` becomes "all" or a list of rounds, `evaluate_at` "all", "last" or a list of cycles.
    """
    task = config.dataset.task
    pseudo = uses_pseudo_labels(config)

    def resolved(role: str, model: Any, **special: float | int) -> Any:  # a model or None
        if model is None:
            return None
        own = {key: value for key, value in vars(config.training).items() if value is not None}
        usual = {**PAPER_TRAINING[task], **LEARNERS[model.learner].training, **special}
        training = _with_defaults(model.training, {**usual, **own})
        length = model.max_length or PAPER_MAX_LENGTH[task]
        params = _typed(LEARNERS[model.learner], model.params, f"{role}.params")
        name = model.name or _source_name(model)
        return replace(model, name=name, params=params, max_length=length, training=training)

    dataset, refresh, at = config.dataset, config.subsampling.refresh, config.evaluate_at
    if dataset.path is not None:
        dataset = replace(dataset, path=str(Path(dataset.path).expanduser().absolute()))
    if is_outside(dataset.format):
        dataset = replace(dataset, params=READERS[dataset.format].typed(dataset.params, "dataset.params"))
    if config.subsampling.name == "none":
        refresh = "all"
    elif refresh != "all":
        refresh = sorted(set(refresh)) if isinstance(refresh, list) else []
    if config.successor is None or at in ("none", None, False):
        at = []
    strategy = STRATEGIES[config.strategy.name]
    labels = config.pseudo_labeling
    if pseudo:
        filters = [replace(one, params=own_params(one, "pseudo_labeling.filters.params")) for one in labels.filters]
        labels = replace(labels, filters=filters)
    verified = pseudo and needed(labels.filters, "verifier")
    acquisition = resolved("acquisition", config.acquisition)
    starts = sorted(config.acquisition_from, key=int)
    later = {start: resolved(f"{SCHEDULED}.{start}", config.acquisition_from[start]) for start in starts}
    return replace(
        config,
        dataset=dataset,
        output_dir=str(Path(config.output_dir).expanduser()),
        acquisition=acquisition,
        acquisition_from=_changes(acquisition, later),
        successor=resolved("successor", config.successor, **(PAPER_ON_PSEUDO_LABELS if pseudo else {})),
        pseudo_labeler=resolved("pseudo_labeler", config.pseudo_labeler, **PAPER_PSEUDO_LABELER) if pseudo else None,
        verifier=resolved("verifier", config.verifier or config.successor) if verified else None,
        training=_with_defaults(config.training, PAPER_TRAINING[task]),
        strategy=replace(config.strategy, params=strategy.typed(config.strategy.params, "strategy.params")),
        subsampling=replace(config.subsampling, refresh=refresh, params=subsampling.own_params(config.subsampling)),
        pseudo_labeling=labels,
        oracle=_answering(config.oracle, "oracle.params"),
        relabel=_relabelling(config.relabel),
        evaluate_at=sorted(set(at)) if isinstance(at, list) else at,
        seeds=_with_defaults(config.seeds, dict.fromkeys(vars(config.seeds), config.seed)),
    )


def _changes(first: ModelConfig, later: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
    """Without what begins where the same model acquires already: nothing changes there. later: by rising cycles"""
    before = [first, *later.values()]
    pairs = zip(later.items(), before, strict=False)
    return {start: model for (start, model), last in pairs if model_identity(model) != model_identity(last)}


def _relabelling(relabel: RelabelConfig) -> RelabelConfig:
    if relabel.action == "none":
        return relabel
    chosen = replace(relabel.filter, params=own_params(relabel.filter, "relabel.filter.params"))
    at = sorted(set(relabel.at)) if isinstance(relabel.at, list) else relabel.at
    again = None if relabel.oracle is None else _answering(relabel.oracle, "relabel.oracle.params")
    return replace(relabel, filter=chosen, at=at, oracle=again)


def _answering(oracle: OracleConfig, key: str) -> OracleConfig:
    """With all of its settings."""
    return replace(oracle, params=_typed(ORACLES[oracle.name], oracle.params, key))


def _typed(kind: LearnerKind | Oracle, given: dict[str, Any], key: str) -> dict[str, Any]:
    """All settings of a learner or an oracle; those that are files by their whole path."""
    params = kind.typed(given, key)
    files = {name: params[name] for name in kind.files if params.get(name) is not None}
    return params | {name: str(Path(file).expanduser().absolute()) for name, file in files.items()}


def _source_name(model: ModelConfig) -> str:
    if not LEARNERS[model.learner].has_source(model):
        return model.learner.rpartition(":")[2]
    if model.path is not None:
        return Path(model.path).expanduser().absolute().name
    return str(model.package or model.hub).partition(":")[0].rpartition("/")[2]


def _with_defaults(settings: Any, defaults: dict[str, Any]) -> Any:
    missing = {f.name: defaults[f.name] for f in fields(settings) if getattr(settings, f.name) is None}
    return replace(settings, **missing)
