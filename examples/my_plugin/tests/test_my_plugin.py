"""Both components keep what their kind promises."""

import pytest

from al_bench.conformance.suites import SUITES


@pytest.mark.parametrize(
    ("kind", "name"), [("strategy", "my_plugin.strategies:doubtful"), ("subsampling", "my_plugin.pools:short")]
)
def test_conformance(kind: str, name: str) -> None:
    broken = {promise: how for promise, how in SUITES[kind].outcomes(name, {}) if how}
    assert not broken
