"""The page: chapters, costs and provenance in their template. Nothing in it is loaded from anywhere."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

import al_bench
from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.contrasts import Contrasts, best_of
from al_bench.analysis.stopping import CRITERIA, stops
from al_bench.analysis.store import Results
from al_bench.analysis.words import count, listed, number, sentence
from al_bench.costs import duration
from al_bench.ledger.ledger import load_record
from al_bench.report import tables
from al_bench.report.answers import answers, unknowns
from al_bench.report.costs import phases, tokens
from al_bench.report.figures.style import inline
from al_bench.report.pictures import pictures
from al_bench.report.texts import corpus_of, selected, sizes
from al_bench.report.wording import CAPTIONS, SENTENCES

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
    drawn = list(pictures(setting, stopped))
    by_topic = {topic: list(group) for topic, group in groupby(answers(setting, contrasts), attrgetter("topic"))}
    return {
        "setting": setting,
        "size": sizes(corpus) if corpus is not None else "",
        "no_texts": reason,
        "answers": by_topic,
        "unknowns": unknowns(setting),
        "scores": tables.score_table(setting, best),
        "penalties": tables.penalty_table(setting),
        "pictures": [one for one in drawn if isinstance(one.figure, Figure)],
        "omitted": [one for one in drawn if isinstance(one.figure, str)],
        "stopping": tables.stopping_table(setting, stopped) if stopped else None,
        "texts": selected(setting, corpus),
        "overlap": tables.overlap_table(setting),
        "costs": tables.iteration_table(setting),
        "paid": tables.paid_table(setting),
    }


def page(results: Results, chapters: Sequence[Chapter]) -> str:
    """HTML"""
    provenances = [load_record(Path(folder) / "provenance.json") for folder in results.runs.directory]
    settings, spent = [chapter["setting"] for chapter in chapters], phases(results)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.loader = PackageLoader("al_bench.report")
    environment.filters |= {"number": number, "duration": duration, "count": count, "first_up": sentence}
    environment.filters |= {"code": code, "svg": inline}
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
        facts=facts(provenances),
        commands=commands(provenances),
        runs=tables.run_table(results),
        problems=results.problems,
    )


def code(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


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
        return f"{text}. {unfinished} {'is' if unfinished == 1 else 'are'} not finished; the last section says why."
    return f"{text}, all finished."


def facts(provenances: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was recorded, by name; where runs differ, each value with the number of its runs."""
    values = [(name, _counted(provenances, key)) for key, name in CAPTIONS["facts"].items()]
    versions = [provenance.get("versions") or {} for provenance in provenances]
    packages = [(name, _counted(versions, name)) for name in sorted({name for one in versions for name in one})]
    values.append(("packages", ", ".join(f"{name} {version}" for name, version in packages if version)))
    return [(name, text) for name, text in values if text]


def _counted(records: list[dict[str, Any]], key: str) -> str:
    counted = Counter(text for text in (_text(record.get(key)) for record in records) if text)
    if len(counted) < 2:
        return "".join(counted)
    return "; ".join(f"{value} ({count(n, 'run')})" for value, n in counted.items())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items())
    return "" if value is None else str(value)


def commands(provenances: list[dict[str, Any]]) -> list[str]:
    """The command lines that were typed, once each."""
    lines = []
    for provenance in provenances:
        if typed := [str(part) for part in provenance.get("command") or []]:
            # `python -m al_bench`, or the script that pip installed, is `al-bench` to who types it.
            program = shlex.split(typed[0]) if typed[0].startswith("al-bench") else ["al-bench"]
            lines.append(shlex.join([*program, *typed[1:]]))
    return list(dict.fromkeys(lines))
