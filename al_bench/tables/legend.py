"""How to read a table, in sentences: what its numbers are, what was tested, and what could not be."""

from collections.abc import Iterable, Mapping, Sequence

from al_bench.analysis.samples import Measures
from al_bench.analysis.statistics import ALPHA, pairs_needed, reachable
from al_bench.tables.cells import Cell
from al_bench.tables.lacking import too_few, unmeasured
from al_bench.tables.rows import Layout
from al_bench.tables.significance import STAR, UNTESTABLE, Contest
from al_bench.tables.specs import Spec

LEVEL = f"p ≤ {ALPHA:g}"
TEST = {"wilcoxon": "the exact Wilcoxon signed-rank test", "t": "the paired t test"}
AT = {
    "last": "Values at the last budget",
    "aulc": "Values are areas under the learning curve, divided by its span",
    "rounds": "Values are means over the cycles that query",
    "total": "Values are sums over all cycles",
}
MADE = {
    "ratio": "Ratios (×) are geometric means over seeds with 95 % t intervals of the logarithms.",
    "labels_to": "Labels are counted in the unit of the budget, linearly between two budgets; "
    '"(4 of 6)": as many seeds get there.',
    "speed_up": "The speed-up is the labels that random needs for its last score, over those that the method needs "
    'for the same; "(4 of 6)": as many seeds get there.',
    "gap_closed": "Gap closed is (PLASM - ASM) / (no mismatch - ASM), with Fieller's 95 % interval; "
    '"no gap" where the interval of no mismatch - ASM is not above 0, so that there may be nothing to close.',
}

EQUIVALENT = (
    "≡: equivalent within ± {margins} by two one-sided paired t tests, "
    f"{LEVEL}, not corrected for several rows; the interval is the 90 % one that belongs to them."
)


def common_n(grid: Mapping[str, Sequence[Cell]]) -> int | None:
    """The number of seeds behind a value, where all have the same."""
    found = {len(cell.seeds) for cell in _all(grid, "value") if cell.estimate}
    return found.pop() if len(found) == 1 else None


def legend(
    spec: Spec,
    layout: Layout,
    grid: Mapping[str, Sequence[Cell]],
    pool: Mapping[str, Cell],
    found: Sequence[Contest],
    measures: Measures,
) -> list[str]:
    values = [cell for cell in _all(grid, "value") if cell.estimate]
    if not layout.keys:
        return ["No run belongs in this table."]
    n = common_n(grid)
    at = _at(spec.at)
    number = f"n = {n} seeds" if n else "n seeds, n in each cell"
    lines = [f"{at}: mean ± standard deviation over {number}, [95 % t interval]."]
    if n == 1:
        lines = [f"{at}, of one seed, which shows nothing of chance."]
    if any(cell.unit.scale == 100 for cell in values):
        lines[0] += " Scores × 100."
    lines += [*_elsewhere(spec, layout), *_differences(spec, grid)]
    margins = sorted({column.margin for column in layout.columns.values() if column.margin is not None})
    if margins and any(cell.estimate for cell in _all(grid, "equivalence")):
        lines.append(EQUIVALENT.format(margins=", ".join(f"{margin:g}" for margin in margins)))
    lines += [text for show, text in MADE.items() if any(_said(cell) for cell in _all(grid, show))]
    if pool:
        lines.append(
            "All rows: pairs of all rows together; rows that share runs are not independent of each other."
        )
    lines += [*_best(spec, found), *too_few(spec, layout), *unmeasured(layout, measures)]
    return [*lines, *_machines(layout, grid, measures)]


def _at(at: str | int) -> str:
    return AT.get(str(at), f"Values at cycle {at}")


def _elsewhere(spec: Spec, layout: Layout) -> list[str]:
    """A line for the columns that are not of the table's own point of the curve."""
    heads: dict[str | int, list[str]] = {}
    for head, column in layout.columns.items():
        if column.show == "value" and not column.hide and column.at not in (None, spec.at):
            heads.setdefault(column.at, []).append(head)
    return [f"{'; '.join(mine)}: {_at(at)[0].lower()}{_at(at)[1:]}." for at, mine in heads.items()]


def _said(cell: Cell) -> bool:
    return cell.estimate is not None or cell.word == "no gap"


def _all(grid: Mapping[str, Sequence[Cell]], show: str) -> list[Cell]:
    return [cell for cells in grid.values() for cell in cells if cell.show == show]


def _differences(spec: Spec, grid: Mapping[str, Sequence[Cell]]) -> list[str]:
    families = {
        head: tested
        for head, cells in grid.items()
        if (tested := [cell for cell in cells if cell.show == "difference" and cell.p is not None])
    }
    if not families:
        return []
    test = f"{LEVEL} by {TEST[spec.test]} after Holm's correction over the column"
    lines = [f"Differences are paired by seed, with 95 % t intervals. {STAR}: {test}."]
    for head, tested in families.items():
        hopeless = [len(cell.seeds) for cell in tested if cell.marks == UNTESTABLE]
        if hopeless:
            lines.append(f"{UNTESTABLE} {head}: {_hopeless(hopeless, len(tested))}")
    return lines


def _hopeless(pairs: Iterable[int], comparisons: int) -> str:
    """Why so few pairs cannot be tested, and how many could."""
    numbers = " or ".join(str(n) for n in sorted(set(pairs)))
    several = f" in {comparisons} comparisons" if comparisons > 1 else ""
    return f"not testable, since {numbers} pairs cannot reach {LEVEL}{several}; {pairs_needed(comparisons)} could."


def _best(spec: Spec, found: Sequence[Contest]) -> list[str]:
    if not found:
        return []
    hopeless = [c.pairs for c in found if spec.test == "wilcoxon" and not reachable(c.pairs, len(found))]
    if len(hopeless) == len(found):
        return [f"Nothing is bold: the best of a row against the next is {_hopeless(hopeless, len(found))}"]
    rows = f"{LEVEL} by {TEST[spec.test]}"
    rows += f", over {len(found)} rows with Holm's correction" if len(found) > 1 else ""
    line = f"Bold: better than the next in its row, {rows}"
    if not any(contest.p <= ALPHA for contest in found):
        line = f"Nothing is bold: nowhere is the best better than the next, {rows}"
    if hopeless:
        line += f"; {len(hopeless)} of the rows are {_hopeless(hopeless, len(found))[:-1]}"
    return [f"{line}."]


def _machines(layout: Layout, grid: Mapping[str, Sequence[Cell]], measures: Measures) -> list[str]:
    """Seconds of several machines cannot be compared."""
    timed = [
        run
        for row in layout.sources
        for source in row.values()
        if source.metric.startswith("seconds/")
        for run in source.sample.runs.values()
    ]
    hosts = sorted({str(host) for host in measures.runs.host.loc[timed]})
    return [f"Seconds are of several machines: {', '.join(hosts)}."] if len(hosts) > 1 else []
