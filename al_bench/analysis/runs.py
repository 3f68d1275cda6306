"""What one run is: in words to group and filter by, and the identity of its method."""

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.batches import STOCHASTIC
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.analysis.words import as_name, detailed
from al_bench.config.component_identity import is_bracket
from al_bench.config.digests import digest
from al_bench.config.roles import SCHEDULED
from al_bench.config.schema import PLAIN_TAGGING
from al_bench.filters import FILTERS
from al_bench.oracles import ORACLES
from al_bench.plugins import Registry

# Of what a method consists. Two runs are of one method where all parts are equal: they differ by `seed`, by how many
# cycles they have, and by the cycles at which the successor was evaluated.
SELECTION = (
    "data", "acquisition", SCHEDULED, "strategy", "subsampling", "rescore", "replay", "schedule", "precision", "engine",
    "seeds", "oracle", "relabel",
)  # fmt: skip
PARTS = (*SELECTION, "pseudo_labeling", "pseudo_labeler", "verifier", "successor")
ARMS = ("ceiling", "no mismatch", "ASM", "PLASM", "replay", "acquisition only", "no model", "random", "bracket")
GOLD = "gold"  # the oracle that is always right


def columns_of(config: Mapping[str, Any], identity: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The columns that a resolved config (`config.yaml`) gives a run; None for what the run does not use.

    The folder may be somebody else's: what it calls things is made fit to be shown, and no module that it names is
    imported, so that a component from outside may be gone.
    identity: as `identity.json` has it, where that can be read
    """
    subsampling, pseudo = config["subsampling"], config["pseudo_labeling"]
    acquires = _acquires(config, identity)
    recorded = identity or config
    strategy: dict[str, Any] = recorded["strategy"] if config["replay"] is None else {"name": "replay"}
    acquisition = acquisition_models(config) if acquires else {}
    selector = in_turn(acquisition, "name")
    successor = config["successor"]
    sampled = subsampling["name"] if acquires else "none"
    read: dict[str, Any] = recorded["subsampling"] if sampled != "none" else {}
    arm = _arm(config, acquisition, bracket=is_bracket(strategy))
    labeler = config["pseudo_labeler"] if pseudo["name"] != "none" else None
    rounds = subsampling["refresh"]
    refresh = rounds if isinstance(rounds, str) else ",".join(map(str, rounds))
    chosen = strategy_name(strategy)
    priced = any(price is not None for price in prices_of(config).values())
    stochastic = strategy.get("batch") in STOCHASTIC
    columns = {
        "name": config["name"],
        "dataset": config["dataset"]["name"],
        "task": PLAIN_TAGGING if config["dataset"]["scheme"] == "none" else config["dataset"]["task"],
        "strategy": chosen,
        "strategy_name": _short(strategy["name"], STRATEGIES.shipped),
        "batch": strategy.get("batch", "top") if acquires else None,
        "beta": strategy["beta"] if stochastic else None,
        "aggregate": strategy.get("aggregate") if acquires else None,
        "no_entity": strategy.get("no_entity") if acquires else None,
        "params": _listed(strategy.get("params") or {}),
        "code": strategy.get("code"),
        "bracket": arm == "bracket",
        "subsampling": _named(CANDIDATE_POOLS, sampled, read.get("params") or {}),
        "gamma": read.get("gamma"),
        "temperature": read.get("temperature"),
        "subsampling_params": _listed(read.get("params") or {}),
        "refresh": refresh if sampled != "none" else None,
        "rescore": config.get("rescore", 0.0) if acquires else None,
        "acquisition": selector,
        "successor": successor and successor["name"],
        "pseudo_labeling": pseudo["name"] if labeler else None,
        "pseudo_labeler": labeler and labeler["name"],
        "filters": _filters(pseudo["filters"]) if labeler else None,
        "acquisition_learner": in_turn(acquisition, "learner"),
        "successor_learner": successor and successor["learner"],
        "oracle": oracle_name(config.get("oracle") or {"name": GOLD}),
        "priced": priced,
        "currency": currency_of(config) if priced else None,
        "unit": config["schedule"]["unit"],
        "cycles_planned": config["schedule"]["cycles"] + 1,
        "seed": config["seed"],
        "selector": f"{selector} · {chosen}" if acquires else chosen,
        "arm": arm,
        "role": "acquisition" if acquires and _untrained(config) else "successor",
    }
    return {key: as_name(value) if isinstance(value, str) else value for key, value in columns.items()}


def acquisition_models(config: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The acquisition models by the cycle from which each acquires, as `config.yaml` has them."""
    later = config.get(SCHEDULED) or {}  # which a run of an earlier version does not know
    return {0: config["acquisition"], **{int(start): later[start] for start in sorted(later, key=int)}}


def in_turn(models: Mapping[int, Mapping[str, Any]], key: str) -> str | None:
    """A key of models that acquire one after the other, such as "minilm_l3, minilm_l6 from 5"; None of no model."""
    turns = [next(turn) for _, turn in groupby(models.items(), key=lambda pair: str(pair[1][key]))]
    return ", ".join(f"{model[key]} from {start}" if start else str(model[key]) for start, model in turns) or None


def _acquires(config: Mapping[str, Any], identity: Mapping[str, Any] | None) -> bool:
    """Whether a model of the run's own selects: as the run recorded it, else as the shipped strategies have it."""
    if config["replay"] is not None:
        return False
    if identity is not None:
        return identity["acquisition"] is not None
    shipped = STRATEGIES.shipped.get(config["strategy"]["name"])
    return shipped is None or bool(shipped.needs)  # nearly all from outside look at a model


def strategy_name(strategy: Mapping[str, Any]) -> str:
    """Such as "entropy (power, beta=2)": with what sets it apart from its usual settings."""
    usual = {"batch": "top", "aggregate": "mean", "no_entity": "score"}
    details = [str(strategy[key]) for key in ("batch", "aggregate") if strategy.get(key, usual[key]) != usual[key]]
    if strategy.get("batch") in STOCHASTIC and strategy["beta"] != 1:
        details.append(f"beta={strategy['beta']:g}")
    if strategy.get("no_entity", "score") == "last":
        details.append("no entity last")
    return detailed(_named(STRATEGIES, strategy["name"], strategy.get("params") or {}), details)


def oracle_name(oracle: Mapping[str, Any]) -> str:
    return _named(ORACLES, str(oracle["name"]), oracle.get("params") or {})


def prices_of(config: Mapping[str, Any]) -> dict[str, float | None]:
    """Of an example, of a word and of an hour of the machine; None: not known."""
    of_label = (config.get("oracle") or {}).get("price") or {}
    return {key: of_label.get(key) for key in ("example", "word")} | {"hour": (config.get("price") or {}).get("hour")}


def currency_of(config: Mapping[str, Any]) -> str:
    return as_name(str((config.get("price") or {}).get("currency") or ""))


def _named(registry: Registry[Any], name: str, params: Mapping[str, Any]) -> str:
    """A component with the settings that are not its defaults; those from outside are known by all they have."""
    shipped = registry.shipped.get(name)
    usual = shipped.defaults if shipped is not None else {}
    own = {key: value for key, value in params.items() if key not in usual or usual[key] != value}
    return detailed(_short(name, registry.shipped), _settings(own))


def _short(name: str, taken: Collection[str]) -> str:
    """The attribute of MODULE:ATTRIBUTE, unless a shipped component has that name."""
    attribute = name.rpartition(":")[2]
    return name if attribute in taken else attribute


def _settings(params: Mapping[str, Any]) -> list[str]:
    """As they are set; of a file its name alone."""
    shown = {key: value.rpartition("/")[2] if isinstance(value, str) else value for key, value in params.items()}
    return [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in shown.items()]


def _listed(params: Mapping[str, Any]) -> str | None:
    return ", ".join(_settings(params)) or None


def parts_of(identity: Mapping[str, Any], fingerprints: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """All that a run's method consists of, by `PARTS`.

    identity, fingerprints: as `identity.json` has them; row: as `columns_of` gives it
    """
    parts = {part: identity.get(part) for part in PARTS}
    # The resolved precision: "auto" is another one on another machine.
    parts |= {key: fingerprints.get(key, identity.get(key)) for key in ("precision", "engine")}
    parts |= {"data": [identity["dataset"], fingerprints.get("data")]}
    parts["rescore"] = None if row["rescore"] is None else float(row["rescore"])
    if row["subsampling"] == "none":
        parts["subsampling"] = None
    if identity["replay"] is not None:
        parts["strategy"] = {"name": "replay"}
    elif row["acquisition"] is None:
        read = ("name", "params", "code")
        parts["strategy"] = {key: one for key, one in identity["strategy"].items() if key in read}
    parts["oracle"] = _answers(identity)
    schedule = {key: value for key, value in identity["schedule"].items() if key != "cycles"}
    parts["schedule"] = None if row["arm"] == "ceiling" else schedule
    # Runs that share all seeds but one are no independent repetitions of each other.
    seeds = (identity.get("seeds") or {}).items()
    parts["seeds"] = {name: seed for name, seed in seeds if seed not in (None, row["seed"])}
    return parts


def _answers(identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What decides the answers of an oracle that may be wrong; of a price, only where it decides how many they are."""
    oracle = identity.get("oracle") or {"name": GOLD}
    priced = identity["schedule"]["unit"] == "money"
    answers = {key: one for key, one in oracle.items() if key != "price" or priced}
    return None if answers["name"] == GOLD and not priced else answers


def keys_of(parts: Mapping[str, Any]) -> dict[str, str]:
    """method: equal for runs of one method; selection: for those that select alike; schedule: of equal budgets."""
    selection = digest([parts[part] for part in SELECTION])
    return {"method": digest(parts), "selection": selection, "schedule": digest(parts["schedule"])}


def _arm(config: Mapping[str, Any], acquisition: Mapping[int, Mapping[str, Any]], *, bracket: bool) -> str:
    """Which side of the paper's comparison a run is on; subsampling is apart from it, and a bracket on none."""
    if _labels_everything(config):
        return "ceiling"
    if bracket:
        return "bracket"
    if config["pseudo_labeling"]["name"] != "none":
        return "PLASM"
    if config["replay"] is not None:
        return "replay"
    if not acquisition:
        return "random" if config["strategy"]["name"] == "random" else "no model"
    if _untrained(config):
        return "acquisition only"
    matches = all(_weights(config["successor"]) == _weights(model) for model in acquisition.values())
    return "no mismatch" if matches else "ASM"


def _untrained(config: Mapping[str, Any]) -> bool:
    """Whether no successor is."""
    return config["successor"] is None or config["evaluate_at"] == []


def _labels_everything(config: Mapping[str, Any]) -> bool:
    initial, unit, dataset = config["schedule"]["initial"], config["schedule"]["unit"], config["dataset"]
    if unit == "money":
        return False  # what everything costs is known to the data alone
    if isinstance(initial, float):
        return initial == 1.0
    # Other data in the place of what an option ships have another size.
    replaced = dataset.get("path") is not None and (dataset.get("hub") or dataset.get("package"))
    sizes = [None if replaced else dataset[f"train_{unit}"], dataset["limit"]["train"] if unit == "examples" else None]
    return any(size is not None and initial >= size for size in sizes)


def _weights(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """A model as far as its kind goes: trained otherwise, it is the same model still."""
    source = model["sha256"] or (model["path"] or model["package"] or model["hub"])
    return model["learner"], source, model["num_hidden_layers"]


def _filters(filters: list[dict[str, Any]]) -> str:
    """Such as "confidence > 0.5, tracin adaptive"; "none" keeps every pseudo-label."""
    limits = [f["drop"] if f["threshold"] is None else f"> {f['threshold']}" for f in filters]
    names = [_named(FILTERS, one["by"], one.get("params") or {}) for one in filters]
    return ", ".join(f"{name} {limit}" for name, limit in zip(names, limits, strict=True)) or "none"
