"""Tags against spans: drawn as spans, written in every scheme, read back by a decoder of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from al_bench.data.tags import check_tags, recognise, tag_names, to_iob2
from al_bench.errors import UserError

Spans = list[tuple[str, int, int]]  # type, start, end (exclusive)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[int, Spans]:
    """A length and spans in it that do not overlap but may touch."""
    position, spans = 0, []
    for _ in range(draw(st.integers(0, 4))):
        start = position + draw(st.integers(0, 2))
        position = start + draw(st.integers(1, 3))
        spans.append((draw(st.sampled_from(["PER", "LOC", "GEO-POL"])), start, position))
    return max(1, position + draw(st.integers(0, 2))), spans


def written(scheme: str, length: int, spans: Spans) -> list[str]:
    tags = ["O"] * length
    for kind, start, end in spans:
        touching = any(other == kind and stop == start for other, _, stop in spans)
        first = "I" if scheme == "iob1" and not touching else "B"
        tags[start:end] = [f"{first}-{kind}", *[f"I-{kind}"] * (end - start - 1)]
        if scheme in ("bilou", "bioes"):
            last, single = ("L", "U") if scheme == "bilou" else ("E", "S")
            tags[end - 1] = f"{single if end - start == 1 else last}-{kind}"
    return tags


def spans_of(iob2: list[str]) -> Spans:
    """Strict reading: every span begins with B- and goes on with I- of its type."""
    spans: Spans = []
    for i, tag in enumerate(iob2):
        if tag.startswith("B-"):
            spans.append((tag[2:], i, i + 1))
        elif tag.startswith("I-"):
            kind, start, end = spans.pop()
            assert (kind, end) == (tag[2:], i), "I- must continue a span"
            spans.append((kind, start, i + 1))
    return spans


@given(sentences(), st.sampled_from(["iob1", "iob2", "bilou", "bioes"]))
def test_spans_survive_the_way_they_were_written(sentence: tuple[int, Spans], scheme: str) -> None:
    length, spans = sentence
    assert spans_of(to_iob2(written(scheme, length, spans))) == spans


@given(st.lists(sentences(), min_size=1, max_size=5), st.sampled_from(["iob1", "iob2", "bilou"]))
def test_a_scheme_is_recognised_where_the_corpus_shows_it(drawn: list[tuple[int, Spans]], scheme: str) -> None:
    tags = [written(scheme, length, spans) for length, spans in drawn]
    assert recognise(tags) == (scheme if any(spans for _, spans in drawn) else "iob2")


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=1, max_size=8), st.data())
def test_f1_of_converted_tags_is_the_f1_of_their_spans(tags: list[str], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y"]), min_size=len(tags), max_size=len(tags)))
    ours, theirs = to_iob2(tags), to_iob2(other)
    assert f1_score([tags], [other], zero_division=0) == f1_score([ours], [theirs], zero_division=0)
    gold, predicted = set(spans_of(ours)), set(spans_of(theirs))
    by_hand = 2 * len(gold & predicted) / (len(gold) + len(predicted)) if gold or predicted else 0
    assert f1_score([ours], [theirs], zero_division=0) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("tags", "iob2"),
    [
        ("I-PER I-PER", "B-PER I-PER"),  # at the sentence's end
        ("O I-PER", "O B-PER"),
        ("B-PER I-LOC", "B-PER B-LOC"),  # another type
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),  # touching spans in IOB1
        ("U-PER I-PER L-PER", "B-PER B-PER I-PER"),  # nothing goes on after U-
        ("B-PER L-PER L-PER", "B-PER I-PER B-PER"),
        ("B-PER O E-PER", "B-PER O B-PER"),
        ("S-A S-A", "B-A B-A"),
    ],
)
def test_conversion_by_hand(tags: str, iob2: str) -> None:
    assert to_iob2(tags.split()) == iob2.split()


def test_a_few_wrong_starts_do_not_change_the_scheme() -> None:
    assert recognise([["B-PER", "O", "B-LOC"], ["O", "I-LOC"]]) == "iob2"
    assert recognise([["I-PER", "O", "I-LOC"], ["O", "B-LOC"]]) == "iob1"
    assert recognise([["O"], []]) == "iob2"


def test_tag_names_are_sorted_by_type() -> None:
    assert tag_names(["PER", "LOC", "PER"]) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


@pytest.mark.parametrize("tag", ["PER", "B-", "B", "o", "3", "", "X-PER", "BI-PER"])
def test_what_is_no_tag_is_named(tag: str) -> None:
    with pytest.raises(UserError, match="is no tag") as caught:
        check_tags(["O", "B-PER", tag])
    assert repr(tag) in str(caught.value)


def test_a_fixed_scheme_admits_its_own_prefixes_only() -> None:
    check_tags(["U-PER", "L-PER"], "bilou")
    with pytest.raises(UserError, match=r"dataset.scheme=iob1: 'U-PER' is no tag"):
        check_tags(["U-PER"], "iob1")
