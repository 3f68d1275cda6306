"""All that the page says of one setting, computed."""

from collections import defaultdict
from dataclasses import dataclass

import pandas as pd

from al_bench.analysis.comparisons import acquirers
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.stopping import stops
from al_bench.report.answers import answers
from al_bench.report.commands import Unknown, unknowns
from al_bench.report.pictures import Pictures, pictures
from al_bench.report.sentences import QUESTIONS, Answer
from al_bench.report.tables import (
    Table,
    iteration_table,
    overlap_table,
    penalty_table,
    score_table,
    stopping_table,
)
from al_bench.report.texts import Selection, corpus_of, selected, sizes

STOPPED = 4  # selections for which stopping criteria are drawn


@dataclass(frozen=True)
class Chapter:
    """number: its place, for names that are unique in the page; size: of its corpus; gone: why it cannot be read"""

    number: int
    setting: Setting
    size: str
    gone: str
    answers: dict[str, list[Answer]]
    unknowns: list[Unknown]
    scores: Table
    penalties: Table | None
    pictures: Pictures
    stopping: Table | None
    texts: list[Selection]
    overlap: Table
    costs: Table


def chapter(number: int, setting: Setting) -> Chapter:
    stopped = _stopped(setting)
    corpus, gone = corpus_of(setting)
    by_topic = defaultdict(list)
    for answer in answers(setting):
        by_topic[answer.topic].append(answer)
    return Chapter(
        number,
        setting,
        sizes(corpus) if corpus is not None else "",
        gone,
        {topic: by_topic[topic] for topic in QUESTIONS if by_topic[topic]},
        unknowns(setting),
        score_table(setting),
        penalty_table(setting),
        pictures(setting, stopped),
        stopping_table(setting, stopped) if stopped else None,
        selected(setting, corpus),
        overlap_table(setting),
        iteration_table(setting),
    )


def _stopped(setting: Setting) -> list[tuple[Method, pd.DataFrame]]:
    """What stopping criteria make of each selection, as far as its curve is known."""
    chosen = [method for method in acquirers(setting) if setting.scores(method).shape[1] > 2]
    found = [(method, stops(setting, method)) for method in chosen[:STOPPED]]
    return [(method, rows) for method, rows in found if not rows.empty]
