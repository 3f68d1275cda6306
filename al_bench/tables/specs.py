"""Table specs: `configs/tables/*.yaml`, typed and checked as soon as they are read."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import yaml

from al_bench.analysis.store import COLUMNS
from al_bench.config.catalog import roots
from al_bench.errors import TYPES, UserError, did_you_mean, known, reject

AT = ("last", "aulc", "rounds", "total")
TESTS = ("wilcoxon", "t")
WORDS = TYPES | {list: "a list", dict: "a mapping"}
# How many other columns a derived one is made of.
SHOWN = {
    "value": 0, "difference": 2, "equivalence": 2, "ratio": 2, "gap_closed": 3, "labels_to": 2, "speed_up": 2,
    "at_money": 2, "gain_at_money": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table: what of the row's runs is shown, or what is made of other columns.

    Of a value, per seed: a metric of the runs that agree with the row and with `where`.
    """

    where: dict[str, Any] = field(default_factory=dict)  # a run's columns: a value or a list; null: not used
    ignore: list[str] = field(default_factory=list)  # row keys that these runs need not share
    metric: str | None = None  # null: the table's
    at: str | int | None = None  # null: the table's
    spread: str | None = None  # one column for each value of this column of the runs
    # value | difference | ratio (a, b) | equivalence (a, b, `margin`) | gap_closed (no mismatch, ASM, PLASM)
    # | labels_to (a, ceiling, `share` of it) | speed_up (random, a)
    # | at_money (a, b): of a, at the most money that both spend | gain_at_money (a, b): a - b there
    show: str = "value"
    of: list[str] = field(default_factory=list)  # heads of the columns that it is made of, paired by seed
    margin: float | None = None  # of an equivalence, in the unit shown
    share: float | None = None  # of the ceiling
    hide: bool = False  # it is there for others to be made of


@dataclass(frozen=True)
class Spec:
    """A table: a row for each combination of `rows` that the runs have."""

    title: str
    columns: dict[str, Column]  # head: column
    rows: list[str]  # columns of the runs
    where: dict[str, Any] = field(default_factory=dict)  # of all columns
    metric: str = "successor/headline"  # as in MLflow; headline: see `data/metrics.py`
    # last budget | a cycle | aulc: area under the curve | rounds: mean over the cycles that query | total: sum
    at: str | int = "last"
    seeds: int | list[int] | None = None  # expected: how many, or which; null: whatever a row has
    best: list[str] = field(default_factory=list)  # heads of the columns of which the best is bold
    test: str = "wilcoxon"  # wilcoxon (exact signed-rank) | t (paired)
    pool: bool = False  # a last row with the pairs of all rows, under differences and equivalences
    name: str = ""  # the file's; not to be set in it


def available(config_dir: str | None = None) -> dict[str, Path]:
    """{name: file} of the shipped specs, a user's own over them."""
    return {path.stem: path for root in roots(config_dir) for path in sorted(root.glob("tables/*.yaml"))}


def read(path: Path) -> Spec:
    """A spec from its file. Raises `UserError` with the key, its value and the rule."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give the YAML file of a table") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start + 1} is not UTF-8; save the file in UTF-8") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    return parse(content, path.stem)


def parse(content: Any, name: str) -> Spec:
    try:
        spec = _typed(Spec, {**content, "name": name} if isinstance(content, dict) else content, "")
        _check(spec)
    except UserError as error:
        raise UserError(f"table {name}: {error}") from error
    return spec


def _typed(kind: type, content: Any, where: str) -> Any:
    """A dataclass from a mapping, with nothing unknown, nothing missing, and the declared types."""
    if not isinstance(content, Mapping):
        raise reject(where or "the file", content, "is not a mapping", "write KEY: VALUE lines")
    declared = signature(kind).parameters
    for key in content:
        if key not in declared:
            remedy = did_you_mean(str(key), [*declared], f"the keys are {known(declared)}")
            raise UserError(f"{where}{key}: no such key; {remedy}")
    for key, one in declared.items():
        if one.default is one.empty and key not in content:
            raise UserError(f"{where}{key}: is missing; set it")
    return kind(**{key: _value(declared[key].annotation, one, f"{where}{key}") for key, one in content.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """The value, as declared: a scalar, a list of them, a mapping, or columns by head."""
    if hint == dict[str, Column]:
        if not isinstance(value, Mapping) or not value:
            raise reject(where, value, "is not a mapping of heads to columns", "write HEAD: {where: {...}}")
        return {str(head): _typed(Column, one or {}, f"{where}.{head}.") for head, one in value.items()}
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not any(_fits(one, value) for one in allowed):
        kinds = " or ".join(WORDS[get_origin(one) or one] for one in allowed)
        raise reject(where, value, "is of the wrong type", f"give {kinds}")
    return value


def _fits(kind: Any, value: Any) -> bool:
    """A whole number is a number, too; true is neither."""
    kinds = (int, float) if kind is float else (get_origin(kind) or kind,)
    items = value if isinstance(value, list) else []
    return type(value) in kinds and all(_fits(get_args(kind)[0], one) for one in items)


def _check(spec: Spec) -> None:
    """The rules between keys."""
    values = {head for head, column in spec.columns.items() if column.show == "value"}
    _all_of("test", [spec.test], TESTS)
    _check_at("at", spec.at)
    if not spec.rows:
        raise reject("rows", spec.rows, "names no column", "give one or more, such as rows: [dataset]")
    _all_of("rows or where", (*spec.rows, *spec.where), COLUMNS)
    _all_of("best", spec.best, values)
    if all(spec.columns[head].ignore for head in values):
        raise reject("columns", known(spec.columns), "all ignore a part of their row", "let one ignore nothing")
    for head, column in spec.columns.items():
        at, spread = f"columns.{head}", [column.spread] if column.spread else []
        _all_of(f"{at}.show", [column.show], SHOWN)
        _check_at(f"{at}.at", column.at)
        _all_of(at, (*column.where, *column.ignore, *spread), COLUMNS)
        _all_of(f"{at}.ignore", column.ignore, spec.rows)
        if len(column.of) != SHOWN[column.show]:
            remedy = f"give {SHOWN[column.show]} heads"
            raise reject(f"{at}.of", column.of, f"does not fit show={column.show}", remedy)
        if column.hide and not any(head in other.of for other in spec.columns.values()):
            raise reject(f"{at}.hide", column.hide, "no column is made of it", "leave the column out")
        _all_of(f"{at}.of", column.of, {one for one in values if not spec.columns[one].spread})
        if (column.show == "equivalence") != (column.margin is not None and column.margin > 0):
            raise reject(f"{at}.margin", column.margin, "an equivalence has one, above 0", "set margin: 0.5")
        if (column.show == "labels_to") != (column.share is not None and 0 < column.share <= 1):
            raise reject(f"{at}.share", column.share, "labels_to has one, in (0, 1]", "set share: 0.95")


def _check_at(where: str, at: str | int | None) -> None:
    if isinstance(at, str):
        _all_of(where, [at], AT)
    elif at is not None and at < 0:
        raise reject(where, at, "a cycle is 0 or above", f"give a cycle, or {known(AT)}")


def _all_of(where: str, values: Iterable[str], options: Collection[str]) -> None:
    for value in values:
        if value not in options:
            raise reject(where, value, "no such choice", f"choose among {known(options)}")
