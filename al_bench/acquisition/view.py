"""What a query strategy and a candidate pool may look at, computed when it is looked at, timed and counted.

A view is lazy: a pass over the pool happens when something asks for it. It is honest: labels are those of the labelled
examples, and each pass is charged to the iteration.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from al_bench.acquisition.aggregates import aggregated, averaged
from al_bench.acquisition.pool import Pool
from al_bench.costs import Clock
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged, joined
from al_bench.errors import UserError
from al_bench.learners.base import Learner, Model, Unlabelled
from al_bench.learners.predictions import Parts, Predictions, assembled, finite

# What a strategy or a candidate pool can need.
FITTED = ("predictions", "embeddings", "samples", "gold")  # of the acquisition model as it is fitted in each cycle
PRETRAINED = ("pretrained", "surprisal")  # of its encoder as it comes, before any fit
NEEDS = (*FITTED, *PRETRAINED)


@dataclass
class View:
    """One query round's.

    needs: of `NEEDS`, what may be looked at; gold: of brackets, which no real annotator could run
    answers: the oracle's, of which only `labels` reads
    model: None where nothing of `FITTED` is needed; learner: None where nothing is
    seed: of the random masks of `samples` and `surprisal`
    aggregate: how scores of words become one of their sentence, see `aggregates.aggregated`
    exact: passes are in float32 whatever the precision of the run
    """

    corpus: Corpus
    pool_state: Pool
    answers: Labels
    needs: frozenset[str]
    model: Model | None = None
    learner: Learner | None = None
    seed: int = 0
    clock: Clock = field(default_factory=lambda: Clock(lambda: None))
    counts: Counter[str] = field(default_factory=Counter)
    aggregate: str = "mean"
    exact: bool = False
    _cache: dict[tuple[str, bytes], object] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> str:
        return self.corpus.task

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.corpus.label_names

    @property
    def classes(self) -> int:
        """Number of classes, or of tags."""
        return len(self.corpus.label_names)

    @property
    def inputs(self) -> Unlabelled:
        """Texts, or lists of words, of all examples by id."""
        return Unlabelled(self.corpus.train.inputs)

    @property
    def words(self) -> np.ndarray:
        """(n,) number of words of every example, by id."""
        return self.corpus.train.words

    @cached_property
    def pool(self) -> np.ndarray:
        """Ids of the unlabelled examples, rising."""
        return self.pool_state.unlabelled

    @cached_property
    def labelled(self) -> np.ndarray:
        """Ids of the labelled examples, rising."""
        return self.pool_state.labelled

    @cached_property
    def labels(self) -> Labels:
        """Of the labelled examples, in their order: (m,), or `Ragged` tags."""
        return self.answers[self.labelled]

    @property
    def scores(self) -> np.ndarray:
        """(n,) float32 by id: the score of the last query round that scored the example; NaN before the first."""
        return self.pool_state.score

    @cached_property
    def has_entity(self) -> np.ndarray:
        """(n,) bool by id, of spans: whether the predictions so far have an entity in the sentence."""
        return np.zeros(len(self.words), dtype=bool)

    def exactly(self) -> "View":
        """The same in float32 whatever the precision of the run."""
        return replace(self, exact=True, _cache={})

    def parts(self, ids: np.ndarray) -> Parts:
        """Predictions of some of the ids at a time, in any order: (positions in `ids`, predictions). Nothing is kept.

        With embeddings where these are needed, too: texts (k, width), sentences a row for each surviving word.
        """
        self._need("predictions", "embeddings")
        assert self.model is not None
        kind = self._kind(ids)
        with self.clock.phase("rescore" if self.exact else "predict"):
            for places, predictions in self.model.parts(
                self.inputs, ids, exact=self.exact, embeddings="embeddings" in self.needs
            ):
                self.counts.update({f"{kind}_examples": len(places), f"{kind}_tokens": predictions.tokens})
                if isinstance(predictions.probs, Ragged):
                    self.has_entity[ids[places]] = aggregated(predictions.labels(), "max") > 0
                yield places, predictions

    def predictions(self, ids: np.ndarray) -> Predictions:
        """Of all the ids, in their order; kept until the query is made.

        Raises `UserError` where some are not finite.
        """
        key = ("predictions", ids.tobytes())
        if key not in self._cache:
            self._cache[key] = assembled(self.parts(ids))
        predictions = self._cache[key]
        assert isinstance(predictions, Predictions)
        return predictions

    def embeddings(self, ids: np.ndarray, of: str = "fitted") -> np.ndarray:
        """(n, width) float32 vectors of the ids; of a sentence the mean over its words.

        of: "fitted", inputs of the fitted model's last layer; "pretrained", the encoder's before any fit
        """
        vectors: np.ndarray | Ragged | None
        if of == "fitted":
            self._need("embeddings")
            vectors = self.predictions(ids).embeddings
        else:
            self._need("pretrained")
            assert self.learner is not None
            with self.clock.phase("predict"):
                vectors = self.learner.embed(self.inputs, ids)
        assert vectors is not None
        return averaged(vectors) if isinstance(vectors, Ragged) else vectors

    def samples(self, ids: np.ndarray, draws: int) -> np.ndarray | Ragged:
        """(n, draws, classes) float32 probabilities under `draws` random dropout masks, each one for all texts (Monte
        Carlo dropout, Gal and Ghahramani 2016); of sentences a row (draws, tags) for each surviving word.

        Raises `UserError` where some are not finite.
        """
        key = (f"samples {draws}", ids.tobytes())
        if key not in self._cache:
            self._need("samples")
            assert self.model is not None
            kind = self._kind(ids)
            pieces = []
            with self.clock.phase("rescore" if self.exact else "predict"):
                for places, probs, tokens in self.model.samples(self.inputs, ids, draws, self.seed, exact=self.exact):
                    self.counts.update({f"{kind}_examples": draws * len(places), f"{kind}_tokens": draws * tokens})
                    pieces.append((places, probs))
            order = np.argsort(np.concatenate([places for places, _ in pieces]))
            samples = joined([probs for _, probs in pieces])[order]
            finite(samples)
            self._cache[key] = samples
        return self._cache[key]  # type: ignore[return-value]

    def surprisal(self, ids: np.ndarray) -> np.ndarray:
        """(n, length) float32 losses of the pretrained masked language model at a random 15 % of a text's sub-words,
        0 elsewhere (Yuan et al. 2020).
        """
        self._need("surprisal")
        assert self.learner is not None
        with self.clock.phase("predict"):
            return self.learner.surprisal(self.inputs, ids, self.seed)

    def gold(self, ids: np.ndarray) -> Labels:
        """Of any example: for brackets alone, and marked as such wherever their results are shown."""
        self._need("gold")
        return self.corpus.train.labels[ids]

    def _kind(self, ids: np.ndarray) -> str:
        """For the counts: which examples a pass is over."""
        if len(ids) and self.pool_state.is_labelled[ids].all():
            return "reference"
        return "rescored" if self.exact else "scored"

    def _need(self, *any_of: str) -> None:
        if not self.needs.intersection(any_of):
            raise UserError(f"strategy: looks at {any_of[0]} without needing it; declare needs=({any_of[0]!r}, ...)")
