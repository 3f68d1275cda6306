"""Short names for methods: what sets each apart from the others on the same data."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from al_bench.identity import flat

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
    selections = [_selection(row, several) for _, row in firsts.iterrows()]
    labels = [
        " ".join([selection, *_training(row, several)])
        for selection, (_, row) in zip(selections, firsts.iterrows(), strict=True)
    ]
    return [(_told_apart(i, labels, parts), selection) for i, selection in enumerate(selections)]


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


def _told_apart(i: int, labels: Sequence[str], parts: Sequence[dict[str, Any]]) -> str:
    """The label, with the settings that differ where another method has the same one."""
    alike = [j for j, label in enumerate(labels) if label == labels[i]]
    if len(alike) == 1:
        return labels[i]
    known = [dict(flat(parts[j])) for j in alike]
    mine = known[alike.index(i)]
    differing = [key for key in mine if len({json.dumps(other.get(key)) for other in known}) > 1]
    told = ", ".join(f"{key.removeprefix('schedule.')}={mine[key]}" for key in differing[:2])
    return f"{labels[i]} [{told or alike.index(i) + 1}]"


def shared_by(firsts: pd.DataFrame) -> str:
    """Such as "minilm_l3 selects, where a model does; minilm_l6 is trained on it"; empty where nothing is shared."""
    acquisitions, successors = firsts.acquisition.dropna().unique(), firsts.successor.dropna().unique()
    said = []
    if len(acquisitions) == 1:
        said.append(f"`{acquisitions[0]}` selects, where a model does")
    if len(successors) == 1:
        said.append(f"`{successors[0]}` is trained on what was selected")
    return "; ".join(said)
