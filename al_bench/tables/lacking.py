"""What a cell lacks, said in a line, with the command that fills it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from al_bench.analysis.fill import command, labeller_of
from al_bench.analysis.samples import Measures
from al_bench.config.identity import differences
from al_bench.ledger.ledger import load_record
from al_bench.tables.rows import Layout, Source
from al_bench.tables.specs import Spec

STOPPED = {"running": "is running", "failed": "failed", "interrupted": "was interrupted"}


def expected_seeds(spec: Spec, sources: Mapping[str, Source]) -> list[int]:
    """The seeds that each cell of a row should have: those of the spec, else whatever any of its runs has."""
    if isinstance(spec.seeds, list):
        return sorted(spec.seeds)
    return sorted({seed for source in sources.values() for seed in source.sample.seeds})


def remarks(spec: Spec, layout: Layout, row: int, head: str, measures: Measures) -> list[str]:
    """Lines about a cell of values; none where all is there."""
    source, sample = layout.sources[row][head], layout.sources[row][head].sample
    if sample.unlike:
        told = _unlike(sample.unlike, measures)
        return [f"these runs differ in {told}; narrow `where` in the spec, or give fewer directories"]
    if sample.staggered:
        first, second = sample.staggered[:2]
        what = "end at different cycles" if source.at == "last" else "were evaluated at different cycles"
        return [f"these runs {what} ({first}, {second}); evaluate them alike, or set `at` to a cycle of all"]
    # Without the column's head: what several columns lack is one thing, to be done once.
    # What none of them measures, such as the precision of a filter that there is not, they do not lack.
    lacking = sample.silent if sample.values else [run for run in sample.silent if not measures.complete[run]]
    said = [_silent(run, source.metric, measures) for run in lacking]
    expected = expected_seeds(spec, layout.sources[row])
    missing = [seed for seed in expected if seed not in sample.seeds]
    if missing:
        fill = command(measures.runs, source.wanted, missing)
        seeds = f"seed {missing[0]} is" if len(missing) == 1 else f"seeds {', '.join(map(str, missing))} are"
        where = f"{_place(layout, row)}{f', {head}' if layout.columns[head].hide else ''}"
        said.append(f"{where}: {seeds} missing" + (f"; `{fill}`" if fill else ""))
        if fill and _guessed(source.wanted, measures):
            said[-1] += ", or with another labeller"
    return said


def too_few(spec: Spec, layout: Layout) -> list[str]:
    """A line about the rows in which no column has as many seeds as are expected."""
    if not isinstance(spec.seeds, int):
        return []
    found = [len(expected_seeds(spec, sources)) for sources in layout.sources]
    few = [f"{_place(layout, row)}: {n}" for row, n in enumerate(found) if n < spec.seeds]
    return [f"Fewer than the {spec.seeds} seeds expected: {'; '.join(few)}."] if few else []


def unmeasured(layout: Layout, measures: Measures) -> list[str]:
    """A line about the metrics that no run has at all, as one that is misspelt."""
    metrics = {source.metric for sources in layout.sources for source in sources.values()}
    unknown = sorted(metric for metric in metrics if not measures.knows(metric))
    return [f"No run has {' or '.join(unknown)}."] if unknown else []


def _place(layout: Layout, row: int) -> str:
    return ", ".join(str(one) for one in layout.keys[row] if one is not None)


def _guessed(wanted: Mapping[str, Any], measures: Measures) -> bool:
    """Whether a command that makes these runs has to name a labeller that nobody chose."""
    given = "pseudo_labeler" in wanted or labeller_of(measures.runs, wanted) is not None
    return wanted.get("arm") == "PLASM" and not given


def _silent(run: str, metric: str, measures: Measures) -> str:
    row = measures.runs.loc[run]
    if measures.complete[run]:
        return f"seed {row.seed} has no {metric}"
    done = f"{row.cycles_done} of {row.cycles_planned} cycles"
    return f"seed {row.seed} {STOPPED[row.state]} with {done}; `{row.command}`"


def _unlike(runs: Sequence[str], measures: Measures) -> str:
    """The settings in which two runs differ, and the runs."""
    files = [Path(measures.runs.directory[run], "identity.json") for run in runs[:2]]
    first, second = (load_record(file).get("identity", {}) for file in files)
    keys = [key for key in differences(first, second) if key != "evaluate_at"]
    told = [key for key in keys if not key.startswith("seeds.")] or keys or ["what is behind their configs"]
    return f"{', '.join(told[:4])} ({runs[0]}, {runs[1]})"


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
    told = ", ".join(f"{head} {end:,.0f}" for head, end in ends.items())
    return {next(iter(ends)): f"{_place(layout, row)}: the budgets differ: {told}"}
