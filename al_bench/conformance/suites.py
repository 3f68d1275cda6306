"""The suite of each kind of component."""

from al_bench.conformance import filters, learners, metrics, oracles, pools, readers, strategies
from al_bench.conformance.suite import Suite

SUITES: dict[str, Suite] = {
    "strategy": strategies.SUITE,
    "subsampling": pools.SUITE,
    "oracle": oracles.SUITE,
    "reader": readers.SUITE,
    "filter": filters.SUITE,
    "learner": learners.SUITE,
    "metric": metrics.SUITE,
}
