"""A sample of what was queried: the ids are in the trajectories, the texts are read from their source again."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from al_bench.analysis.queries import Query, read_queries, sample, selections
from al_bench.analysis.settings import Method, Setting
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


def corpus_of(setting: Setting) -> tuple[Corpus | None, str]:
    """The setting's data, or why they cannot be shown; nothing is downloaded."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ.setdefault(name, "1")
    folder = setting.methods[0].folders[0]
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
    found = []
    for method in selections(setting):
        queries = read_queries(method.trajectories[0])
        if not queries:
            continue
        shown = [
            Shown(query.cycle, summary(query), list(_texts(query, ranks, corpus)))
            for query, ranks in sample(queries, CYCLES, EACH)
        ]
        found.append(Selection(method.selection, _about(method, len(queries), len(shown)), shown))
    return found


def _about(method: Method, queries: int, shown: int) -> str:
    part = (
        f"{shown} of {count(queries, 'query', 'queries')}"
        if shown < queries
        else count(queries, "query", "queries")
    )
    return f"seed {method.repeats[0]}, {part}; of each at most {EACH} texts, evenly spaced by rank"


def summary(query: Query) -> str:
    """Such as "80 examples after 160 labelled, 11.5 words on average; NUM 40, DESC 12"."""
    said = f"{count(len(query.ids), 'example')} on top of {number(query.labelled, 0)} labelled"
    if "mean_words" in query.about:
        said += f", {number(query.about['mean_words'])} words on average"
    labels = sorted(query.about.get("labels", {}).items(), key=lambda item: -item[1])
    named = [f"{name} {n:,}" for name, n in labels[:8] if n]
    return f"{said}; gold: {listed(named)}" if named else said


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
