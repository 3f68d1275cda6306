"""Attention and dropout of our own on a CPU: torch's, but for rounding and for which elements are dropped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_ways import inputs_of, probs_of
from tiny import FAMILIES, SEEDS, build
from torch.nn import functional as F

from al_bench.learners.engine import host
from al_bench.learners.engine.ways import PLAIN, Ways

Family = Callable[[str], Path]
OTHERS = ("mpnet", "xlnet", "deberta")  # compute their attention themselves


def states(texts: int, length: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (texts, 3, length, 8)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("length", [1, 9, host.LONG + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(length: int, dtype: torch.dtype, masked: bool) -> None:
    """With gradients, and in parts without; against float32 of the same numbers."""
    given = states(5, length, dtype)
    mask = None
    if masked:
        mask = torch.zeros(5, 1, 1, length)
        mask[1, ..., length // 2 + 1 :] = torch.finfo(torch.float32).min
    whole = [s.detach().float().requires_grad_() for s in given]
    expected = F.scaled_dot_product_attention(*whole, attn_mask=mask, scale=0.3)
    found = host.attend(*given, 0.3, mask)
    assert found.dtype == dtype
    bound = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(found.float(), expected, atol=bound, rtol=bound)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    grads = torch.autograd.grad(found, given, upstream.to(dtype))
    for one, other in zip(grads, torch.autograd.grad(expected, whole, upstream), strict=True):
        assert (one.float() - other).norm() <= bound * other.norm() + 1e-6
    with torch.no_grad():
        torch.testing.assert_close(host.attend(*given, 0.3, mask), found)


def test_without_gradients_attention_works_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many texts at once as have `CHUNK` weights, and one at least; that changes nothing."""
    given = states(7, 6, torch.bfloat16)
    sizes: list[int] = []
    product = torch.matmul

    def spy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sizes.append(len(a))
        return product(a, b)

    with torch.no_grad():
        whole = host.attend(*given, 1.0)
        monkeypatch.setattr(torch, "matmul", spy)
        for chunk, parts in ((3 * 36 * 3, [3, 3, 1]), (1, [1] * 7)):
            sizes.clear()
            monkeypatch.setattr(host, "CHUNK", chunk)
            assert torch.equal(host.attend(*given, 1.0), whole)
            assert sizes[::2] == parts


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(200_003, dtype=dtype, requires_grad=True)
    found = host.dropout(x, p)
    kept = found != 0
    spread = (p * (1 - p) / len(x)) ** 0.5
    assert abs(1 - kept.float().mean().item() - p) < 5 * spread + 2**-16
    assert found[kept].float().unique().tolist() == pytest.approx([1 / (1 - p)], rel=4e-3)
    found.sum().backward()
    assert torch.equal(x.grad, found.detach())


def test_dropout_decides_for_each_element_by_itself() -> None:
    """Neighbours, who share a random number of 64 bits, are as independent as others."""
    torch.manual_seed(0)
    kept = (host.dropout(torch.ones(50_000, 4), 0.3) != 0).numpy()
    codes = np.bincount(kept @ np.array([8, 4, 2, 1]), minlength=16)
    share = np.array([0.7 ** bin(code).count("1") * 0.3 ** (4 - bin(code).count("1")) for code in range(16)])
    chi_squared = ((codes - 50_000 * share) ** 2 / (50_000 * share)).sum()
    assert chi_squared < 37.7  # of 15 degrees of freedom: one in a thousand seeds


def test_dropout_follows_the_seed_and_the_extremes() -> None:
    x = torch.arange(1.0, 100.0)
    torch.manual_seed(3)
    once, then = host.dropout(x, 0.5), host.dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(host.dropout(x, 0.5), once)
    assert not torch.equal(once, then)
    assert host.dropout(x, 0.0) is x
    module = host.Dropout(0.5)
    assert module.eval()(x) is x
    assert (module.train()(x) == 0).any()


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_says_the_same(name: str, task: str, family: Family) -> None:
    """Without dropout also after training; and the network itself is asked, not a stand-in."""
    ways = Ways(packed=False)
    ours, plain = (build(family(name), task, ways=w) for w in (ways, PLAIN))
    assert (ours._network.config._attn_implementation == host.NAME) == (name not in OTHERS)
    assert plain._network.config._attn_implementation != host.NAME
    dropouts = {type(m) for m in ours._network.modules() if isinstance(m, torch.nn.Dropout)}
    assert dropouts == {host.Dropout}
    for learner in (ours, plain):
        for module in learner._network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "attention_dropout", None), float):  # ModernBERT's is a number
                module.attention_dropout = 0.0
    np.testing.assert_allclose(probs_of(ours, task), probs_of(plain, task), atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in OTHERS])
def test_attention_is_asked_in_training_and_in_scoring(
    name: str, precision: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, float]] = []
    attend = host.attend

    def spy(*given: Any) -> torch.Tensor:
        asked.append((torch.is_grad_enabled(), given[5] if len(given) > 5 else 0.0))
        return attend(*given)

    learner = build(family(name), precision=precision, ways=Ways(packed=False))
    monkeypatch.setattr(host, "attend", spy)
    probs_of(learner, "classification")
    assert {graded for graded, _ in asked} == {True, False}
    assert {p > 0 for graded, p in asked if graded} == {name != "albert"}  # whose configuration has none
    assert {p for graded, p in asked if not graded} == {0.0}


def test_attention_that_goes_wrong_is_done_without(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(query: Any, key: Any, value: Any, *_: Any) -> torch.Tensor:
        return value

    monkeypatch.setattr(host, "attend", blind)
    for precision in ("float32", "bfloat16"):
        learner = build(bert, precision=precision)
        assert learner.forward.working_network.config._attn_implementation != host.NAME


def test_a_lack_of_memory_is_no_reason_for_a_slower_way(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("Tried to allocate 20 GiB")

    monkeypatch.setattr(host, "attend", large)
    with pytest.raises(torch.OutOfMemoryError):
        build(bert)


def test_the_exact_way_of_a_cast_network_is_left_as_it_is(bert: Path) -> None:
    learner = build(bert, precision="bfloat16")
    assert learner.forward.half is not None
    assert learner._network.config._attn_implementation != host.NAME
    model = learner.fit(inputs_of("classification"), np.arange(6), np.array([1, 0, 1, 0, 0, 1]), SEEDS)
    exact = model.predict(inputs_of("classification"), np.arange(6), exact=True).probs
    assert np.abs(exact - model.predict(inputs_of("classification"), np.arange(6)).probs).max() < 0.05
