"""Schemes that write spans as tags: recognise IOB1, IOB2 and BILOU (BIOES), and convert them to IOB2."""

from collections.abc import Iterable, Sequence

from al_bench.errors import reject

PREFIXES = {"iob1": "BI", "iob2": "BI", "bilou": "BILUES"}  # BIOES writes E for L and S for U
PREFIXES["auto"] = PREFIXES["bilou"]


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
    started_by_b = started_by_i = 0
    for tags in sentences:
        before = None
        for tag in tags:
            kind = type_of(tag)
            if tag[0] in "LUES":
                return "bilou"
            if kind is not None and kind != before:
                started_by_b += tag[0] == "B"
                started_by_i += tag[0] == "I"
            before = kind
    return "iob1" if started_by_i > started_by_b else "iob2"


def to_iob2(tags: Sequence[str]) -> list[str]:
    """One sentence in IOB2, from any of the schemes, with the spans that conlleval reads from it.

    An I-, L- or E- continues an open span of its type (one that B- or I- wrote). Any other tag but O starts a span.
    """
    converted = []
    open_type = None
    for tag in tags:
        kind = type_of(tag)
        inside = kind is not None and kind == open_type and tag[0] in "ILE"
        converted.append("O" if kind is None else f"I-{kind}" if inside else f"B-{kind}")
        open_type = kind if tag[0] in "BI" else None
    return converted
