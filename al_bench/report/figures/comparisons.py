"""Which model should select for which."""

from textwrap import fill

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from al_bench.analysis.statistics import FEW, Estimate
from al_bench.analysis.words import signed
from al_bench.report.figures.style import PAPER, canvas, n_seeds, styled

Gains = dict[tuple[str, str], Estimate]  # (selection, successor) -> points over a random-trained successor


@styled()
def heat_map(gains: Gains) -> Figure:
    """Selection x successor: mean gain in points, with the half-width of its 95 % t interval."""
    rows, columns = (list(dict.fromkeys(key[i] for key in gains)) for i in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    for (row, column), gain in gains.items():
        values[rows.index(row), columns.index(column)] = gain.mean
    most = max(float(np.nanmax(np.abs(values))), 0.1)
    figure, (axes,) = canvas(0.9 + 0.36 * len(rows), labels={"xlabel": "successor", "ylabel": "selected by"})
    axes.pcolormesh(values, cmap="PuOr_r", norm=TwoSlopeNorm(0, -1.6 * most, 1.6 * most), edgecolor=PAPER)
    for (row, column), gain in gains.items():
        half = f"\n± {gain.mean - gain.low:.1f}" if gain.n >= FEW else f"\n(n = {gain.n})"
        at = columns.index(column) + 0.5, rows.index(row) + 0.5
        # Cells are pale at these norms, so their text is dark on any page.
        axes.text(*at, f"{signed(gain.mean)}{half}", ha="center", va="center", color="#000000", fontsize=7)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [fill(row, 24) for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    counts = n_seeds([gain.n for gain in gains.values()])
    figure.suptitle(f"points over random examples ({counts})", fontsize=7.5, x=0.99, ha="right")
    return figure
