"""Schemes that write spans as tags: recognise IOB1, IOB2 and BILOU (BIOES), and convert them to IOB2."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from al_bench.errors import reject

PREFIXES = {"iob1": "BI", "iob2": "BI", "bilou": "BILUES", "auto": "BILUES"}  # BIOES writes E for L and S for U


def tag_names(types: Iterable[str]) -> tuple[str, ...]:
    """("O", "B-LOC", "I-LOC", "B-PER", ...): the IOB2 tags of the given types, sorted by type."""
    return ("O", *(f"{prefix}-{kind}" for kind in sorted(set(types)) for prefix in "BI"))


def type_of(tag: str) -> str | None:
    """The type of a valid tag; None for "O"."""
    return None if tag == "O" else tag.partition("-")[2]


def check_tags(tags: Iterable[str], scheme: str = "auto") -> None:
    """Raise `UserError` for the first tag that is neither "O" nor a prefix of the scheme, "-" and a type."""
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if tag != "O" and not (dash and kind and len(prefix) == 1 and prefix in PREFIXES[scheme]):
            forms = " or ".join(f"{prefix}-TYPE" for prefix in PREFIXES[scheme])
            remedy = "check the column of the tags (dataset.tag_column, dataset.tags) and dataset.scheme"
            raise reject("dataset.scheme", scheme, f"{tag!r} is no tag: it must be O, {forms}", remedy)


def recognise(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of a whole corpus: "iob1", "iob2" or "bilou"; "iob2" where the tags fit several.

    IOB1 writes B- only between touching spans of one type, IOB2 before every span. Real corpora break either
    rule now and then, so the more frequent kind of span start decides.
    """
    starts = Counter[str]()
    for tags in sentences:
        for before, tag in pairwise(["O", *tags]):
            if tag[0] in "LUES":
                return "bilou"
            if type_of(tag) not in (None, type_of(before)):
                starts[tag[0]] += 1
    return "iob1" if starts["I"] > starts["B"] else "iob2"


def to_iob2(tags: Sequence[str]) -> list[str]:
    """One sentence in IOB2, from any of the schemes, with the spans that conlleval reads from it.

    An I-, L- or E- continues an open span of its type (one that B- or I- wrote). Any other tag but O starts a span.
    """
    converted = []
    for before, tag in pairwise(["O", *tags]):
        kind = type_of(tag)
        inside = tag[0] in "ILE" and before[0] in "BI" and kind == type_of(before)
        converted.append("O" if kind is None else f"I-{kind}" if inside else f"B-{kind}")
    return converted
