"""What stands under a table: what cells lack, with the command that fills them, and how to read the numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from al_bench.analysis.contrasts import Contest
from al_bench.analysis.measures import Measures
from al_bench.analysis.statistics import ALPHA, pairs_needed, reachable
from al_bench.analysis.suggest import filling, labeler_of
from al_bench.config.identity import differences
from al_bench.ledger.ledger import load_record
from al_bench.tables.cells import REFERENCE, STAR, UNTESTABLE, Cell, Layout, Source
from al_bench.tables.specs import Spec

STOPPED = {"running": "is running", "failed": "failed", "interrupted": "was interrupted"}
LEVEL = f"p ≤ {ALPHA:g}"
LEGEND: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("legend.yaml").read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------- what cells lack


def annotate(spec: Spec, layout: Layout, grid: dict[str, list[Cell]], measures: Measures) -> list[str]:
    """The notes, after their numbers are put on the cells they are about."""
    notes: dict[str, int] = {}
    for row, sources in enumerate(layout.sources):
        lines = {head: remarks(spec, layout, row, head, measures) for head in sources}
        for head, line in uneven(layout, row, measures).items():
            lines[head].append(line)
        for head, own in lines.items():
            numbers = [notes.setdefault(line, len(notes)) for line in own]
            # A hidden column's notes stand on the first column that is made of it.
            derived = (other for other, column in layout.columns.items() if head in column.of)
            cells = grid[next(derived) if layout.columns[head].hide else head]
            if cells[row].word != REFERENCE:
                cells[row] = replace(cells[row], notes=tuple(sorted({*cells[row].notes, *numbers})))
    return list(notes)


def expected_seeds(spec: Spec, sources: Mapping[str, Source]) -> list[int]:
    """The seeds that each cell of a row should have: those of the spec, else whatever any of its runs has."""
    if isinstance(spec.seeds, list):
        return sorted(spec.seeds)
    return sorted({seed for source in sources.values() for seed in source.sample.seeds})


def remarks(spec: Spec, layout: Layout, row: int, head: str, measures: Measures) -> list[str]:
    """Lines about a cell of values; none where all is there."""
    source, sample = layout.sources[row][head], layout.sources[row][head].sample
    if sample.unlike:
        settings = _unlike(sample.unlike, measures)
        return [f"these runs differ in {settings}; narrow `where` in the spec, or give fewer directories"]
    # Without the column's head: what several columns lack is one thing, to be done once.
    lines = [
        _silent(run, source.metric, measures) for run in sample.silent if sample.values or not measures.complete[run]
    ]
    lines += [_silent(run, source.metric, measures) for run in sample.runs.values() if not measures.complete[run]]
    if sample.elsewhere:
        hosts = {str(host) for host in measures.runs.host[list(sample.elsewhere)]}
        seeds = ", ".join(str(seed) for seed in measures.runs.seed[list(sample.elsewhere)])
        lines.append(f"seconds of seeds {seeds} are of another machine ({', '.join(sorted(hosts))}) and left out")
    missing = [seed for seed in expected_seeds(spec, layout.sources[row]) if seed not in sample.seeds]
    if missing:
        fill = filling(measures.runs, source.wanted, missing)
        seeds = f"seed {missing[0]} is" if len(missing) == 1 else f"seeds {', '.join(map(str, missing))} are"
        place = f"{_place(layout, row)}{f', {head}' if layout.columns[head].hide else ''}"
        guessed = fill and source.wanted.get("arm") == "PLASM" and "pseudo_labeler" not in source.wanted
        guessed = guessed and labeler_of(measures.runs, source.wanted) is None
        lines.append(
            f"{place}: {seeds} missing{f'; `{fill}`' if fill else ''}{', or with another labeller' if guessed else ''}"
        )
    return lines


def _place(layout: Layout, row: int) -> str:
    return ", ".join(str(one) for one in layout.keys[row] if one is not None)


def _silent(run: str, metric: str, measures: Measures) -> str:
    row = measures.runs.loc[run]
    if measures.complete[run]:
        evaluated = measures.wide(metric).loc[run].dropna().index
        if len(evaluated):
            return f"seed {row.seed} has {metric} at other cycles only ({', '.join(map(str, evaluated))})"
        return f"seed {row.seed} has no {metric}"
    done = f"{row.cycles_done} of {row.cycles_planned} cycles"
    return f"seed {row.seed} {STOPPED[row.state]} with {done}; `{row.command}`"


def _unlike(runs: Sequence[str], measures: Measures) -> str:
    """The settings in which two runs differ, and the runs."""
    records = [load_record(Path(measures.runs.directory[run], "identity.json")) for run in runs[:2]]
    first, second = ({**one.get("identity", {}), "fingerprints": one.get("fingerprints")} for one in records)
    keys = [
        key
        for key in differences(first, second)
        if key not in ("evaluate_at", "schedule.cycles", "fingerprints.trajectory")
    ]
    seeds = [key for key in keys if key.startswith("seeds.")]
    settings = [key for key in keys if key not in seeds] or seeds
    return f"{', '.join(settings[:4]) or 'their data or weights'} ({runs[0]}, {runs[1]})"


def uneven(layout: Layout, row: int, measures: Measures) -> dict[str, str]:
    """{head: line} where columns of a row are compared that end at budgets more than a twentieth apart."""
    made = [column.of for column in layout.columns.values() if column.show in ("difference", "equivalence")]
    compared = {*layout.competing, *(head for heads in made for head in heads)}
    ends = {}
    for head, source in layout.sources[row].items():
        if head in compared and source.at in ("last", "aulc") and source.sample.runs:
            last = [measures.curve(run, source.metric)[0][-1] for run in source.sample.runs.values()]
            ends[head] = sum(last) / len(last)
    if not ends or max(ends.values()) <= 1.05 * min(ends.values()):
        return {}
    budgets = ", ".join(f"{head} {end:,.0f}" for head, end in ends.items())
    return {next(iter(ends)): f"{_place(layout, row)}: the budgets differ: {budgets}"}


# ------------------------------------------------------------------------------------ how to read a table


def common_n(grid: Mapping[str, Sequence[Cell]]) -> int | None:
    """The number of seeds behind a value, where all have the same."""
    numbers = {len(cell.seeds) for cell in _all(grid, "value") if cell.estimate}
    return numbers.pop() if len(numbers) == 1 else None


def legend(
    spec: Spec,
    layout: Layout,
    grid: Mapping[str, Sequence[Cell]],
    pool: Mapping[str, Cell],
    contests: Sequence[Contest],
    measures: Measures,
) -> list[str]:
    """Sentences: what the numbers are, what was tested, and what could not be."""
    if not layout.keys:
        return ["No run belongs in this table."]
    n = common_n(grid)
    number = f"n = {n} seeds" if n else "n seeds, n in each cell"
    lines = [f"{_at(spec.at)}: mean ± standard deviation over {number}, [95 % t interval]."]
    if n == 1:
        lines = [f"{_at(spec.at)}, of one seed, which shows nothing of chance."]
    if any(cell.unit.scale == 100 for cell in _all(grid, "value") if cell.estimate):
        lines[0] += " Scores × 100."
    lines += [*_elsewhere(spec, layout), *_differences(spec, grid)]
    margins = sorted({column.margin for column in layout.columns.values() if column.margin is not None})
    if margins and any(cell.estimate for cell in _all(grid, "equivalence")):
        lines.append(LEGEND["equivalent"].format(margins=", ".join(f"{m:g}" for m in margins), level=ALPHA))
    lines += [text for show, text in LEGEND["made"].items() if any(cell.seeds for cell in _all(grid, show))]
    lines += [LEGEND["pooled"]] if pool else []
    lines += [*_best(spec, contests), *_too_few(spec, layout)]
    metrics = {source.metric for sources in layout.sources for source in sources.values()}
    unknown = sorted(metric for metric in metrics if not measures.knows(metric))
    return [*lines, *([f"No run has {' or '.join(unknown)}."] if unknown else [])]


def _at(at: str | int) -> str:
    return str(LEGEND["at"].get(at, f"Values at cycle {at}"))


def _elsewhere(spec: Spec, layout: Layout) -> list[str]:
    """A line for the columns that are not of the table's own point of the curve."""
    heads: dict[str | int, list[str]] = {}
    for head, column in layout.columns.items():
        if column.show == "value" and not column.hide and column.at not in (None, spec.at):
            heads.setdefault(column.at, []).append(head)
    return [f"{'; '.join(names)}: {_at(at)[0].lower()}{_at(at)[1:]}." for at, names in heads.items()]


def _all(grid: Mapping[str, Sequence[Cell]], show: str) -> list[Cell]:
    return [cell for cells in grid.values() for cell in cells if cell.show == show]


def _differences(spec: Spec, grid: Mapping[str, Sequence[Cell]]) -> list[str]:
    families = {head: [c for c in cells if c.show == "difference" and c.p is not None] for head, cells in grid.items()}
    families = {head: cells for head, cells in families.items() if cells}
    if not families:
        return []
    test = f"{LEVEL} by {LEGEND['test'][spec.test]} after Holm's correction over all comparisons of the kind"
    lines = [f"Differences are paired by seed, with 95 % t intervals. {STAR}: {test}."]
    for head, cells in families.items():
        hopeless = [len(cell.seeds) for cell in cells if cell.marks == UNTESTABLE]
        if hopeless:
            lines.append(f"{UNTESTABLE} {head}: {_hopeless(hopeless, max(cell.tests for cell in cells))}")
    return lines


def _hopeless(pairs: Iterable[int], comparisons: int) -> str:
    """Why so few pairs cannot be tested, and how many could."""
    numbers = " or ".join(str(n) for n in sorted(set(pairs)))
    several = f" in {comparisons} comparisons" if comparisons > 1 else ""
    return f"not testable, since {numbers} pairs cannot reach {LEVEL}{several}; {pairs_needed(comparisons)} could."


def _best(spec: Spec, contests: Sequence[Contest]) -> list[str]:
    if not contests:
        return []
    hopeless = [c.pairs for c in contests if spec.test == "wilcoxon" and not reachable(c.pairs, len(contests))]
    if len(hopeless) == len(contests):
        return [f"Nothing is bold: the best of a row against the others is {_hopeless(hopeless, len(contests))}"]
    rows = f"{LEVEL} by {LEGEND['test'][spec.test]}"
    rows += f", over {len(contests)} rows with Holm's correction" if len(contests) > 1 else ""
    line = f"Bold: better than every other column that competes in its row, {rows}"
    if not any(one.p <= ALPHA for one in contests):
        line = f"Nothing is bold: nowhere is the best better than every other one, {rows}"
    if hopeless:
        line += f"; {len(hopeless)} of the rows are {_hopeless(hopeless, len(contests))[:-1]}"
    return [f"{line}."]


def _too_few(spec: Spec, layout: Layout) -> list[str]:
    """A line about the rows in which no column has as many seeds as are expected."""
    if not isinstance(spec.seeds, int):
        return []
    counts = [len(expected_seeds(spec, sources)) for sources in layout.sources]
    few = [f"{_place(layout, row)}: {n}" for row, n in enumerate(counts) if n < spec.seeds]
    return [f"Fewer than the {spec.seeds} seeds expected: {'; '.join(few)}."] if few else []
