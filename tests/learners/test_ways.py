"""The fast ways are the plain one: packed as padded, cast as autocast; and who cannot take one does without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, SEEDS, build

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import forward as forward_module
from al_bench.learners.engine import half, packing
from al_bench.learners.engine.ways import PLAIN, PROBE, Said, Ways, error, probe

PACKED = ("bert", "distilbert", "roberta", "electra", "albert", "xlm_roberta")
PADDED = ("mpnet", "xlnet", "deberta", "modernbert")
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
    encoded = probe(vocabulary=12, pad=3, tagging=True, longest=9)
    assert encoded.tokens.lengths.tolist() == list(PROBE)
    assert probe(12, 3, False, longest=30).tokens.lengths.tolist() == [30, *PROBE]
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


def test_what_fails_on_random_texts_takes_the_plain_way(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BART looks for the end of a text, which random ones lack; that must not keep it from being loaded."""

    def lost(*_: Any) -> Said:
        raise ValueError("All examples must contain at least one <eos> token")

    monkeypatch.setattr(forward_module._Trial, "said", lost)
    for precision in ("float32", "bfloat16"):
        forward = build(bert, precision=precision).forward
        assert forward.half is None
        assert not forward.packs()
        assert not forward.packs(exact=True)


def test_a_network_that_has_no_bfloat16_is_refused(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = forward_module._Trial.said

    def overflowing(self: Any, **ways: bool) -> Said:
        if not ways.get("exact"):
            raise RuntimeError("value cannot be converted to type c10::BFloat16 without overflow")
        return said(self, **ways)

    monkeypatch.setattr(forward_module._Trial, "said", overflowing)
    with pytest.raises(
        UserError, match=r"precision=bfloat16: Bert.* cannot compute in it .*; set precision=float32"
    ):
        build(bert, precision="bfloat16")


def test_a_way_that_cannot_be_learned_by_is_done_without(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is right, but its gradient is another, or there is none."""

    class Wrong(half._Multiply):  # type: ignore[misc, name-defined]
        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            found = half._Multiply.backward(ctx, *gradients)
            return found[0], 2 * found[1], *found[2:]  # type: ignore[operator]

    class Silent(half._Multiply):  # type: ignore[misc, name-defined]
        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            raise RuntimeError("Output 0 of _Multiply is a view and is being modified inplace")

    assert build(bert, precision="bfloat16").forward.half is not None
    for multiply in (Wrong, Silent):
        with monkeypatch.context() as patched:
            patched.setattr(half, "_Multiply", multiply)
            learner = build(bert, precision="bfloat16")
        assert learner.forward.half is None
        assert all(p.grad is None for p in learner._network.parameters())


def test_checks_leave_no_gradients(bert: Path) -> None:
    learner = build(bert, precision="bfloat16")
    for network in (learner._network, learner.forward.working_network):
        assert all(p.grad is None for p in network.parameters())


def test_frequencies_stay_in_float32(family: Family) -> None:
    """In bfloat16 a rotation by the position is off by a quarter from position 256 on."""
    learner = build(family("modernbert"), precision="bfloat16")
    assert learner.forward.half is not None
    buffers = {n: b for n, b in learner.forward.half.network.named_buffers() if n.endswith("inv_freq")}
    assert buffers
    assert {b.dtype for b in buffers.values()} == {torch.float32}


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_batch_that_is_too_large_is_halved(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = build(bert, task)
    expected = probs_of(learner, task)
    sizes, logits = [], learner.forward.logits

    def small(encoded: Any, ids: np.ndarray, exact: bool = False) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("Tried to allocate 20 GiB")
        sizes.append(len(ids))
        return logits(encoded, ids, exact)

    monkeypatch.setattr(learner.forward, "logits", small)
    np.testing.assert_allclose(probs_of(learner, task), expected, atol=1e-6)
    assert sum(sizes) == len(TEXTS)
    monkeypatch.setattr(learner.forward, "logits", lambda *_: small(None, np.arange(3)))
    with pytest.raises(torch.OutOfMemoryError):
        probs_of(learner, task)


def test_a_table_that_another_module_looks_up(bert: Path) -> None:
    """As in BART, where the encoder has its own module for the shared table: its gradient is not sparse."""
    learner = build(bert, epochs=1)
    embeddings = learner._network.base_model.embeddings
    other = torch.nn.Embedding(*embeddings.word_embeddings.weight.shape)
    other.weight = embeddings.word_embeddings.weight
    shown = embeddings.word_embeddings
    learner._network.get_input_embeddings = lambda: shown
    embeddings.word_embeddings = other
    before = shown.weight.detach().clone()
    probs_of(learner, "classification")
    assert not torch.equal(shown.weight, before)


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("bert", "float32", "attention for a CPU, packed"),
        ("bert", "bfloat16", "weights in bfloat16, attention for a CPU, packed"),
        ("modernbert", "float32", "attention for a CPU"),
        ("mpnet", "float32", "as the library does"),
        ("deberta", "bfloat16", "weights in bfloat16"),
    ],
)
def test_what_is_taken_is_said(name: str, precision: str, said: str, family: Family) -> None:
    assert build(family(name), precision=precision).computes == said
    assert build(family(name), ways=PLAIN).computes == "as the library does"
