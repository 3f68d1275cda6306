"""Which of the names in a source is which split."""

from collections.abc import Sequence

from al_bench.config.schema import SplitNames


def pick(found: Sequence[str], names: SplitNames) -> dict[str, str]:
    """{"train" | "dev" | "test": the first of its names that was found}, no name twice.

    Test chooses before dev, so that `splits.test=[validation]` takes it away from dev.
    """
    chosen: dict[str, str] = {}
    for role in ("train", "test", "dev"):
        for name in getattr(names, role):
            if name in found and name not in chosen.values():
                chosen[role] = name
                break
    return chosen
