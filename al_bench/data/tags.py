"""Schemes that write spans as tags: recognise IO, IOB1, IOB2 and BILOU (BIOES, BMES), and convert them to IOB2."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from al_bench.config.schema import PLAIN_TAGGING
from al_bench.errors import reject

LETTERS = "BILUESMW"  # BIOES writes E for L and S for U, BMES M for I, BMEWO W for U
PREFIXES = {"iob1": "BI", "iob2": "BI", "io": "I", "bilou": LETTERS, "auto": LETTERS}
UNTYPED = "ENTITY"  # the type of spans that have none


def tag_names(types: Iterable[str]) -> tuple[str, ...]:
    """("O", "B-LOC", "I-LOC", "B-PER", ...): the IOB2 tags of the given types, sorted by type."""
    return _both_tags(sorted(set(types)))


def _both_tags(types: Iterable[str]) -> tuple[str, ...]:
    return ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def are_spans(names: Sequence[str]) -> bool:
    """Whether a corpus's label names are IOB2 tags; else its tags are plain, such as parts of speech."""
    return tuple(names) == _both_tags(name[2:] for name in names[1::2])


def kind_of(task: str, names: Sequence[str]) -> str:
    """The task of a corpus with these label names, or `PLAIN_TAGGING`."""
    return PLAIN_TAGGING if task == "tagging" and not are_spans(names) else task


def type_of(tag: str) -> str | None:
    """The type of a valid tag; None for "O"."""
    return None if tag == "O" else tag.partition("-")[2]


def check_tags(tags: Iterable[str], scheme: str = "auto") -> None:
    """Raise `UserError` for the first tag that is neither "O" nor a prefix of the scheme, "-" and a type."""
    for tag in tags:
        if tag != "O" and not _has_prefix(tag, PREFIXES[scheme]):
            forms = f"or {' '.join(PREFIXES[scheme])}, a hyphen and a type"
            remedy = (
                "check the column of the tags (dataset.tag_column, dataset.tags), or set dataset.scheme: io for bare"
            )
            remedy += " types, none for tags that are no spans"
            raise reject("dataset.scheme", scheme, f"{tag!r} is no tag: it must be O, {forms}", remedy)


def _has_prefix(tag: str, prefixes: str) -> bool:
    prefix, dash, kind = tag.partition("-")
    return bool(dash and kind) and len(prefix) == 1 and prefix in prefixes


def respelled(tags: set[str], scheme: str) -> tuple[dict[str, str], str]:
    """Each tag as "O" or a prefix, "-" and a type, if it is one at all; and the scheme, "io" where types are bare.

    I-O is written for O. Prefixes alone get a type, bare types a prefix.
    """
    spelling = {tag: "O" if _has_prefix(tag, LETTERS) and tag[2:] == "O" else tag for tag in tags}
    types = {tag for tag in tags if spelling[tag] != "O"}
    if scheme != "io" and types <= set(LETTERS):
        return spelling | {tag: f"{tag}-{UNTYPED}" for tag in types}, scheme
    are_bare = "O" in tags and types and not any(_has_prefix(tag, LETTERS) or tag in LETTERS for tag in types)
    if scheme == "io" or (scheme == "auto" and are_bare):
        return spelling | {tag: f"I-{tag}" for tag in types}, "io"
    return spelling, scheme


def recognise(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of a whole corpus: "iob1", "iob2" or "bilou"; "iob2" where the tags fit several.

    IOB1 writes B- only between touching spans of one type, IOB2 before every span. Real corpora break either
    rule now and then, so the more frequent kind of span start decides.
    """
    starts = Counter[str]()
    for tags in sentences:
        for before, tag in pairwise(["O", *tags]):
            if tag[0] in "LUESMW":
                return "bilou"
            if type_of(tag) not in (None, type_of(before)):
                starts[tag[0]] += 1
    return "iob1" if starts["I"] > starts["B"] else "iob2"


def to_iob2(tags: Sequence[str]) -> list[str]:
    """One sentence in IOB2, from any of the schemes, with the spans that conlleval reads from it.

    An I-, M-, L- or E- continues an open span of its type (one that B-, I- or M- wrote). Any other tag but O starts
    a span.
    """
    converted = []
    for before, tag in pairwise(["O", *tags]):
        kind = type_of(tag)
        inside = tag[0] in "ILEM" and before[0] in "BIM" and kind == type_of(before)
        converted.append("O" if kind is None else f"I-{kind}" if inside else f"B-{kind}")
    return converted
