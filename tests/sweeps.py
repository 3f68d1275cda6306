"""Command lines of sweeps for `synthetic.write_runs`."""

SWEEP = (
    "-m dataset=trec6 name=x model@acquisition=minilm_l3 model@successor=minilm_l6 strategy=least_confidence "
    "schedule.initial=100 schedule.step=100 schedule.cycles=3 seed=1,2,3"
)
RIVALS = (
    ("subsampling=ups",),
    ("model@acquisition=minilm_l6",),
    ("strategy=random",),
    ("strategy=random", "schedule.initial=1.0", "schedule.cycles=0"),
    ("pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", "evaluate_at=[1,3]"),
)


def varied(*changes: str) -> str:
    """`SWEEP` with other choices."""
    keys = {change.partition("=")[0] for change in changes}
    return " ".join([*(word for word in SWEEP.split() if word.partition("=")[0] not in keys), *changes])
