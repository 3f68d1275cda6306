"""A figure as part of a page: its text in the page's type, its colours the page's, light or dark."""

import io
import re
from html import escape

import matplotlib
from matplotlib.figure import Figure

from al_bench.report.figures.style import GRID, INK, MUTED, PAPER, SERIES, styled

# The page's colours, in `style.css`, by what a figure is drawn in.
COLORS = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}
COLORS |= {color: f"series-{number}" for number, color in enumerate(SERIES)}
REFERENCE = r'(url\(|href=")#([\w-]+)'


def css_color(color: str) -> str:
    return f"var(--{COLORS[color]})" if color in COLORS else color


def inline(figure: Figure, name: str, description: str) -> str:
    """An <svg> that scales with its box; name: unique in the page; description: for who cannot see it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with styled(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    _, _, text = buffer.getvalue().partition("<svg")
    text = re.sub(r"^.*?>", "", text, count=1, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"\s*\n\s*", " ", text.replace("xlink:href", "href"))
    used = {reference for _, reference in re.findall(REFERENCE, text)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(REFERENCE, rf"\1#{name}-\2", text)
    for color in COLORS:
        text = text.replace(color, css_color(color))
    text = re.sub(r"font-family: [^;\"]+;? ?", "", text)
    width, height = (72 * inches for inches in figure.get_size_inches())
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}">{text}'
