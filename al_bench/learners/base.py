"""What the loop and the successor ask of a learner."""

import resource
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Corpus, Inputs, Labels
from al_bench.data.metrics import calibration_error, evaluate
from al_bench.data.ragged import Ragged, values_of
from al_bench.errors import reject
from al_bench.learners.metrics import measured
from al_bench.learners.predictions import Parts, Predictions, assembled, finite

Arrays = dict[str, np.ndarray]
# Gives the arrays that were computed before, if not by this process: (a key of all that they depend on, compute).
Cache = Callable[[str, Callable[[], Arrays]], Arrays]


@dataclass(frozen=True)
class Unlabelled:
    """A split without its labels: all that a learner sees of the pool and of the test set."""

    inputs: Inputs  # n texts, or n lists of words

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class FitSeeds:
    """Seeds of one fit: `model` of the new head and dropout, `order` of batches and the dev split."""

    model: int
    order: int
    cycle: int


@dataclass(frozen=True)
class Watch:
    """What a fit records for filters of mislabelled examples.

    checkpoints: keep the weights of this many last epochs, for `Model.influence`
    margins: keep each example's mean margin, for `Model.margins`
    """

    checkpoints: int = 0
    margins: bool = False


UNWATCHED = Watch()


@dataclass(frozen=True)
class FitCosts:
    """What a fit computed. parameters: that it trained, of which a frozen encoder has none"""

    steps: int
    epochs: int
    batch_size: int
    examples: int  # passed forward and backward, every epoch counted
    tokens: int  # sub-words of those, padding not counted
    capture_seconds: float = 0.0  # of the fit's wall time: capturing graphs, which is no training
    parameters: int = 0


@dataclass(eq=False)
class Model:
    """Fitted; valid until its learner fits again.

    dev_score: headline metric on the dev split, None where none was held out
    margins: (n,) by example of the fit, where watched: how far its label was ahead of the best other one, in
        logits, a mean over the epochs (the area under the margin); a small one is suspicious (Pleiss et al. 2020)
    """

    costs: FitCosts
    dev_score: float | None
    margins: np.ndarray | None

    def predict(
        self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False
    ) -> Predictions:
        """Probabilities of `inputs[ids]`. exact: in float32 whatever the precision of the run.

        embeddings: with the inputs of the last layer
        """
        return assembled(self.parts(inputs, ids, exact=exact, embeddings=embeddings))

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        """As `predict`, some examples at a time and in any order: (positions in `ids`, predictions)."""
        raise NotImplementedError

    def samples(
        self, inputs: Unlabelled, ids: np.ndarray, draws: int, seed: int, *, exact: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray | Ragged, int]]:
        """Probabilities under random dropout masks, one mask per draw for all texts: (positions in `ids`, probs,
        sub-words), some examples at a time.

        exact: as of `predict`
        probs: (k, draws, classes) float32; of sentences `Ragged` with values (words, draws, tags)
        """
        raise NotImplementedError

    def influence(
        self, inputs: Unlabelled, ids: np.ndarray, labels: Labels, *, checkpoints: int | None = None
    ) -> np.ndarray:
        """(n,) self-influence of labelled examples: the squared norm of the loss's gradient in all parameters,
        a mean over the last `checkpoints` of those that were watched, or over all of them (TracIn, Pruthi et al.
        2020); of a sentence divided by its words.
        """
        raise NotImplementedError


class Learner(Protocol):
    """Trains models of one kind.

    computes: the active optimizations, and the rejected ones with the reason, as one line for the user
    notes: what else the user should know of its model, each to follow the model's name
    optimizations: names of the active ones (see engine/optimizations.py)
    overheads: seconds of the learner's life that are no training: "load" (weights from disk or the network),
        "check" (of optimizations and a new head), "capture" (of CUDA graphs, inside fits); absent where there is none
    """

    @property
    def computes(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def optimizations(self) -> tuple[str, ...]: ...

    @property
    def overheads(self) -> dict[str, float]: ...

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        """Tokenise and, where the learner needs it, embed: once per corpus, so that no later phase pays for it.

        exact: also for predictions with `exact`; embeddings: also for `embed`; surprisal: also for `surprisal`
        Returns the seconds that computing all of it takes or, where another process did, took: without waiting for
        that process, and the same again in a later call.
        """
        ...

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> Model:
        """Train from the pretrained weights on `inputs[ids]` with `labels` (one per id), and on no more.

        labels: numbers, or distributions over all labels; weights: (n,) of each example's loss
        """
        ...

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        """Vectors of `inputs[ids]` by the pretrained encoder, before any fit.

        (n, width) float32 mean over a text's sub-words; tagging: a row for every word, the state of its first
        sub-word (a decoder: its last), or zeros where the word did not survive
        """
        ...

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        """(n, max_length) float32 losses of the pretrained masked language model at a random 15 % of the sub-words of
        each text, 0 elsewhere. Raises `UserError` where the checkpoint has no such head.
        """
        ...

    def cut_off(self, inputs: Unlabelled) -> np.ndarray:
        """(n,) bool: texts that fill the model's length, so that their ends may be cut off; tagging: (total words,)
        bool: words that are, which the model never sees.
        """
        ...

    def synchronise(self) -> None:
        """Wait until the device has finished."""
        ...

    def peak_memory(self) -> int:
        """Largest number of bytes in use since the last call (on CPU: of the whole process, ever)."""
        ...


@dataclass(eq=False, repr=False)
class BasicLearner:
    """What a learner of your own can be derived from: it then is a `fit`, and the `Model` with `parts` that this gives.

    It is built as these fields say, in this order; what `families.LearnerKind` says of it need not be asked of an
    instance. Fields of your own are its settings, `ModelConfig.params` (`@dataclass(kw_only=True)`). It computes on
    the host, loads and prepares nothing, and sees texts whole: override what is otherwise.

    role: the config key it was built from, for messages
    label_names: classes, or tags
    device: a `torch.device`; precision: "float32" or "bfloat16"
    cache: of arrays that other runs need, too, or None
    available: optimizations of the engine
    """

    role: str
    config: ModelConfig
    task: str
    label_names: tuple[str, ...]
    device: Any
    precision: str
    cache: Cache | None = None
    available: frozenset[str] = frozenset()

    @classmethod
    def check(cls, role: str, model: ModelConfig, task: str, classes: int, needs: frozenset[str]) -> None:
        """Raise `UserError` where a model could not be built and fitted, before anything is computed.

        needs: what it has to give, see `families.GIVES`
        """

    @property
    def computes(self) -> str:
        return "a learner of your own"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def optimizations(self) -> tuple[str, ...]:
        return ()

    @property
    def overheads(self) -> dict[str, float]:
        return {}

    def prepare(
        self, inputs: Unlabelled, *, exact: bool = False, embeddings: bool = False, surprisal: bool = False
    ) -> float:
        return 0.0

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> Model:
        raise NotImplementedError

    def embed(self, inputs: Unlabelled, ids: np.ndarray) -> np.ndarray | Ragged:
        raise NotImplementedError

    def surprisal(self, inputs: Unlabelled, ids: np.ndarray, seed: int) -> np.ndarray:
        raise NotImplementedError

    def cut_off(self, inputs: Unlabelled) -> np.ndarray:
        units = len(inputs) if self.task == "classification" else sum(map(len, inputs.inputs))
        return np.zeros(units, dtype=bool)

    def synchronise(self) -> None:
        """There is nothing to wait for."""

    def peak_memory(self) -> int:
        return resident_peak()


def resident_peak() -> int:
    """Largest number of bytes that the process ever had in memory."""
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobytes


def setup_seconds(
    learner: Learner, inputs: Unlabelled, *, exact: bool = False, needs: Container[str] = ()
) -> dict[str, float]:
    """Prepare the inputs. Returns the seconds of all that a learner does once: load, check and prepare.

    needs: of `view.NEEDS`, what will be looked at
    """
    of_encoder = {"embeddings": "pretrained" in needs, "surprisal": "surprisal" in needs}
    prepare = learner.prepare(inputs, exact=exact, **of_encoder)
    # Graphs are captured within fits, which say how long it took.
    return {"prepare": prepare, **{k: v for k, v in learner.overheads.items() if k != "capture"}}


def evaluate_on_test(model: Model, corpus: Corpus, chosen: Sequence[str] = ()) -> dict[str, float]:
    """Metrics on the test split, in float32 whatever the precision of the run. Nothing else looks at test labels.

    chosen: those of `METRICS` that are not in every run
    """
    predictions = model.predict(Unlabelled(corpus.test.inputs), np.arange(len(corpus.test)), exact=True)
    finite(predictions.probs)  # a model of one's own may put them together itself
    metrics = evaluate(corpus.task, corpus.label_names, corpus.test.labels, predictions.labels())
    # Of each prediction the confidence, and whether it is right; tagging: of the surviving words.
    probs, gold = values_of(predictions.probs), predictions.surviving(corpus.test.labels)
    metrics["ece"] = calibration_error(probs.max(axis=1), probs.argmax(axis=1) == gold)
    for name in chosen:
        values = measured(name, predictions, corpus.test.labels, corpus.label_names)
        if double := next(iter(metrics.keys() & values.keys()), None):
            raise reject("metrics", name, f"{double} is there already", "give one of the two another name")
        metrics |= values
    return metrics
