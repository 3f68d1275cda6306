"""Networks over the words of a `Lexicon`, called as those of transformers are."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from al_bench.learners.engine.crf import Crf
from al_bench.learners.engine.lexicon import Lexicon

SPREAD = 0.25  # of random vectors where none are known, as in Kim 2014
LONGEST_WORD = 30  # characters of a word that are looked at


class WordTable(nn.Module):
    """Vectors of words, of which those that a fit sees are parameters.

    Those of other words keep the value that they start from, which training would not change. Where the source has
    none, a word of the training split has a random vector, of the same variance as the source's, and any other word
    the vector 0.
    """

    rows: Tensor  # of each word in the table of parameters
    words: Tensor  # of each spelling
    others: Tensor  # vectors of all words, zeros where they are parameters

    def __init__(self, lexicon: Lexicon, split: np.ndarray, fitted: np.ndarray, freeze: bool) -> None:
        """split, fitted: spellings in the training split and in what is fitted on, the first of each word in order"""
        super().__init__()
        vectors, own = torch.from_numpy(lexicon.vectors.copy()), _distinct(lexicon.words[split])
        known = lexicon.known[own]
        spread = float(np.sqrt(3) * lexicon.vectors[own[known]].std()) if known.any() else SPREAD
        vectors[own[~known]] = torch.empty((~known).sum(), vectors.shape[1]).uniform_(-spread, spread)
        trained = np.concatenate([[0], _distinct(lexicon.words[fitted])])
        self.table = nn.Embedding.from_pretrained(vectors[trained], freeze=freeze, padding_idx=0)
        vectors[trained] = 0.0
        rows = torch.zeros(len(vectors), dtype=torch.long)
        rows[trained] = torch.arange(len(trained))
        for name, values in (("rows", rows), ("others", vectors), ("words", torch.from_numpy(lexicon.words))):
            self.register_buffer(name, values, persistent=False)

    def extend(self, lexicon: Lexicon) -> None:
        """To the words that the lexicon has got since."""
        fresh = len(self.rows)
        self.words = torch.from_numpy(lexicon.words).to(self.words.device)
        self.others = torch.cat([self.others, torch.from_numpy(lexicon.vectors[fresh:]).to(self.others)])
        self.rows = torch.cat([self.rows, self.rows.new_zeros(len(lexicon.vectors) - fresh)])

    def forward(self, spellings: Tensor) -> Tensor:
        words = self.words[spellings]
        vectors: Tensor = self.table(self.rows[words]) + F.embedding(words, self.others)
        return vectors


class Convolution(nn.Module):
    """Filters over all windows that touch a text, and the maximum of each (Kim 2014): (n, filters)."""

    def __init__(self, inputs: int, filters: int, width: int) -> None:
        super().__init__()
        self.filters = nn.Conv1d(inputs, filters, width, padding=width - 1)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states: (n, longest, inputs), zeros at the end; lengths: (n,), at least 1"""
        windows = F.relu(self.filters(states.mT))
        more = windows.shape[2] - states.shape[1]
        there = torch.arange(windows.shape[2], device=states.device) < (lengths + more).unsqueeze(1)
        return (windows * there.unsqueeze(1)).amax(dim=2)  # nothing is less than 0


class Letters(nn.Module):
    """A vector of each spelling from its characters: convolutions of width 3 (Ma and Hovy 2016).

    Characters that the training split has not have the vector 0.
    """

    letters: Tensor  # (spellings, LONGEST_WORD), 0 at the end, 1 where a character is unknown
    lengths: Tensor

    def __init__(self, lexicon: Lexicon, split: np.ndarray, width: int, filters: int) -> None:
        """split: spellings in the training split"""
        super().__init__()
        spellings = lexicon.spellings
        known = sorted({letter for number in np.unique(split) for letter in spellings[number][:LONGEST_WORD]})
        self.numbers = {letter: row for row, letter in enumerate(known, 2)}
        self.table = nn.Embedding(len(known) + 2, width, padding_idx=0)
        nn.init.uniform_(self.table.weight, -((3 / width) ** 0.5), (3 / width) ** 0.5)
        with torch.no_grad():
            self.table.weight[:2] = 0.0
        self.convolution = Convolution(width, filters, 3)
        self.register_buffer("letters", torch.zeros(0, LONGEST_WORD, dtype=torch.long), persistent=False)
        self.register_buffer("lengths", torch.zeros(0, dtype=torch.long), persistent=False)
        self.extend(lexicon)

    def extend(self, lexicon: Lexicon) -> None:
        """To the spellings that the lexicon has got since."""
        fresh = [spelling[:LONGEST_WORD] for spelling in lexicon.spellings[len(self.letters) :]]
        rows = np.zeros((len(fresh), LONGEST_WORD), dtype=np.int64)
        for row, spelling in zip(rows, fresh, strict=True):
            row[: len(spelling)] = [self.numbers.get(letter, 1) for letter in spelling]
        lengths = torch.tensor([max(len(spelling), 1) for spelling in fresh], dtype=torch.long)
        self.letters = torch.cat([self.letters, torch.from_numpy(rows).to(self.letters)])
        self.lengths = torch.cat([self.lengths, lengths.to(self.lengths)])

    def forward(self, spellings: Tensor) -> Tensor:
        flat = spellings.flatten()
        lengths = self.lengths[flat]
        letters = self.letters[flat, : int(lengths.max())]
        return self.convolution(self.table(letters), lengths).view(*spellings.shape, -1)


class WordNetwork(nn.Module):
    """words: of its inputs; the last layer computes the logits"""

    def __init__(self, words: WordTable, features: int, classes: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=classes)
        self.words, self.classifier = words, nn.Linear(features, classes)

    def extend(self, lexicon: Lexicon) -> None:
        self.words.extend(lexicon)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        """Logits (batch, classes), or (batch, longest, classes)."""
        lengths = input_ids.new_full(input_ids.shape[:1], input_ids.shape[1])
        if attention_mask is not None:
            lengths = attention_mask.sum(dim=1)
        return SimpleNamespace(logits=self.classifier(self.features(input_ids, lengths)))

    def features(self, spellings: Tensor, lengths: Tensor) -> Tensor:
        raise NotImplementedError


class Cnn(WordNetwork):
    """Filters of several widths, dropout and a linear layer (Kim 2014)."""

    def __init__(self, words: WordTable, widths: Sequence[int], filters: int, classes: int, dropout: float) -> None:
        super().__init__(words, len(widths) * filters, classes)
        inputs = words.others.shape[1]
        self.convolutions = nn.ModuleList(Convolution(inputs, filters, width) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def features(self, spellings: Tensor, lengths: Tensor) -> Tensor:
        states = self.words(spellings)
        maxima = [convolution(states, lengths) for convolution in self.convolutions]
        dropped: Tensor = self.dropout(torch.cat(maxima, dim=1))
        return dropped


class BilstmCrf(WordNetwork):
    """Words and their letters, layers of LSTMs in both directions, and emissions for a CRF (Lample et al. 2016).

    Dropout is before each layer and after the last one.
    """

    def __init__(
        self, words: WordTable, letters: Letters, hidden: int, layers: int, classes: int, dropout: float
    ) -> None:
        super().__init__(words, 2 * hidden, classes)
        self.letters, self.crf = letters, Crf(classes)
        inputs = [words.others.shape[1] + letters.convolution.filters.out_channels, *[2 * hidden] * (layers - 1)]
        self.layers = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True, bidirectional=True) for width in inputs)
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(layers + 1))

    def extend(self, lexicon: Lexicon) -> None:
        super().extend(lexicon)
        self.letters.extend(lexicon)

    def features(self, spellings: Tensor, lengths: Tensor) -> Tensor:
        states: Tensor = self.dropouts[0](torch.cat([self.words(spellings), self.letters(spellings)], dim=2))
        for layer, dropout in zip(self.layers, list(self.dropouts)[1:], strict=True):
            packed = pack_padded_sequence(states, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states = dropout(pad_packed_sequence(layer(packed)[0], batch_first=True)[0])
        return states


def _distinct(words: np.ndarray) -> np.ndarray:
    """Each word once, in the order of its first place, but for padding."""
    numbers, first = np.unique(words, return_index=True)
    ordered = numbers[np.argsort(first)]
    return ordered[ordered != 0]
