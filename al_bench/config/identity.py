"""What makes two runs, two trajectories, or two fits of a successor the same.

All are functions of the resolved config, and of the files of ids and answers that it names, so that they are known
before data or models are loaded. The fingerprints of these are recorded at first use and checked ever after.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from al_bench.acquisition.needs import acquires, needs_of, seed_needs
from al_bench.acquisition.relabelling import relabels
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.view import FITTED
from al_bench.config.component_identity import (
    dataset_identity,
    encoder_identity,
    filter_identity,
    metrics_identity,
    model_identity,
    oracle_identity,
    relabel_identity,
    strategy_identity,
    subsampling_identity,
)
from al_bench.config.digests import content_hash, digest, file_hash, file_name
from al_bench.config.roles import ROLES, SCHEDULED, is_acquiring, models_by_role
from al_bench.config.schema import FilterConfig, ModelConfig, RunConfig, uses_pseudo_labels
from al_bench.filters import FILTERS, needed
from al_bench.learners.families import LEARNERS
from al_bench.oracles import ORACLES

FORMAT = 9  # raised when equal configs no longer give equal ledgers

# Keys that say where, how visibly and on which device a run is executed, what an hour of it costs, and its name (the
# names of datasets and models do not count either). `seed` and the shared `training` count through `seeds` and the
# models' own training, into which they were resolved.
IMMATERIAL = {"name", "device", "price", "output_dir", "tracking", "progress", "seed", "training"}


def run_identity(config: RunConfig) -> dict[str, Any]:
    """The part of a resolved config that a run's ledger depends on."""
    material = {key: value for key, value in asdict(config).items() if key not in IMMATERIAL}
    for role in ROLES:
        model = getattr(config, role)
        material[role] = model and model_identity(model)
    del material[SCHEDULED]
    material |= acquisition_identity(config) if acquires(config) else {"acquisition": None}
    material |= {"strategy": strategy_identity(config), "subsampling": subsampling_identity(config)}
    pseudo = training_set_identity(config, config.pseudo_labeling.filters)
    material["pseudo_labeling"] = pseudo if uses_pseudo_labels(config) else None
    del material["metrics"]
    material |= metrics_identity(config)
    if config.replay is not None:
        material["replay"] = str(Path(config.replay).expanduser().absolute())
    # The ledger counts money, whatever the unit of the budgets.
    data, again = _data_identity(config), config.relabel.oracle
    data["oracle"]["price"] = asdict(config.oracle.price)
    if data["relabel"] is not None and again is not None:
        data["relabel"]["oracle"]["price"] = asdict(again.price)
    return {"format": FORMAT, **material, **data}


def models_of(config: RunConfig) -> dict[str, ModelConfig]:
    """The models that the run fits, by role; `config` is resolved."""
    acquired, evaluated = acquires(config), config.evaluate_at != []
    every = models_by_role(config).items()
    return {role: model for role, model in every if (acquired if is_acquiring(role) else evaluated)}


def run_folder(config: RunConfig) -> str:
    """Where a run lives under `output_dir`, readable and never shared by two different configs."""
    drawn = f"_{config.strategy.batch}" if config.strategy.batch != "top" and acquires(config) else ""
    acquired = [config.strategy.name + drawn] if config.replay is None else ["replay"]
    if acquires(config):
        later = [f"{model.name}_from_{start}" for start, model in config.acquisition_from.items()]
        acquired = ["+".join([config.acquisition.name, *later]), *acquired, config.subsampling.name]
    parts = [config.dataset.name, *acquired]
    if config.pseudo_labeler is not None:
        parts += [config.pseudo_labeling.name, config.pseudo_labeler.name]
    parts.append(config.successor.name if config.successor else "acquire_only")
    readable = file_name("-".join(parts))
    return f"runs/{config.name}/{readable}-seed{config.seed}-{digest(run_identity(config), 8)}"


def trajectory_identity(config: RunConfig, precision: str) -> dict[str, Any]:
    """The part of a resolved config that the acquired examples depend on.

    The number of cycles is no part of it: a longer run continues the trajectory of a shorter one.
    precision: the resolved one, "float32" or "bfloat16". A strategy that needs no model does not depend on it.
    """
    identity = {"format": FORMAT, **_data_identity(config)}
    seeds = identity["seeds"]
    del identity["schedule"]["cycles"]
    strategy = strategy_identity(config)
    needs = needs_of(config)
    if not needs:
        seeds = {key: seeds[key] for key in ("seed_set", "strategy", "oracle")}
        return {**identity, "strategy": strategy, "seeds": seeds}
    if config.subsampling.name == "none":
        seeds["subsampling"] = None
    if needs.isdisjoint(FITTED):
        seeds |= {"model": None, "order": None}
    else:
        identity |= metrics_identity(config)
    return {
        **identity,
        **acquisition_identity(config),
        "strategy": strategy,
        "subsampling": subsampling_identity(config),
        **_rounding(config, [config.acquisition, *config.acquisition_from.values()], precision),
        "rescore": config.rescore,
    }


def acquisition_identity(config: RunConfig) -> dict[str, Any]:
    """Of the acquisition models. Without a schedule of them, runs are what they were before there was one."""
    identity = encoder_identity if needs_of(config).isdisjoint(FITTED) else model_identity
    later = {start: identity(model) for start, model in config.acquisition_from.items()}
    return {"acquisition": identity(config.acquisition), **({SCHEDULED: later} if later else {})}


def labelled_identity(config: RunConfig, precision: str, cycle: int) -> dict[str, Any]:
    """What determines the labelled examples of a cycle and their labels: before a query, the seed set alone."""
    data = _data_identity(config)
    answers = {"oracle": data["oracle"], "seed": data["seeds"]["oracle"]}
    if config.replay is not None:
        return {"replay": content_hash(Path(config.replay).expanduser()), "cycle": cycle, "answers": answers}
    if cycle > 0 or config.relabel.action != "none":
        # A model that begins later has had no say, so that fits are shared with runs of another schedule.
        end = cycle + 1 if relabels(config, cycle) else cycle
        earlier = {start: model for start, model in config.acquisition_from.items() if int(start) < end}
        until = replace(config, acquisition_from=earlier)
        return {"trajectory": digest(trajectory_identity(until, precision)), "cycle": cycle}
    drawn = {key: data["schedule"][key] for key in ("initial", "unit", "stratified", "seed_set", "seed_by")}
    if seed_needs(config):
        encoder = config.acquisition
        drawn |= {"acquisition": encoder_identity(encoder), **_rounding(config, [encoder], precision)}
    seed_set = {**drawn, "seed": data["seeds"]["seed_set"]}
    return {"dataset": data["dataset"], "seed_set": seed_set, "answers": answers}


def fit_identity(
    config: RunConfig, precision: str, cycle: int, role: str, filters: Sequence[FilterConfig] | None = None
) -> dict[str, Any]:
    """One fit outside the loop, of the role's model: on gold labels, or also on the pseudo-labels that filters keep.

    filters: the first of the config's; None: gold labels alone
    """
    model = getattr(config, role)
    identity = {
        "step": "fit",
        "format": FORMAT,
        "dataset": dataset_identity(config),
        "labelled": labelled_identity(config, precision, cycle),
        "model": model_identity(model),
        **_rounding(config, [model], precision),
        "seeds": {"model": config.seeds.model, "order": config.seeds.order, "cycle": cycle},
        **metrics_identity(config),
    }
    if filters is None:
        return identity
    labels = pseudo_labels_identity(config, precision, cycle)
    pseudo = {"pseudo_labels": labels, **training_set_identity(config, filters)}
    if config.verifier is not None and needed(filters, "verifier"):
        pseudo["verifier"] = model_identity(config.verifier)
    return {**identity, "pseudo": pseudo}


def pseudo_labels_identity(config: RunConfig, precision: str, cycle: int) -> dict[str, Any]:
    """The pseudo-labels of the rest of the pool."""
    labeller = fit_identity(config, precision, cycle, "pseudo_labeler")
    return {"step": "pseudo_labels", "fit": labeller, "labels": config.pseudo_labeling.labels}


def suspicion_identity(config: RunConfig, precision: str, cycle: int, number: int) -> dict[str, Any]:
    """A filter's suspicions of the pseudo-labels; number: of the filter in the config."""
    filters = config.pseudo_labeling.filters
    chosen = filters[number]
    kind = FILTERS[chosen.by]
    identity = {"step": "suspicion", **filter_identity(chosen)}
    del identity["drop"], identity["threshold"]
    identity["labels"] = pseudo_labels_identity(config, precision, cycle)
    if kind.looks_back:
        before = filters[: first_look_back(filters)]
        identity["fit"] = fit_identity(config, precision, cycle, "successor", before)
    if "verifier" in kind.needs:
        identity["verifier"] = fit_identity(config, precision, cycle, "verifier")
    if "pretrained" in kind.needs:
        assert config.successor is not None
        identity |= {"model": model_identity(config.successor), **_rounding(config, [config.successor], precision)}
    return identity


def first_look_back(filters: Sequence[FilterConfig]) -> int | None:
    """The number of the first filter that looks back on a fit on pseudo-labels; None if there is none."""
    return next((number for number, chosen in enumerate(filters) if FILTERS[chosen.by].looks_back), None)


def training_set_identity(config: RunConfig, filters: Sequence[FilterConfig]) -> dict[str, Any]:
    """How pseudo-labels become a training set."""
    settings = asdict(config.pseudo_labeling)
    del settings["name"]
    return {**settings, "filters": [filter_identity(chosen) for chosen in filters]}


def _data_identity(config: RunConfig) -> dict[str, Any]:
    """Dataset, schedule, oracle and seeds; a seed set from a file counts by the file's content, code by its own."""
    schedule, seeds = asdict(config.schedule), asdict(config.seeds)
    if (code := STRATEGIES.code(config.schedule.seed_by)) is not None:
        schedule["seed_by"] = {"name": config.schedule.seed_by, "code": code}
    if config.schedule.seed_set is not None:
        content = file_hash("schedule.seed_set", config.schedule.seed_set)
        schedule |= {"seed_set": content, "initial": None, "stratified": False}
        seeds["seed_set"] = None
    relabel, asked = relabel_identity(config), [config.oracle]
    if relabel is not None and config.relabel.oracle is not None:
        asked.append(config.relabel.oracle)
    if not any(ORACLES[one.name].random for one in asked):
        seeds["oracle"] = None
    oracle = oracle_identity(config.oracle, config.schedule.unit)
    data = {"dataset": dataset_identity(config), "schedule": schedule, "seeds": seeds}
    return {**data, "oracle": oracle, "relabel": relabel}


def _rounding(config: RunConfig, models: Iterable[ModelConfig], precision: str) -> dict[str, Any]:
    """The engine rounds differently in what it fine-tunes and in what it embeds."""
    fast = any(LEARNERS[model.learner].engine for model in models)
    return {"precision": precision, **({"engine": config.engine} if fast else {})}
