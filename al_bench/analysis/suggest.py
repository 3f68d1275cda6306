"""The command for runs that are missing: a stored config, changed, as its difference from the shipped options."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from al_bench.config import schema
from al_bench.config.catalog import CHOICES, GROUPS, roots
from al_bench.config.digests import flat
from al_bench.config.roles import ROLES, SCHEDULED
from al_bench.ledger.ledger import load_record

# As config.yaml has it, but with null for all that `resolve` fills in; and "config_dir", of the user's own options.
Config = dict[str, Any]
# Keys of no group, which command lines state where they differ from what is usual.
TOP = ("name", "evaluate_at", "metrics", "rescore", "replay", "device", "precision", "engine", "output_dir", "tracking")
# A run is the more like a missing one, the earlier the first of these in which they differ.
CLOSEST = (
    "dataset", "successor", "filters", "pseudo_labeling", "arm", "acquisition", "strategy", "subsampling", "oracle",
    "gamma", "temperature",
)  # fmt: skip
CHANGED = ("dataset", *ROLES, "strategy", "subsampling", "gamma", "temperature", "pseudo_labeling", "oracle", "name")
NEEDED = ("dataset", "successor", "acquisition", "strategy")


def stored(directory: str) -> Config:
    """A run's config without what follows from the rest of it."""
    config: Config = yaml.safe_load(Path(directory, "config.yaml").read_text(encoding="utf-8"))
    own = load_record(Path(directory, "status.json")).get("config_dir")
    config["config_dir"] = own if own and Path(own).is_dir() else None
    task, pseudo = str(config["dataset"]["task"]), config["pseudo_labeling"]["name"] != "none"
    paper: Mapping[str, Any] = schema.PAPER_TRAINING.get(task, {})  # none where the file was edited to a wrong task
    special: dict[str, Mapping[str, Any]] = {"pseudo_labeler": schema.PAPER_PSEUDO_LABELER}
    special |= {"successor": schema.PAPER_ON_PSEUDO_LABELS} if pseudo else {}
    config["training"] = _open(config["training"], paper)
    shared = {key: value for key, value in config["training"].items() if value is not None}
    config.setdefault(SCHEDULED, {})  # a run of an earlier version knows none
    for role, model in [*((role, config.get(role)) for role in ROLES), *config[SCHEDULED].items()]:
        if model:
            model["training"] = _open(model["training"], {**paper, **special.get(role, {}), **shared})
            if model["max_length"] == schema.PAPER_MAX_LENGTH.get(task):
                model["max_length"] = None
    if config.get("verifier") == config["successor"]:
        config["verifier"] = None
    config["seeds"] = _open(config["seeds"], dict.fromkeys(config["seeds"], config["seed"]))
    if config["subsampling"]["name"] == "none" or not config["subsampling"]["refresh"]:
        config["subsampling"]["refresh"] = "none"
    config["evaluate_at"] = config["evaluate_at"] or "none"
    return config


def _open(settings: Config, defaults: Mapping[str, Any]) -> Config:
    return {key: None if value == defaults.get(key) else value for key, value in settings.items()}


def with_random_examples(config: Config) -> Config:
    plain = without_subsampling(without_pseudo_labels(config))
    # Of a random draw there are no scores, and no model is asked.
    return plain | {"strategy": _option("strategy", "random"), "rescore": 0.0, SCHEDULED: {}}


def with_everything_labelled(config: Config) -> Config:
    schedule = config["schedule"] | {"initial": 1.0, "cycles": 0}
    if schedule["unit"] == "money":  # in which 1.0 is no share
        schedule["unit"] = "examples"
    return with_random_examples(config) | {"schedule": schedule, "evaluate_at": "last"}


def without_mismatch(config: Config) -> Config:
    """The successor selects for itself."""
    return config | {"acquisition": config["successor"], SCHEDULED: {}}


def without_subsampling(config: Config) -> Config:
    return config | {"subsampling": _option("subsampling", "none")}


def without_pseudo_labels(config: Config) -> Config:
    return config | {"pseudo_labeling": _option("pseudo_labeling", "none"), "pseudo_labeler": None, "verifier": None}


def filling(runs: pd.DataFrame, wanted: Mapping[str, Any], seeds: Sequence[int]) -> str | None:
    """The command for runs with these columns and seeds; None where the columns do not say all that it takes.

    runs: `Measures.runs`; the one that shares most with what is wanted is changed. wanted: of its columns
    """
    wanted = _sides(runs, wanted)
    if not len(runs) or any(wanted.get(key, "") is None for key in NEEDED):
        return None
    donor = _closest_run(runs, wanted)
    if not all(donor[key] == value for key, value in wanted.items() if key not in (*CHANGED, "arm")):
        return None
    config = stored(donor.directory)
    for key in CHANGED:
        if key in wanted and donor[key] != wanted[key]:
            config = _changed(runs, config, key, wanted)
    match wanted.get("arm"):
        case "random":
            config = with_random_examples(config)
        case "ceiling":
            config = with_everything_labelled(config)
        case "no mismatch" if donor.arm != "no mismatch":  # also where two models go by one name
            config = without_mismatch(config)
    return command(config, seeds)


def _changed(runs: pd.DataFrame, config: Config, key: str, wanted: Mapping[str, Any]) -> Config:
    value = wanted[key]
    if key == "name":
        return config | {"name": value}
    if key in ("gamma", "temperature"):
        return config | {"subsampling": config["subsampling"] | {key: value}}
    if value is None:
        return without_pseudo_labels(config) if key == "pseudo_labeling" else config | {key: None}
    places = {name: (name,) for name in ("dataset", "strategy", "subsampling", "oracle")}
    for role in (places | dict.fromkeys(ROLES, (key, *ROLES[:3]))).get(key, ()):
        if len(alike := runs[runs[role] == value]):  # as one of the runs has it, on the same data if there is one
            source = _closest_run(alike, wanted)
            like = stored(source.directory)
            parts = {key: like[role], **({SCHEDULED: like[SCHEDULED]} if key == "acquisition" == role else {})}
            if key in ROLES and source.dataset != wanted.get("dataset") and config["successor"]:
                for model in (parts[key], *parts.get(SCHEDULED, {}).values()):
                    model["max_length"] = config["successor"]["max_length"]  # its own is of other texts
            return without_schedule(config, key) | parts
    return without_schedule(config, key) | {key: _option(key, value, config["config_dir"])}


def without_schedule(config: Config, key: str) -> Config:
    """For another acquisition model: the first of a schedule is one with what follows it."""
    return config | {SCHEDULED: {}} if key == "acquisition" else config


def _closest_run(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.Series:
    """The run that agrees on the first key of `CLOSEST`, among those on the second, and so on."""
    for key in CLOSEST:
        if key in wanted:
            alike = runs[[value == wanted[key] for value in runs[key]]]
            runs = alike if len(alike) else runs
    return runs.iloc[0]


def labeler_of(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> str | None:
    """Who labels where the columns do not say: as in the run most like them that has a labeller."""
    single = {key: value for key, value in wanted.items() if not isinstance(value, list)}
    known = runs[runs.pseudo_labeler.notna() & (runs.dataset == single.get("dataset"))]
    return str(_closest_run(known, single).pseudo_labeler) if len(known) else None


def _sides(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a side of the comparison stands for; a labeller that nobody knows is the successor."""
    single = {key: value for key, value in wanted.items() if not isinstance(value, list)}
    if single.get("pseudo_labeling") == "none":
        single["pseudo_labeling"] = None
    match single.get("arm"):
        case "random":
            return {**single, "strategy": "random", "subsampling": "none", "pseudo_labeling": None}
        case "no mismatch":
            return {**single, "acquisition": single.get("successor"), "pseudo_labeling": None}
        case "ASM":
            return {**single, "pseudo_labeling": None}
        case "PLASM" if single.get("filters") == "none":
            del single["filters"]
            return {**single, "pseudo_labeling": "plasm_unfiltered"}
        case "PLASM" if "filters" not in single:
            labeler = labeler_of(runs, single) or single.get("successor")
            return {"pseudo_labeling": "plasm", "pseudo_labeler": labeler, **single}
    return single


def command(config: Config, seeds: Sequence[int]) -> str:
    """`al-bench run ...`: the options that come closest to each group, and what differs from them."""
    words = [word for key in GROUPS for word in _group_words(config, key)]
    for start, model in config[SCHEDULED].items():
        words += _option_words(config, f"{SCHEDULED}.{start}", model, f"+model@{SCHEDULED}.{start}")
    standard = asdict(schema.RunConfig())
    for key in TOP:
        if config.get(key, standard.get(key)) != standard.get(key):
            words.append(f"{key}={_text(config[key])}")
    for key in ("training", "seeds", "price"):
        settings = config.get(key) or {}
        usual = standard[key]
        words += [
            f"{key}.{name}={_text(value)}" for name, value in settings.items() if value not in (None, usual[name])
        ]
    words.append(f"seed={','.join(map(str, seeds))}")
    options = [*(["-m"] if len(seeds) > 1 else []), *(["--config-dir", own] if (own := config["config_dir"]) else [])]
    return shlex.join(["al-bench", "run", *options, *words])


def _group_words(config: Config, key: str) -> Iterator[str]:
    value, word = config.get(key), CHOICES[key]
    drawn = config["strategy"]["name"] == config["schedule"].get("seed_by", "random") == "random"
    drawn = drawn and (config.get("relabel") or {}).get("action", "none") == "none"
    if key == "acquisition" and (drawn or config["replay"] is not None):
        return  # nobody looks at it
    if value is None:
        if _standard_options()[word] is not None and key in config:  # which a run of an earlier version may not know
            yield f"{key}=null"
        return
    yield from _option_words(config, key, value, word)


def _option_words(config: Config, key: str, value: Config, word: str) -> Iterator[str]:
    """The option that comes closest to a key's value, chosen by `word`, and what differs from it."""
    group, own = _group_of(key), config["config_dir"]
    wanted = dict(_leaves(value))

    def likeness(name: str) -> tuple[int, bool]:
        alike = [wanted.get(key) == leaf for key, leaf in _leaves(_content(group, name, own))]
        return 2 * sum(alike) - len(alike), name == value.get("name", value.get("action"))

    chosen = max(_options(group, own), key=likeness)
    if chosen != _standard_options().get(word):
        yield f"{word}={chosen}"
    base = dict(_leaves(_option(key, chosen, own)))
    of_others = ("where.", "params.")  # an option's, which what is wanted does not have
    for name, leaf in wanted.items():
        if name not in base:  # a row's column in `where`, or a component's own setting, which no option names
            yield f"+{key}.{name}={_text(leaf)}"
        elif leaf != base[name]:
            yield f"{key}.{name}={_text(leaf)}"
    yield from (f"~{key}.{name}" for name in base if name not in wanted and name.startswith(of_others))


def _group_of(key: str) -> str:
    return "model" if key.startswith(SCHEDULED) else GROUPS[key]


@cache
def _options(group: str, config_dir: str | None) -> tuple[str, ...]:
    """Those that are files: a component from outside is given by its name over any of them."""
    folders = [root / group for root in roots(config_dir)]
    paths = (path.relative_to(folder) for folder in folders for path in folder.rglob("*.yaml"))
    return tuple(sorted({path.with_suffix("").as_posix() for path in paths}))


def _leaves(tree: Config) -> list[tuple[str, Any]]:
    """Null where a group of keys would be empty, which no command line can write otherwise."""
    return flat({key: value for key, value in tree.items() if value != {}})


@cache
def _content(group: str, name: str, config_dir: str | None) -> Config:
    """What an option's file sets, with the options that it builds on."""
    files = [root / group / f"{name}.yaml" for root in roots(config_dir)]
    last = next(file for file in reversed(files) if file.exists())
    content = yaml.safe_load(last.read_text(encoding="utf-8")) or {}
    if "${" in str(content.get("name")):  # which stands for the option's name, but where the user gives a path
        content["name"] = name
    bases = [base for base in content.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    for base in reversed(bases):
        content = _content(group, base, config_dir) | content
    return content


def _option(key: str, name: str, config_dir: str | None = None) -> Config:
    """A key's whole config as the option gives it; of a name that no option has, little more than the name."""
    group = _group_of(key)
    standard = asdict(schema.ModelConfig() if group == "model" else getattr(schema.RunConfig(), key))
    content = _content(group, name, config_dir) if name in _options(group, config_dir) else {"name": name}
    for part, value in content.items():
        standard[part] = standard[part] | value if isinstance(standard[part], dict) and standard[part] else value
    if key == "pseudo_labeling":
        standard["filters"] = [asdict(schema.FilterConfig(**one)) for one in standard["filters"]]
    return standard


@cache
def _standard_options() -> dict[str, str | None]:
    """What is chosen where a command line says nothing."""
    content = yaml.safe_load((schema.shipped_configs() / "config.yaml").read_text(encoding="utf-8"))
    return {key: value for entry in content["defaults"] if isinstance(entry, dict) for key, value in entry.items()}


def _text(value: Any) -> str:
    """A value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(one)}" for key, one in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    # Else a number or a word of Hydra's own, or letters that its grammar knows in quotes only.
    is_text = re.fullmatch(r"[a-z_/][\w./@+-]*(:[\w./@+-]+)*", value, flags=re.ASCII | re.IGNORECASE)
    if is_text and value.lower() not in ("null", "true", "false", "inf", "nan"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
