"""The page: chapters, costs and provenance in their template. Nothing in it is loaded from anywhere."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import al_bench
from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import Contrasts, best_of
from al_bench.analysis.stopping import CRITERIA, stops
from al_bench.analysis.store import Results
from al_bench.analysis.words import count, listed, number, percent, sentence
from al_bench.costs import duration
from al_bench.ledger.ledger import load_record
from al_bench.report import origin
from al_bench.report.answers import Answer, Unknown, answers, sentences, unknowns
from al_bench.report.costs import account, phases, tokens
from al_bench.report.pictures import Picture, Pictures, pictures
from al_bench.report.svg import inline
from al_bench.report.tables import (
    Cell,
    Table,
    iteration_table,
    numeric_columns,
    overlap_table,
    penalty_table,
    score_table,
    stopping_table,
    what_was_run,
)
from al_bench.report.texts import Selection, corpus_of, selected, shown_score, sizes

STOPPED = 4  # selections for which stopping criteria are drawn


@dataclass(frozen=True)
class Chapter:
    """All that the page says of one setting.

    number: its place, for names that are unique in the page; size: of its corpus; gone: why it cannot be read
    """

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


def chapters_of(contrasts: Contrasts) -> list[Chapter]:
    best = best_of(contrasts.settings)
    return [_chapter(i, one, contrasts, best.get(one.key)) for i, one in enumerate(contrasts.settings, start=1)]


def _chapter(number: int, setting: Setting, contrasts: Contrasts, best: Method | None) -> Chapter:
    long = [method for method in setting.acquirers() if setting.scores(method).shape[1] > 2]
    stopped = [(method, stops(setting, method)) for method in long[:STOPPED]]
    stopped = [(method, rows) for method, rows in stopped if not rows.empty]
    corpus, gone = corpus_of(setting)
    by_topic = defaultdict(list)
    for answer in answers(setting, contrasts):
        by_topic[answer.topic].append(answer)
    return Chapter(
        number,
        setting,
        sizes(corpus) if corpus is not None else "",
        gone,
        {topic: by_topic[topic] for topic in sentences()["questions"] if by_topic[topic]},
        unknowns(setting),
        score_table(setting, best),
        penalty_table(setting),
        pictures(setting, stopped),
        stopping_table(setting, stopped) if stopped else None,
        selected(setting, corpus),
        overlap_table(setting),
        iteration_table(setting),
    )


def page(results: Results, chapters: Sequence[Chapter]) -> str:
    """HTML"""
    provenances = [load_record(Path(folder) / "provenance.json") for folder in results.runs.directory]
    spent = phases(results)
    return (
        environment()
        .get_template("report.html")
        .render(
            title=title(chapters),
            lead=lead(results, chapters),
            written=time.strftime("%Y-%m-%d %H:%M"),
            version=al_bench.__version__,
            chapters=chapters,
            questions=sentences()["questions"],
            criteria=CRITERIA,
            what=what_was_run([one.setting for one in chapters]),
            account=account(spent),
            spent=spent,
            tokens=tokens(results),
            facts=origin.facts(provenances),
            commands=origin.commands(provenances),
            runs=origin.run_table(results),
            problems=results.problems,
        )
    )


def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("al_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"code": code, "number": number, "duration": duration, "percent": percent}
    made.filters |= {"count": count, "score": shown_score, "first_up": sentence}
    made.globals |= {"numeric_columns": numeric_columns, "svg": svg, "sort_key": sort_key}
    return made


def code(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    parts = str(escape(text)).split("`")
    return Markup("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))


def svg(one: Chapter, picture: Picture) -> Markup:
    return Markup(inline(picture.figure, f"s{one.number}-{picture.name}", f"{picture.title}. {picture.caption}"))


def sort_key(cell: Cell) -> str:
    return f"{cell.sort:.10g}" if not isinstance(cell.sort, str) else cell.sort


def title(chapters: Sequence[Chapter]) -> str:
    names = [one.setting.title for one in chapters]
    if not names:
        return "Active learning, not yet"
    return f"Active learning on {listed(names) if len(names) <= 4 else f'{len(names)} data sets'}"


def lead(results: Results, chapters: Sequence[Chapter]) -> str:
    """Who ran what, in two sentences at most."""
    if len(results.runs) == 1 and not results.problems:
        return "One run, finished. One seed shows what happened, not how much of it is chance."
    methods = [method for one in chapters for method in one.setting.methods]
    unread = len({problem.directory for problem in results.problems} - set(map(Path, results.runs.directory)))
    parts = ((len(results.runs) + unread, "run"), (len(methods), "method"), (len(chapters), "data set"))
    text = "{} of {} on {}".format(*(count(n, name) for n, name in parts))
    seeds = sorted({len(method.runs) for method in methods})
    if seeds:
        text += f", {seeds[0]}" if len(seeds) == 1 else f", {seeds[0]} to {seeds[-1]}"
        text += " seed each" if seeds == [1] else " seeds each"
    unfinished = int((results.runs.state != "finished").sum()) + unread
    if unfinished:
        verb = "is" if unfinished == 1 else "are"
        return f"{text}. {unfinished} {verb} not finished; the last section says why."
    return f"{text}, all finished."
