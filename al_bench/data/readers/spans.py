"""Spans of characters, as annotation tools export them, become tags of words."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import source_error, whole

SPANS = ("spans", "ents", "entities", "labels")  # columns of Prodigy, spaCy and doccano
STARTS, ENDS, LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "label_", "type")
Span = tuple[int, int, str]  # first character, the one after the last, type


def holds_spans(cell: Any) -> bool:
    """Whether a cell is a list of spans that is not empty: [0, 4, "PER"], or {"start": 0, "end": 4, "label": "PER"}."""
    return isinstance(cell, list) and bool(cell) and _span(cell[0]) is not None


def _span(item: Any) -> Span | None:
    if isinstance(item, dict):
        item = [next((item[key] for key in keys if key in item), None) for keys in (STARTS, ENDS, LABELS)]
    if not (isinstance(item, list | tuple) and len(item) >= 3 and isinstance(item[2], str)):
        return None
    start, end, label = item[:3]
    return (start, end, label) if type(start) is int and type(end) is int and label else None


def words_and_tags(
    texts: Sequence[Any], cells: Sequence[Any], where: str, config: DatasetConfig, notes: list[str]
) -> tuple[list[Any], list[Any]]:
    """The words of each text and their IOB2 tags. Raises `UserError` for a span that lies outside its text.

    A text or spans that are missing stay None: whoever checks the cells says what becomes of them.
    """
    words, tags, stretched, overlapping = [], [], 0, 0
    for row, (text, cell) in enumerate(zip(texts, cells, strict=True), start=1):
        spans = [_span(item) for item in cell or []]
        if None in spans:
            broken = f"example {row} of {where} has {cell[spans.index(None)]!r} among its spans"
            raise source_error(config, broken, "write spans as [START, END, TYPE]")
        if not isinstance(text, str):
            words.append(text)
            tags.append(cell)
            continue
        text = whole(text)
        places = [place for _, place in _splitter().pre_tokenize_str(text)]
        row_tags = ["O"] * len(places)
        for start, end, label in sorted((span for span in spans if span), key=lambda span: (span[0], -span[1])):
            if not 0 <= start < end <= len(text):
                broken = f"example {row} of {where} has the span {start} to {end} in {len(text)} characters"
                raise source_error(config, broken, "offsets count characters from 0, and the end is not in the span")
            inside = [i for i, (first, last) in enumerate(places) if first < end and last > start]
            if any(row_tags[i] != "O" for i in inside):
                overlapping += 1
                continue
            stretched += bool(inside) and (places[inside[0]][0] < start or places[inside[-1]][1] > end)
            for before, i in pairwise([None, *inside]):
                assert i is not None
                row_tags[i] = f"{'B' if before is None else 'I'}-{label}"
        words.append([text[first:last] for first, last in places])
        tags.append(None if cell is None else row_tags)
    if stretched:
        notes.append(f"{stretched:,} spans of {where} end inside a word, all of which became part of them")
    if overlapping:
        notes.append(f"left out {overlapping:,} spans of {where} that overlap with an earlier one")
    return words, tags


@cache
def _splitter() -> Any:
    """Splits at blanks and around punctuation, as BERT does, and around each ideograph."""
    from tokenizers import Regex, pre_tokenizers

    ideographs = pre_tokenizers.Split(Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"), "isolated")
    return pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), ideographs])
