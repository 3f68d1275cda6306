"""The suite of each kind of component."""

from al_bench.conformance import pools, strategies
from al_bench.conformance.suite import Suite

SUITES: dict[str, Suite] = {"strategy": strategies.SUITE, "subsampling": pools.SUITE}
