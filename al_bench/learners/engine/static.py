"""Embeddings by a table of sub-words' vectors, without a network: the format of model2vec (Tulkens & van Dongen 2024).

model.safetensors  embeddings (rows, width); weights (tokens,) and mapping (tokens,), the row of each token, if any
tokenizer.json     whose ids are the tokens
config.json        normalize: whether vectors of texts have length one
"""

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np
import scipy
import transformers
from safetensors.numpy import load_file
from scipy.sparse import csr_array
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from al_bench.errors import reject
from al_bench.learners.base import Cache
from al_bench.learners.engine.embedding import VERSION, Embedder
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.loading import put_space_before_words
from al_bench.learners.engine.regression import unit_rows
from al_bench.learners.engine.weights import CONFIG, WEIGHTS, Source

BLOCK = 8192  # texts, or words, that are computed at once
TOKENIZER = "tokenizer.json"


class TableEmbedder(Embedder):
    """A text, or a word, is the mean of its sub-words' vectors; zeros where all of them are unknown.

    table: (tokens, width) float32, each token's weight applied
    unknown: the token that stands for what the tokenizer does not know, and counts nowhere; None if there is none
    unit: whether a text's vector has length one
    """

    def __init__(self, table: np.ndarray, unknown: int | None, unit: bool, cache: Cache | None) -> None:
        super().__init__(cache)
        self._table, self._unknown, self._unit = table, unknown, unit
        self.width = table.shape[1]

    def _embed(self, encoded: Encoded, precision: str, vectors: np.ndarray) -> None:
        """In float32, whatever the precision."""
        tokens, firsts = encoded.tokens, encoded.firsts
        if firsts is None:
            bounds = tokens.offsets
        else:  # without special tokens a word ends where the next one begins
            starts = firsts.values + np.repeat(tokens.offsets[:-1], firsts.lengths)
            bounds = np.append(starts, tokens.offsets[-1])
        known = np.ones(len(tokens.values), dtype=bool) if self._unknown is None else tokens.values != self._unknown
        ends = np.concatenate(([0], np.cumsum(known)))[bounds]
        counts = np.diff(ends)
        shares = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
        means = csr_array((shares, tokens.values[known], ends), shape=(len(counts), len(self._table)))
        for start in range(0, len(counts), BLOCK):
            rows = means[start : start + BLOCK] @ self._table
            vectors[start : start + BLOCK] = unit_rows(rows) if self._unit and firsts is None else rows

    @cached_property
    def digest(self) -> str:
        facts = [VERSION, "table", scipy.__version__, self._unknown, self._unit, self._table.shape]
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(np.ascontiguousarray(self._table).data)
        return digest.hexdigest()


def load_table(source: Source, task: str, cache: Cache | None) -> tuple[Any, TableEmbedder]:
    """The tokenizer, which adds no special tokens, and the table. Raises `UserError` where they do not fit."""
    if not source.has(TOKENIZER):
        raise reject(source.role, source.name, f"has no {TOKENIZER}", "save the model with model2vec again")
    backend = Tokenizer.from_file(str(source.folder / TOKENIZER))
    backend.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    if task == "tagging":
        put_space_before_words(tokenizer.backend_tokenizer)
    tensors = load_file(source.folder / WEIGHTS)
    table, mapping = tensors["embeddings"], tensors.get("mapping")
    if mapping is not None:
        table = table[mapping]
    token = max(tokenizer.get_vocab().values())
    if token >= len(table):
        broken = f"its tokenizer has a token {token}, but there are only {len(table)} vectors, from 0"
        raise reject(source.role, source.name, broken, "put the tokenizer.json and the weights of one model together")
    table = table.astype(np.float32)
    if "weights" in tensors:
        table *= tensors["weights"].astype(np.float32)[:, None]
    settings = json.loads((source.folder / CONFIG).read_text(encoding="utf-8"))
    return tokenizer, TableEmbedder(table, _unknown(backend), bool(settings.get("normalize", False)), cache)


def _unknown(backend: Tokenizer) -> int | None:
    model = json.loads(backend.to_str())["model"]
    name = model.get("unk_token")
    return model.get("unk_id") if name is None else backend.token_to_id(name)
