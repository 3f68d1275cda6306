"""How every figure looks: one paper column wide, legible in print, apart without colour.

Ink, grid and paper are colours of their own, so that a page may replace them by its own in dark surroundings; what
`paper.mplstyle` says of them is said here again.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from al_bench.analysis.arms import Setting

WIDTH = 3.35  # inches: a column of a two-column paper
INK, MUTED, GRID, PAPER = "#1a1b1e", "#63666d", "#dcdde1", "#ffffff"
# Okabe and Ito (2008), without yellow, which paper swallows, and black, which is ink; sky blue last, because it is
# the nearest to another.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# The page's colours, in `style.css`, by what a figure is drawn in.
COLORS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}
COLORS |= {color: f"var(--series-{number})" for number, color in enumerate(SERIES)}
LONGEST = 60  # characters of a label, in a column
REFERENCE = r'(url\(|href=")#([\w-]+)'
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1.2, 1.2)), (0, (4, 1.2, 1.2, 1.2)))
Look = dict[str, Any]  # color, marker and linestyle: any one of them tells the first series apart


def look_of(color: str, marker: str, dash: Any) -> Look:
    return {"color": color, "marker": marker, "linestyle": dash}


def looks(setting: Setting) -> dict[str, Look]:
    """By label: the same in every figure of a setting. Random is grey, and drawn through in ink is the ceiling."""
    special = {"random": look_of(MUTED, "x", (0, (3, 2))), "ceiling": look_of(INK, "", (0, (1, 1)))}
    number = count()
    # Of several that are random, or ceilings, the first looks so.
    return {m.label: special.pop(m.arm) if m.arm in special else numbered(next(number)) for m in setting.methods}


def numbered(number: int) -> Look:
    return look_of(SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)])


def as_point(look: Look) -> Look:
    """Of what is else a line across."""
    return look | {"marker": look["marker"] or "*"}


def styled() -> Any:
    """For `with`, or over a function that draws."""
    return matplotlib.rc_context(fname=Path(__file__).with_name("paper.mplstyle"))


def canvas(height: float, rows: int = 1, **more: Any) -> tuple[Figure, list[Axes]]:
    """A figure of one column and its axes, from top to bottom.

    height: of all rows, in inches; more: for `Figure.subplots`, such as xlabel and ylabel of all axes in `subplot_kw`
    """
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03))
    return figure, list(figure.subplots(rows, 1, squeeze=False, **more)[:, 0])


def legend(figure: Figure, keys: Mapping[str, Look | Patch]) -> None:
    """Labels and what stands for them: under the axes, in two columns where labels are short; the figure grows."""
    shown = [one if isinstance(one, Patch) else Line2D([], [], **one) for one in keys.values()]
    columns = 2 if len(keys) > 1 and max(map(len, keys)) <= 22 else 1
    rows = -(-len(keys) // columns)
    figure.set_figheight(figure.get_figheight() + 0.15 * rows + 0.05)
    figure.legend(shown, list(map(fitting, keys)), loc="outside lower left", ncols=columns)


def fitting(label: str) -> str:
    """A label cut to what a column holds: the layout would give the rest of the figure no room."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def n_seeds(counts: Sequence[int]) -> str:
    """Such as "n = 6", or "n = 4-6" where some repetitions lack a part."""
    low, high = min(counts), max(counts)
    return f"n = {high}" if low == high else f"n = {low}–{high}"


@contextmanager
def drawing(salt: str) -> Iterator[None]:
    """For a figure that is written; salt: of the names in an SVG."""
    with styled(), matplotlib.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        # Such a letter is a box in a PNG, and itself in an SVG.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def save(figure: Figure, path: Path) -> None:
    """As PNG (300 dpi) or SVG, by the path's ending; the same figure gives the same SVG."""
    with drawing(path.stem):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def inline(figure: Figure, name: str, description: str) -> str:
    """An <svg> that scales with its box; name: unique in the page; description: for who cannot see it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with drawing(name):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    _, _, text = buffer.getvalue().partition("<svg")
    text = re.sub(r"^.*?>", "", text, count=1, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"\s*\n\s*", " ", text.replace("xlink:href", "href"))
    used = {reference for _, reference in re.findall(REFERENCE, text)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(REFERENCE, rf"\1#{name}-\2", text)
    for color, own in COLORS.items():
        text = text.replace(color, own)
    text = re.sub(r"font-family: [^;\"]+;? ?", "", text)
    width, height = (72 * inches for inches in figure.get_size_inches())
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}">{text}'
