"""Strategies against a second implementation, scikit-activeml, on the same probabilities and vectors.

It has no counterpart of `mnlp`, `mahalanobis`, `ddu`, `egl` (of regression alone), `bait`, `cluster_margin` and
`information_density`: brute force and scipy are their references, in the other files of this folder.
"""

import warnings

import numpy as np
import pytest
from arrays import scores_of, selection_of, soft, vectors, view_of
from fixed import FixedView, of_examples
from sklearn.cluster import MiniBatchKMeans

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.strategies.bayesian import Known, information
from al_bench.config.schema import StrategyConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own modules, while they are imported
    pool = pytest.importorskip("skactiveml.pool")
    from skactiveml.base import SkactivemlClassifier

N, LABELLED, CLASSES = 60, 12, 4  # the first ones are labelled
IDS = np.arange(N, dtype=np.float64)[:, None]


class Recited(SkactivemlClassifier):
    """A fitted classifier whose probabilities and embeddings of example i are row i of arrays made by hand."""

    def __init__(self, probs=None, embeddings=None):
        super().__init__(classes=list(range(probs.shape[1])))
        self.probs, self.embeddings = probs, embeddings

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("it is fitted")

    def predict_proba(self, X, embed=False):
        """Copies, since its callers clip them in place."""
        ids = X[:, 0].astype(int)
        probs = self.probs[ids].astype(np.float64)
        return (probs, self.embeddings[ids]) if embed else probs


def known_labels(labelled: int = LABELLED) -> np.ndarray:
    """(N,) labels, of which all but the first are missing."""
    return np.where(np.arange(N) < labelled, np.arange(N) % CLASSES, np.nan)


def view(name: str, labelled: int = LABELLED, **arrays: np.ndarray):
    return view_of(name, np.arange(N) % CLASSES, range(labelled), **arrays)


# ------------------------------------------------------------------------------------------ uncertainty


@pytest.mark.parametrize(
    ("name", "method"),
    [("least_confidence", "least_confident"), ("breaking_ties", "margin_sampling"), ("entropy", "entropy")],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_uncertainty(name, method, seed):
    """The same scores, and the same batch of them."""
    probs = soft(N, CLASSES, seed)
    theirs = pool.UncertaintySampling(method=method, random_state=seed)
    batch, utilities = theirs.query(
        IDS, known_labels(), Recited(probs), fit_clf=False, batch_size=9, return_utilities=True
    )
    assert scores_of(name, view(name, probs=probs)) == pytest.approx(utilities[0][LABELLED:], abs=1e-12)
    assert selection_of(name, view(name, probs=probs), 9).order[:9].tolist() == list(batch)


# ---------------------------------------------------------------------------------------- disagreement


@pytest.mark.parametrize(("draws", "classes"), [(2, 2), (7, 5)])
def test_bald_is_a_committee_of_draws(draws, classes):
    """Mutual information is the mean divergence of the members from their mean: query by committee's."""
    samples = soft(N * draws, classes).reshape(N, draws, classes)
    expected = pool.average_kl_divergence(samples.astype(np.float64).transpose(1, 0, 2))
    assert scores_of("bald", view("bald", labelled=0, drawn=samples), draws=draws) == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize(("draws", "classes", "size"), [(4, 2, 7), (10, 3, 5)])
def test_batch_bald(draws, classes, size):
    """Theirs are joint informations of the batch and a candidate, of which ours are the gains; both are exact here."""
    samples = soft(N * draws, classes).reshape(N, draws, classes)
    joint = pool.batch_bald(samples.astype(np.float64).transpose(1, 0, 2), size, n_MC_samples=classes**size)
    batch = np.nanargmax(joint, axis=1)
    assert information(samples) == pytest.approx(joint[0], abs=2e-6)
    chosen = view("batch_bald", labelled=0, drawn=samples)
    assert selection_of("batch_bald", chosen, size, draws=draws, configurations=classes**size).order[
        :size
    ].tolist() == list(batch)
    probs, known, total = samples.astype(np.float64), Known.nothing(draws), 0.0
    own = -(probs * np.log(probs)).sum(axis=2).mean(axis=1)
    for place, utilities in zip(batch, joint, strict=True):
        gains = known.entropies(probs) - own
        rest = ~np.isnan(utilities)
        assert total + gains[rest] == pytest.approx(utilities[rest], abs=2e-5)
        known, total = known.observe(probs[place], classes**size, np.random.default_rng(0)), utilities[place]


def test_contrasts():
    """CAL. Theirs raises probabilities to 1e-7 at least, which none of these falls below."""
    probs, embeddings = soft(N, CLASSES), vectors(N, 5)
    for neighbours in (1, 10, 50):
        theirs = pool.ContrastiveAL({"n_neighbors": neighbours}, "embed", random_state=0)
        batch, utilities = theirs.query(
            IDS, known_labels(), Recited(probs, embeddings), fit_clf=False, batch_size=9, return_utilities=True
        )
        ours = view("cal", probs=probs, embeddings=embeddings)
        scores = scores_of("cal", ours, neighbours=neighbours)
        assert scores == pytest.approx(utilities[0][LABELLED:], rel=1e-5)
        assert selection_of("cal", ours, 9, neighbours=neighbours).order[:9].tolist() == list(batch)


# ------------------------------------------------------------------------------------------- diversity


@pytest.mark.parametrize("name", ["coreset", "coreset_pretrained"])
def test_k_centers(name):
    points = vectors(N, 6)
    batch = pool.CoreSet(random_state=0).query(points, known_labels(), batch_size=15)
    config = StrategyConfig(name)
    ours = FixedView(points, labelled=np.arange(LABELLED))
    order = STRATEGIES[name].select(ours, ours.pool, of_examples(15, N), np.random.default_rng(0), config).order
    assert order.tolist() == list(batch)


class Replayed:
    """A generator that draws what another one has drawn, and keeps the probabilities that it is asked to draw with."""

    def __init__(self, draws: list[int]):
        self.draws, self.probabilities = iter(draws), list[np.ndarray]()

    def integers(self, n: int) -> int:
        return next(self.draws)

    def choice(self, n: int, p: np.ndarray) -> int:
        self.probabilities.append(p)
        return next(self.draws)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distances_of_gradients(seed):
    """BADGE: the same chances in each draw, given those before.

    They differ in the first text. Ours is drawn uniformly, as k-means++ has it, and later ones by their distance from
    those before. Theirs has the longest gradient, and distances count from the origin, too, as if a text without any
    gradient were drawn before; here there is such a text, and ours begins with it.
    """
    probs, embeddings, size = soft(N, CLASSES, seed), vectors(N, 5, seed), 8
    probs[-1] = np.eye(CLASSES)[0]
    theirs = pool.Badge("embed", random_state=seed)
    batch, chances = theirs.query(
        IDS, known_labels(0), Recited(probs, embeddings), fit_clf=False, batch_size=size, return_utilities=True
    )
    draws = [N - 1, *batch]
    ours, rng = view("badge", labelled=0, probs=probs, embeddings=embeddings), Replayed(draws)
    order = STRATEGIES["badge"].select(ours, ours.pool, of_examples(size + 1, N), rng, StrategyConfig("badge")).order
    assert order.tolist() == draws
    assert np.array(rng.probabilities) == pytest.approx(np.nan_to_num(chances), abs=1e-6)


@pytest.mark.parametrize("name", ["embedding_kmeans", "alps"])
def test_centres_of_clusters(name):
    """CLUE (Prabhu et al. 2021) with equal weights: the nearest to each centre, by the same clustering.

    Ours makes all vectors as long as each other, and starts with the largest cluster; the batch is the same.
    """
    points, size, seed = vectors(N, 6), 8, 3
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    ours = FixedView(points)
    order = (
        STRATEGIES[name]
        .select(ours, ours.pool, of_examples(size, N), np.random.default_rng(seed), StrategyConfig(name))
        .order
    )
    rng = np.random.default_rng(seed)  # it shuffles, and then seeds the clustering
    ids, random_state = rng.permutation(N), int(rng.integers(2**31))
    theirs = pool.Clue(
        {"embed": True}, cluster_algo=MiniBatchKMeans, cluster_algo_dict={"n_init": 1, "random_state": random_state},
        random_state=0,
    )  # fmt: skip
    sure = np.eye(CLASSES)[np.zeros(N, dtype=int)]  # no uncertainty at all stands for equal weights
    batch = theirs.query(IDS, known_labels(0), Recited(sure, ours.vectors[ids]), fit_estimator=False, batch_size=size)
    assert set(order[:size]) == set(ids[batch])
