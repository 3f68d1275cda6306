"""Gradient steps: milliseconds and sub-words a second, against a Trainer.

python scripts/bench_training.py                             # random texts and weights of MiniLM-L6's shape
python scripts/bench_training.py --data DIR --task tagging   # CoNLL files, MiniLM-L6
"""

import numpy as np
import torch
from benching import Ours, Report, Rival, Workload, arguments, begin, ratio, step_floor, without_each


def sides_of(work: Workload, device: torch.device, batch_size: int) -> dict[str, Ours | Rival]:
    return {
        "Trainer, float32, grouped": Rival(work, device, bf16=False, grouped=True, batch_size=batch_size),
        "Trainer, bfloat16, grouped": Rival(work, device, bf16=True, grouped=True, batch_size=batch_size),
        "al-bench, float32": Ours(work, device, "float32", batch_size=batch_size),
        "al-bench, bfloat16": Ours(work, device, "bfloat16", batch_size=batch_size),
        **without_each(work, device, "bfloat16", batch_size),
    }


def compare(report: Report, work: Workload, device: torch.device, batch_size: int, rounds: int) -> None:
    ids = np.arange(len(work.encoded))
    sides = sides_of(work, device, batch_size)
    steps: dict[str, list[list[float]]] = {name: [] for name in sides}
    for side in sides.values():
        side.fit(ids if device.type == "cuda" else ids[: 2 * batch_size], 1)  # captures every shape
    for _ in range(rounds):
        for name, side in sides.items():
            steps[name].append(side.steps(ids, 1))
    means = {name: [float(np.mean(times)) for times in every] for name, every in steps.items()}
    tokens = work.encoded.tokens.lengths.mean() * batch_size
    floor = step_floor(work, device, batch_size)
    rows = [
        {
            "side": name,
            "ms a step": float(np.median(np.concatenate(every))),
            "95 % under": float(np.quantile(np.concatenate(every), 0.95)),
            "mean": float(np.mean(means[name])),
            "x floor": float(np.median(np.concatenate(every)) / floor),
            "sub-words/s": float(tokens / np.mean(means[name]) * 1e3),
            "Trainer f32 grouped / it": ratio(means["Trainer, float32, grouped"], means[name]),
            "Trainer bf16 grouped / it": ratio(means["Trainer, bfloat16, grouped"], means[name]),
        }
        for name, every in steps.items()
    ]
    report.table(f"training {work.name}, batch {batch_size}", rows)
    report.note(f"floor ms, {work.name}, batch {batch_size}", floor)
    report.say(f"floor: {floor:.3g} ms, of products and of AdamW's traffic")


def main() -> None:
    options = arguments(str(__doc__), texts=320).parse_args()
    if options.smoke:
        options.texts = 64
    device, work, report = begin(options, options.texts)
    for batch_size in (16, 4):
        compare(report, work, device, batch_size, options.rounds)


if __name__ == "__main__":
    main()
