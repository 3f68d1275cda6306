"""A whole AL iteration: train on the labelled texts, score the pool, query; with and without UPS.

    python scripts/bench_iteration.py                             # random texts and weights of MiniLM-L6's shape
    python scripts/bench_iteration.py --data DIR --task tagging   # CoNLL files, MiniLM-L6
    python scripts/bench_iteration.py --data DIR --each 1         # what each optimization saves

UPS scores a tenth of the pool. However fast scoring gets, an iteration keeps its training: the bound says how
much faster it can become at most (Amdahl).
"""

from typing import Any

import numpy as np
import torch
from benching import GAMMA, Ours, Report, Rival, Workload, arguments, begin, draw_by_ups, ratio, timed, without_each

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import ranked


def iteration(side: Any, pool: Pool, epochs: int, device: torch.device, share: float, query: int) -> dict[str, float]:
    """Seconds of train, score and query. share: of the pool that is scored, 1 or UPS's gamma"""
    rng = np.random.default_rng(0)
    seconds = {"train": timed(device, lambda: side.fit(pool.labelled, epochs))}
    state: dict[str, Any] = {"ids": pool.unlabelled}

    def draw() -> None:
        if share < 1:
            state["ids"] = draw_by_ups(pool, rng)

    seconds["query"] = timed(device, draw)
    seconds["score"] = timed(device, lambda: state.update(scores=side.score(state["ids"])))
    seconds["query"] += timed(device, lambda: ranked(state["ids"], state["scores"], rng)[:query])
    return seconds


def compare(
    report: Report, work: Workload, device: torch.device, sides: dict[str, Any], labelled: int, epochs: int, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Print the split of every side's iteration; gives seconds a round of each side and part."""
    n = len(work.encoded)
    rng = np.random.default_rng(0)
    pool = Pool.unlabelled_of(n).label(np.sort(rng.permutation(n)[:labelled]))
    pool = pool.remember(pool.unlabelled, rng.random(n - labelled).astype(np.float32))
    arms = {name: (side, 1.0) for name, side in sides.items()}
    arms["al-bench with UPS"] = (sides["al-bench"], GAMMA)
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in arms}
    for _ in range(rounds):
        for name, (side, share) in arms.items():
            for part, spent in iteration(side, pool, epochs, device, share, max(1, n // 100)).items():
                seconds[name].setdefault(part, []).append(spent)
    totals = {name: [sum(x) for x in zip(*parts.values(), strict=True)] for name, parts in seconds.items()}
    rows = []
    for name, parts in seconds.items():
        middle = {part: float(np.median(times)) for part, times in parts.items()}
        rows.append(
            {
                "side": name,
                **{f"{part} s": middle[part] for part in ("train", "score", "query")},
                "iteration s": float(np.median(totals[name])),
                "scoring %": 100 * middle["score"] / sum(middle.values()),
                "it / al-bench": ratio(totals[name], totals["al-bench"]),
                "UPS at most": (m := sum(middle.values())) / (m - middle["score"] * (1 - GAMMA))
                if "UPS" not in name
                else "-",
            }
        )
    report.table(
        f"an AL iteration, {work.name}, {labelled:,} labelled x {epochs} epochs, pool of {n - labelled:,}", rows
    )
    return seconds


def main() -> None:
    options = arguments(str(__doc__), labelled=2000, epochs=3, pool=20000, f32=1, each=0).parse_args()
    if options.smoke:
        options.labelled, options.epochs, options.pool = 32, 1, 100
    device, work, report = begin(options, options.labelled + options.pool)
    sides: dict[str, Any] = {"al-bench": Ours(work, device, "bfloat16")}
    if options.each:
        sides |= without_each(work, device, "bfloat16")
    if options.f32:
        sides["al-bench, float32"] = Ours(work, device, "float32")
        sides["Trainer, float32"] = Rival(work, device, bf16=False)
    sides["Trainer, bfloat16"] = Rival(work, device, bf16=True)
    compare(report, work, device, sides, options.labelled, options.epochs, options.rounds)


if __name__ == "__main__":
    main()
