"""What a learner promises."""

import gc
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from types import FunctionType, ModuleType

import numpy as np

from al_bench.conformance.gifts import GIFTS
from al_bench.conformance.rounds import cycles_of
from al_bench.conformance.suite import Broken, Suite, require_description
from al_bench.conformance.synthetic import LOST
from al_bench.conformance.trials import LABELLED, SEEDS, Trial
from al_bench.data.corpus import Inputs
from al_bench.data.ragged import Ragged, values_of
from al_bench.errors import UserError
from al_bench.learners.base import Learner, Model, Unlabelled
from al_bench.learners.families import LEARNERS

# Of sentences that tokenizers have trouble with: a word of which nothing is left, one without end, many words.
ODD = [[LOST], ["word1", LOST, "per2"], ["a" * 5000, "loc3"], ["word"] * 900, ["per1"]]


def gives_probabilities(trial: Trial) -> None:
    """Fits, and gives each text, or each word that survives, a distribution over the labels."""
    for corpus in trial.corpora():
        predictions = trial.predictions(corpus)
        probs, classes = values_of(predictions.probs), len(corpus.label_names)
        if len(predictions) != len(corpus.train) or probs.ndim != 2 or probs.shape[1] != classes:
            broken = f"gives probabilities of shape {probs.shape} for {len(predictions)} texts ({corpus.task})"
            raise Broken(broken, f"give {classes} for each text, or word")
        if probs.dtype != np.float32 or not np.allclose(probs.sum(axis=1), 1, atol=1e-3) or (probs < 0).any():
            raise Broken(f"gives no distributions in float32 ({corpus.task})", "each row must sum to 1")
        if isinstance(predictions.probs, Ragged):
            predictions.labels()  # needs `kept` and `lengths`
        elif corpus.task == "tagging":
            raise Broken("gives an array for sentences", "give a Ragged, with `kept` and `lengths`")


def labels_every_word(trial: Trial) -> None:
    """Gives every word of any sentence a label, if nothing is left of the word or the sentence has no end."""
    for corpus in trial.corpora():
        if corpus.task == "tagging":
            labels = trial.fitted(corpus).predict(Unlabelled(ODD), np.arange(len(ODD))).labels()
            if not isinstance(labels, Ragged) or labels.lengths.tolist() != [len(words) for words in ODD]:
                raise Broken("gives some words no label", "tell `kept`, and all words of a sentence in `lengths`")
            if values_of(labels)[0] != 0:
                raise Broken("gives a word without a sub-word another label than the first", "leave it out of `kept`")


def says_what_it_is(trial: Trial) -> None:
    """Tells its tasks, its settings as JSON, its summary and its code."""
    require_description(trial.kind, trial.config.params, trial.kind.tasks)
    LEARNERS.code(trial.config.learner)


def seeds_decide(trial: Trial) -> None:
    """Predicts the same after the same fit, however often."""
    for corpus in trial.corpora():
        one, other = (values_of(trial.predictions(corpus).probs) for _ in range(2))
        if not np.array_equal(one, other):
            raise Broken(f"another fit on the same labels predicts something else ({corpus.task})", "use the FitSeeds")
        changed = values_of(trial.predictions(corpus, seeds=replace(SEEDS, model=7, order=8)).probs)
        if trial.kind.epochs and np.array_equal(one, changed):
            raise Broken(f"predicts the same from other seeds ({corpus.task})", "draw from FitSeeds.model and .order")


def starts_anew(trial: Trial) -> None:
    """Fits from pristine weights: an earlier fit on other labels leaves no trace."""
    for corpus in trial.corpora():
        learner = trial.learner(corpus)
        trial.fitted(corpus, learner=learner, start=LABELLED // 2, seeds=replace(SEEDS, cycle=3))
        after, alone = (values_of(trial.predictions(corpus, learner=one).probs) for one in (learner, None))
        if not np.array_equal(after, alone):
            raise Broken(f"a second fit goes on where the first one ended ({corpus.task})", "reset all that is fitted")


def gives_memory_back(trial: Trial) -> None:
    """Holds no more memory after many fits than after few."""
    for corpus in trial.corpora():
        learner, held = trial.learner(corpus), []
        for cycle in range(4):
            trial.predictions(corpus, learner=learner, seeds=replace(SEEDS, cycle=cycle))
            held.append(held_by(learner))
        if held[-1] > held[1]:
            broken = f"holds {held[1]:,} bytes after two fits, and {held[-1]:,} after four ({corpus.task})"
            raise Broken(broken, "let a model go when its learner fits again")


def held_by(learner: Learner) -> int:
    """Bytes of all arrays and tensors that are reachable from it."""
    reached, left, size = {id(learner)}, [learner], 0
    while left:
        one = left.pop()
        if isinstance(one, np.ndarray):
            size += one.nbytes if one.base is None else 0
        elif (torch := sys.modules.get("torch")) and isinstance(one, torch.Tensor):
            size += one.nbytes
        others = [other for other in gc.get_referents(one) if id(other) not in reached]
        others = [other for other in others if not isinstance(other, type | ModuleType | FunctionType)]
        reached.update(map(id, others))
        left += others
    return size


def learns(trial: Trial) -> None:
    """Predicts most of the labels that it was fitted on better than always the most frequent one."""
    for corpus in trial.corpora():
        ids = np.arange(LABELLED)
        gold = values_of(corpus.train.labels[ids])
        right = np.mean(values_of(trial.predictions(corpus, ids).labels()) == gold)
        often = np.bincount(gold).max() / len(gold)
        if right <= often:
            broken = f"is right about {right:.0%} of its own labels, of which {often:.0%} are one ({corpus.task})"
            remedy = "see that labels and texts belong together, and training.learning_rate and training.epochs"
            raise Broken(broken, remedy)


def predicts_each_alone(trial: Trial) -> None:
    """Predicts a text the same, whichever others are predicted with it, and in any order."""
    for corpus in trial.corpora():
        _require_each_alone(trial.fitted(corpus), corpus.train.inputs, corpus.task)


def predicts_exactly(trial: Trial) -> None:
    """Predicts in float32 where `exact` asks for it, if it was fitted in bfloat16."""
    for corpus in trial.corpora():
        model = trial.fitted(corpus, learner=trial.learner(corpus, "bfloat16"))
        _require_each_alone(model, corpus.train.inputs, corpus.task, exact=True)


def _require_each_alone(model: Model, inputs: Inputs, task: str, exact: bool = False) -> None:
    ids = np.arange(len(inputs))
    some = np.random.default_rng(0).permutation(ids)[:25]
    among, alone = (model.predict(Unlabelled(inputs), which, exact=exact).probs for which in (ids, some))
    if not np.allclose(values_of(alone), values_of(among[some]), atol=1e-5 if exact else 1e-4):
        broken = f"predictions{' with exact' if exact else ''} depend on other texts ({task})"
        raise Broken(broken, "compute them in float32" if exact else "keep positions and ids together")


def gives_what_it_declares(trial: Trial) -> None:
    """Gives all that it declares: embeddings, samples, margins and the like."""
    for corpus in trial.corpora():
        for gift in trial.kind.gives:
            GIFTS[gift](trial, corpus)


def refuses_pickles(trial: Trial) -> None:
    """Refuses a folder whose weights are pickled, since code may be in them."""
    if not trial.kind.source or trial.config.path is None:
        return
    with TemporaryDirectory() as temporary:
        folder = Path(copytree(Path(trial.config.path).expanduser(), Path(temporary) / "model"))
        for file in folder.glob("*.safetensors"):
            file.rename(file.with_name("pytorch_model.bin"))
        moved = Trial(replace(trial.config, path=str(folder)))
        try:
            moved.check()
            moved.learner(next(moved.corpora()))
        except UserError:
            return
    raise Broken("reads pickled weights", "take the files from engine.weights.fetch")


def runs_in_the_loop(trial: Trial) -> None:
    """Runs three rounds of the loop, twice the same."""
    for corpus in trial.corpora():
        learners = [trial.learner(corpus) for _ in range(2)]
        config = trial.run(corpus.task)
        one, other = ([cycle.queried.tolist() for cycle in cycles_of(config, corpus, each)] for each in learners)
        if one != other:
            raise Broken(f"another run of the same seeds queries something else ({corpus.task})", "keep no state")


SUITE = Suite(
    LEARNERS,
    Trial.of,
    (
        gives_probabilities,
        labels_every_word,
        says_what_it_is,
        seeds_decide,
        starts_anew,
        gives_memory_back,
        learns,
        predicts_each_alone,
        predicts_exactly,
        gives_what_it_declares,
        refuses_pickles,
        runs_in_the_loop,
    ),
)
