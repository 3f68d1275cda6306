"""What a run is, in words to group and to filter by: from its resolved config, as `config.yaml` has it."""

from typing import Any

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.identity import digest


def columns_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a run is, by its resolved config: a row of `Results.runs`. None for what it does not use."""
    strategy, subsampling, pseudo = (config[k] for k in ("strategy", "subsampling", "pseudo_labeling"))
    schedule = config["schedule"]
    acquires = config["replay"] is None and bool(STRATEGIES[strategy["name"]].needs)
    acquisition = config["acquisition"] if acquires else None
    successor = config["successor"]
    sampled = subsampling["name"] if acquires else "none"
    labeller = config["pseudo_labeler"] if pseudo["name"] != "none" else None
    chosen = "replay" if config["replay"] is not None else strategy["name"]
    row = {
        "name": config["name"],
        "dataset": config["dataset"]["name"],
        "task": config["dataset"]["task"],
        "strategy": chosen,
        "subsampling": sampled,
        "gamma": subsampling["gamma"] if sampled != "none" else None,
        "temperature": subsampling["temperature"] if sampled == "ups" else None,
        "refresh": ",".join(map(str, subsampling["refresh"])) if sampled != "none" else None,
        "rescore": config.get("rescore", 0.0) if acquires else None,
        "acquisition": acquisition and acquisition["name"],
        "successor": successor and successor["name"],
        "pseudo_labeling": pseudo["name"] if labeller else None,
        "pseudo_labeler": labeller and labeller["name"],
        "filters": _filters(pseudo["filters"]) if labeller else None,
        "acquisition_learner": acquisition and acquisition["learner"],
        "successor_learner": successor and successor["learner"],
        "unit": schedule["unit"],
        "cycles_planned": schedule["cycles"] + 1,
        "seed": config["seed"],
        "selector": f"{acquisition['name']} · {strategy['name']}" if acquisition else chosen,
    }
    return {**row, "arm": _arm(config, acquisition)}


def alike(identity: dict[str, Any], behind: dict[str, Any]) -> dict[str, str]:
    """What runs have in common that differ by seeds only: in all they do, and in what they acquire."""
    data = [identity["dataset"], behind.get("data"), behind.get("precision")]
    sampled = identity["subsampling"]
    acquired = [identity["schedule"], identity["strategy"], identity["acquisition"], identity["replay"]]
    unsampled = identity["acquisition"] is None or sampled["name"] == "none"
    acquired += [*data, "none" if unsampled else sampled]
    if identity["acquisition"] is not None:
        acquired.append(float(identity.get("rescore", 0.0)))  # runs made before it was an option have none
    learned = [identity.get(key) for key in ("successor", "pseudo_labeling", "pseudo_labeler", "verifier")]
    return {"method": digest([acquired, learned]), "acquired": digest(acquired)}


def _arm(config: dict[str, Any], acquisition: dict[str, Any] | None) -> str:
    """Which side of the comparison a run is on; subsampling is apart from it."""
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


def _labels_everything(config: dict[str, Any]) -> bool:
    initial, dataset = config["schedule"]["initial"], config["dataset"]
    if isinstance(initial, float):
        return initial == 1.0
    by_examples = config["schedule"]["unit"] == "examples"
    # Other data in the place of what an option ships have another size.
    elsewhere = dataset.get("path") is not None and (dataset.get("hub") or dataset.get("package"))
    shipped = None if elsewhere else dataset["train_examples" if by_examples else "train_words"]
    limit = dataset["limit"]["train"] if by_examples else None
    return initial >= min((n for n in (shipped, limit) if n is not None), default=initial + 1)


def _weights(model: dict[str, Any]) -> tuple[Any, ...]:
    """A model as far as its kind goes: trained otherwise, it is the same model still."""
    source = model["sha256"] or (model["path"] or model["package"] or model["hub"])
    return model["learner"], source, model["num_hidden_layers"]


def _filters(filters: list[dict[str, Any]]) -> str:
    """Such as "confidence > 0.5, tracin adaptive"; "none" keeps every pseudo-label."""
    said = [
        f"{f['by']} > {f['threshold']}" if f["threshold"] is not None else f"{f['by']} {f['drop']}"
        for f in filters
    ]
    return ", ".join(said) or "none"
