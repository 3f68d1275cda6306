"""The command that would make the runs which a table lacks, out of that of a run which is there."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

WORDS = {
    "name": "name", "dataset": "dataset", "strategy": "strategy", "subsampling": "subsampling",
    "gamma": "subsampling.gamma", "temperature": "subsampling.temperature", "acquisition": "model@acquisition",
    "successor": "model@successor", "pseudo_labeling": "pseudo_labeling", "pseudo_labeler": "model@pseudo_labeler",
}  # fmt: skip
# What else an override of the key on the left has decided for the old choice.
BELONGS = {
    "dataset": "dataset.", "strategy": "strategy.", "subsampling": "subsampling.",
    "model@acquisition": "acquisition.", "model@successor": "successor.", "pseudo_labeling": "pseudo_labeling.",
    "model@pseudo_labeler": "pseudo_labeler.",
}  # fmt: skip
CHOSEN = ("dataset", "successor", "acquisition", "strategy")
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
    wanted = _sides(wanted)
    if not len(runs) or any(wanted.get(key, "") is None for key in CHOSEN):
        return None
    donor = _most_like(runs, wanted)
    if any(donor[key] != value for key, value in wanted.items() if key not in (*WORDS, "arm")):
        return None
    words = shlex.split(donor.command)[2:]
    changes = {
        WORDS[key]: value
        for key, value in wanted.items()
        if key in WORDS and donor[key] != (None if key == "pseudo_labeling" and value == "none" else value)
    }
    if wanted.get("arm") == "ceiling":
        changes |= {
            "strategy": "random",
            "schedule.initial": 1.0,
            "schedule.cycles": 0,
            "evaluate_at": "last",
        }
    for key, value in changes.items():
        words = _without(words, key)
        if value is not None:
            words.append(f"{key}={value}")
    words = [*_without(words, "seed"), f"seed={','.join(map(str, seeds))}"] if seeds else words
    sweep = ["-m"] if len(seeds) > 1 else []
    return shlex.join(["al-bench", "run", *sweep, *words])


def _most_like(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.Series:
    """The run that agrees on the first key of `CLOSEST`, among those on the second, and so on."""
    for key in CLOSEST:
        alike = runs[runs[key] == wanted[key]] if key in wanted else runs
        runs = alike if len(alike) else runs
    return runs.iloc[0]


def _sides(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a side of the comparison stands for."""
    told = {key: value for key, value in wanted.items() if not isinstance(value, list)}
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
            labeller = told.get("pseudo_labeler", told.get("successor"))
            return {"pseudo_labeling": "plasm", **told, "pseudo_labeler": labeller}
        case _:
            return told


def _without(words: Sequence[str], key: str) -> list[str]:
    """The overrides but for those of the key, and for what belongs to its old choice."""
    gone = (f"{key}=", *((BELONGS[key],) if key in BELONGS else ()))
    return [word for word in words if not word.lstrip("+~").startswith(gone)]
