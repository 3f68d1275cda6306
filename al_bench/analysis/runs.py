"""What one run is: in words to group and filter by, and the identity of its method."""

from collections.abc import Mapping
from typing import Any

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.analysis.words import as_name
from al_bench.config.identity import digest
from al_bench.config.schema import PLAIN_TAGGING

# Of what a method consists. Two runs are of one method where all parts are equal: they differ by `seed`, by how many
# cycles they have, and by the cycles at which the successor was evaluated.
SELECTION = (
    "data", "acquisition", "strategy", "subsampling", "rescore", "replay", "schedule", "precision", "engine", "seeds",
)  # fmt: skip
PARTS = (*SELECTION, "pseudo_labeling", "pseudo_labeler", "verifier", "successor")
ARMS = ("ceiling", "no mismatch", "ASM", "PLASM", "replay", "acquisition only", "random")


def columns_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a resolved config (`config.yaml`) gives a run; None for what the run does not use.

    The folder may be somebody else's: what it calls things is made fit to be shown.
    """
    strategy, subsampling, pseudo = (config[k] for k in ("strategy", "subsampling", "pseudo_labeling"))
    # One from outside may be gone; nearly all of them look at a model.
    needs_model = strategy["name"] not in STRATEGIES or bool(STRATEGIES[strategy["name"]].needs)
    acquires = config["replay"] is None and needs_model
    acquisition = config["acquisition"] if acquires else None
    successor = config["successor"]
    sampled = subsampling["name"] if acquires else "none"
    labeler = config["pseudo_labeler"] if pseudo["name"] != "none" else None
    rounds = subsampling["refresh"]
    refresh = rounds if isinstance(rounds, str) else ",".join(map(str, rounds))
    chosen = "replay" if config["replay"] is not None else strategy["name"]
    columns = {
        "name": config["name"],
        "dataset": config["dataset"]["name"],
        "task": PLAIN_TAGGING if config["dataset"]["scheme"] == "none" else config["dataset"]["task"],
        "strategy": chosen,
        "subsampling": sampled,
        "gamma": subsampling["gamma"] if sampled != "none" else None,
        "temperature": subsampling["temperature"] if sampled == "ups" else None,
        "refresh": refresh if sampled != "none" else None,
        "rescore": config.get("rescore", 0.0) if acquires else None,
        "acquisition": acquisition and acquisition["name"],
        "successor": successor and successor["name"],
        "pseudo_labeling": pseudo["name"] if labeler else None,
        "pseudo_labeler": labeler and labeler["name"],
        "filters": _filters(pseudo["filters"]) if labeler else None,
        "acquisition_learner": acquisition and acquisition["learner"],
        "successor_learner": successor and successor["learner"],
        "unit": config["schedule"]["unit"],
        "cycles_planned": config["schedule"]["cycles"] + 1,
        "seed": config["seed"],
        "selector": f"{acquisition['name']} · {strategy['name']}" if acquisition else chosen,
        "arm": _arm(config, acquisition),
    }
    return {key: as_name(value) if isinstance(value, str) else value for key, value in columns.items()}


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
    if row["acquisition"] is None:
        parts["strategy"] = {"name": row["strategy"]}
    schedule = {key: value for key, value in identity["schedule"].items() if key != "cycles"}
    parts["schedule"] = None if row["arm"] == "ceiling" else schedule
    # Runs that share all seeds but one are no independent repetitions of each other.
    seeds = (identity.get("seeds") or {}).items()
    parts["seeds"] = {name: seed for name, seed in seeds if seed not in (None, row["seed"])}
    return parts


def keys_of(parts: Mapping[str, Any]) -> dict[str, str]:
    """method: equal for runs of one method; selection: for those that select alike; schedule: of equal budgets."""
    selection = digest([parts[part] for part in SELECTION])
    return {"method": digest(parts), "selection": selection, "schedule": digest(parts["schedule"])}


def _arm(config: Mapping[str, Any], acquisition: Mapping[str, Any] | None) -> str:
    """Which side of the paper's comparison a run is on; subsampling is apart from it."""
    if _labels_everything(config):
        return "ceiling"
    if config["pseudo_labeling"]["name"] != "none":
        return "PLASM"
    if config["replay"] is not None:
        return "replay"
    if acquisition is None:
        return "random"
    if config["successor"] is None or config["evaluate_at"] == []:
        return "acquisition only"
    return "no mismatch" if _weights(config["successor"]) == _weights(acquisition) else "ASM"


def _labels_everything(config: Mapping[str, Any]) -> bool:
    initial, unit, dataset = config["schedule"]["initial"], config["schedule"]["unit"], config["dataset"]
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
    return ", ".join(f"{one['by']} {limit}" for one, limit in zip(filters, limits, strict=True)) or "none"
