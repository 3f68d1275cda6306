"""Files of word vectors, an encoder's table, and the words that have them."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError
from al_bench.learners.engine.lexicon import Lexicon
from al_bench.learners.engine.vector_files import read_vectors
from al_bench.learners.engine.vectors import FileVectors, RandomVectors, SubwordTable
from al_bench.learners.engine.word_networks import SPREAD, Letters, WordTable

KEY = "successor.params.vectors"
VECTORS = {"good": [0.5, -1.0, 2.25], "Oslo": [1e-3, 0.0, 4.0], ". . .": [1.0, 2.0, 3.0], "é": [7.0, 8.0, 9.0]}


def text(vectors: dict[str, list[float]]) -> bytes:
    return "".join(f"{word} {' '.join(map(str, numbers))}\n" for word, numbers in vectors.items()).encode()


def with_header(vectors: dict[str, list[float]]) -> bytes:
    return f"{len(vectors)} {len(next(iter(vectors.values())))}\n".encode() + text(vectors)


def binary(vectors: dict[str, list[float]], end: bytes = b"\n") -> bytes:
    rows = [word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + end for word, row in vectors.items()]
    return with_header(vectors).partition(b"\n")[0] + b"\n" + b"".join(rows)


def saved(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize("make", [text, with_header], ids=["GloVe", "word2vec"])
def test_a_file_of_text(make: Callable[[dict[str, list[float]]], bytes], tmp_path: Path) -> None:
    path = saved(tmp_path, "vectors.txt", make(VECTORS) + b"good 9 9 9\n"[: 99 * (make is text)])
    width, read = read_vectors(KEY, path, {"good", ". . .", "é", "absent"})
    assert width == 3
    assert {word: vector.tolist() for word, vector in read.items()} == {w: VECTORS[w] for w in ("good", ". . .", "é")}
    assert read_vectors(KEY, path) == (3, {}), "no vector is kept that nobody wants"


@pytest.mark.parametrize("end", [b"\n", b""], ids=["lines", "no lines"])
def test_a_binary_file(end: bytes, tmp_path: Path) -> None:
    words = {word: row for word, row in VECTORS.items() if " " not in word}
    width, read = read_vectors(KEY, saved(tmp_path, "vectors.bin", binary(words, end)), {*words, "absent"})
    assert width == 3
    assert {word: vector.tolist() for word, vector in read.items()} == {
        word: np.array(row, dtype=np.float32).tolist() for word, row in words.items()
    }


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=5)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=25, deadline=None)
@given(vectors=st.dictionaries(WORDS, st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_what_is_written_is_read(
    vectors: dict[str, tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, rows = tmp_path_factory.getbasetemp(), {word: list(numbers) for word, numbers in vectors.items()}
    for name, content in (("a.txt", with_header(rows)), ("a.bin", binary(rows))):
        width, read = read_vectors(KEY, saved(folder, name, content), set(rows))
        assert width == 2
        assert {word: vector.tolist() for word, vector in read.items()} == rows


BROKEN = {
    "too few": ("a.txt", b"a 1 2\nb 1\n", "line 2 has not 2 numbers after its word, as the first line has"),
    "too many": ("a.txt", b"a 1 2\nb 1 2 3\n", "line 2 has not 2 numbers after its word"),
    "no number": ("a.txt", b"2 2\na 1 2\nb 1 x\n", "line 3 has something among its numbers that is none"),
    "two points": ("a.txt", b"a 1 2\nb 1 2.3.4\n", "line 2 has something among its numbers that is none"),
    "not finite": ("a.txt", b"a 1 2\nb 1 1e99\n", "line 2 has numbers that are not finite"),
    "cut": ("a.txt", b"3 2\na 1 2\nb 1 2\n", "has 2 words, and line 1 says 3"),
    "empty": ("a.txt", b"", "line 1 has no word and numbers"),
    "packed": ("a.txt", b"\x1f\x8b\x08\x00", "line 1 has no word and numbers"),
    "cut binary": ("a.bin", binary(VECTORS)[:-5], "ends within word 4 of 4"),
    "binary without a start": ("a.bin", text(VECTORS), "line 1 does not say how many words and numbers there are"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    name, content, expected = BROKEN[case]
    path = saved(tmp_path, name, content)
    with pytest.raises(UserError) as caught:
        read_vectors(KEY, path, {"a", "b"})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{KEY}={path}: {expected}")
    assert line.endswith("; give an unpacked file of word2vec's (text, or binary ending in .bin) or GloVe's")


def test_a_word_without_a_vector_has_that_of_its_lower_case_form(tmp_path: Path) -> None:
    source = FileVectors(KEY, saved(tmp_path, "a.txt", text(VECTORS)))
    vectors, known = source.of(["Good", "Oslo", "oslo", "GOOD"])
    assert known.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(
        vectors, np.array([VECTORS["good"], VECTORS["Oslo"], [0, 0, 0], VECTORS["good"]], dtype=np.float32)
    )


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_an_encoders_table(name: str, family: Callable[[str], Path]) -> None:
    """Its sub-words of texts, and for a word the mean of those that transformers makes of it."""
    model = ModelConfig(name="tiny", path=str(family(name)), max_length=9999)
    tokenizer = transformers.AutoTokenizer.from_pretrained(family(name))
    table = transformers.AutoModel.from_pretrained(family(name)).get_input_embeddings().weight.detach().numpy()
    texts = SubwordTable("successor", model, "classification")
    pieces = texts.split(["good film", "zebra", ""])
    assert pieces == [tokenizer.tokenize("good film"), tokenizer.tokenize("zebra"), []]
    rows, known = texts.of(pieces[1])
    np.testing.assert_array_equal(rows, table[tokenizer.convert_tokens_to_ids(pieces[1])])
    assert known.all()
    # Capitals are taken off the texts: the table of bytes has no lower-case form of the sub-words themselves.
    lexicon = Lexicon(texts, lowercase=True)
    encoded = lexicon.encode(["Good film", "ZEBRA"], 32)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("good film", "zebra")]
    np.testing.assert_array_equal(lexicon.vectors[lexicon.words[encoded.tokens.values]], table[np.concatenate(ids)])
    words = ["zebra", "film", "\u200b"]
    rows, known = SubwordTable("successor", model, "tagging").of(words)
    for word, row in zip(words[:2], rows, strict=False):
        ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        np.testing.assert_allclose(row, table[ids].mean(axis=0), rtol=1e-5)
    assert known[:2].all()


def test_a_lexicon_grows_with_corpora(tmp_path: Path) -> None:
    lexicon = Lexicon(FileVectors(KEY, saved(tmp_path, "a.txt", text(VECTORS))), lowercase=True)
    one = lexicon.encode(["Good film, good!", "", "\u200b"], 9)
    assert lexicon.spellings == ["", "Good", "film", ",", "good", "!"]
    assert [row.tolist() for row in one.tokens.rows()] == [[1, 2, 3, 4, 5], [0], [0]]
    assert lexicon.words.tolist() == [0, 1, 2, 3, 1, 4]
    assert lexicon.known.tolist() == [False, True, False, False, False]
    two = lexicon.encode([["a", "\u200b", "OSLO", "é"], []], 2)
    assert [row.tolist() for row in two.tokens.rows()] == [[6, 7], [0]]
    assert two.firsts is not None
    assert [row.tolist() for row in two.firsts.rows()] == [[0, 1], []]
    assert two.places(np.arange(2)).tolist() == [0, 2], "what is invisible or beyond the length does not survive"
    assert lexicon.known.tolist() == [False, True, False, False, False, False, False], "oslo, in lower case, has none"
    assert len(lexicon.vectors) == len(lexicon.known) == 7


def test_invisible_words_take_no_place() -> None:
    """Else a sentence is shorter than its limit, and nobody says that its end was cut off."""
    encoded = Lexicon(RandomVectors(4), lowercase=True).encode([["a", "\u200b", "b", "c", "d", "e"]], 4)
    assert encoded.kept is not None
    assert encoded.kept.tolist() == [0, 2, 3, 4]


def table_of(lexicon: Lexicon, split: list[int], fitted: list[int], **facts: bool) -> WordTable:
    torch.manual_seed(1)
    return WordTable(lexicon, np.array(split), np.array(fitted), facts.get("freeze", False))


def test_only_words_that_a_fit_sees_are_parameters(tmp_path: Path) -> None:
    lexicon = Lexicon(FileVectors(KEY, saved(tmp_path, "a.txt", text(VECTORS))), lowercase=False)
    lexicon.encode([["good", "bad", "Oslo", "é", "new", "other"]], 9)
    table = table_of(lexicon, [1, 2, 3, 5], [2, 1])
    assert table.table.weight.shape == (3, 3)
    assert table_of(lexicon, [1, 2, 3, 5], [2, 1], freeze=True).table.weight.requires_grad is False
    vectors = table(torch.arange(7)).detach().numpy()
    for number, word in ((1, "good"), (3, "Oslo"), (4, "é")):
        np.testing.assert_array_equal(vectors[number], np.array(VECTORS[word], dtype=np.float32))
    assert (vectors[[0, 6]] == 0).all(), "padding, and a word that neither the split nor the file has"
    bound = np.sqrt(3) * np.std([VECTORS["good"], VECTORS["Oslo"]])
    drawn = vectors[[2, 5]]
    assert (np.abs(drawn) <= bound).all()
    assert len(np.unique(drawn)) == 6
    lexicon.encode([["later", "good"]], 9)
    table.extend(lexicon)
    assert (table(torch.tensor([7])) == 0).all()
    np.testing.assert_array_equal(table(torch.arange(7)).detach().numpy(), vectors)


def test_random_vectors_are_a_function_of_the_training_split_alone() -> None:
    """Whether another corpus was seen before, and what of the split is fitted on, changes none of them."""
    lexicons = [Lexicon(RandomVectors(4), lowercase=True) for _ in range(2)]
    lexicons[1].encode(["another text, and the film"], 9)
    drawn = []
    for lexicon, fitted in zip(lexicons, (slice(None), slice(2)), strict=True):
        numbers = lexicon.encode(["the film was good"], 9).tokens.values
        drawn.append(table_of(lexicon, numbers.tolist(), numbers[fitted].tolist())(torch.from_numpy(numbers)))
    assert torch.equal(*drawn)
    assert drawn[0].abs().max() <= SPREAD


def test_characters_that_the_split_lacks_have_the_vector_0() -> None:
    lexicon = Lexicon(RandomVectors(4), lowercase=True)
    lexicon.encode([["abc", "ab", "xy", "aXc", "a" * 99]], 9)
    letters = Letters(lexicon, np.array([1, 2]), width=5, filters=6)
    assert letters.table.weight.shape == (5, 5), "padding, unknown, a, b, c"
    assert letters.letters[4, :4].tolist() == [2, 1, 4, 0]
    with torch.no_grad():
        vectors = letters(torch.arange(6))
        unknown, zeros = vectors[3], letters.convolution.filters.bias.relu()
    torch.testing.assert_close(unknown, zeros)
    assert vectors.shape == (6, 6)
    lexicon.encode([["cab"]], 9)
    letters.extend(lexicon)
    torch.testing.assert_close(letters(torch.arange(6)), vectors)
