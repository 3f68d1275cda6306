"""Scoring a pool: sub-words a second, against a Trainer's `predict` and a naive loop.

python scripts/bench_scoring.py                              # random texts and weights of MiniLM-L6's shape
python scripts/bench_scoring.py --data DIR --task tagging    # CoNLL files, MiniLM-L6
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from benching import (
    Naive,
    Ours,
    Report,
    Rival,
    Workload,
    arguments,
    begin,
    ceiling,
    doubts,
    in_turns,
    ratio,
    without_each,
)  # fmt: skip

from al_bench.learners.engine.inference import TOKEN_BUDGET


def compare(
    report: Report, work: Workload, device: torch.device, rounds: int, rivals: bool = True, naive: bool = True
) -> None:
    ids = np.arange(len(work.encoded))
    tokens = int(work.encoded.tokens.lengths.sum())
    sides: dict[str, Any] = {"padded to the maximum, float32": Naive(work, device)} if naive else {}
    if rivals:
        sides["Trainer, float32"] = Rival(work, device, bf16=False)
    sides |= {
        "Trainer, bfloat16": Rival(work, device, bf16=True),
        "al-bench, float32": Ours(work, device, "float32"),
        "al-bench, bfloat16": Ours(work, device, "bfloat16"),
        **without_each(work, device, "bfloat16"),
    }
    probs = {name: side.probs(ids) for name, side in sides.items()}  # warms up, too
    labels = {name: p.argmax(axis=1) for name, p in probs.items()}
    top = {name: set(np.argsort(-doubts(work, ids, p))[:100]) for name, p in probs.items()}
    exact = "al-bench, float32"
    seconds = in_turns(device, {name: partial(side.score, ids) for name, side in sides.items()}, rounds)
    peak = {p: ceiling(work, device, p, TOKEN_BUDGET[device.type]) for p in ("float32", "bfloat16")}
    rows = []
    for name, times in seconds.items():
        middle = float(np.median(times))
        rows.append(
            {
                "side": name,
                "sub-words/s": tokens / middle,
                "share of peak": work.forward_flops(ids)
                / middle
                / peak["bfloat16" if "bfloat16" in name else "float32"],
                "padding": sides[name].padding,
                **{
                    f"{rival} / it": ratio(seconds[rival], times)
                    for rival in ("Trainer, float32", "Trainer, bfloat16")
                    if rival in seconds
                },
                "same label": float(np.mean(labels[name] == labels[exact])),
                "same top 100": len(top[name] & top[exact]),
            }
        )
    report.table(f"scoring {len(ids):,} texts of {tokens / len(ids):.1f} sub-words, {work.name}", rows)
    report.note(f"peak FLOP/s, {work.name}", peak)
    report.say(f"peak: {peak['float32'] / 1e12:.3g} TFLOP/s in float32, {peak['bfloat16'] / 1e12:.3g} in bfloat16")


def main() -> None:
    options = arguments(str(__doc__), texts=1500).parse_args()
    if options.smoke:
        options.texts = 60
    device, work, report = begin(options, options.texts)
    compare(report, work, device, options.rounds)


if __name__ == "__main__":
    main()
