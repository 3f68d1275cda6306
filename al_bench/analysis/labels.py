"""Short names for methods: what sets each apart from the others on the same data."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from al_bench.config.identity import digest, flat

# What of a method decides which examples are labelled.
SELECTION = ("acquisition", "strategy", "subsampling", "rescore", "replay", "schedule")
SYMBOLS = {"gamma": "γ", "temperature": "T", "refresh": "refresh"}


def label_methods(firsts: pd.DataFrame, parts: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(label, its part that says how examples were selected) of each method, of what they do not all share.

    firsts: a run of each; parts: as `_parts` gives them
    """
    acquiring = firsts[firsts.acquisition.notna()]
    several = {column: acquiring[column].nunique() > 1 for column in ("acquisition", "strategy", "rescore")}
    several["successor"] = firsts.successor.nunique(dropna=False) > 1
    for column in SYMBOLS:
        several[column] = acquiring[acquiring.subsampling != "none"][column].nunique() > 1
    selecting = [{part: one[part] for part in SELECTION} for one in parts]
    selections = _told_apart([_selection(row, several) for _, row in firsts.iterrows()], selecting)
    labels = [
        " ".join([selection, *_training(row, several)])
        for selection, (_, row) in zip(selections, firsts.iterrows(), strict=True)
    ]
    return list(zip(_told_apart(labels, parts), selections, strict=True))


def _selection(row: pd.Series, several: dict[str, bool]) -> str:
    if row.arm == "ceiling":
        return "everything labelled"
    if pd.isna(row.acquisition):
        return f"replay {row.trajectory}" if row.strategy == "replay" else str(row.strategy)
    said = str(row.acquisition if several["acquisition"] else row.strategy)
    if several["acquisition"] and several["strategy"]:
        said = f"{row.acquisition} · {row.strategy}"
    if row.subsampling != "none":
        details = [f"{SYMBOLS[c]} {row[c]}" for c in SYMBOLS if several[c] and pd.notna(row[c])]
        said += f" + {row.subsampling}" + (f" ({', '.join(details)})" if details else "")
    return said + (f" + rescore {row.rescore:g}" if several["rescore"] and row.rescore else "")


def _training(row: pd.Series, several: dict[str, bool]) -> list[str]:
    said = [f"+ {row.pseudo_labeling}"] if pd.notna(row.pseudo_labeling) else []
    if several["successor"]:
        said.append(f"→ {row.successor}" if pd.notna(row.successor) else "(no successor)")
    return said


def _told_apart(labels: Sequence[str], parts: Sequence[dict[str, Any]]) -> list[str]:
    """The labels, each with the settings that differ where what has other parts has the same one."""
    told = []
    for label, mine in zip(labels, parts, strict=True):
        alike = (other for name, other in zip(labels, parts, strict=True) if name == label)
        known = {digest(one): dict(flat(one)) for one in alike}
        own = known[digest(mine)]
        differing = [key for key in own if len({json.dumps(other.get(key)) for other in known.values()}) > 1]
        said = ", ".join(f"{key.removeprefix('schedule.')}={own[key]}" for key in differing[:2])
        told.append(f"{label} [{said or list(known).index(digest(mine)) + 1}]" if len(known) > 1 else label)
    return told


def shared_by(firsts: pd.DataFrame) -> str:
    """Such as "minilm_l3 selects, where a model does; minilm_l6 is trained on it"; empty where nothing is shared."""
    acquisitions, successors = firsts.acquisition.dropna().unique(), firsts.successor.dropna().unique()
    said = []
    if len(acquisitions) == 1:
        said.append(f"`{acquisitions[0]}` selects, where a model does")
    if len(successors) == 1:
        said.append(f"`{successors[0]}` is trained on what was selected")
    return "; ".join(said)
