"""Files of word vectors: word2vec's (Mikolov et al. 2013), as text or binary, and GloVe's (Pennington et al. 2014).

A line of text has a word and its numbers. word2vec's first line says how many words there are, and how many numbers
each has; GloVe's files have no such line. In a binary file a blank and float32 numbers follow each word.
"""

import mmap
from collections.abc import Container
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from al_bench.errors import reject

NUMERIC = b"0123456789+-.eE \r\n"

Read = dict[str, np.ndarray]


class _Bad(Exception):
    """Where a file is broken, and how."""


def read_vectors(key: str, path: str, wanted: Container[str] = frozenset()) -> tuple[int, Read]:
    """(width, {word: (width,) float32 vector}) of the wanted words that are there; of two vectors the first counts.

    The whole file is looked at, and no other vector kept. Raises `UserError` where it has a bad line, or is cut.
    key: of the config, for messages
    """
    remedy = "give an unpacked file of word2vec's (text, or binary ending in .bin) or GloVe's"
    try:
        with Path(path).open("rb") as file:
            return (_binary if path.endswith(".bin") else _text)(file, wanted)
    except OSError as error:
        raise reject(key, path, f"cannot be read ({error.strerror})", remedy) from error
    except _Bad as bad:
        raise reject(key, path, str(bad), remedy) from bad


def _text(file: BinaryIO, wanted: Container[str]) -> tuple[int, Read]:
    first = file.readline()
    sizes = _sizes(first)
    lines = enumerate(file, 2) if sizes else enumerate(chain([first], file), 1)
    count, width = sizes or (None, first.rstrip().count(b" "))
    if width == 0:
        raise _Bad("line 1 has no word and numbers")
    vectors: Read = {}
    lines_with_words = 0
    for number, line in lines:
        if line.isspace():
            continue
        lines_with_words += 1
        # Some of GloVe's words have blanks.
        word, *numbers = line.rstrip().rsplit(b" ", width)
        if len(numbers) != width or _is_number(word.rpartition(b" ")[2] if b" " in word else b""):
            raise _Bad(f"line {number} has not {width} numbers after its word, as the first line has")
        if line[len(word) :].translate(None, NUMERIC):
            raise _Bad(f"line {number} has something among its numbers that is none")
        name = word.decode(errors="replace")
        if name in wanted and name not in vectors:
            try:
                with np.errstate(over="ignore"):
                    vectors[name] = _finite(np.array(numbers).astype(np.float32), f"line {number}")
            except ValueError as error:
                raise _Bad(f"line {number} has something among its numbers that is none") from error
    if count not in (None, lines_with_words):
        raise _Bad(f"has {lines_with_words:,} words, and line 1 says {count:,}")
    return width, vectors


def _binary(file: BinaryIO, wanted: Container[str]) -> tuple[int, Read]:
    sizes = _sizes(file.readline())
    if sizes is None:
        raise _Bad("line 1 does not say how many words and numbers there are")
    (count, width), position, vectors = sizes, file.tell(), {}
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number in range(1, count + 1):
            start = content.find(b" ", position) + 1
            end = start + 4 * width
            if start == 0 or end > len(content):
                raise _Bad(f"ends within word {number:,} of {count:,}")
            name = content[position : start - 1].lstrip(b"\n").decode(errors="replace")
            if name in wanted and name not in vectors:
                vectors[name] = _finite(np.frombuffer(content[start:end], "<f4").astype(np.float32), f"word {number}")
            position = end
    return width, vectors


def _sizes(line: bytes) -> tuple[int, int] | None:
    """The numbers of words and of numbers for each; None where it is another line."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or int(fields[1]) == 0:
        return None
    return int(fields[0]), int(fields[1])


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _finite(vector: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(vector).all():
        raise _Bad(f"{where} has numbers that are not finite")
    return vector
