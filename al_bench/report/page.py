"""The page: chapters, costs and provenance in their template. Nothing in it is loaded from anywhere."""

import re
import time
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

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
from al_bench.report import origin, tables
from al_bench.report.answers import answers, unknowns
from al_bench.report.costs import phases, tokens
from al_bench.report.figures.style import inline
from al_bench.report.pictures import Picture, pictures
from al_bench.report.texts import corpus_of, selected, sizes
from al_bench.report.wording import SENTENCES

STOPPED = 4  # selections for which stopping criteria are drawn
Chapter = dict[str, Any]  # all that the page says of one setting, as the template names it


def chapters_of(contrasts: Contrasts) -> list[Chapter]:
    best = best_of(contrasts.settings)
    return [_chapter(one, contrasts, best.get(one.key)) for one in contrasts.settings]


def _chapter(setting: Setting, contrasts: Contrasts, best: Method | None) -> Chapter:
    long = [method for method in setting.acquirers() if setting.scores(method).shape[1] > 2]
    stopped = [(method, stops(setting, method)) for method in long[:STOPPED]]
    stopped = [(method, rows) for method, rows in stopped if not rows.empty]
    corpus, reason = corpus_of(setting)
    by_topic = {topic: list(group) for topic, group in groupby(answers(setting, contrasts), attrgetter("topic"))}
    return {
        "setting": setting,
        "size": sizes(corpus) if corpus is not None else "",
        "no_texts": reason,
        "answers": by_topic,
        "unknowns": unknowns(setting),
        "scores": tables.score_table(setting, best),
        "penalties": tables.penalty_table(setting),
        "pictures": pictures(setting, stopped),
        "stopping": tables.stopping_table(setting, stopped) if stopped else None,
        "texts": selected(setting, corpus),
        "overlap": tables.overlap_table(setting),
        "costs": tables.iteration_table(setting),
    }


def page(results: Results, chapters: Sequence[Chapter]) -> str:
    """HTML"""
    provenances = [load_record(Path(folder) / "provenance.json") for folder in results.runs.directory]
    settings, spent = [chapter["setting"] for chapter in chapters], phases(results)
    loader = PackageLoader("al_bench.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = {"number": number, "duration": duration, "percent": percent, "count": count, "first_up": sentence}
    environment.filters |= {**filters, "code": code, "svg": svg}
    return environment.get_template("report.html").render(
        title=title(settings),
        lead=lead(results, settings),
        written=time.strftime("%Y-%m-%d %H:%M"),
        version=al_bench.__version__,
        chapters=chapters,
        questions=SENTENCES["questions"],
        criteria=CRITERIA,
        what=tables.what_was_run(settings),
        account=tables.account(spent),
        spent=spent,
        tokens=tokens(results),
        facts=origin.facts(provenances),
        commands=origin.commands(provenances),
        runs=origin.run_table(results),
        problems=results.problems,
    )


def code(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def svg(picture: Picture, chapter: int) -> Markup:
    """chapter: its number, for names that are unique in the page"""
    return Markup(inline(picture.figure, f"s{chapter}-{picture.name}", f"{picture.title}. {picture.caption}"))


def title(settings: Sequence[Setting]) -> str:
    names = [setting.title for setting in settings]
    if not names:
        return "Active learning, not yet"
    return f"Active learning on {listed(names) if len(names) <= 4 else f'{len(names)} data sets'}"


def lead(results: Results, settings: Sequence[Setting]) -> str:
    """Who ran what, in two sentences at most."""
    if len(results.runs) == 1 and not results.problems:
        return "One run, finished. One seed shows what happened, not how much of it is chance."
    methods = [method for setting in settings for method in setting.methods]
    unread = len({problem.directory for problem in results.problems} - set(map(Path, results.runs.directory)))
    runs, data = count(len(results.runs) + unread, "run"), count(len(settings), "data set")
    text = f"{runs} of {count(len(methods), 'method')} on {data}"
    seeds = sorted({len(method.runs) for method in methods})
    if seeds:
        text += f", {seeds[0]}" if len(seeds) == 1 else f", {seeds[0]} to {seeds[-1]}"
        text += " seed each" if seeds == [1] else " seeds each"
    unfinished = int((results.runs.state != "finished").sum()) + unread
    if unfinished:
        verb = "is" if unfinished == 1 else "are"
        return f"{text}. {unfinished} {verb} not finished; the last section says why."
    return f"{text}, all finished."
