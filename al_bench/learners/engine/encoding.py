"""Texts and sentences as flat arrays of sub-words, tokenised once per (inputs, tokenizer, length)."""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tokenizers

from al_bench.data.corpus import Inputs
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import Arrays, Cache

VERSION = 5  # raised when the arrays below change
CHUNK = 2048  # inputs per call of the tokenizer: bounds the memory of its objects


@dataclass(frozen=True, eq=False)
class Encoded:
    """n encoded inputs; hashed by identity, so that what is computed from it can be kept in a dict.

    tokens: `Ragged` int32 sub-word ids, special tokens included
    types: (total,) int8 segment of each sub-word, or None where all are 0
    firsts: tagging: `Ragged` int32 position, in its sequence, of the sub-word that stands for each surviving word: its
        first, or for a decoder its last
    kept: tagging: (total words,) int32 position of each surviving word in its sentence
    lengths: tagging: (n,) int64 words of each sentence, including those without a sub-word
    seconds: what tokenising took when it was done
    """

    tokens: Ragged
    types: np.ndarray | None = None
    firsts: Ragged | None = None
    kept: np.ndarray | None = None
    lengths: np.ndarray | None = None
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.tokens)

    def places(self, ids: np.ndarray) -> np.ndarray:
        """Tagging: where each surviving word stands among all words of these sentences."""
        assert self.firsts is not None
        assert self.kept is not None
        assert self.lengths is not None
        starts = offsets_of(self.lengths[ids])[:-1]
        return np.repeat(starts, self.firsts.lengths[ids]) + self.kept[self.firsts.positions(ids)]


def encode(inputs: Inputs, tokenizer: Any, max_length: int, cache: Cache | None, *, causal: bool = False) -> Encoded:
    """Encode texts (strings) or sentences (lists of words), unless the cache has the arrays.

    Truncates to `max_length` sub-words. A word may have no sub-word left, because the tokenizer drops all its
    characters or the sentence is too long. Gold labels are not shortened; such words are predicted "O".

    causal: for a decoder, whose first sub-word of a word has not seen the others
    """

    def compute() -> Arrays:
        start = time.perf_counter()
        encoded = _tokenise(inputs, tokenizer, max_length, causal)
        return _arrays(replace(encoded, seconds=time.perf_counter() - start))

    return _encoded(compute() if cache is None else cache(_key(inputs, tokenizer, max_length, causal), compute))


def _tokenise(inputs: Inputs, tokenizer: Any, max_length: int, causal: bool) -> Encoded:
    tagging = bool(len(inputs)) and not isinstance(inputs[0], str)
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    firsts: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    for start in range(0, len(inputs), CHUNK):
        batch = tokenizer(
            list(inputs[start : start + CHUNK]), is_split_into_words=tagging, truncation=True,
            max_length=max_length, padding=False, return_attention_mask=False,
        )  # fmt: skip
        # Without special tokens nothing may be left of a text, and a network needs something; a table pads nothing.
        pad = [] if tokenizer.pad_token_id is None else [tokenizer.pad_token_id]
        pad_type = [tokenizer.pad_token_type_id] * len(pad)
        ids += [np.asarray(row or pad, dtype=np.int32) for row in batch["input_ids"]]
        types += [np.asarray(row or pad_type, dtype=np.int8) for row in batch.get("token_type_ids", [])]
        for i in range(len(batch["input_ids"]) if tagging else 0):
            words = np.array([-1 if w is None else w for w in batch.word_ids(i)], dtype=np.int32)
            neighbours = np.append(words[1:], -1) if causal else np.append(-1, words[:-1])
            positions = np.flatnonzero((words >= 0) & (words != neighbours))
            firsts.append(positions.astype(np.int32))
            kept.append(words[positions])
    tokens = _stack(ids)
    segments = np.concatenate([np.empty(0, np.int8), *types])
    encoded = Encoded(tokens, segments if segments.any() else None)
    if not tagging:
        return encoded
    lengths = np.array([len(words) for words in inputs], dtype=np.int64)
    return replace(encoded, firsts=_stack(firsts), kept=np.concatenate(kept), lengths=lengths)


def _stack(rows: list[np.ndarray]) -> Ragged:
    """Of int32 rows."""
    return Ragged(np.concatenate([np.empty(0, np.int32), *rows]), offsets_of([len(row) for row in rows]))


def _key(inputs: Inputs, tokenizer: Any, max_length: int, causal: bool) -> str:
    """A hash of all that the arrays depend on: the inputs, the tokenizer's settings, and the length."""
    settings = [VERSION, tokenizers.__version__, max_length, causal, tokenizer.truncation_side]
    settings += [type(tokenizer).__name__, tokenizer.split_special_tokens, *tokenizer.model_input_names]
    # Its last call set these two of the tokenizer's own settings; the next call sets them again.
    settings += [json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for start in range(0, len(inputs), CHUNK):
        digest.update(json.dumps(list(inputs[start : start + CHUNK])).encode())
    return digest.hexdigest()[:24]


def _arrays(encoded: Encoded) -> Arrays:
    """What `_encoded` makes it of again."""
    arrays: Arrays = {}
    for field, value in vars(encoded).items():
        if isinstance(value, Ragged):
            arrays |= {field: value.values, f"{field}_offsets": value.offsets}
        elif value is not None:
            arrays[field] = np.asarray(value)
    return arrays


def _encoded(arrays: Arrays) -> Encoded:
    fields: dict[str, Any] = dict(arrays)
    for field in ("tokens", "firsts"):
        if field in fields:
            fields[field] = Ragged(fields[field], fields.pop(f"{field}_offsets"))
    return Encoded(**fields | {"seconds": float(arrays["seconds"])})
