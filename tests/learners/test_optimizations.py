"""Optimizations compute what the plain network does; one that a network cannot take is rejected, with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, SEEDS, TESTED, build

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import forward as forward_module
from al_bench.learners.engine import optimizations, packing
from al_bench.learners.engine.optimizations import (
    BFLOAT16,
    GRAPHS,
    PACKED,
    PROBE_LENGTHS,
    Outputs,
    optimizations_of,
    output_error,
    probe_texts,
)

PLAIN: frozenset[str] = frozenset()
PACKABLE = ("bert", "distilbert", "roberta", "electra", "albert", "xlm_roberta")
PADDED = ("mpnet", "xlnet", "deberta", "modernbert")
TEXTS = ["good film", "a", "the plot was very bad, awful! the end was bad too", "great", "the the", "anna was here"]
LABELS = np.array([1, 0, 1, 0, 0, 1])
Family = Callable[[str], Path]


def inputs_of(task: str) -> Unlabelled:
    return Unlabelled(TEXTS if task == "classification" else [text.split() for text in TEXTS])


def labels_of(task: str) -> Any:
    return LABELS if task == "classification" else Ragged.of([[i % 3 for i, _ in enumerate(t.split())] for t in TEXTS])


def probs_of(learner: Any, task: str) -> np.ndarray:
    ids = np.array([3, 0, 2, 5, 1, 4])
    model = learner.fit(inputs_of(task), np.arange(6), labels_of(task), SEEDS)
    probs = model.predict(inputs_of(task), ids).probs
    return probs.values if isinstance(probs, Ragged) else probs


def cells_of(learner: Any) -> list[int]:
    """Fills with the sub-words of each batch, padding included."""
    cells: list[int] = []
    learner.forward.working_network.register_forward_pre_hook(
        lambda _, args, kwargs: cells.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    return cells


def test_every_family_is_one_or_the_other() -> None:
    assert sorted([*PACKABLE, *PADDED]) == sorted(FAMILIES)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", PACKABLE)
def test_packed_is_padded(name: str, task: str, family: Family) -> None:
    learner, plain = (build(family(name), task, available=available) for available in ({PACKED}, PLAIN))
    assert learner.optimizations == (PACKED,)
    assert plain.optimizations == ()
    cells, plain_cells = cells_of(learner), cells_of(plain)
    probs, expected = probs_of(learner, task), probs_of(plain, task)
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.01, "constant probabilities would hide errors"
    assert sum(cells) < sum(plain_cells)


@pytest.mark.parametrize("name", PADDED)
def test_networks_with_another_attention_are_padded(name: str, family: Family) -> None:
    for task in ("classification", "tagging"):
        assert build(family(name), task, available={PACKED}).optimizations == ()


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_cast_weights_are_near_float32(name: str, task: str, family: Family) -> None:
    learner = build(family(name), task, precision="bfloat16")
    assert BFLOAT16 in learner.optimizations
    assert np.abs(probs_of(learner, task) - probs_of(build(family(name), task), task)).max() < 0.1
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_through_cast_weights_are_near_float32_ones(name: str, family: Family) -> None:
    """Every parameter gets one, in float32, in the same direction."""
    halves = build(family(name), precision="bfloat16", available={BFLOAT16})
    whole = build(family(name))
    bfloat16_copy = halves.forward.copy
    assert bfloat16_copy is not None
    encoded = halves.encoded(inputs_of("classification"))
    for network, learner in ((bfloat16_copy.network, halves), (whole.network, whole)):
        learner.reset(SEEDS)
        learner.forward.update()
        network.eval()
        logits = network(**learner.collator.inputs(encoded, np.arange(6))).logits.float()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS)).backward()
    bfloat16_copy.return_gradients()
    expected = dict(whole.network.named_parameters())
    for name_, parameter in halves.network.named_parameters():
        if expected[name_].grad is None or expected[name_].grad.norm() < 1e-6:
            continue
        assert parameter.grad is not None, name_
        assert parameter.grad.dtype == torch.float32
        one, other = parameter.grad.flatten(), expected[name_].grad.flatten()
        assert torch.cosine_similarity(one, other, dim=0) > 0.95, name_


def test_packing_that_leaks_between_texts_is_rejected(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention over the whole packed sequence is what a wrong mask would give; then texts are padded."""

    def leaky(states: Any, scaling: float, of: Any) -> torch.Tensor:
        given = (s.transpose(0, 1).unsqueeze(0) for s in states)
        seen = torch.nn.functional.scaled_dot_product_attention(*given, scale=scaling)
        return seen.squeeze(0).transpose(0, 1)

    monkeypatch.setattr(packing, "attend_runs", leaky)
    for precision in ("float32", "bfloat16"):
        learner = build(bert, precision=precision)
        assert PACKED not in learner.optimizations
        assert f"no {PACKED}: its outputs differ by" in learner.computes


@pytest.mark.parametrize("wrong", ["raises", "gives nonsense"])
def test_a_cast_that_goes_wrong_leaves_autocast(wrong: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(forward_module.Bfloat16Copy):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if wrong == "raises":
                raise RuntimeError("expected scalar type Float")
            for name, p in self.network.named_parameters():
                if "encoder" in name and "LayerNorm" in name:
                    p.data.zero_()

    monkeypatch.setattr(forward_module, "Bfloat16Copy", Broken)
    learner = build(bert, precision="bfloat16")
    assert learner.optimizations == (PACKED,)
    assert f"no {BFLOAT16}: " in learner.computes
    plain = build(bert, precision="bfloat16", available={PACKED})
    np.testing.assert_array_equal(probs_of(learner, "classification"), probs_of(plain, "classification"))


def test_training_is_padded_and_scoring_is_packed(bert: Path) -> None:
    """8 + 9 sub-words in a batch that is 9 long, then 17 without padding; exact scoring is padded."""
    learner = build(bert, batch_size=2, epochs=1)
    inputs = Unlabelled(["good film the plot was bad", "the the the the the the the"])
    cells = cells_of(learner)
    model = learner.fit(inputs, np.arange(2), np.array([0, 1]), SEEDS)
    model.predict(inputs, np.arange(2))
    model.predict(inputs, np.arange(2), exact=True)
    assert cells == [18, 17, 18]


def test_the_probe_is_what_it_says() -> None:
    encoded = probe_texts(vocabulary=12, pad=3, tagging=True, longest=9)
    assert encoded.tokens.lengths.tolist() == list(PROBE_LENGTHS)
    assert probe_texts(12, 3, False, longest=30).tokens.lengths.tolist() == [30, *PROBE_LENGTHS]
    assert 3 not in encoded.tokens.values
    assert encoded.tokens.values.max() < 12
    assert encoded.firsts is not None
    assert encoded.firsts.lengths.tolist() == list(PROBE_LENGTHS)


def test_the_error_is_relative_to_what_tells_texts_apart() -> None:
    """Of the states; and of the logits, which may be nearly equal, relative to their size."""
    states, logits = np.array([[100.0, 1.0], [100.0, -1.0]]), np.array([[3.0, 4.0], [3.0, 4.0]])
    expected = Outputs(states, logits)
    assert output_error(expected, expected) == 0
    assert output_error(Outputs(states + np.array([0.0, 0.1]), logits), expected) == pytest.approx(0.1)
    assert output_error(Outputs(states, logits * 1.01), expected) == pytest.approx(0.01)
    assert output_error(Outputs(states, logits * np.nan), expected) == np.inf


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_checks_do_not_depend_on_chance(task: str, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library draws a new head from torch's own generator; what is rejected must not follow from it."""
    errors: list[float] = []
    original = optimizations.output_error

    def spy(outputs: Outputs, expected: Outputs) -> float:
        errors.append(original(outputs, expected))
        return errors[-1]

    monkeypatch.setattr(optimizations, "output_error", spy)
    runs = []
    for seed in (1, 2):
        errors.clear()
        torch.manual_seed(seed)
        build(bert, task, precision="bfloat16")
        runs.append(list(errors))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 4
    autocast, cast, exact, packed = runs[0]
    assert exact < 1e-5
    assert max(cast, packed) < 3 * autocast + 0.02


def test_a_network_that_fails_on_random_texts_is_run_plainly(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BART looks for the end of a text, which random ones lack; that must not keep it from being loaded."""

    def lost(*_: Any, **__: Any) -> Outputs:
        raise ValueError("All examples must contain at least one <eos> token")

    monkeypatch.setattr(forward_module.Trial, "outputs", lost)
    for precision in ("float32", "bfloat16"):
        learner = build(bert, precision=precision)
        assert learner.optimizations == ()
        assert "random texts fail (All examples must contain" in learner.computes


def test_a_network_that_has_no_bfloat16_is_refused(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = forward_module.Trial.outputs

    def overflowing(self: Any, **options: bool) -> Outputs:
        if not options.get("exact"):
            raise RuntimeError("value cannot be converted to type c10::BFloat16 without overflow")
        return outputs(self, **options)

    monkeypatch.setattr(forward_module.Trial, "outputs", overflowing)
    for available in (TESTED, PLAIN):
        with pytest.raises(
            UserError, match=r"precision=bfloat16: Bert.* cannot compute in it .*; set precision=float32"
        ):
            build(bert, precision="bfloat16", available=available)


def test_a_copy_with_wrong_gradients_is_rejected(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outputs are right, but its gradient is another, or there is none."""

    class Doubled(forward_module.Bfloat16Copy):
        def __init__(self, network: Any) -> None:
            super().__init__(network)
            self.owner = network

        def return_gradients(self) -> None:
            super().return_gradients()
            for p in self.owner.base_model.encoder.parameters():
                p.grad *= 2

    class Missing(forward_module.Bfloat16Copy):
        def return_gradients(self) -> None:
            pass

    class Failing(forward_module.Bfloat16Copy):
        def return_gradients(self) -> None:
            raise RuntimeError("a view is being modified inplace")

    assert BFLOAT16 in build(bert, precision="bfloat16").optimizations
    for wrong in (Doubled, Missing, Failing):
        with monkeypatch.context() as patched:
            patched.setattr(forward_module, "Bfloat16Copy", wrong)
            learner = build(bert, precision="bfloat16")
        assert BFLOAT16 not in learner.optimizations
        assert all(p.grad is None for p in learner.network.parameters())


def test_checks_leave_no_gradients(bert: Path) -> None:
    learner = build(bert, precision="bfloat16")
    for network in (learner.network, learner.forward.working_network):
        assert all(p.grad is None for p in network.parameters())


def test_frequencies_stay_in_float32(family: Family) -> None:
    """In bfloat16 a rotation by the position is off by a quarter from position 256 on."""
    learner = build(family("modernbert"), precision="bfloat16")
    assert BFLOAT16 in learner.optimizations
    network = learner.forward.working_network
    buffers = {n: b for n, b in network.named_buffers() if n.endswith("inv_freq")}
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("available", [TESTED, PLAIN])
def test_training_drops_out_and_scoring_does_not(precision: str, available: frozenset[str], bert: Path) -> None:
    learner = build(bert, precision=precision, available=available, epochs=2, dev_share=0.5)
    used: list[bool] = []
    for network in {learner.network, learner.forward.working_network}:
        network.register_forward_pre_hook(lambda network, _: used.append(network.training))
    model = learner.fit(inputs_of("classification"), np.arange(6), LABELS, SEEDS)
    # An epoch of a batch, and the dev split; early stopping doubles the epochs.
    assert used == [True, False] * model.costs.epochs
    model.predict(inputs_of("classification"), np.arange(6))
    assert used[-1] is False


def test_which_optimizations_a_device_gets() -> None:
    cpu, cuda, mps = (torch.device(name) for name in ("cpu", "cuda", "mps"))
    assert optimizations_of("fast", cuda, "bfloat16") == {GRAPHS, PACKED, BFLOAT16}
    assert optimizations_of("fast", cuda, "float32") == {GRAPHS}
    for precision in ("float32", "bfloat16"):
        assert optimizations_of("fast", cpu, precision) == optimizations_of("fast", mps, precision) == set()
        assert optimizations_of("plain", cuda, precision) == set()


@pytest.mark.parametrize(
    ("name", "precision", "line"),
    [
        ("bert", "float32", "packed scoring"),
        ("bert", "bfloat16", "packed scoring, bfloat16 weights"),
        ("modernbert", "float32", "computes as transformers does; no packed scoring: "),
        ("mpnet", "float32", "computes as transformers does; no packed scoring: "),
        ("deberta", "bfloat16", "bfloat16 weights; no packed scoring: "),
    ],
)
def test_the_line_for_the_user(name: str, precision: str, line: str, family: Family) -> None:
    available = TESTED if precision == "bfloat16" else {PACKED}
    computes = build(family(name), precision=precision, available=available).computes
    assert computes.startswith(line)
    assert computes == line or line.endswith(" ")
    assert "\n" not in computes
    assert build(family(name), available=PLAIN).computes == "computes as transformers does"


def test_what_is_no_training_is_timed_apart(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = build(bert, epochs=2, batch_size=3)
    assert set(learner.overheads) == {"load", "check", "capture"}
    assert learner.overheads["load"] > 0
    assert learner.overheads["check"] > build(bert, available=PLAIN).overheads["check"]
    assert learner.overheads["capture"] == 0
    step = learner.stepper.step

    def capturing(*given: Any) -> None:
        learner.stepper.capture_seconds += 0.25
        step(*given)

    monkeypatch.setattr(learner.stepper, "step", capturing)
    for fit in (1, 2):
        model = learner.fit(inputs_of("classification"), np.arange(6), LABELS, SEEDS)
        assert model.costs.capture_seconds == 4 * 0.25
        assert learner.overheads["capture"] == fit * 4 * 0.25
