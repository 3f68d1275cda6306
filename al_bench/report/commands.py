"""What the runs of a setting cannot say, and the command that would find it out: a run's own, with other choices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from al_bench.analysis.comparisons import ceiling_of, random_of, unmismatched_of, unsubsampled_of
from al_bench.analysis.fill import chance, everything, in_role, varied
from al_bench.analysis.settings import Method, Setting
from al_bench.analysis.statistics import pairs_needed

ENOUGH = pairs_needed()  # seeds with which one exact paired test can reach 5 %


@dataclass(frozen=True)
class Unknown:
    text: str
    command: str


def unknowns(setting: Setting) -> list[Unknown]:
    """One for each kind of run that is missing to all methods with the same successor."""
    found: dict[tuple[str, str], Unknown | None] = {}
    for method in setting.methods:
        for kind, unknown in _asked(setting, method):
            key = kind, method.label if kind == "seeds" else str(method.about.successor)
            found[key] = None if unknown is None else found.get(key, unknown)
    first: dict[str, Unknown] = {}
    for (kind, _), unknown in found.items():
        if unknown is not None:
            first.setdefault(kind, unknown)
    return list(first.values())


def _asked(setting: Setting, method: Method) -> Iterator[tuple[str, Unknown | None]]:
    """(kind of run, what cannot be said for want of it, None where it is there)"""
    about = method.about
    if method.arm in ("ceiling", "replay") or pd.isna(about[method.role]):
        return
    trained, n = f"`{about[method.role]}`", len(method.runs)
    seeds = more_seeds([int(repeat.split()[0]) for repeat in method.repeats])

    def unless(there: object, text: str, **choices: str) -> Unknown | None:
        return None if there else Unknown(text, varied(about.command, {**choices, "seed": seeds}))

    few = f"How much is chance: {'one seed shows' if n == 1 else f'{n} seeds show'} little of it. "
    yield "seeds", unless(n >= ENOUGH, f"{few}An exact paired test takes {ENOUGH} seeds or more.")
    if method.selects and method.arm != "PLASM":
        text = f"Whether selecting is better than chance: no run trains {trained} on as many random examples."
        yield "random", unless(random_of(setting, method), text, **chance(about))
    if method.arm == "ASM":
        text = f"What the mismatch costs: no run has {trained} select for itself."
        choices = in_role(about.command, "successor", "acquisition", str(about.successor))
        yield "mismatch", unless(unmismatched_of(setting, method), text, **choices)
    if method.selects and about.subsampling != "none":
        text = f"What `{about.subsampling}` costs or saves: no run scores the whole pool instead."
        yield "whole", unless(unsubsampled_of(setting, method), text, subsampling="none")
    if method.role == "successor":
        text = f"How far it is from the ceiling: no run trains {trained} on everything labelled."
        yield "ceiling", unless(ceiling_of(setting, method), text, **everything(about))


def more_seeds(seeds: Sequence[int]) -> str:
    """The seeds that there are, and the next ones up to `ENOUGH`."""
    known = list(dict.fromkeys(seeds))
    new = range(max(known) + 1, max(known) + 1 + max(0, ENOUGH - len(known)))
    return ",".join(map(str, [*known, *new]))
