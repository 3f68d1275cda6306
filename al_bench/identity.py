"""What makes two runs the same run, and two trajectories the same trajectory.

Both are functions of the resolved config alone, so that they are known before anything is loaded. What is
behind the config (the bytes of the data and of the weights) is recorded at first use and checked ever after.
"""

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config import ModelConfig, RunConfig

FORMAT = 1  # raised when equal configs no longer give equal ledgers

# Where, how visibly and on what a run is executed, and what it is called (so are the names of datasets and
# models); `seed` and the shared `training` count through `seeds` and the models' own training, into which
# they were resolved.
IMMATERIAL = {"name", "device", "output_dir", "tracking", "progress", "seed", "training"}


def run_identity(config: RunConfig) -> dict[str, Any]:
    """The part of a resolved config that a run's ledger depends on."""
    material = {key: value for key, value in asdict(config).items() if key not in IMMATERIAL}
    for role in ("acquisition", "successor"):
        model = getattr(config, role)
        material[role] = model and model_identity(model)
    if config.replay is not None:
        material["replay"] = str(Path(config.replay).expanduser().absolute())
    return {"format": FORMAT, **material, **_data_identity(config)}


def trajectory_identity(config: RunConfig, precision: str) -> dict[str, Any]:
    """The part of a resolved config that the acquired examples depend on.

    precision: the resolved one, "float32" or "bfloat16". A strategy that needs no model depends on none.
    """
    identity = {"format": FORMAT, **_data_identity(config)}
    seeds = identity["seeds"]
    if not STRATEGIES[config.strategy.name].needs:
        needed = {key: seeds[key] for key in ("seed_set", "strategy")}
        return {**identity, "strategy": {"name": config.strategy.name}, "seeds": needed}
    subsampling = asdict(config.subsampling)
    if config.subsampling.name == "none":
        subsampling = {"name": "none"}
        seeds["subsampling"] = None
    return {
        **identity,
        "acquisition": model_identity(config.acquisition),
        "strategy": asdict(config.strategy),
        "subsampling": subsampling,
        "precision": precision,
    }


def _data_identity(config: RunConfig) -> dict[str, Any]:
    """Dataset, schedule and seeds; a seed set from a file counts by the file's content."""
    dataset, schedule, seeds = asdict(config.dataset), asdict(config.schedule), asdict(config.seeds)
    del dataset["name"]
    if config.schedule.seed_set is not None:
        content = Path(config.schedule.seed_set).expanduser().read_bytes()
        schedule |= {"seed_set": hashlib.sha256(content).hexdigest(), "initial": None, "stratified": False}
        seeds["seed_set"] = None
    return {"dataset": dataset, "schedule": schedule, "seeds": seeds}


def model_identity(model: ModelConfig) -> dict[str, Any]:
    """A model by its weights: their hash where the config pins it, else where they come from."""
    material = asdict(model)
    del material["name"]
    if model.sha256 is not None:
        return material | dict.fromkeys(("path", "package", "hub", "revision"))
    if model.path is not None:
        material["path"] = str(Path(model.path).expanduser().absolute())
    return material


def digest(identity: Any, length: int = 12) -> str:
    """A short name for an identity: equal for equal content, whatever the order of keys."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def run_folder(config: RunConfig) -> str:
    """Where a run lives under `output_dir`, readable and never shared by two different configs."""
    if config.replay is None:
        acquired = [config.acquisition.name, config.strategy.name, config.subsampling.name]
    else:
        acquired = ["replay"]
    parts = [config.dataset.name, *acquired, config.successor.name if config.successor else "acquire_only"]
    parts = [re.sub(r"[^\w.+-]", "_", part) for part in parts]
    return f"runs/{config.name}/{'-'.join(parts)}-seed{config.seed}-{digest(run_identity(config), 8)}"


def differences(recorded: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The dotted keys at which two identities differ; 1 (a count) and 1.0 (a share) do."""
    old, new = dict(flat(recorded)), dict(flat(wanted))
    return [key for key in sorted(old | new) if json.dumps(old.get(key)) != json.dumps(new.get(key))]


def flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, value))
    return rows
