"""bfloat16 where it was chosen, float32 where a number is reported."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SEEDS, build

from al_bench.learners.base import Unlabelled
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.device import autocast, resolve_precision

TEXTS = Unlabelled(["good film", "bad plot", "the great great film", "awful", "very bad film, oslo", "good good"])
LABELS = np.array([1, 0, 1, 0, 0, 1])
IDS = np.arange(6)


def test_bfloat16_differs_little_and_exact_is_float32(bert: Path) -> None:
    halves = build(bert, precision="bfloat16", epochs=5).fit(TEXTS, IDS, LABELS, SEEDS)
    fast, exact = (halves.predict(TEXTS, IDS, exact=exact).probs for exact in (False, True))
    assert fast.dtype == exact.dtype == np.float32
    difference = np.abs(fast - exact).max()
    assert 0 < difference < 0.05, "bfloat16 has 8 bits: not equal, not far"

    network = halves.learner.network
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    whole = build(bert)
    model = whole.fit(TEXTS, IDS, LABELS, SEEDS)
    whole.network.load_state_dict(network.state_dict())
    np.testing.assert_array_equal(model.predict(TEXTS, IDS).probs, exact)


def test_embeddings_are_float32_whatever_the_precision(bert: Path) -> None:
    halves = build(bert, precision="bfloat16", epochs=5).fit(TEXTS, IDS, LABELS, SEEDS)
    fast, exact = (halves.predict(TEXTS, IDS, exact=e, embeddings=True).embeddings for e in (False, True))
    assert fast is not None
    assert exact is not None
    assert fast.dtype == exact.dtype == np.float32
    assert 0 < np.abs(fast - exact).max() < 0.05


def test_bfloat16_training_ends_near_float32_training(bert: Path) -> None:
    fits = [build(bert, precision=p, epochs=3).fit(TEXTS, IDS, LABELS, SEEDS) for p in ("bfloat16", "float32")]
    half, full = (fit.predict(TEXTS, IDS, exact=True).probs for fit in fits)
    assert 0 < np.abs(half - full).max() < 0.1


def test_what_a_dev_split_is_scored_with(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Early stopping is an evaluation: float32, whatever the training's precision."""
    from al_bench.learners import network

    seen = []
    original = network.parts

    def spy(*arguments: object, **options: object) -> object:
        seen.append(options["exact"])
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "parts", spy)
    build(bert, precision="bfloat16", dev_share=0.5).fit(TEXTS, IDS, LABELS, SEEDS).predict(TEXTS, IDS)
    assert set(seen[:-1]) == {True}
    assert seen[-1] is False


def test_autocast_is_off_for_float32() -> None:
    cpu, product = torch.device("cpu"), torch.ones(2, 2)
    with autocast(cpu, "float32"):
        assert (product @ product).dtype == torch.float32
    with autocast(cpu, "bfloat16"):
        assert (product @ product).dtype == torch.bfloat16


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda fast=fast: fast, raising=False)
        assert resolve_precision("auto", cpu) == ("bfloat16" if fast else "float32")
        assert resolve_precision("float32", cpu) == "float32"
        assert resolve_precision("bfloat16", cpu) == "bfloat16"
    assert resolve_precision("auto", torch.device("mps")) == "float32"


def test_memory_is_counted_in_bytes() -> None:
    """The process holds torch: more than 50 MB, less than a terabyte."""
    block = np.ones(10_000_000)
    assert max(50 * 2**20, block.nbytes) < machine.peak_memory(torch.device("cpu")) < 2**40


def test_hardware_is_described() -> None:
    assert machine.hardware(torch.device("cpu")) == {"device": "cpu", "threads": 1}


def test_the_device_becomes_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams, events and graphs are made on the current device, which is cuda:0 unless it is said."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert machine.resolve_device("cuda:1") == torch.device("cuda:1")
    assert current == [torch.device("cuda:1")]
    for name in ("cpu", "cuda"):  # set_device takes no device without a number
        assert machine.resolve_device(name) == torch.device(name)
    assert len(current) == 1
