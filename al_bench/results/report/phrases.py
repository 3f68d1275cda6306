"""What sentences are made of: an answer, and how methods, budgets and seeds are called in it."""

import math
from dataclasses import dataclass, field

import pandas as pd

from al_bench.results.settings import Method, Setting
from al_bench.results.statistics import Estimate
from al_bench.results.words import FEW, HARD, count, number, sentence


@dataclass(frozen=True)
class Answer:
    """text: a sentence or two; detail: tests, for who wants to know

    verdict: more | less | equivalent | open (the interval has both signs) | few (seeds) | fact
    difference: of the two methods that it compares, in points; p: of the exact Wilcoxon test, adjusted by Holm over the
        answers on the same topic in the same setting
    numbers: others that the text mentions
    """

    topic: str
    text: str
    verdict: str = "fact"
    detail: str = ""
    difference: Estimate | None = None
    p: float = math.nan
    numbers: dict[str, float] = field(default_factory=dict)


def selecting(about: pd.Series, arm: str = "") -> str:
    """Such as "`minilm_l3` selects by `mnlp` from a part of the pool (`ups`)"."""
    who = "it selects for itself" if arm == "no mismatch" else f"`{about.acquisition}` selects"
    part = f" from a part of the pool (`{about.subsampling}`)" if about.subsampling != "none" else ""
    return f"{who} by `{about.strategy}`{part}"


def model(method: Method) -> str:
    return f"`{method.about.acquisition if method.role == 'acquisition' else method.about.successor}`"


def budget_of(unit: str, labelled: float, words: float) -> str:
    if unit == "words":
        return f"{number(words, 0)}{HARD}labelled words"
    return f"{number(labelled, 0)}{HARD}labelled examples"


def score_name(setting: Setting) -> str:
    return "F1" if setting.metric == "f1" else setting.metric


def seeds_of(n: int) -> str:
    paired_by = f", paired 95{HARD}% t{HARD}interval" if n >= FEW else ""
    return f"{count(n, 'seed')}{paired_by}"


def fill(template: str, **phrases: str) -> str:
    return sentence(template.format(**phrases)).replace(" %", f"{HARD}%")
