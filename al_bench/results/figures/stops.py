"""Where stopping criteria would have ended a method's runs, on its learning curve."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from al_bench.results.figures.curves import AXES, curve, score_label
from al_bench.results.figures.style import MUTED, PAPER, canvas, looks, n_seeds, numbered, styled
from al_bench.results.settings import Method, Setting
from al_bench.results.stopping import CRITERIA


def stopping_points(setting: Setting, method: Method, found: pd.DataFrame) -> Figure:
    """The learning curve; below it a lane per criterion with a mark where each repetition would have stopped.

    found: as `stopping.stops` gives it
    """
    with styled():
        figure, (top, lanes) = canvas(3.2, 2, sharex=True, height_ratios=(1.45, 1))
        scores = 100 * setting.scores(method).dropna(axis=1, how="all")
        labelled = setting.values(method, "labelled").mean(axis=0)
        curve(top, labelled.reindex(scores.columns), scores, looks(setting)[method.label])
        top.set_ylabel(score_label(setting))
        top.set_title(f"{method.label} ({n_seeds(scores.count())})", fontsize=7.5)
        for lane, criterion in enumerate(CRITERIA):
            mine = found[found.criterion == criterion.name]
            stopped = mine.dropna(subset="cycle")
            look = numbered(lane + 1)
            at = stopped.labelled.value_counts()
            # As large as runs are many that stop at the same budget.
            lanes.scatter(at.index, np.full(len(at), lane), s=14 * at, marker=look.marker, color=look.color)
            for x, count in at.items():
                lanes.annotate(
                    str(count) if count > 1 else "",
                    (x, lane),
                    (0, -9),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                )
            never = len(mine) - len(stopped)
            if never:
                text = f"never in {never} of {len(mine)}"
                over = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}  # the line of its lane
                lanes.text(1.0, lane, text, transform=lanes.get_yaxis_transform(), ha="right", va="center",
                           fontsize=6.5, color=MUTED, bbox=over)  # fmt: skip
        lanes.set_yticks(
            range(len(CRITERIA)),
            [criterion.name.replace("n ", "n\n").replace("overall ", "overall\n") for criterion in CRITERIA],
        )
        lanes.set_ylim(len(CRITERIA) - 0.4, -0.6)
        lanes.set_xlabel(AXES["labelled"])
        lanes.grid(axis="x")
        lanes.tick_params(axis="y", length=0)
    return figure
