"""Commands for runs that are missing, out of that of a run which is there."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# How a column of the runs is chosen on the command line.
WORDS = {
    "name": "name", "dataset": "dataset", "strategy": "strategy", "subsampling": "subsampling",
    "gamma": "subsampling.gamma", "temperature": "subsampling.temperature", "acquisition": "model@acquisition",
    "successor": "model@successor", "pseudo_labeling": "pseudo_labeling", "pseudo_labeler": "model@pseudo_labeler",
}  # fmt: skip
CHOSEN = ("dataset", "successor", "acquisition", "strategy")
# A ceiling.
EVERYTHING = {
    "strategy": "random", "schedule.initial": "1.0", "schedule.cycles": "0", "evaluate_at": "last"
}  # fmt: skip
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
    donor = _most_like(runs, wanted)
    if any(donor[key] != value for key, value in wanted.items() if key not in (*WORDS, "arm")):
        return None
    changes = {
        WORDS[key]: value
        for key, value in wanted.items()
        if key in WORDS and donor[key] != (None if key == "pseudo_labeling" and value == "none" else value)
    }
    if wanted.get("arm") == "ceiling":
        changes |= EVERYTHING
    return varied(donor.command, changes | {"seed": ",".join(map(str, seeds))})


def varied(command: str, choices: Mapping[str, Any]) -> str:
    """The `al-bench run ...` of one run with other choices, as a sweep where they name several seeds.

    What the run set below a replaced group goes with it, and so does all subsampling where nobody scores. None: what
    the run chose goes, and nothing comes in its place.
    """
    words = shlex.split(command)
    gone = {key.partition("@")[2] or key for key in choices} | set(choices)
    if choices.get("strategy") == "random":
        gone |= {"subsampling", "pseudo_labeling", "model@pseudo_labeler", "pseudo_labeler"}
    chosen = [f"{key}={value}" for key, value in choices.items() if value is not None]
    kept = [word for word in words[2:] if not _of(word, gone)]
    sweep = ["-m"] if "," in str(choices.get("seed")) else []
    return shlex.join([*words[:2], *sweep, *kept, *chosen])


def _of(word: str, keys: set[str]) -> bool:
    """Whether an override sets one of the keys, or something below one."""
    key = word.partition("=")[0].lstrip("+~")
    return any(key == chosen or key.startswith(f"{chosen}.") for chosen in keys)


def _most_like(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.Series:
    """The run that agrees on the first key of `CLOSEST`, among those on the second, and so on."""
    for key in CLOSEST:
        alike = runs[runs[key] == wanted[key]] if key in wanted else runs
        runs = alike if len(alike) else runs
    return runs.iloc[0]


def labeller_of(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> str | None:
    """Who labels where the columns do not say: as in the run most like them that has a labeller."""
    told = _told(wanted)
    known = runs[runs.pseudo_labeler.notna() & (runs.dataset == told.get("dataset"))]
    return str(_most_like(known, told).pseudo_labeler) if len(known) else None


def _told(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if not isinstance(value, list)}


def _sides(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a side of the comparison stands for; a labeller that nobody knows is the successor."""
    told = _told(wanted)
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
