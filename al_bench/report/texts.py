"""What was queried: lengths, overlaps between selections, and a sample of the texts, read from their source again."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al_bench.analysis.arms import Method, Setting
from al_bench.analysis.store import load_array, load_lines
from al_bench.analysis.words import count, listed, number
from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.data.ragged import Ragged
from al_bench.errors import UserError, first_line

CYCLES, EACH = 16, 8  # shown of a selection, and of a query
LONGEST = 100  # words of a shown text


def read_queries(trajectory: Path, cycles: int) -> list[dict[str, Any]]:
    """The ledger's lines with a query, of a run with so many cycles: the trajectory may go on."""
    return [line for line in load_lines(trajectory / "ledger.jsonl")[: cycles - 1] if line["queried"]]


def mean_lengths(setting: Setting) -> dict[Method, pd.DataFrame]:
    """By selecting method, seed x cycle: mean words of a queried example; absent where none is recorded."""
    lengths = {}
    for method in setting.selections():
        ledgers = [load_lines(Path(directory, "ledger.jsonl")) for directory in method.runs.directory]
        rows = [[line.get("query", {}).get("mean_words", np.nan) for line in lines] for lines in ledgers]
        table = pd.DataFrame(rows, dtype=float).dropna(axis=1, how="all")
        if not table.empty:
            lengths[method] = table
    return lengths


def queried(method: Method) -> dict[int, set[int]]:
    """By seed, all that was queried, where anything was."""
    runs = zip(method.seeds, method.trajectories, method.runs.cycles_done, strict=True)
    lines = {seed: read_queries(trajectory, cycles) for seed, trajectory, cycles in runs}
    return {seed: {i for line in of_seed for i in line["queried"]} for seed, of_seed in lines.items() if of_seed}


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the positions 0 to count - 1, first and last among them."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))}) if count else []


def corpus_of(setting: Setting) -> tuple[Corpus | None, str]:
    """The setting's data, or why they cannot be shown; nothing is downloaded."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ.setdefault(name, "1")
    path = Path(setting.methods[0].runs.directory.iloc[0], "config.yaml")
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))["dataset"]
        # A recorded config is resolved: `${oc.env:TOKEN}` in somebody else's is text, and asks for nothing.
        literal = json.loads(json.dumps(written).replace("${", r"\\${"))
        config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DatasetConfig), literal))
        corpus = load_corpus(config)
    except UserError as error:
        return None, f"The texts cannot be shown: their source is not there any more ({error})."
    except (OSError, ValueError, KeyError, TypeError, OmegaConfBaseException) as error:
        reason = first_line(error) if isinstance(error, OmegaConfBaseException) else error  # of several lines
        return None, f"The texts cannot be shown: the run’s config cannot be read ({reason})."
    if corpus.fingerprint != setting.key:
        return None, "The texts cannot be shown: what is at their source now is not what these runs saw."
    return corpus, ""


def selected(setting: Setting, corpus: Corpus | None) -> list[dict[str, Any]]:
    """Of every way to select, the first run's queries: some of them, and some texts of each, evenly spaced.

    Each is named as in the template: label and about, which says which run; of each query cycle, summary and texts,
    which are missing where the source is gone; of each text id, rank, score, label and pieces, as `example` gives them.
    """
    chosen = []
    for method in setting.selections():
        trajectory = method.trajectories[0]
        lines = read_queries(trajectory, method.runs.cycles_done.iloc[0])
        shown = [lines[at] for at in evenly(len(lines), CYCLES)]
        if shown:
            part = f"{len(shown)} of " if len(shown) < len(lines) else ""
            about = f"seed {method.seeds[0]}, {part}{count(len(lines), 'query', 'queries')}"
            about += f"; of each at most {EACH} texts, evenly spaced by rank"
            queries = [_query(line, trajectory, corpus) for line in shown]
            chosen.append({"label": method.selection, "about": about, "queries": queries})
    return chosen


def summary(line: dict[str, Any]) -> str:
    """Such as "80 examples on top of 160 labelled, 11.5 words on average; gold: NUM 40 and DESC 12"."""
    about = line["query"]
    text = f"{count(len(line['queried']), 'example')} on top of {number(line['labelled'], 0)} labelled"
    if "mean_words" in about:
        text += f", {number(about['mean_words'])} words on average"
    labels = sorted(about.get("labels", {}).items(), key=lambda item: -item[1])
    named = [f"{name} {n:,}" for name, n in labels[:8] if n]
    return f"{text}; gold: {listed(named)}" if named else text


def _query(line: dict[str, Any], trajectory: Path, corpus: Corpus | None) -> dict[str, Any]:
    texts, ids, cycle = [], line["queried"], line["cycle"]
    if corpus is not None:
        scores = load_array(trajectory, "scores", line)
        for rank in evenly(len(ids), EACH):
            score = math.nan if scores is None else float(scores[ids[rank]])
            label, pieces = example(corpus, ids[rank])
            texts.append({"id": ids[rank], "rank": rank + 1, "score": score, "label": label, "pieces": pieces})
    return {"cycle": cycle, "summary": summary(line), "texts": texts}


def example(corpus: Corpus, number: int) -> tuple[str, list[tuple[str, str]]]:
    """(label, pieces) of a training example: (text, label of the span that it is, or "") one after the other.

    A tagged one has no label of its own, but pieces that have.
    """
    inputs: Any = corpus.train.inputs[number]
    labels, names = corpus.train.labels, corpus.label_names
    if isinstance(labels, Ragged):
        tags = [names[tag] for tag in labels.row(number)][:LONGEST]
        pieces = spans(inputs[:LONGEST], tags) if corpus.kind == "tagging" else [*zip(inputs, tags, strict=False)]
        return "", pieces + ([("…", "")] if len(inputs) > LONGEST else [])
    words = inputs.split()
    text = " ".join(words[:LONGEST]) + (" …" if len(words) > LONGEST else "")
    return names[int(labels[number])], [(text, "")]


def spans(words: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """Words joined to runs of text and of spans, by IOB2 tags."""
    pieces: list[tuple[str, str]] = []
    for word, tag in zip(words, tags, strict=True):
        if pieces and pieces[-1][1] == tag[2:] and not tag.startswith("B-"):
            pieces[-1] = f"{pieces[-1][0]} {word}", tag[2:]
        else:
            pieces.append((word, tag[2:]))
    return pieces


def sizes(corpus: Corpus) -> str:
    """Such as "2,000 training examples (20,134 words), 500 test examples, 6 classes"."""
    kinds = {"tagging": "span types", "classification": "classes"}.get(corpus.kind, "tags")
    labels = f"{len(corpus.counts(corpus.train.labels))} {kinds}"
    train = f"{len(corpus.train):,} training examples ({int(np.sum(corpus.train.words)):,} words)"
    return f"{train}, {len(corpus.test):,} test examples, {labels}"
