"""PLASM step by step, with models whose opinions are known: what is labelled, dropped, trained on, remembered."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLearner, FakeModel, Fit, config_of, corpus_of, fake_for

from al_bench.config.schema import FilterConfig, ModelConfig, PseudoLabelingConfig, RunConfig
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.ragged import Ragged
from al_bench.learners.base import Watch
from al_bench.ledger.store import Step, Steps
from al_bench.successor.pseudo_labeling import Plasm
from al_bench.successor.successor import Succession, succeed

LABELLED = np.array([3, 7, 8, 20, 21, 40, 55])
TASKS = pytest.mark.parametrize("task", ["classification", "tagging"])
FINGERPRINTS = {"data": "d", "successor": "s", "pseudo_labeler": "p", "verifier": "v"}


def flat(labels: Labels) -> np.ndarray:
    return labels.values if isinstance(labels, Ragged) else labels


def with_labels(labels: Labels, ids: np.ndarray, other: Callable[[np.ndarray], np.ndarray]) -> Labels:
    """A copy in which the labels of some examples are others."""
    values = flat(labels).copy()
    places = labels.positions(ids) if isinstance(labels, Ragged) else ids
    values[places] = other(values[places])
    return Ragged(values, labels.offsets) if isinstance(labels, Ragged) else values


class Labeller(FakeLearner):
    """Says the given labels with a probability of 0.9, or less where `sure` says so."""

    truth: Labels
    quality: float | None = None
    sure: np.ndarray | None = None

    def fit(self, *arguments, **more) -> FakeModel:
        model = super().fit(*arguments, **more)
        return Opinionated(self, model.fit, dev_score=self.quality)


class Opinionated(FakeModel):
    def predict(self, inputs, ids, *, exact=False, embeddings=False):
        predictions = super().predict(inputs, ids, exact=exact)
        if exact:
            return predictions
        learner = self.learner
        if isinstance(learner.truth, Ragged):
            rows = learner.truth[ids]
            labels = rows.values[np.repeat(rows.offsets[:-1], predictions.probs.lengths) + predictions.kept]
            return replace(predictions, probs=Ragged(sharp(labels, learner.classes, 0.9), predictions.probs.offsets))
        sure = 0.9 if learner.sure is None else learner.sure[ids]
        return replace(predictions, probs=sharp(learner.truth[ids], learner.classes, sure))


def sharp(labels: np.ndarray, classes: int, sure) -> np.ndarray:
    probs = np.empty((len(labels), classes), dtype=np.float32)
    probs[:] = ((1 - np.asarray(sure)) / (classes - 1)).reshape(-1, 1)
    probs[np.arange(len(labels)), labels] = sure
    return probs


class Successor(FakeLearner):
    """Whose influences and margins point at the given examples."""

    suspects: np.ndarray

    def fit(self, *arguments, **more) -> FakeModel:
        return Pointing(self, super().fit(*arguments, **more).fit)


class Pointing(FakeModel):
    @property
    def margins(self):
        return -self.learner.suspects[self.fit.ids] if self.fit.watch.margins else None

    def influence(self, inputs, ids, labels, *, checkpoints=None):
        assert 0 < checkpoints <= self.fit.watch.checkpoints, "somebody has to keep the weights"
        self.learner.events.append("influence")
        return self.learner.suspects[ids].astype(float) * checkpoints


@dataclass
class Scene:
    """A corpus, a labeller that errs on `wrong`, and a successor that suspects `suspects`."""

    task: str
    folder: Path
    wrong: np.ndarray
    quality: float | None = None
    settings: dict = field(default_factory=dict)
    corpus: Corpus | None = None
    learners: dict[str, FakeLearner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.corpus = self.corpus or corpus_of(self.task)
        classes = len(self.corpus.label_names)
        truth = corpus_of(self.task).train.labels
        made = {role: fake(self.corpus) for role, fake in self._makers().items()}
        made["pseudo_labeler"].truth = with_labels(truth, self.wrong, lambda values: (values + 1) % classes)
        made["pseudo_labeler"].quality = self.quality
        made["successor"].suspects = np.isin(np.arange(len(self.corpus.train)), self.wrong).astype(float)
        self.learners = {**made, **self.learners}

    def _makers(self):
        def maker(kind):
            return lambda corpus: kind(len(corpus.label_names), corpus.task)

        return {"pseudo_labeler": maker(Labeller), "successor": maker(Successor), "verifier": fake_for}

    @property
    def config(self) -> RunConfig:
        model = ModelConfig(name="m", hub="some/model")
        pseudo = PseudoLabelingConfig(name="plasm", **self.settings)
        return config_of(
            self.task,
            successor=model,
            pseudo_labeler=replace(model, hub="some/full"),
            pseudo_labeling=pseudo,
            evaluate_at="all",
            strategy__name="entropy",
        )

    @property
    def succession(self) -> Succession:
        assert self.corpus is not None
        steps = Steps(self.folder, FINGERPRINTS)
        return Succession(self.config, self.corpus, "float32", self.learners.__getitem__, steps)

    def run(self):
        return Plasm(self.succession, LABELLED, 2).result()

    def fits(self, role: str) -> list[Fit]:
        return self.learners[role].fits


REST = np.setdiff1d(np.arange(60), LABELLED)


@TASKS
@pytest.mark.parametrize("quality", [0.9, 1.0])
def test_with_a_perfect_labeller_everything_is_gold(task, quality, tmp_path):
    """With a quality of 1 TracIn drops nothing, so it is not computed; else it looks back on a first fit."""
    scene = Scene(task, tmp_path, np.array([], dtype=int), quality, {"filters": [FilterConfig("tracin")]})
    # Words that do not survive in the labeller are predicted O; let them survive.
    if task == "tagging":
        scene.corpus = without_lost_words(scene.corpus)
        scene.__post_init__()
        scene.learners["pseudo_labeler"].truth = scene.corpus.train.labels
    _, report, costs = scene.run()
    fit = scene.fits("successor")[0]
    assert ("first_successor_train" in costs.seconds) == ("influence" in costs.seconds) == (quality < 1)
    assert len(scene.fits("successor")) == (1 if quality == 1 else 2)
    assert fit.ids.tolist() == list(range(60))
    assert np.array_equal(flat(fit.labels), flat(scene.corpus.train.labels))
    assert report["examples"] == len(REST)
    assert report["kept"] == len(REST) - round((1 - quality) * len(REST))
    assert report["wrong"] == 0
    assert report["f1" if task == "tagging" else "accuracy"] == 1
    assert report["filter_precision"] == (None if quality == 1 else 0)


@TASKS
@pytest.mark.parametrize(
    "chosen", [FilterConfig("tracin"), FilterConfig("tracin", 0.0), FilterConfig("aum", 0.0), FilterConfig("verifier")]
)
def test_a_filter_that_drops_nothing_is_not_computed(task, chosen, tmp_path):
    """The labeller held nothing out, so its quality is not known and "adaptive" drops nothing; nor does a share of 0."""
    scene = Scene(task, tmp_path, REST[:5], None, {"filters": [chosen]})
    metrics, report, costs = scene.run()
    (fit,) = scene.fits("successor")
    assert fit.watch == Watch(), "nothing of this fit is kept for a filter"
    assert scene.fits("verifier") == []
    assert "influence" not in scene.learners["successor"].events
    assert not {"influence", "margins", "verify", "first_successor_train"} & set(costs.seconds)
    assert report["dropped"] == {chosen.by: 0.0}
    assert report["kept"] == report["examples"] == len(REST)
    looks_back = chosen.by in ("tracin", "aum")
    assert report["unfiltered_successor"] == (metrics if looks_back else None)


def test_a_later_filter_looks_back_on_the_fit_before_the_idle_one(tmp_path):
    """TracIn drops nothing and is not computed; AUM then looks back on all that TracIn got, as its identity says."""
    filters = [FilterConfig("tracin"), FilterConfig("confidence", threshold=0.5), FilterConfig("aum", 0.1)]
    scene = Scene("classification", tmp_path, REST[:5], None, {"filters": filters})
    scene.learners["pseudo_labeler"].sure = np.where(np.isin(np.arange(60), REST[-4:]), 0.45, 0.9)
    _, report, _ = scene.run()
    first, last = scene.fits("successor")
    assert len(first.ids) == 60
    assert len(last.ids) == 60 - 4 - round(0.1 * len(REST))
    assert "influence" not in scene.learners["successor"].events
    assert report["unfiltered_successor"] is not None
    bare = Scene("classification", tmp_path, REST[:5], None)
    bare.learners["pseudo_labeler"].sure = scene.learners["pseudo_labeler"].sure
    bare.run()
    assert bare.fits("successor") == [], "the first fit is the one without filters"


def test_each_filter_has_the_influence_over_its_own_checkpoints(tmp_path):
    """Recorded suspicions are shared with runs of that filter alone, so no other filter may decide them."""
    filters = [FilterConfig("tracin", 0.1, checkpoints=3), FilterConfig("tracin", 0.1, checkpoints=1)]
    scene = Scene("classification", tmp_path / "both", REST[:5], None, {"filters": filters})
    scene.run()
    assert scene.fits("successor")[0].watch.checkpoints == 3
    for number, checkpoints in enumerate([3, 1]):
        chain = Plasm(scene.succession, LABELLED, 2)
        chain.look_back = 0, np.ones(len(REST), dtype=bool)
        assert chain.suspicion(number, filters[number]).score.max() == checkpoints


def without_lost_words(corpus: Corpus) -> Corpus:
    """Fakes lose the first word of each fifth sentence: let it be O."""
    labels = corpus.train.labels
    values = labels.values.copy()
    values[labels.offsets[:-1][::5]] = 0
    return replace(corpus, train=replace(corpus.train, labels=Ragged(values, labels.offsets)))


@TASKS
@pytest.mark.parametrize("by", ["tracin", "aum"])
def test_planted_errors_are_dropped_and_gold_never_is(task, by, tmp_path):
    wrong = np.array([0, 1, 9, 30, 59])
    share = len(wrong) / len(REST)
    scene = Scene(task, tmp_path, wrong, None, {"filters": [FilterConfig(by, share)]})
    _, report, costs = scene.run()
    first, last = scene.fits("successor")
    assert first.ids.tolist() == list(range(60))
    assert last.ids.tolist() == np.setdiff1d(np.arange(60), wrong).tolist()
    assert set(LABELLED) <= set(last.ids)
    assert report["dropped"] == {by: pytest.approx(share)}
    assert report["filter_precision"] == 1
    if task == "classification":
        assert report["filter_recall"] == 1
        assert report["accuracy"] == pytest.approx(1 - share)
        assert report["kept_accuracy"] == 1
    assert report["unfiltered_successor"] is not None
    phases = {"labeller_train", "pseudo_label", "first_successor_train", "successor_train", "successor_evaluate"}
    assert phases <= set(costs.seconds)
    assert ("influence" if by == "tracin" else "margins") in costs.seconds


@TASKS
def test_adaptive_drops_what_the_labeller_gets_wrong_on_dev(task, tmp_path):
    wrong = REST[:10]
    scene = Scene(task, tmp_path, wrong, 0.9, {"filters": [FilterConfig("tracin", "adaptive")]})
    _, report, _ = scene.run()
    assert len(REST) - report["kept"] == round(0.1 * len(REST)) == 5
    assert report["quality"] == 0.9


def test_a_threshold_before_tracin_counts_towards_its_share(tmp_path):
    wrong = REST[:10]
    scene = Scene(
        "classification", tmp_path, wrong, 0.8,
        {"filters": [FilterConfig("confidence", threshold=0.5), FilterConfig("tracin", "adaptive")]},
    )  # fmt: skip
    doubtful = REST[-4:]
    scene.learners["pseudo_labeler"].sure = np.where(np.isin(np.arange(60), doubtful), 0.45, 0.9)
    _, report, _ = scene.run()
    first, last = scene.fits("successor")
    assert not np.isin(doubtful, first.ids).any(), "the first fit is on what the threshold left"
    assert report["dropped"]["confidence"] == pytest.approx(4 / len(REST))
    assert report["kept"] == len(REST) - round(0.2 * len(REST))
    assert not np.isin(doubtful, last.ids).any()


@TASKS
@pytest.mark.parametrize("by", ["verifier", "knn"])
def test_second_opinions(task, by, tmp_path):
    scene = Scene(task, tmp_path, REST[:3], None, {"filters": [FilterConfig(by, 0.5)]})
    _, report, costs = scene.run()
    assert report["kept"] == len(REST) - round(len(REST) / 2)
    assert len(scene.fits("successor")) == 1, "nobody looks back on a first fit"
    if by == "verifier":
        (fit,) = scene.fits("verifier")
        assert fit.ids.tolist() == LABELLED.tolist(), "trained on gold alone"
        assert "verifier_train" in costs.seconds
    else:
        assert {"successor_embed", "suspect"} <= set(costs.seconds)


@TASKS
def test_no_gold_label_of_the_pool_reaches_a_fit(task, tmp_path):
    """Poison: with every gold label of the pool changed, every fit sees the same."""
    settings = {"filters": [FilterConfig("knn", 0.2), FilterConfig("verifier", 0.1), FilterConfig("tracin", 0.1)]}
    seen = []
    for poisoned in (False, True):
        corpus = corpus_of(task)
        if poisoned:
            classes = len(corpus.label_names)
            labels = with_labels(corpus.train.labels, REST, lambda values, c=classes: (values + 2) % c)
            corpus = replace(corpus, train=replace(corpus.train, labels=labels))
        scene = Scene(task, tmp_path / str(poisoned), REST[:7], 0.8, settings, corpus)
        scene.run()
        fits = [fit for role in ("pseudo_labeler", "verifier", "successor") for fit in scene.fits(role)]
        seen.append([(fit.ids.tolist(), flat(fit.labels).tolist()) for fit in fits])
    assert len(seen[0]) == 4
    assert seen[0] == seen[1]


@TASKS
def test_soft_labels_are_the_labellers_distributions(task, tmp_path):
    scene = Scene(task, tmp_path, REST[:3], None, {"labels": "soft", "gold_weight": 3.0})
    scene.run()
    (fit,) = scene.fits("successor")
    values, labels = flat(fit.labels), scene.corpus.train.labels
    assert values.sum(axis=-1) == pytest.approx(1)
    gold = labels.positions(LABELLED) if task == "tagging" else LABELLED
    assert (values[gold].max(axis=1) == 1).all()
    assert np.array_equal(values[gold].argmax(axis=1), flat(labels)[gold])
    others = np.delete(values, gold, axis=0).max(axis=1)
    assert np.isin(others.astype(float).round(4), [0.9, 1.0]).all(), "1: a word that the labeller could not see is O"
    assert fit.weights.tolist() == np.where(np.isin(np.arange(60), LABELLED), 3.0, 1.0).tolist()


def test_smoothing_spreads_pseudo_labels_only(tmp_path):
    scene = Scene("classification", tmp_path, REST[:3], None, {"smoothing": 0.3})
    scene.run()
    (fit,) = scene.fits("successor")
    assert sorted(set(fit.labels[REST].ravel().round(5))) == pytest.approx([0.1, 0.8])
    assert set(fit.labels[LABELLED].ravel()) == {0.0, 1.0}
    assert fit.weights is None


class Killed(BaseException):
    pass


@TASKS
def test_killed_in_any_stage_it_goes_on(task, tmp_path, monkeypatch):
    """A kill before each write in turn: the results are the uninterrupted run's, and no finished stage is repeated."""
    settings = {"filters": [FilterConfig("verifier", 0.1), FilterConfig("tracin", 0.1), FilterConfig("aum", 0.1)]}

    def scene(name: str) -> Scene:
        return Scene(task, tmp_path / name, REST[:9], 0.8, settings)

    straight = scene("straight")
    expected = straight.run()[:2]
    total = sum(len(straight.fits(role)) for role in straight.learners)
    stages = len(list((tmp_path / "straight").glob("*/values.json")))
    assert stages == 6
    get = Steps.get
    for stop in range(stages):
        left = iter([True] * stop + [False])

        def killed(self, identity, roles, compute, left=left):
            def dies() -> Step:
                step = compute()
                if not next(left, True):
                    raise Killed
                return step

            return get(self, identity, roles, dies)

        first, second = scene(f"kill{stop}"), scene(f"kill{stop}")
        with monkeypatch.context() as patch:
            patch.setattr(Steps, "get", killed)
            with pytest.raises(Killed):
                first.run()
        assert second.run()[:2] == expected
        again = sum(len(s.fits(role)) for s in (first, second) for role in s.learners) - total
        # The interrupted fit itself; and where its metrics were kept but not its weights, the fit to look back on.
        assert again <= 2


def test_a_second_run_fits_nothing(tmp_path):
    settings = {"filters": [FilterConfig("verifier", 0.1), FilterConfig("tracin", 0.1)]}
    first, second = (Scene("classification", tmp_path, REST[:9], 0.8, settings) for _ in range(2))
    results = first.run()
    again = second.run()
    assert results[:2] == again[:2]
    assert results[2].seconds == again[2].seconds, "a stage costs what it cost, whoever paid"
    assert not any(second.fits(role) for role in second.learners)


def test_other_filters_share_labels_and_the_first_fit(tmp_path):
    one = Scene("classification", tmp_path, REST[:9], 0.8, {"filters": [FilterConfig("tracin", 0.1)]})
    other = Scene("classification", tmp_path, REST[:9], 0.8, {"filters": [FilterConfig("tracin", 0.2)]})
    bare = Scene("classification", tmp_path, REST[:9], 0.8)
    for scene in (one, other, bare):
        scene.run()
    assert len(other.fits("pseudo_labeler")) == 0
    assert len(other.fits("successor")) == 1
    assert len(bare.fits("successor")) == 0, "PLASM without filters is the first fit of PLASM"


def test_a_first_fit_that_another_run_made_is_charged_as_the_first(tmp_path):
    bare = Scene("classification", tmp_path, REST[:9], 0.8)
    _, _, costs = bare.run()
    assert "successor_train" in costs.seconds
    filtered = Scene("classification", tmp_path, REST[:9], 0.8, {"filters": [FilterConfig("tracin", 0.1)]})
    _, _, again = filtered.run()
    assert again.seconds["first_successor_train"] == costs.seconds["successor_train"]
    assert len(filtered.fits("successor")) == 2, "made again for its influences, and the last"


def test_on_gold_alone_a_successor_is_fitted_once_for_all_runs(tmp_path):
    one, other = (Scene("classification", tmp_path, REST[:9]) for _ in range(2))
    metrics, costs = succeed(one.succession, LABELLED, 2)
    assert succeed(other.succession, LABELLED, 2) == (metrics, costs)
    assert (len(one.fits("successor")), len(other.fits("successor"))) == (1, 0)
    (fit,) = one.fits("successor")
    assert fit.seeds.cycle == 2
    assert np.array_equal(fit.labels, one.corpus.train.labels[LABELLED])
