"""The sentences of the report: what they are made of, and their texts by topic and verdict; `answers.py` fills them in.

Names of models and options stand between backticks. A sentence that compares says how many seeds it rests on.
"""

import math
from dataclasses import dataclass, field

import pandas as pd

from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.statistics import Estimate
from al_bench.analysis.words import FEW, count, number, sentence
from al_bench.costs import HARD

QUESTIONS = {
    "reached": "What was reached?",
    "selection": "Is the selection worth anything?",
    "mismatch": "What does a successor lose when another model selects?",
    "subsampling": "Is scoring a part of the pool as good as scoring all of it?",
    "pseudo": "What do pseudo-labels add?",
    "cost": "What does an iteration cost?",
}

REACHED = "{model} reaches {final} % {score} with {budget} {how}{since} ({seeds})."
BEST = " No other of the {methods} methods{enough} ends with a higher mean."
ENOUGH = " that have {n} seeds or more there"
CEILING = " That is {share} of what it reaches with everything labelled ({top} %)."

_SELECTED = "when {selecting}, {model} reaches {a} % {score} with {budget}"
_PLACE = "when `{acquisition}` selects in its place by {how}"
_SELECTING = "where {acquiring}, {model} "
_CHANCE = "{Seeds} cannot tell this from chance."
_PSEUDO = "pseudo-labels by `{labeller}` (`{pseudo_labeling}`)"

COMPARED = {
    "selection": {
        "more": _SELECTED + ": {size} more than on random examples ({seeds}).",
        "less": _SELECTED + ": {size} less than on random examples ({seeds}).",
        "open": _SELECTED + ", and {b} % on random examples: the difference of {difference} is not "
        "significant ({seeds}).",
        "few": _SELECTED + ", and {b} % on random examples. " + _CHANCE,
    },
    "mismatch": {
        "more": "{model} gains {size} at {budget} " + _PLACE + " ({seeds}).",
        "less": "{model} loses {size} at {budget} " + _PLACE + " ({seeds}).",
        "open": "whether {model} loses anything " + _PLACE + " is open: the difference at {budget} is "
        "{difference} ({seeds}).",
        "few": "{model} reaches {a} % {score} at {budget} " + _PLACE + ", and {b} % when it selects for itself. "
        + _CHANCE,
    },
    "subsampling": {
        "more": _SELECTING + "gains {size} at {budget} by {subsampling} over scoring the whole pool ({seeds}).",
        "less": _SELECTING + "loses {size} at {budget} by {subsampling} to scoring the whole pool ({seeds}).",
        "equivalent": _SELECTING + "is as good with {subsampling} as with scoring the whole pool, within {margin} "
        "points: the difference at {budget} is {difference} (two one-sided tests: {tost}; {seeds}).",
        "open": _SELECTING + "shows no significant difference between {subsampling} and scoring the whole pool at "
        "{budget} ({difference}; {seeds}), but equivalence within {margin} points is not shown either (two "
        "one-sided tests: {tost}).",
        "few": _SELECTING + "reaches {a} % {score} at {budget} with {subsampling}, and {b} % with scoring the whole "
        "pool. " + _CHANCE,
    },
    "pseudo": {
        "more": "with " + _PSEUDO + ", {model} gains {size} at {budget} ({seeds}).",
        "less": "with " + _PSEUDO + ", {model} loses {size} at {budget} ({seeds}).",
        "open": _PSEUDO + " make no significant difference to {model}: {difference} at {budget} ({seeds}).",
        "few": "{model} reaches {a} % {score} at {budget} with " + _PSEUDO + ", and {b} % without. " + _CHANCE,
    },
}  # fmt: skip

FASTER = "Its mean curve has random’s last score with {needed} {things}; random needs {all}, {factor} times as many."
_SCORES = "{subsampling} scores {scored} of the examples, "
_MOST = "; no scoring at all would save {most}."
SAVES = _SCORES + "which saves {saved} of the iterations’ seconds{sure}" + _MOST
SLOWER = _SCORES + "yet takes {longer} more seconds in iterations{sure}" + _MOST
UNCLEAR = _SCORES + "and whether that saves seconds of iterations is open: {saved}{sure}" + _MOST
SURE = " (95 % interval: {low} to {high})"
OTHERWISE = " The rest is not scoring: texts of other lengths, or a busy machine."
NO_GAP = "There is no clear gap to close: no mismatch less mismatch is {gap} points."
CLOSED = "The share of the gap to no mismatch that this closes is {share} (95 % interval: {low} to {high})."

WILCOXON = "Exact Wilcoxon test: {p}{holm}{untestable}."
HOLM = ", {p} after Holm’s correction for {tests} comparisons"
UNTESTABLE = "; {n} seeds cannot reach 5 % here, {needed} could"

COST = "an iteration in which {selecting} takes {seconds} on average: {train} training, {predict} scoring{scored}."
SCORED = " {scored} examples"
AMDAHL = "Were scoring free, iterations would be {bound} times as fast (Amdahl’s bound)."


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
