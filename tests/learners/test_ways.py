"""The fast ways are the plain one: packed as padded, cast as autocast; and who cannot take one does without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, SEEDS, build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import forward as forward_module
from al_bench.learners.engine import packing
from al_bench.learners.engine.ways import PROBE, Said, Ways, error, probe

PACKED = ("bert", "distilbert", "roberta", "electra", "albert", "xlm_roberta")
PADDED = ("mpnet", "xlnet", "deberta")
TEXTS = [
    "good film",
    "a",
    "the plot was very bad, awful! the end was bad too",
    "great",
    "the the",
    "anna was here",
]
LABELS = np.array([1, 0, 1, 0, 0, 1])
Family = Callable[[str], Path]


def inputs_of(task: str) -> Unlabelled:
    return Unlabelled(TEXTS if task == "classification" else [text.split() for text in TEXTS])


def labels_of(task: str) -> Any:
    return (
        LABELS
        if task == "classification"
        else Ragged.of([[i % 3 for i, _ in enumerate(t.split())] for t in TEXTS])
    )


def probs_of(learner: Any, task: str) -> np.ndarray:
    ids = np.array([3, 0, 2, 5, 1, 4])
    model = learner.fit(inputs_of(task), np.arange(6), labels_of(task), SEEDS)
    probs = model.predict(inputs_of(task), ids).probs
    return probs.values if isinstance(probs, Ragged) else probs


def test_every_family_is_one_or_the_other() -> None:
    assert sorted([*PACKED, *PADDED]) == sorted(FAMILIES)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", PACKED)
def test_packed_is_padded(name: str, task: str, family: Family) -> None:
    learner, plain = (build(family(name), task, ways=Ways(packed=packed)) for packed in (True, False))
    assert learner.forward.packs(exact=True)
    assert not plain.forward.packs(exact=True)
    found, expected = probs_of(learner, task), probs_of(plain, task)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.01, "a constant answer would hide errors"
    assert learner.work.cells < plain.work.cells


@pytest.mark.parametrize("name", PADDED)
def test_who_does_not_ask_for_our_attention_is_padded(name: str, family: Family) -> None:
    for task in ("classification", "tagging"):
        assert not build(family(name), task).forward.packs(exact=True)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_cast_weights_are_near_float32(name: str, task: str, family: Family) -> None:
    learner = build(family(name), task, precision="bfloat16")
    assert learner.forward.half is not None
    assert np.abs(probs_of(learner, task) - probs_of(build(family(name), task), task)).max() < 0.1
    assert {p.dtype for p in learner._network.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_through_cast_weights_are_near_float32_ones(name: str, family: Family) -> None:
    """Every parameter gets one, in float32, in the same direction."""
    halves = build(family(name), precision="bfloat16", ways=Ways(packed=False))
    whole = build(family(name))
    half = halves.forward.half
    assert half is not None
    encoded = halves.encoded(inputs_of("classification"))
    for network, learner in ((half.network, halves), (whole._network, whole)):
        learner._reset(SEEDS)
        learner.forward.follow()
        network.eval()
        logits = network(**learner._collator.inputs(encoded, np.arange(6))).logits.float()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS)).backward()
    half.hand_over()
    expected = dict(whole._network.named_parameters())
    for name_, parameter in halves._network.named_parameters():
        if expected[name_].grad is None or expected[name_].grad.norm() < 1e-6:
            continue
        assert parameter.grad is not None, name_
        assert parameter.grad.dtype == torch.float32
        one, other = parameter.grad.flatten(), expected[name_].grad.flatten()
        assert torch.cosine_similarity(one, other, dim=0) > 0.95, name_


def test_a_leak_between_texts_is_found_out(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention over the whole packed sequence is what a wrong mask would give; then texts are padded."""

    def leaky(query: Any, key: Any, value: Any, scaling: float, of: Any) -> torch.Tensor:
        given = (states.transpose(0, 1).unsqueeze(0) for states in (query, key, value))
        seen = torch.nn.functional.scaled_dot_product_attention(*given, scale=scaling)
        return seen.squeeze(0).transpose(0, 1)

    monkeypatch.setattr(packing, "_by_length", leaky)
    for precision in ("float32", "bfloat16"):
        assert not build(bert, precision=precision).forward.packs()


@pytest.mark.parametrize("wrong", ["raises", "gives nonsense"])
def test_a_cast_that_goes_wrong_leaves_autocast(
    wrong: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(forward_module.Half):  # type: ignore[name-defined]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if wrong == "raises":
                raise RuntimeError("expected scalar type Float")
            for p in self._copies:
                p.data.zero_()

    monkeypatch.setattr(forward_module, "Half", Broken)
    learner = build(bert, precision="bfloat16")
    assert learner.forward.half is None
    plain = build(bert, precision="bfloat16", ways=Ways(cast=False))
    np.testing.assert_array_equal(probs_of(learner, "classification"), probs_of(plain, "classification"))


def test_checks_do_not_count_as_work(bert: Path) -> None:
    work = build(bert).work
    assert (work.batches, work.tokens, work.cells) == (0, 0, 0)


def test_work_counts_batches_sub_words_and_cells(bert: Path) -> None:
    """Trained padded, scored packed: 8 + 9 sub-words in a batch that is 9 long, then 17 without padding."""
    learner = build(bert, batch_size=2, epochs=1)
    inputs = Unlabelled(["good film the plot was bad", "the the the the the the the"])
    model = learner.fit(inputs, np.arange(2), np.array([0, 1]), SEEDS)
    assert (learner.work.batches, learner.work.tokens, learner.work.cells) == (1, 17, 18)
    model.predict(inputs, np.arange(2))
    assert (learner.work.batches, learner.work.tokens, learner.work.cells) == (2, 34, 35)


def test_the_probe_is_what_it_says() -> None:
    encoded = probe(vocabulary=12, pad=3, tagging=True)
    assert encoded.tokens.lengths.tolist() == list(PROBE)
    assert 3 not in encoded.tokens.values
    assert encoded.tokens.values.max() < 12
    assert encoded.firsts is not None
    assert encoded.firsts.lengths.tolist() == list(PROBE)


def test_the_error_is_relative_to_what_tells_texts_apart() -> None:
    """Of the states; and of the logits, which may be nearly equal, relative to their size."""
    states, logits = np.array([[100.0, 1.0], [100.0, -1.0]]), np.array([[3.0, 4.0], [3.0, 4.0]])
    expected = Said(states, logits)
    assert error(expected, expected) == 0
    assert error(Said(states + np.array([0.0, 0.1]), logits), expected) == pytest.approx(0.1)
    assert error(Said(states, logits * 1.01), expected) == pytest.approx(0.01)
    assert error(Said(states, logits * np.nan), expected) == np.inf


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_checks_do_not_depend_on_chance(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library draws a new head from torch's own generator; which ways are taken must not follow from it."""
    errors: list[float] = []
    original = forward_module.checks.error

    def spy(found: Said, expected: Said) -> float:
        errors.append(original(found, expected))
        return errors[-1]

    monkeypatch.setattr(forward_module.checks, "error", spy)
    runs = []
    for seed in (1, 2):
        errors.clear()
        torch.manual_seed(seed)
        build(bert, task, precision="bfloat16")
        runs.append(list(errors))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 5
    autocast, cast, on_host, exact, packed = runs[0]
    assert exact < 1e-5
    assert max(cast, on_host, packed) < 3 * autocast + 0.02
