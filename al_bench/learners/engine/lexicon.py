"""The words of corpora, numbered, and their vectors."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from al_bench.data.corpus import Inputs
from al_bench.data.ragged import Ragged
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.vectors import Vectors


class Lexicon:
    """All words that a learner has seen; it grows with every corpus.

    spellings: all that differ; number 0 is padding, and stands for an empty text
    words: (spellings,) number of the word that each is a spelling of, where case may be ignored
    vectors, known: of the words by the source, see `Vectors.of`; number 0 has none
    """

    # What `Collator` asks of a tokenizer.
    pad_token_id, pad_token_type_id = 0, 0

    def __init__(self, source: Vectors, lowercase: bool) -> None:
        self._source, self._lowercase = source, lowercase
        self._spellings, self._words = {"": 0}, {"": 0}
        self.words = np.zeros(1, dtype=np.int64)
        self.vectors, self.known = np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=bool)

    @property
    def spellings(self) -> list[str]:
        return list(self._spellings)

    def encode(self, inputs: Inputs, max_length: int) -> Encoded:
        """The first words of texts or sentences, but for invisible ones, as of zero-width characters alone.

        Those that are new are numbered, and their vectors read.
        """
        start, tagging = time.perf_counter(), bool(len(inputs)) and not isinstance(inputs[0], str)
        texts = inputs if tagging else self._split(inputs)  # type: ignore[arg-type]
        kept = [[i for i, word in enumerate(words) if _is_visible(word)][:max_length] for words in texts]
        numbers = self._spellings
        rows = [
            [numbers.setdefault(words[i], len(numbers)) for i in row] for words, row in zip(texts, kept, strict=True)
        ]
        self._grow()
        encoded = Encoded(Ragged.of([row or [0] for row in rows], np.int32))
        if tagging:
            firsts = Ragged.of([range(len(row)) for row in rows], np.int32)
            lengths = np.array([len(words) for words in texts], dtype=np.int64)
            encoded = replace(encoded, firsts=firsts, kept=Ragged.of(kept, np.int32).values, lengths=lengths)
        return replace(encoded, seconds=time.perf_counter() - start)

    def _split(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces keep their case, since a table may lack their lower-case forms; so that of the texts goes first."""
        lowercase = self._lowercase and self._source.pieces
        return self._source.split([text.lower() for text in texts] if lowercase else texts)

    def _grow(self) -> None:
        before, first = len(self._words), not len(self.known)
        spellings = self.spellings[len(self.words) :]
        lowercase = self._lowercase and not self._source.pieces
        words = [word.lower() for word in spellings] if lowercase else spellings
        numbers = [self._words.setdefault(word, len(self._words)) for word in words]
        self.words = np.concatenate([self.words, np.array(numbers, dtype=np.int64)])
        fresh = list(self._words)[before:]
        if first or fresh:
            vectors, known = self._source.of(fresh)
            if first:
                vectors, known = np.pad(vectors, ((1, 0), (0, 0))), np.pad(known, (1, 0))
                self.vectors = self.vectors.reshape(0, vectors.shape[1])
            self.vectors, self.known = np.concatenate([self.vectors, vectors]), np.concatenate([self.known, known])


def _is_visible(word: str) -> bool:
    return any(letter.isprintable() and not letter.isspace() for letter in word)
