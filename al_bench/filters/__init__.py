"""Every filter of labels by name, and what a filter says. Those from outside have the same rights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from al_bench.config.schema import FilterConfig
from al_bench.errors import UserError, reject
from al_bench.filters import opinions
from al_bench.filters.protocol import Chain, Filter, Suspicion
from al_bench.plugins import Registry

label_filter = Filter.of
FILTERS = Registry(
    "filter",
    "pseudo_labeling.filters.by",
    Filter.of,
    {
        "tracin": label_filter(opinions.tracin, needs=("influence",), source="Pruthi et al. 2020; Tsvigun et al. 2022"),
        "aum": label_filter(opinions.aum, needs=("margins",), source="Pleiss et al. 2020"),
        "verifier": label_filter(
            opinions.verifier, needs=("verifier",), contradicts=True, source="VERIPS, Rauch et al. 2023"
        ),
        "knn": label_filter(
            opinions.knn, needs=("pretrained",), contradicts=True, source="after HAST, Schroeder and Heyer 2024"
        ),
        "confidence": label_filter(
            opinions.confidence, needs=("doubt",), confidence=True, source="Tsvigun et al. 2022"
        ),
    },
)


def needed(filters: Sequence[FilterConfig], need: str) -> list[FilterConfig]:
    """Those of the filters that look at something."""
    return [chosen for chosen in filters if need in FILTERS[chosen.by].needs]


def shared_settings(chosen: FilterConfig) -> dict[str, Any]:
    """The settings of all filters that count for this one."""
    return {key: getattr(chosen, key) for key in FILTERS[chosen.by].shared}


def settings(chosen: FilterConfig, key: str) -> dict[str, Any]:
    """What its function takes, with defaults. Raises `UserError` as `Component.typed` does; key: of its params"""
    shared = _arguments(chosen)
    for name in shared.keys() & chosen.params.keys():
        raise reject(f"{key}.{name}", chosen.params[name], "stands beside params, not in it", f"set {name} there")
    return FILTERS[chosen.by].typed({**chosen.params, **shared}, key)


def own_params(chosen: FilterConfig, key: str) -> dict[str, Any]:
    """As `settings`, without those of all filters."""
    return {name: value for name, value in settings(chosen, key).items() if name not in _arguments(chosen)}


def _arguments(chosen: FilterConfig) -> dict[str, Any]:
    """Of the shared settings those that the function takes."""
    names = FILTERS[chosen.by].parameters
    return {key: value for key, value in shared_settings(chosen).items() if key in names}


def suspicion(chosen: FilterConfig, chain: Chain) -> Suspicion:
    """What a filter says of the labels in question. Raises `UserError` where it says nothing that can be ranked."""
    kind = FILTERS[chosen.by]
    answer, n = kind.call(chain, **_arguments(chosen), **chosen.params), len(chain.ids)
    if not isinstance(answer, Suspicion):
        broken = f"gives a {type(answer).__name__}, not a Suspicion"
    elif np.shape(answer.score) != (n,) or np.asarray(answer.score).dtype.kind not in "fiu":
        broken = f"gives scores of the shape {np.shape(answer.score)} for {n} labels, or no numbers"
    elif missing := np.count_nonzero(np.isnan(answer.score)):
        broken = f"gives {missing} scores that are no numbers; training may have diverged"
    elif kind.contradicts and (answer.contradicts is None or np.shape(answer.contradicts) != (n,)):
        broken = f"has contradicts=True, and gives no verdict on each of {n} labels"
    else:
        return answer
    raise UserError(f"filter {chosen.by}: {broken}; see docs/extending.md")
