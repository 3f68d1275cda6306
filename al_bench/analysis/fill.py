"""Commands for runs that are missing, out of that of a run which is there."""

import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from al_bench.config.schema import register_schema, shipped_configs

# How a column of the runs is chosen on the command line.
WORDS = {
    "name": "name", "dataset": "dataset", "strategy": "strategy", "subsampling": "subsampling",
    "gamma": "subsampling.gamma", "temperature": "subsampling.temperature", "acquisition": "model@acquisition",
    "successor": "model@successor", "pseudo_labeling": "pseudo_labeling", "pseudo_labeler": "model@pseudo_labeler",
}  # fmt: skip
CHOSEN = ("dataset", "successor", "acquisition", "strategy")
MODELS = ("successor", "acquisition", "pseudo_labeler")
# All that pseudo-labels bring with them.
PSEUDO = ("pseudo_labeling", "model@pseudo_labeler", "pseudo_labeler", "model@verifier", "verifier")
CLOSEST = (
    "dataset",
    "successor",
    "filters",
    "pseudo_labeling",
    "arm",
    "acquisition",
    "strategy",
    "subsampling",
)


def command(runs: pd.DataFrame, wanted: Mapping[str, Any], seeds: Sequence[int]) -> str | None:
    """A command line for runs with the wanted columns and seeds; None where it cannot be told.

    runs: `Results.runs` with None for what is missing; the one that shares most with what is wanted is changed
    """
    wanted = _sides(runs, wanted)
    if not len(runs) or any(wanted.get(key, "") is None for key in CHOSEN):
        return None
    like = _most_like(runs, wanted)
    donor = like.iloc[0]
    if not all(_is(like, key, value).all() for key, value in wanted.items() if key not in (*WORDS, "arm")):
        return None
    changed = [key for key in wanted if key in WORDS and not _is(like, key, wanted[key]).all()]
    changes: dict[str, Any] = {}
    for key in changed:
        if key in MODELS and wanted[key] is not None:
            changes |= _model_of(pd.concat([like, runs]), wanted[key], key)
        else:
            changes[WORDS[key]] = wanted[key]
    if changes.get("pseudo_labeling") == "none":
        changes |= without_pseudo_labels(donor)
    if changes.get("strategy") == "random":
        changes |= chance(donor)
    if wanted.get("arm") == "ceiling":
        changes |= everything(donor)
    made = varied(donor.command, changes)
    if wanted.get("arm") == "no mismatch" != donor.arm:  # also where two models go by one name
        made = varied(made, in_role(made, "successor", "acquisition", wanted["successor"]))
    return varied(made, {"seed": ",".join(map(str, seeds))})


def chance(run: pd.Series) -> dict[str, str]:
    """Random examples in place of what a run selected. Said, not only left out: an experiment may choose it all."""
    return {"strategy": "random", "subsampling": "none", **without_pseudo_labels(run)}


def everything(run: pd.Series) -> dict[str, str]:
    """A ceiling in place of a run."""
    return {**chance(run), "schedule.initial": "1.0", "schedule.cycles": "0", "evaluate_at": "last"}


def without_pseudo_labels(run: pd.Series) -> dict[str, str]:
    labeller = {} if pd.isna(run.pseudo_labeler) else {"pseudo_labeler": "null"}
    return {"pseudo_labeling": "none", **labeller}


def in_role(command: str, role: str, other: str, name: str) -> dict[str, str]:
    """The choices that give the other role the model which a command gives this one.

    name: the model's, which is its option's unless the command renames it
    """
    words = shlex.split(command)[2:]
    option, own = None, {}
    for word in words:
        key, _, value = word.partition("=")
        if key == f"model@{role}":
            option = value
        elif key.startswith(f"{role}."):
            own[f"{other}{key.removeprefix(role)}"] = value
    if option is None and f"{other}.name" in own:
        option = _option(role, tuple(word for word in words if word.startswith("+experiment=")))
    return {f"model@{other}": option or name, **own}


@lru_cache
def _option(role: str, experiments: tuple[str, ...]) -> str | None:
    """The option that a command line without one takes, from an experiment or by default; None: not ours to know."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import MissingConfigException

    register_schema()
    try:
        with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
            composed = compose("config", list(experiments), return_hydra_config=True)
    except MissingConfigException:  # an experiment of a --config-dir
        return None
    return str(composed.hydra.runtime.choices[f"model@{role}"])


def _model_of(runs: pd.DataFrame, name: str, role: str) -> dict[str, str]:
    """The choices that give a role the model of this name, as one of the runs has them."""
    for other in (role, *MODELS):
        for command in runs.command[runs[other] == name][:1]:
            return in_role(command, other, role, name)
    return {f"model@{role}": name}


def varied(command: str, choices: Mapping[str, Any]) -> str:
    """The `al-bench run ...` of one run with other choices, as a sweep where they name several seeds.

    What the run set below a replaced group goes with it, and so does all subsampling where nobody scores. None: what
    the run chose goes, and nothing comes in its place.
    """
    words = shlex.split(command)
    gone = {key.partition("@")[2] or key for key in choices} | set(choices)
    if choices.get("strategy") == "random":
        gone |= {"subsampling", *PSEUDO}
    if choices.get("pseudo_labeling") == "none":
        gone |= set(PSEUDO)
    off = {key for key in ("subsampling", "pseudo_labeling") if choices.get(key) == "none"}
    chosen = [f"{key}={value}" for key, value in choices.items() if value is not None]
    kept = [
        word for word in words[2:] if not _of(word, gone) or (word in _swept(words) and _below(word, off))
    ]
    sweep = ["-m"] if "," in str(choices.get("seed")) else []
    return shlex.join([*words[:2], *sweep, *kept, *chosen])


def _swept(words: Sequence[str]) -> Sequence[str]:
    """Where the choices of an experiment's own sweep stand; without them, it would sweep there again."""
    at = [number for number, word in enumerate(words) if word.startswith("+experiment=")]
    return words[2 : at[0]] if at else []


def _below(word: str, groups: set[str]) -> bool:
    """Whether an override sets something below one of the groups, where it does nothing once the group is none."""
    return word.partition(".")[0] in groups


def _of(word: str, keys: set[str]) -> bool:
    """Whether an override sets one of the keys, or something below one."""
    key = word.partition("=")[0].lstrip("+~")
    return any(key == chosen or key.startswith(f"{chosen}.") for chosen in keys)


def _most_like(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """The run that agrees on the first key of `CLOSEST`, among those on the second, and so on: one row."""
    for key in CLOSEST:
        alike = runs[_is(runs, key, wanted[key])] if key in wanted else runs
        runs = alike if len(alike) else runs
    return runs[:1]


def _is(runs: pd.DataFrame, key: str, value: Any) -> pd.Series:
    """Which runs have the value, or lack it where that is wanted."""
    missing = value is None or (key == "pseudo_labeling" and value == "none")
    return runs[key].isna() if missing else runs[key] == value


def labeller_of(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> str | None:
    """Who labels where the columns do not say: as in the run most like them that has a labeller."""
    told = _told(wanted)
    known = runs[runs.pseudo_labeler.notna() & (runs.dataset == told.get("dataset"))]
    return str(_most_like(known, told).pseudo_labeler.iloc[0]) if len(known) else None


def _told(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if not isinstance(value, list)}


def _sides(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a side of the comparison stands for; a labeller that nobody knows is the successor."""
    told = _told(wanted)
    if told.get("pseudo_labeling", "") is None:
        told["pseudo_labeling"] = "none"
    match told.get("arm"):
        case "random":
            return {**told, "strategy": "random", "subsampling": "none", "pseudo_labeling": "none"}
        case "no mismatch":
            return {**told, "acquisition": told.get("successor"), "pseudo_labeling": "none"}
        case "ASM":
            return {**told, "pseudo_labeling": "none"}
        case "PLASM" if told.get("filters") == "none":
            del told["filters"]
            return {**told, "pseudo_labeling": "plasm_unfiltered"}
        case "PLASM" if "filters" not in told:
            labeller = labeller_of(runs, told) or told.get("successor")
            return {"pseudo_labeling": "plasm", "pseudo_labeler": labeller, **told}
        case _:
            return told
