"""What metrics, oracles, readers, filters and learners promise can be broken."""

from dataclasses import replace

import numpy as np
import pytest

from al_bench import plugins
from al_bench.config.schema import FilterConfig, ModelConfig, OracleConfig
from al_bench.conformance import filters, gifts, learners, metrics, oracles, readers
from al_bench.conformance.suite import breach
from al_bench.conformance.suites import SUITES
from al_bench.conformance.synthetic import SyntheticLearner
from al_bench.data.ragged import Ragged, like, values_of
from al_bench.data.readers.formats import Reader
from al_bench.data.readers.raw import Raw
from al_bench.errors import UserError
from al_bench.filters.protocol import Filter, Suspicion
from al_bench.learners.base import BasicLearner, FitSeeds
from al_bench.learners.families import learner
from al_bench.learners.metrics import Metric
from al_bench.oracles.protocol import Answers, Oracle


def subject(monkeypatch, kind: str, component, make):
    monkeypatch.setitem(plugins._given[kind], "theirs", component)
    return make("theirs")


# ------------------------------------------------------------------------------------------------- metrics


def accurate(predictions, gold, label_names):
    """share of the right labels"""
    return np.mean(values_of(predictions.labels()) == values_of(gold))


def of_texts(predictions, gold, label_names):
    """a mean over texts"""
    if predictions.lengths is not None:
        raise UserError("metrics=theirs: is of classification; leave it out")
    return 1.0


def no_number(predictions, gold, label_names):
    """nothing"""
    return np.nan


def drawn(predictions, gold, label_names):
    """a draw"""
    return np.random.default_rng().random()


@pytest.mark.parametrize(
    ("promise", "metric", "broken"),
    [
        (metrics.measures_predictions, Metric.of(accurate), ""),
        (metrics.knows_its_better_end, Metric.of(accurate), ""),
        (metrics.measures_predictions, Metric.of(of_texts), ""),
        (metrics.measures_predictions, Metric.of(no_number), "no finite number"),
        (metrics.says_what_it_is, Metric.of(lambda predictions, gold, label_names: 1.0), "has no summary"),
        (metrics.gives_the_same, Metric.of(drawn), "another number each time"),
        (metrics.knows_its_better_end, Metric.of(accurate, lower_is_better=True), "declare lower_is_better=False"),
    ],
)
def test_promises_of_a_metric(monkeypatch, promise, metric, broken):
    line = breach(promise, subject(monkeypatch, "metric", metric, metrics.Subject))
    assert broken in line
    assert bool(line) == bool(broken)


def test_a_metric_takes_no_settings():
    with pytest.raises(UserError, match="no run sets the settings of a metric"):
        SUITES["metric"].prepare("brier", {"power": 2})


# ------------------------------------------------------------------------------------------------- oracles


def everybody(corpus) -> np.ndarray:
    return np.ones(len(corpus.train), dtype=bool)


def first_label(corpus, rng):
    """always the first label"""
    return Answers(like(corpus.train.labels, np.zeros_like(values_of(corpus.train.labels))), everybody(corpus))


def chance(corpus, rng):
    """a label by chance"""
    values = rng.integers(0, 3, len(values_of(corpus.train.labels)))
    return Answers(like(corpus.train.labels, values), everybody(corpus))


def moody(corpus, rng):
    """a label by another chance"""
    return chance(corpus, np.random.default_rng())


def silent(corpus, rng):
    """nothing"""
    return Answers(corpus.train.labels, ~everybody(corpus))


def strange(corpus, rng):
    """labels that nobody has"""
    return Answers(like(corpus.train.labels, values_of(corpus.train.labels) + 9), everybody(corpus))


def peeking(corpus, rng):
    """the first test label"""
    values = np.full(len(values_of(corpus.train.labels)), values_of(corpus.test.labels)[0])
    return Answers(like(corpus.train.labels, values), everybody(corpus))


@pytest.mark.parametrize(
    ("promise", "oracle", "broken"),
    [
        (oracles.seeds_decide, Oracle.of(chance), ""),
        (oracles.answers_in_the_corpus_s_labels, Oracle.of(silent), "knows no label at all"),
        (oracles.answers_in_the_corpus_s_labels, Oracle.of(strange), "must be numbers from 0 to 2"),
        (oracles.says_what_it_is, Oracle.of(lambda corpus, rng: chance(corpus, rng)), "has no summary"),
        (oracles.seeds_decide, Oracle.of(moody), "something else each time"),
        (oracles.seeds_decide, Oracle.of(chance, random=False), "leave random=False out"),
        (oracles.seeds_decide, Oracle.of(first_label), "declare random=False"),
        (oracles.knows_no_test_labels, Oracle.of(peeking), "looks at test labels"),
    ],
)
def test_promises_of_an_oracle(monkeypatch, promise, oracle, broken):
    line = breach(promise, subject(monkeypatch, "oracle", oracle, lambda name: oracles.Subject(OracleConfig(name))))
    assert broken in line
    assert bool(line) == bool(broken)


# ------------------------------------------------------------------------------------------------- readers

COLUMNS = {"a.csv": "text,label\nfine day,a\nbad day,b\n", "a.txt": "Ann B-PER\nsings O\n\nwell O\n"}


@pytest.mark.parametrize(("name", "file", "task"), [("csv", "a.csv", "classification"), ("conll", "a.txt", "tagging")])
def test_shipped_readers_keep_every_promise(tmp_path, name, file, task):
    (tmp_path / file).write_text(COLUMNS[file])
    outcomes = dict(SUITES["reader"].outcomes(name, {"path": str(tmp_path / file), "task": task}))
    assert list(outcomes.values()) == ["", "", ""]


def lines(path, config, *, shuffled: bool = False, numbers: bool = False):
    """a text and its label a line"""
    rows = [line.rsplit(",", 1) for line in path.read_text().splitlines()]
    if shuffled:
        rows = np.random.default_rng().permutation(rows).tolist()
    return Raw(path.name, [text for text, _ in rows], [1.5 if numbers else label for _, label in rows])


@pytest.mark.parametrize(
    ("promise", "params", "broken"),
    [
        (readers.reads_examples, {}, ""),
        (readers.reads_examples, {"numbers": True}, "neither a text nor a whole number"),
        (readers.gives_the_same, {"shuffled": True}, "something else each time"),
    ],
)
def test_promises_of_a_reader(monkeypatch, tmp_path, promise, params, broken):
    (tmp_path / "a.csv").write_text("".join(f"text {i},{i % 2}\n" for i in range(30)))
    settings = {"path": str(tmp_path / "a.csv"), **params}
    line = breach(
        promise, subject(monkeypatch, "reader", Reader.of(lines), lambda name: readers.Subject.of(name, settings))
    )
    assert broken in line
    assert bool(line) == bool(broken)


def test_a_reader_is_tried_on_a_file():
    with pytest.raises(UserError, match="add path=FILE and task=classification"):
        SUITES["reader"].prepare("csv", {})


# ------------------------------------------------------------------------------------------------- filters


def doubtful(chain):
    """what the labeller doubts"""
    return Suspicion(chain.doubt)


def alike(chain):
    """everything"""
    return Suspicion(np.zeros(len(chain.ids)))


def some(chain):
    """too few"""
    return Suspicion(chain.doubt[1:])


def fickle(chain):
    """a draw"""
    return Suspicion(np.random.default_rng().random(len(chain.ids)))


def spoiling(chain):
    """writes"""
    chain.doubt[:] = 0
    return Suspicion(chain.doubt)


@pytest.mark.parametrize(
    ("promise", "component", "broken"),
    [
        (filters.suspects, Filter.of(doubtful, needs=("doubt",)), ""),
        (filters.suspects, Filter.of(doubtful), "looks at doubt without needing it"),
        (filters.suspects, Filter.of(some, needs=("doubt",)), "gives scores of the shape"),
        (filters.suspects, Filter.of(doubtful, needs=("doubt",), contradicts=True), "gives no verdict"),
        (filters.suspects, Filter.of(spoiling, needs=("doubt",)), "changes what it was given (test_"),
        (filters.says_what_it_is, Filter.of(lambda chain: alike(chain)), "has no summary"),
        (filters.gives_the_same, Filter.of(fickle), "something else each time"),
        (filters.needs_what_it_declares, Filter.of(doubtful, needs=("doubt", "margins")), "never looks at margins"),
        (filters.is_no_constant, Filter.of(alike), "suspects all labels alike"),
    ],
)
def test_promises_of_a_filter(monkeypatch, promise, component, broken):
    line = breach(promise, subject(monkeypatch, "filter", component, lambda name: filters.Subject(FilterConfig(name))))
    assert broken in line
    assert bool(line) == bool(broken)


# ------------------------------------------------------------------------------------------------ learners


class Ridge(BasicLearner):
    """Ridge regression."""

    def inner(self) -> SyntheticLearner:
        return SyntheticLearner(self.task, len(self.label_names))

    def fit(self, inputs, ids, labels, seeds, **facts):
        return self.inner().fit(inputs, ids, labels, seeds, **facts)

    def embed(self, inputs, ids):
        return self.inner().embed(inputs, ids)

    def surprisal(self, inputs, ids, seed):
        return self.inner().surprisal(inputs, ids, seed)


class Confused(Ridge):
    """Takes each label for the next one."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        wrong = like(labels, (values_of(labels) + 1) % len(self.label_names))
        return super().fit(inputs, ids, wrong, seeds, **facts)


class Fickle(Ridge):
    """Forgets some labels."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        rows = np.random.default_rng().permutation(len(ids))[:15]
        return super().fit(inputs, ids[rows], labels[rows], seeds, weights=None)


class Weightless(Ridge):
    """Forgets the weights, and what it should watch."""

    def fit(self, inputs, ids, labels, seeds: FitSeeds, **facts):
        return self.inner().fit(inputs, ids, labels, seeds)


class Stubborn(Ridge):
    """Draws from a seed of its own."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        return super().fit(inputs, ids, labels, FitSeeds(0, 0, 0), **facts)


class Growing(Ridge):
    """Keeps all labels that it ever saw."""

    seen = None

    def fit(self, inputs, ids, labels, seeds, **facts):
        if self.seen is not None and self.seen[0].sum() != ids.sum():
            ids, labels = self.seen
        self.seen = ids, labels
        return super().fit(inputs, ids, labels, seeds)


class Hoarding(Ridge):
    """Keeps all models."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        model = super().fit(inputs, ids, labels, seeds, **facts)
        self.models = [*getattr(self, "models", []), model.head.copy()]
        return model


class Sociable(Ridge):
    """Its exact predictions know how many there are."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        model = super().fit(inputs, ids, labels, seeds, **facts)
        parts = model.parts

        def sharper(inputs, ids, exact=False, **facts):
            model.head = model.head * (1 + len(ids) if exact else 1)
            return parts(inputs, ids, **facts)

        model.parts = sharper
        return model


class Brief(Ridge):
    """Gives every word a label but the lost ones."""

    def fit(self, inputs, ids, labels, seeds, **facts):
        model = super().fit(inputs, ids, labels, seeds, **facts)
        parts = model.parts

        def shorter(inputs, ids, **facts):
            for places, part in parts(inputs, ids, **facts):
                yield places, replace(part, lengths=part.probs.lengths) if isinstance(part.probs, Ragged) else part

        model.parts = shorter
        return model


def test_a_learner_that_gives_everything_keeps_every_promise(monkeypatch):
    gives = tuple(gifts.GIFTS)
    one = subject(monkeypatch, "learner", learner(Ridge, gives=gives), lambda name: learners.Trial(ModelConfig(learner=name)))  # fmt: skip
    assert [breach(promise, one) for promise in SUITES["learner"].promises] == [""] * len(SUITES["learner"].promises)


@pytest.mark.parametrize(
    ("promise", "component", "broken"),
    [
        (learners.gives_probabilities, learner(BasicLearner), "raises NotImplementedError"),
        (learners.learns, learner(Confused), "of its own labels"),
        (learners.seeds_decide, learner(Fickle), "use the FitSeeds"),
        (learners.gives_what_it_declares, learner(Weightless, gives=("weights",)), "pays no attention to weights"),
        (learners.gives_what_it_declares, learner(Weightless, gives=("margins",)), "gives no margin"),
        (learners.runs_in_the_loop, learner(Fickle), "queries something else"),
        (learners.seeds_decide, learner(Stubborn, epochs=True), "predicts the same from other seeds"),
        (learners.starts_anew, learner(Growing), "goes on where the first one ended"),
        (learners.gives_memory_back, learner(Hoarding), "bytes after two fits, and"),
        (learners.predicts_exactly, learner(Sociable), "with exact depend on other texts"),
        (learners.labels_every_word, learner(Brief), "some words no label"),
    ],
)
def test_promises_of_a_learner(monkeypatch, promise, component, broken):
    one = subject(monkeypatch, "learner", component, lambda name: learners.Trial(ModelConfig(learner=name)))
    assert broken in breach(promise, one)


def test_a_learner_of_files_that_anything_is_read_from(monkeypatch, tmp_path):
    folder = str(tmp_path)
    one = subject(monkeypatch, "learner", learner(Ridge, source=True), lambda name: learners.Trial(ModelConfig(learner=name, path=folder)))  # fmt: skip
    assert "reads pickled weights" in breach(learners.refuses_pickles, one)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "check=linear: reads a model's files; say which: al-bench check linear path=FOLDER"),
        ({"path": "nowhere"}, "acquisition.path=nowhere: no such folder; give a folder written by save_pretrained"),
        ({"path": ".", "training": {"epoch": 1}}, "training.epoch=1: no such parameter; did you mean epochs?"),
        ({"path": ".", "max_length": "long"}, "check.max_length=long: must be of another type; set another value"),
        ({"path": ".", "height": 1}, "params.height=1: no such parameter"),
    ],
)
def test_a_learner_of_files_is_told_which(settings, line):
    with pytest.raises(UserError) as caught:
        SUITES["learner"].prepare("linear", settings)
    assert str(caught.value).startswith(line)
