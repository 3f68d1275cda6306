"""Where the vectors of words come from: a file, an encoder's table of sub-words, or chance."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from al_bench.config.schema import ModelConfig
from al_bench.learners.engine.loading import inspect, load_network
from al_bench.learners.engine.vector_files import read_vectors
from al_bench.learners.engine.weights import fetch

WORD = re.compile(r"\w+|[^\w\s]")


class Vectors(Protocol):
    """pieces: whether the words of texts are an encoder's sub-words, whose case is that of its table"""

    pieces: bool

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of texts."""
        ...

    def of(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """((n, width) float32 with zeros where there is none, (n,) bool whether there is one)"""
        ...


class RandomVectors:
    """There are none yet: each fit draws its own."""

    pieces = False

    def __init__(self, width: int) -> None:
        self.width = width

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        return [WORD.findall(text) for text in texts]

    def of(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(words), self.width), dtype=np.float32), np.zeros(len(words), dtype=bool)


class FileVectors(RandomVectors):
    """A word that the file lacks has the vector of its lower-case form.

    The file is read for each set of words, so that no others are kept. key: of the config, for messages
    """

    def __init__(self, key: str, path: str) -> None:
        self.key, self.path = key, path

    def of(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        self.width, read = read_vectors(self.key, self.path, {*words, *(word.lower() for word in words)})
        vectors, known = super().of(words)
        for i, word in enumerate(words):
            vector = read.get(word, read.get(word.lower()))
            if vector is not None:
                vectors[i], known[i] = vector, True
        return vectors, known


class SubwordTable:
    """The input embeddings of an encoder. Texts are split into its sub-words; a word of a sentence has their mean.

    Raises `UserError` where the encoder cannot be loaded.
    """

    def __init__(self, role: str, model: ModelConfig, task: str) -> None:
        source, self.pieces = fetch(role, model), task == "classification"
        with source.reading():
            self.tokenizer, configuration, _ = inspect_table(role, model, task)
            network: Any = load_network(source, configuration, "encoder")[0]
        self.table = network.get_input_embeddings().weight.detach().numpy().copy()

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        batch = self.tokenizer(list(texts), add_special_tokens=False)
        return [batch.tokens(i) for i in range(len(texts))]

    def of(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if self.pieces:
            rows = [[number] for number in self.tokenizer.convert_tokens_to_ids(list(words))]
        elif words:
            alone = [[word] for word in words]
            rows = self.tokenizer(alone, is_split_into_words=True, add_special_tokens=False)["input_ids"]
        else:
            rows = []
        vectors = np.zeros((len(rows), self.table.shape[1]), dtype=np.float32)
        for i, row in enumerate(rows):
            if row:
                vectors[i] = self.table[row].mean(axis=0)
        return vectors, np.array([len(row) > 0 for row in rows], dtype=bool)


def inspect_table(role: str, model: ModelConfig, task: str) -> tuple[Any, Any, Any]:
    """As `loading.inspect`, of an encoder whose layers and positions do not matter."""
    return inspect(fetch(role, model), replace(model, max_length=None, num_hidden_layers=None), task, "encoder", 0)
