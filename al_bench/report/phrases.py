"""Phrases of the report's sentences: who selects, what is trained, on how many labels, by how many seeds."""

import math
from typing import Any

import pandas as pd

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.runs import GOLD
from al_bench.analysis.statistics import FEW
from al_bench.analysis.words import count, number, percent
from al_bench.costs import HARD
from al_bench.report.wording import fill


def selecting(method: Method, *, themselves: bool = False, part: bool = True) -> str:
    """Such as "`minilm_l3` selects by `mnlp` from a part of the pool (`ups`)".

    themselves: of the selection alone, whatever is trained on it; part: with the part of the pool
    """
    about = method.about
    if about.acquisition is None:
        return f"no model is asked and `{about.strategy}` selects"
    own = method.arm == "no mismatch" and not themselves
    who = "it selects for itself" if own else f"`{about.acquisition}` selects"
    pool = f" from a part of the pool (`{about.subsampling}`)" if part and about.subsampling != "none" else ""
    mark = " (a bracket)" if method.bracket else ""
    text = f"{who} by `{about.strategy}`{mark}{pool}"
    if not themselves:
        return text
    oracle = fill("oracle", "labels", oracle=about.oracle, share="") if about.oracle != GOLD else ""
    return f"{text}{oracle}{_settings(method.differs[0])}"


def model(method: Method) -> str:
    return f"`{method.about[method.role]}`{_settings(method.differs[1])}"


def _settings(differs: str) -> str:
    """What keeps a method apart from others that would be described alike."""
    return f" (`{differs}`)" if differs else ""


def budget_of(setting: Setting, method: Method, cycle: int | None, seeds: Any) -> str:
    """What was labelled at a cycle, on average over the seeds, and by whom. cycle: None is the method's end"""
    column, things = ("words", "words") if method.about.unit == "words" else ("labelled", "examples")
    at = setting.end(method)[0] if cycle is None else cycle
    mean = float(setting.values(method, column).loc[list(seeds), at].mean())
    return f"{number(mean, 0)}{HARD}labelled {things}{_by_oracle(setting, method, at)}"


def _by_oracle(setting: Setting, method: Method, cycle: int | None) -> str:
    """Who labelled, and how often the answers were right, where that is not gold."""
    if method.about.oracle == GOLD:
        return ""
    right = setting.values(method, "oracle/right").get(cycle, pd.Series(dtype=float)).mean()
    share = "" if math.isnan(right) else fill("oracle", "right", share=percent(right))
    return fill("oracle", "labels", oracle=method.about.oracle, share=share)


def seeds_of(n: int, *, paired: bool = False) -> str:
    kind = "paired " if paired else ""
    return count(n, "seed") + (f", {kind}95{HARD}% t{HARD}interval" if n >= FEW else "")
