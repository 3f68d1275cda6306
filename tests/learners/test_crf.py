"""The CRF against sums and maxima over all paths, one by one."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from al_bench.learners.engine.crf import Crf


def random_crf(tags: int, seed: int) -> Crf:
    torch.manual_seed(seed)
    crf = Crf(tags).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def random_emissions(lengths: np.ndarray, tags: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(0, 2, (lengths.sum(), tags))).requires_grad_()


def every_path(crf: Crf, emissions: torch.Tensor) -> dict[tuple[int, ...], torch.Tensor]:
    """The score of each path of one sentence, term by term."""
    scores = {}
    for path in product(range(emissions.shape[1]), repeat=len(emissions)):
        score = crf.start[path[0]] + crf.end[path[-1]]
        for t, tag in enumerate(path):
            score = score + emissions[t, tag]
        for before, after in pairwise(path):
            score = score + crf.transitions[before, after]
        scores[path] = score
    return scores


def sentences(emissions: torch.Tensor, lengths: np.ndarray) -> tuple[torch.Tensor, ...]:
    return torch.split(emissions, lengths.tolist())


LENGTHS = [np.array([1]), np.array([4]), np.array([1, 1]), np.array([3, 1, 5]), np.array([2, 4, 4, 1, 3])]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("tags", [2, 3])
def test_likelihoods_and_their_gradients_are_those_over_all_paths(lengths: np.ndarray, tags: int) -> None:
    crf, emissions = random_crf(tags, 1), random_emissions(lengths, tags, 2)
    path = np.random.default_rng(3).integers(0, tags, lengths.sum())
    expected = []
    for rows, gold in zip(sentences(emissions, lengths), np.split(path, np.cumsum(lengths)[:-1]), strict=True):
        scores = every_path(crf, rows)
        expected.append(scores[tuple(gold.tolist())] - torch.stack(list(scores.values())).logsumexp(0))
    likelihood = crf.log_likelihood(emissions, torch.from_numpy(path), lengths)
    torch.testing.assert_close(likelihood, torch.stack(expected))
    factors = torch.arange(1.0, len(lengths) + 1).double()
    parameters = [emissions, *crf.parameters()]
    ours = torch.autograd.grad((likelihood * factors).sum(), parameters, materialize_grads=True)
    theirs = torch.autograd.grad((torch.stack(expected) * factors).sum(), parameters, materialize_grads=True)
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), tags=st.integers(2, 3), seed=st.integers(0, 2**20))
def test_marginals_and_best_paths_are_those_over_all_paths(lengths: list[int], tags: int, seed: int) -> None:
    sizes = np.array(lengths)
    crf, emissions = random_crf(tags, seed), random_emissions(sizes, tags, seed + 1)
    marginals, best = [], []
    with torch.no_grad():
        for rows in sentences(emissions, sizes):
            scores = every_path(crf, rows)
            probs = torch.stack(list(scores.values())).softmax(0)
            sums = torch.zeros(len(rows), tags, dtype=torch.double)
            for path, p in zip(scores, probs, strict=True):
                sums[torch.arange(len(rows)), torch.tensor(path)] += p
            marginals.append(sums)
            best += max(scores, key=lambda path: float(scores[path]))
        torch.testing.assert_close(crf.log_marginals(emissions, sizes).exp(), torch.cat(marginals))
        assert crf.best_paths(emissions, sizes).tolist() == best


def test_marginals_are_the_gradient_of_the_partition_function() -> None:
    """Of sentences too long for all paths, in the precision of a run."""
    lengths = np.array([200, 3, 50])
    crf, emissions = random_crf(9, 4), random_emissions(lengths, 9, 5)
    gold = torch.zeros(lengths.sum(), dtype=torch.long)
    (gradient,) = torch.autograd.grad(crf.log_likelihood(emissions, gold, lengths).sum(), emissions)
    expected = torch.nn.functional.one_hot(gold, 9) - gradient
    with torch.no_grad():
        marginals = crf.float().log_marginals(emissions.float(), lengths).exp()
    torch.testing.assert_close(marginals.double(), expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(marginals.sum(dim=1), torch.ones(lengths.sum()))


def test_a_worked_example() -> None:
    """Two words, two tags: the best path is not each word's most probable tag.

    Weights of the paths are 3 (0, 0), 3 (0, 1), 0 (1, 0) and 4 (1, 1), of 10 in all.
    """
    crf = Crf(2)
    with torch.no_grad():
        crf.transitions.copy_(torch.tensor([[3.0, 3.0], [1e-30, 4.0]]).log())
    emissions, lengths = torch.zeros(2, 2), np.array([2])
    marginals = crf.log_marginals(emissions, lengths).exp()
    torch.testing.assert_close(marginals, torch.tensor([[0.6, 0.4], [0.3, 0.7]]))
    assert crf.best_paths(emissions, lengths).tolist() == [1, 1]
    likelihood = crf.log_likelihood(emissions, torch.tensor([0, 1]), lengths).detach()
    assert float(likelihood.exp()) == pytest.approx(0.3)


def test_other_sentences_of_the_batch_change_nothing() -> None:
    lengths = np.array([2, 7, 1, 4])
    crf, emissions = random_crf(4, 6), random_emissions(lengths, 4, 7)
    with torch.no_grad():
        alone = [crf.log_marginals(rows, np.array([len(rows)])) for rows in sentences(emissions, lengths)]
        paths = [crf.best_paths(rows, np.array([len(rows)])) for rows in sentences(emissions, lengths)]
        torch.testing.assert_close(crf.log_marginals(emissions, lengths), torch.cat(alone))
        assert torch.equal(crf.best_paths(emissions, lengths), torch.cat(paths))
