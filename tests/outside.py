"""Components from outside, as their authors would write them: modules beside the configs, and a distribution."""

from pathlib import Path

STRATEGY = '''"""A strategy of somebody else's."""

import numpy as np

from al_bench.acquisition.strategies.protocol import by_score
from al_bench.data.ragged import Ragged


@by_score(tasks=("classification",))
def own(predictions, rng, aggregate, *, power: float = 1.0):
    """how unlikely the likeliest class is, raised to a power"""
    return (1 - predictions.probs.max(axis=1).astype(np.float64)) ** power
'''

POOL = '''"""A candidate pool of somebody else's."""

import numpy as np

from al_bench.acquisition.subsampling import Preference, candidate_pool


@candidate_pool
def short(view, rng, *, words: int = 12):
    """examples that are not too long"""
    order = rng.permutation(view.pool)
    order = order[np.argsort(view.words[order] > words, kind="stable")]
    return Preference(order, view.words[order] <= words)
'''


def write_distribution(folder: Path, module: str, version: str = "1.0", **points: str) -> None:
    """As pip would install it: what it announces beside its module. points: entry points by kind, as NAME = TARGET"""
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n")
    groups = [f"[al_bench.{kind}]\n{point}\n" for kind, point in points.items()]
    (info / "entry_points.txt").write_text("\n".join(groups))
