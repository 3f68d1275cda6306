"""What may be called better: pairs by seed, a test, Holm's correction over a column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from al_bench.analysis.statistics import ALPHA, holm, paired, reachable
from al_bench.tables.cells import Cell, common, compared, unit_of, values_of
from al_bench.tables.rows import Layout
from al_bench.tables.specs import Spec

STAR, UNTESTABLE = "*", "†"


@dataclass(frozen=True)
class Contest:
    """The best column of a row against the next: how many pairs, and p after Holm's correction over the rows."""

    row: int
    best: str
    pairs: int
    p: float


def corrected(cells: Sequence[Cell], test: str) -> list[Cell]:
    """Differences with the p-values that count, Holm's over those that were tested, and what they allow to say."""
    tested = [i for i, cell in enumerate(cells) if cell.p is not None]
    made = list(cells)
    for i, p in zip(tested, holm([cell.p for cell in cells if cell.p is not None]), strict=True):
        hopeless = test == "wilcoxon" and not reachable(len(cells[i].seeds), len(tested))
        made[i] = replace(cells[i], p=p, marks=UNTESTABLE if hopeless else STAR if p <= ALPHA else "")
    return made


def pooled(spec: Spec, layout: Layout) -> dict[str, Cell]:
    """By head, what the pairs of all rows say together; nothing where the spec does not ask."""
    made: dict[str, Cell] = {}
    for head, column in layout.columns.items():
        if not spec.pool or column.show not in ("difference", "equivalence"):
            continue
        unit = unit_of(layout.columns[column.of[0]].metric or spec.metric)
        rows = [[sources[other] for other in column.of] for sources in layout.sources]
        paired_rows = [[one.sample for one in row] for row in rows if not row[0].same_as(row[1])]
        pairs = [(samples, common(samples)) for samples in paired_rows]
        if sum(bool(seeds) for _, seeds in pairs) < 2:
            continue
        arms = [
            unit.scale * np.concatenate([values_of(samples[i], seeds) for samples, seeds in pairs])
            for i in (0, 1)
        ]
        cell = compared(column, unit, arms, spec.test)
        # Not the seeds: a seed stands here once for each row.
        made[head] = replace(cell, show=column.show, seeds=tuple(range(len(arms[0]))))
    differences = [head for head, cell in made.items() if cell.show == "difference"]
    marked = corrected([made[head] for head in differences], spec.test)
    return made | dict(zip(differences, marked, strict=True))


def contests(spec: Spec, layout: Layout) -> list[Contest]:
    """For each row, the best of the columns that compete and how sure that is: p = 1 where its pairs say otherwise."""
    heads = layout.competing
    found: list[Contest] = []
    for row, sources in enumerate(layout.sources):
        there = {head: sources[head].sample for head in heads if sources[head].sample.values}
        if len(there) < 2:
            continue
        sign = -1 if unit_of(sources[heads[0]].metric).lower_is_better else 1
        means = {head: sign * float(np.mean(list(sample.values.values()))) for head, sample in there.items()}
        best, second = sorted(means, key=lambda head: -means[head])[:2]
        seeds = common([there[best], there[second]])
        if len(seeds) > 1:
            first, other = (sign * values_of(there[head], seeds) for head in (best, second))
            result = paired(first, other)
            p = result.t if spec.test == "t" else result.wilcoxon
            # Tests have two sides: the best over all seeds may be the worse one on those that are paired.
            ahead = result.difference.mean > 0 and np.median(first - other) > 0
            found.append(Contest(row, best, len(seeds), p if ahead else 1.0))
    adjusted = holm([contest.p for contest in found])
    return [replace(contest, p=p) for contest, p in zip(found, adjusted, strict=True)]
