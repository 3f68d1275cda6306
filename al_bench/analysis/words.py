"""Numbers as a careful writer sets them: true minus signs, and spaces that do not break before a unit."""

import math
import re
from collections.abc import Sequence

from al_bench.analysis.statistics import FEW, Estimate
from al_bench.costs import HARD

MINUS = "−"


def number(value: float, digits: int = 1) -> str:
    """-1234.56 -> −1,234.6"""
    if math.isnan(value):
        return "–"
    text = f"{value:,.{digits}f}"
    return text.replace("-", "" if float(text.replace(",", "")) == 0 else MINUS)


def signed(value: float, digits: int = 1) -> str:
    return ("+" if value > 0 and float(f"{value:.{digits}f}") else "") + number(value, digits)


def interval(estimate: Estimate, digits: int = 1, *, sign: bool = False) -> str:
    """Mean ± half the width of its interval; the mean alone of fewer than `FEW` values, which say little of chance."""
    mean = signed(estimate.mean, digits) if sign else number(estimate.mean, digits)
    if estimate.n < FEW:
        return mean
    return f"{mean}{HARD}±{HARD}{number(estimate.mean - estimate.low, digits)}"


def percent(share: float, digits: int = 0) -> str:
    return f"{number(100 * share, digits)}{HARD}%"


def p_value(p: float) -> str:
    return f"p{HARD}<{HARD}0.001" if p < 0.001 else f"p{HARD}={HARD}{p:.3f}"


def count(n: int, one: str, many: str | None = None) -> str:
    """1 seed, 2 seeds"""
    return f"{n:,}{HARD}{one if n == 1 else many or one + 's'}"


def listed(items: Sequence[str]) -> str:
    """a, b and c"""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def spans_of(items: Sequence[str]) -> str:
    """1, 2, 3, 7 -> "1–3, 7"; what is no number stays as it is"""
    spans: list[list[str]] = []
    for item in items:
        if spans and item.isdigit() and spans[-1][-1].isdigit() and int(item) == int(spans[-1][-1]) + 1:
            spans[-1].append(item)
        else:
            spans.append([item])
    return ", ".join(f"{span[0]}–{span[-1]}" if len(span) > 2 else ", ".join(span) for span in spans)


def one_line(text: str) -> str:
    """Without what would end a line or steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def as_name(text: str) -> str:
    """A name that stands between backticks, which it must not end."""
    return one_line(text).replace("`", "’")


def code(text: str) -> str:
    """A line of code, between as many backticks as it takes to hold those that are in it."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}"


def detailed(name: str, details: Sequence[str]) -> str:
    """Such as "entropy (power, beta=2)"; a name that has details gets these behind them."""
    if not details:
        return name
    return f"{name[:-1] + ', ' if name.endswith(')') else name + ' ('}{', '.join(details)})"


def sentence(text: str) -> str:
    """Text with a capital; what begins with the name of a model stays."""
    return text[:1].upper() + text[1:]
