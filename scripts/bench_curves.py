"""Does speed cost anything? Learning curves of the fast engine in bfloat16, and of the plain one in float32.

    python scripts/bench_curves.py --data DIR                    # CSV files: text, label
    python scripts/bench_curves.py --data DIR --task tagging     # CoNLL files

Both sides run the same loop from the same seed sets, over several seeds. Equivalence is tested (TOST) on the area
under the curve and on the last cycle, paired by seed; the margin is in points of the metric.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from benching import MINILM, Report, arguments, prepared, training

from al_bench.acquisition.loop import acquire
from al_bench.acquisition.setup import Setup
from al_bench.analysis.statistics import tost
from al_bench.config.resolution import resolve
from al_bench.config.schema import DatasetConfig, Limits, RunConfig, ScheduleConfig, StrategyConfig
from al_bench.data.loading import load_corpus
from al_bench.data.metrics import headline
from al_bench.learners.engine.optimizations import optimizations_of
from al_bench.learners.transformer import TransformerLearner


def main() -> None:
    parser = arguments(
        str(__doc__), seeds=5, train=2000, test=500, initial=200, query=200, cycles=2, epochs=10, layers=3,
        margin=2.0,
    )  # fmt: skip
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.train, options.test, options.cycles, options.epochs = 2, 60, 20, 1, 1
        options.initial = options.query = 10
    if not options.data:
        parser.error("--data: a folder is needed, since random texts have no labels to learn")
    device = prepared(options.device)
    dataset = DatasetConfig(name="data", task=options.task, path=options.data)
    corpus = load_corpus(replace(dataset, limit=Limits(train=options.train, test=options.test)))
    settings = replace(training(options.epochs), learning_rate=2e-4, dropout=0.0)
    model = replace(MINILM, num_hidden_layers=options.layers, max_length=256, training=settings)
    sides = {"plain, float32": ("plain", "float32"), "fast, bfloat16": ("fast", "bfloat16")}
    learners = {
        name: TransformerLearner(
            "model",
            model,
            options.task,
            corpus.label_names,
            device,
            precision,
            available=optimizations_of(engine, device, precision),
        )
        for name, (engine, precision) in sides.items()
    }
    report = Report(device, options.json)
    metric = headline(options.task)
    curves: dict[str, list[list[float]]] = {name: [] for name in sides}
    seconds = dict.fromkeys(sides, 0.0)
    for seed in range(1, options.seeds + 1):
        config = resolve(
            RunConfig(
                dataset=dataset, acquisition=model, evaluate_at="none", seed=seed,
                strategy=StrategyConfig("mnlp" if options.task == "tagging" else "least_confidence"),
                schedule=ScheduleConfig(options.initial, options.query, options.cycles),
            )
        )  # fmt: skip
        for name, learner in learners.items():
            start = time.process_time()
            setup = Setup(config, corpus, lambda cycle, made=learner: made)  # type: ignore[misc]
            curve = [(cycle.metrics or {})[metric] for cycle, _ in acquire(setup, lambda _, __, compute: compute(None))]
            seconds[name] += time.process_time() - start
            curves[name].append(curve)
            report.say(f"seed {seed}, {name}: {metric} " + " ".join(f"{score:.4f}" for score in curve))
    plain, fast = (100 * np.array(curves[name]) for name in sides)
    rows: list[dict[str, Any]] = []
    for what, a, b in (
        ("area under the curve", plain.mean(axis=1), fast.mean(axis=1)),
        ("last cycle", plain[:, -1], fast[:, -1]),
    ):
        p, _ = tost(b, a, options.margin)
        rows.append(
            {
                f"points of {metric}": what,
                "plain": f"{a.mean():.2f} +- {a.std(ddof=1):.2f}",
                "fast": f"{b.mean():.2f} +- {b.std(ddof=1):.2f}",
                "difference": f"{(b - a).mean():+.2f} +- {(b - a).std(ddof=1):.2f}",
                "margin": options.margin,
                "TOST p": p,
            }
        )
    report.table(f"{options.seeds} seeds, {options.cycles} queries of {options.query}", rows)
    report.say("CPU seconds: " + ", ".join(f"{name} {spent:.0f}" for name, spent in seconds.items()))


if __name__ == "__main__":
    main()
