"""`al-bench ls`: every option that can be composed, with the first comment of its file."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from al_bench.acquisition import candidates
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.config.roles import ROLES, SCHEDULED
from al_bench.config.schema import shipped_configs
from al_bench.data.readers.formats import READERS
from al_bench.errors import UserError, did_you_mean, first_line, known, reject
from al_bench.filters import FILTERS
from al_bench.learners.families import LEARNERS
from al_bench.learners.metrics import METRICS
from al_bench.oracles import ORACLES
from al_bench.plugins import Registry

EXPERIMENT = "+experiment="
# The keys for which an option is chosen, and the group of these options.
GROUPS = {"dataset": "dataset", **dict.fromkeys(ROLES, "model")}
GROUPS |= {key: key for key in ("strategy", "subsampling", "oracle", "relabel", "pseudo_labeling", "schedule")}
CHOICES = {key: key if key == group else f"{group}@{key}" for key, group in GROUPS.items()}  # on a command line
# Of the groups whose options may come from outside.
REGISTRIES: dict[str, Registry[Any]] = {
    "model": LEARNERS, "strategy": STRATEGIES, "subsampling": CANDIDATE_POOLS, "oracle": ORACLES
}  # fmt: skip
NAMED_BY = {"model": "learner"}  # the key that names the component, of groups where it is not `name`
SHARED = {"subsampling": candidates.SHARED}  # settings that are keys of the group, not of its `params`
KINDS = {
    "datasets": "dataset", "models": "model", "strategies": "strategy", "subsamplings": "subsampling",
    "oracles": "oracle", "relabels": "relabel", "pseudo-labelings": "pseudo_labeling", "schedules": "schedule",
    "experiments": "experiment", "tables": "tables",
}  # fmt: skip
# Components that no group of options chooses, and where a config names them.
COMPONENTS: dict[str, tuple[Registry[Any], str]] = {
    "filters": (FILTERS, "pseudo_labeling.filters=[{by: NAME}]"),
    "learners": (LEARNERS, ", ".join(f"{role}.learner=NAME" for role in ROLES)),
    "metrics": (METRICS, "metrics=[NAME]"),
    "readers": (READERS, "dataset.format=NAME"),
}
LISTED = (*KINDS, *COMPONENTS)


def show(kind: str | None, config_dir: str | None) -> None:
    groups = {group.replace("_", "-"): name for name, group in KINDS.items()} | {"table": "tables"}
    groups |= {name.removesuffix("s"): name for name in COMPONENTS}
    if kind is not None:
        kind = groups.get(kind.replace("_", "-"), kind.replace("_", "-"))
        if kind not in LISTED:
            remedy = did_you_mean(kind, LISTED, f"choose one of {known(LISTED)}")
            raise UserError(f"ls {kind}: no such kind; {remedy}")
    usage = {name: f"{group}=NAME" for name, group in KINDS.items()}
    usage["models"] = ", ".join(f"{CHOICES[role]}=NAME" for role in ROLES) + f", +model@{SCHEDULED}.CYCLE=NAME"
    usage |= {"tables": "al-bench tables NAME", "experiments": f"{EXPERIMENT}NAME"}
    usage |= {name: where for name, (_, where) in COMPONENTS.items()}
    for name in [kind] if kind else LISTED:
        options = listing(KINDS[name], config_dir) if name in KINDS else _components(COMPONENTS[name][0])
        width = max((len(option) for option in options), default=0)
        print(f"{name} ({usage[name]})")
        for option, summary in options.items():
            print(f"  {option:<{width}}  {summary}")
        print()


def listing(group: str, config_dir: str | None) -> dict[str, str]:
    """{option: one line} of a config group; a user's own options replace shipped ones of the same name."""
    options = {}
    for root in roots(config_dir):
        for path in sorted((root / group).rglob("*.yaml")):
            option = path.relative_to(root / group).with_suffix("").as_posix()
            lines = path.read_text(encoding="utf-8").splitlines()
            first = next((line for line in lines if not line.startswith("# @")), "")  # "# @" is for Hydra
            options[option] = first.removeprefix("#").strip() if first.startswith("#") else ""
    for name in REGISTRIES[group].outside() if group in REGISTRIES else ():
        options.setdefault(name, _summary(REGISTRIES[group], name))
    return dict(sorted(options.items()))


def _components(registry: Registry[Any]) -> dict[str, str]:
    return {name: _summary(registry, name) for name in sorted(registry)}


def _summary(registry: Registry[Any], name: str) -> str:
    try:
        return registry[name].summary
    except UserError as error:  # one that is broken must not hide the others
        return first_line(error)


def outside_options(words: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(group, option, its keys) of each component from outside, as a file in `configs/` would have them.

    words: of the command line, where GROUP=MODULE:ATTRIBUTE names one that nobody has announced
    """
    for group, registry in REGISTRIES.items():
        values = [word.partition("=")[2] for word in words if re.match(rf"\+?{group}(@[\w.]+)?=", word)]
        named = [name for value in values for name in value.split(",") if re.fullmatch(r"[\w.]+:[\w.]+", name)]
        for name in dict.fromkeys([*registry.outside(), *named]):
            yield group, name, {NAMED_BY.get(group, "name"): name, **_own_keys(registry, name)}


def _own_keys(registry: Registry[Any], name: str) -> dict[str, Any]:
    try:
        defaults = registry[name].defaults
    except UserError:  # said where the option is chosen
        return {}
    shared = {key: defaults.pop(key) for key in SHARED.get(registry.key, ()) if key in defaults}
    return {**shared, "params": defaults}


def roots(config_dir: str | None) -> list[Path]:
    """The folders of config groups, a user's own last. Raises `UserError` where that does not exist."""
    if config_dir is None:
        return [shipped_configs()]
    if not Path(config_dir).is_dir():
        raise reject("--config-dir", config_dir, "no such folder", "give the folder that holds your config groups")
    return [shipped_configs(), Path(config_dir)]
