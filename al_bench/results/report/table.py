"""Tables of the page: what stands in a cell, and by what it is sorted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from al_bench.results.statistics import Estimate
from al_bench.results.words import interval


@dataclass(frozen=True)
class Cell:
    """sort: a number, or text where the cell holds words; key: a colour before it, as in the figures"""

    text: str
    sort: float | str
    strong: bool = False
    key: str = ""


@dataclass(frozen=True)
class Table:
    """heads: of the columns; caption: what is in it, and how to read it"""

    heads: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""


def word(text: object, key: str = "") -> Cell:
    return Cell(str(text), str(text).lower(), key=key)


def amount(value: float, text: str, *, strong: bool = False) -> Cell:
    """A number as it is written; what is missing is a dash, and sorts last."""
    return Cell("–", math.inf) if math.isnan(value) else Cell(text, value, strong)


def estimate(found: Estimate | None, digits: int = 1, *, strong: bool = False, sign: bool = False) -> Cell:
    if found is None or math.isnan(found.mean):
        return Cell("–", math.inf)
    return Cell(interval(found, digits, sign=sign), found.mean, strong)


def numeric_columns(table: Table) -> list[bool]:
    """Which columns are to be set to the right."""
    cells = range(len(table.heads))
    return [all(not isinstance(row[i].sort, str) for row in table.rows) for i in cells]
