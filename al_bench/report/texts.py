"""What was queried: lengths, overlaps between selections, and a sample of the texts, read from their source again."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.statistics import jaccard
from al_bench.analysis.store import load_array, load_lines
from al_bench.analysis.words import count, listed, number
from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.loading import load_corpus
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError, first_line

CYCLES, EACH = 16, 8  # shown of a selection, and of a query
LONGEST = 100  # words of a shown text


@dataclass(frozen=True)
class Text:
    """pieces: (text, label of the span that it is, or "") one after the other; label: of the whole text"""

    id: int
    rank: int
    score: float
    label: str
    pieces: list[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """A query: summary in words, and some of its texts, which are missing where the source is gone."""

    cycle: int
    summary: str
    texts: list[Text]


@dataclass(frozen=True)
class Selection:
    """What one run of a method queried. about: which run"""

    label: str
    about: str
    queries: list[Shown]


@dataclass(frozen=True)
class Query:
    """One cycle's query. ids: in the order of the query; scores: beside them, NaN where nobody scored

    about: what the ledger says of it (`acquisition.loop.describe`)
    """

    cycle: int
    labelled: int
    ids: np.ndarray
    scores: np.ndarray
    about: dict[str, Any]


def read_queries(trajectory: Path, cycles: int) -> list[Query]:
    """Of a run with so many cycles: the trajectory may go on. None where its ledger cannot be read."""
    queries: list[Query] = []
    for line in load_lines(trajectory / "ledger.jsonl")[: cycles - 1]:
        ids = np.array(line["queried"], dtype=np.int64)
        if len(ids):
            every = load_array(trajectory, "scores", line["cycle"])
            scores = np.full(len(ids), np.nan) if every is None else every[ids]
            queries.append(Query(line["cycle"], line["labelled"], ids, scores, line["query"]))
    return queries


def mean_lengths(setting: Setting) -> dict[str, np.ndarray]:
    """Label of a selecting method -> (seeds, cycles) mean words of a queried example; NaN where none was."""
    lengths = {}
    for method in setting.selections():
        ledgers = [load_lines(Path(directory, "ledger.jsonl")) for directory in method.runs.directory]
        rows = [[line.get("query", {}).get("mean_words", np.nan) for line in lines] for lines in ledgers]
        width = max(map(len, rows), default=0)
        lengths[method.label] = np.array([row + [np.nan] * (width - len(row)) for row in rows], dtype=float)
    return lengths


def overlaps(setting: Setting) -> tuple[list[Method], dict[tuple[int, int], np.ndarray]]:
    """The selecting methods, and of each two of them the Jaccard overlap of all they queried, seed by seed."""
    methods = setting.selections()
    queried = [
        {
            seed: {int(i) for query in read_queries(trajectory, cycles) for i in query.ids}
            for seed, trajectory, cycles in zip(method.seeds, method.trajectories, method.runs.cycles_done, strict=True)
        }
        for method in methods
    ]
    shares = {}
    for i, one in enumerate(queried):
        for j, other in enumerate(queried[:i]):
            common = [seed for seed in one if one[seed] and other.get(seed)]
            if common:
                shares[i, j] = np.array([jaccard(one[seed], other[seed]) for seed in common])
    return methods, shares


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the positions 0 to count - 1, first and last among them."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))}) if count else []


def sample(queries: Sequence[Query], most: int, each: int) -> list[tuple[Query, list[int]]]:
    """At most so many queries, and of each the ranks of at most so many of its examples, evenly spaced."""
    return [(queries[at], evenly(len(queries[at].ids), each)) for at in evenly(len(queries), most)]


# ------------------------------------------------------------------------------- texts, read again from their source


def corpus_of(setting: Setting) -> tuple[Corpus | None, str]:
    """The setting's data, or why they cannot be shown; nothing is downloaded."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ.setdefault(name, "1")
    folder = Path(setting.methods[0].runs.directory.iloc[0])
    try:
        corpus = load_corpus(_dataset_config(folder))
    except UserError as error:
        return None, f"The texts cannot be shown: their source is not there any more ({error})."
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"The texts cannot be shown: the run’s config cannot be read ({error})."
    if corpus.fingerprint != setting.key:
        return None, "The texts cannot be shown: what is at their source now is not what these runs saw."
    return corpus, ""


def _dataset_config(folder: Path) -> DatasetConfig:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    written = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["dataset"]
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DatasetConfig), written))
    except OmegaConfBaseException as error:
        raise ValueError(first_line(error)) from error
    assert isinstance(config, DatasetConfig)
    return config


def selected(setting: Setting, corpus: Corpus | None) -> list[Selection]:
    """Of every way to select, the first run's queries."""
    chosen = []
    for method in setting.selections():
        queries = read_queries(method.trajectories[0], method.runs.cycles_done.iloc[0])
        if not queries:
            continue
        shown = [
            Shown(query.cycle, summary(query), list(_texts(query, ranks, corpus)))
            for query, ranks in sample(queries, CYCLES, EACH)
        ]
        chosen.append(Selection(method.selection, _about(method, len(queries), len(shown)), shown))
    return chosen


def _about(method: Method, queries: int, shown: int) -> str:
    part = f"{shown} of {count(queries, 'query', 'queries')}" if shown < queries else count(queries, "query", "queries")
    return f"seed {method.seeds[0]}, {part}; of each at most {EACH} texts, evenly spaced by rank"


def summary(query: Query) -> str:
    """Such as "80 examples after 160 labelled, 11.5 words on average; NUM 40, DESC 12"."""
    text = f"{count(len(query.ids), 'example')} on top of {number(query.labelled, 0)} labelled"
    if "mean_words" in query.about:
        text += f", {number(query.about['mean_words'])} words on average"
    labels = sorted(query.about.get("labels", {}).items(), key=lambda item: -item[1])
    named = [f"{name} {n:,}" for name, n in labels[:8] if n]
    return f"{text}; gold: {listed(named)}" if named else text


def _texts(query: Query, ranks: list[int], corpus: Corpus | None) -> Iterator[Text]:
    if corpus is None:
        return
    for rank in ranks:
        number = int(query.ids[rank])
        label, pieces = example(corpus.train, number, corpus.label_names)
        yield Text(number, rank + 1, float(query.scores[rank]), label, pieces)


def example(split: Split, number: int, names: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """(label, pieces) of an example; a tagged one has no label of its own, but pieces that have."""
    inputs: Any = split.inputs[number]
    if isinstance(split.labels, Ragged):
        pieces = spans(inputs[:LONGEST], [names[tag] for tag in split.labels.row(number)][:LONGEST])
        return "", [*pieces, *([("…", "")] if len(inputs) > LONGEST else [])]
    words = inputs.split()
    text = " ".join(words[:LONGEST]) + (" …" if len(words) > LONGEST else "")
    return names[int(split.labels[number])], [(text, "")]


def spans(words: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """Words joined to runs of text and of spans, by IOB2 tags."""
    pieces: list[tuple[list[str], str]] = []
    for word, tag in zip(words, tags, strict=True):
        kind = tag[2:]
        if pieces and pieces[-1][1] == kind and not tag.startswith("B-"):
            pieces[-1][0].append(word)
        else:
            pieces.append(([word], kind))
    return [(" ".join(part), kind) for part, kind in pieces]


def shown_score(score: float) -> str:
    return "–" if math.isnan(score) else number(score, 3 if abs(score) < 100 else 0)


def sizes(corpus: Corpus) -> str:
    """Such as "2,000 training examples (20,134 words), 500 test examples, 6 classes"."""
    kinds = [name for name in corpus.label_names if name.startswith("B-")]
    labels = f"{len(kinds)} span types" if corpus.task == "tagging" else f"{len(corpus.label_names)} classes"
    words = int(np.sum(corpus.train.words))
    return f"{len(corpus.train):,} training examples ({words:,} words), {len(corpus.test):,} test examples, {labels}"
