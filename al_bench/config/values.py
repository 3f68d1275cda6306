"""Which values a key may have, as the schema or a component declares it."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from al_bench.errors import not_one_of
from al_bench.plugins import Registry

Problem = tuple[str, str, str]  # a key, the rule that its value breaks, and the remedy


def value_problems(group: Any, where: str) -> Iterator[Problem]:
    """Values that the schema does not allow, in a group of keys and the groups in it."""
    for key in fields(group):
        value = getattr(group, key.name)
        name = where if key.name == "name" else f"{where}.{key.name}".lstrip(".")
        if value not in key.metadata.get("one_of", [value]):
            yield name, *not_one_of(value, key.metadata["one_of"])
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        typed = "params" in (key.name, where.rpartition(".")[2])  # by its component
        if not typed and any(isinstance(part, list | dict) for part in parts):  # OmegaConf lets these pass
            yield name, "must hold single values", "leave the inner brackets out"
        if "between" in key.metadata:
            yield from limit_problems(name, value, *key.metadata["between"])
        if is_dataclass(value):
            yield from value_problems(value, name)
        for part, group_in_it in value.items() if isinstance(value, dict) else ():
            if is_dataclass(group_in_it):
                yield from value_problems(group_in_it, f"{name}.{part}")


def limit_problems(key: str, value: float | None, low: float, high: float, remedy: str) -> Iterator[Problem]:
    if value is not None and not (low <= value <= high and math.isfinite(value)):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        yield key, f"must be {limits}{' and finite' if value == math.inf else ''}", remedy


def is_unknown(registry: Registry[Any], name: str) -> bool:
    """Whether a name is none of a registry's; MODULE:ATTRIBUTE is looked up when it is used."""
    return ":" not in name and name not in list(registry)


def is_count(value: Any, below: float = math.inf) -> bool:
    """Whether a value is a whole number from 0 on, and less than `below`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below
