"""Everything on one GPU in one call of under nine minutes: ceilings, correctness, scoring, steps, iterations.

    python scripts/bench_gpu.py --json gpu.json

Needs torch and transformers alone, and no network: weights and texts are random, which time does not depend on.
A section begins only while there is time for it; one that fails does not stop the others.
"""

import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial

import bench_iteration
import bench_scaling
import bench_scoring
import bench_training
import numpy as np
import torch
from benching import Ours, Report, Rival, Workload, arguments, copy_rate, matmul_rate, prepared, synthetic

from al_bench.learners.engine.optimizations import BFLOAT16, GRAPHS, PACKED, ROUGH, row_error

ITERATIONS = 3  # of each job that runs beside others
SHAPES = ("bert-base", "distilbert")


class Bench:
    """device: where; smoke: tiny sizes"""

    def __init__(self, report: Report, device: torch.device, smoke: bool, rounds: int) -> None:
        self.report, self.device, self.smoke, self.rounds = report, device, smoke, rounds
        self.shapes = SHAPES[:1] if smoke else SHAPES

    def work(self, shape: str, n: int, few: int = 80) -> Workload:
        return synthetic("tiny", few) if self.smoke else synthetic(shape, n)

    def sections(self) -> dict[str, Callable[[], None]]:
        """In the order of their weight, should time run out: the larger network goes first."""

        def of(shape: str) -> dict[str, Callable[[], None]]:
            parts = {"training": self.training, "scoring": self.scoring, "iteration": self.iteration}
            return {f"{name} {shape}": partial(part, shape) for name, part in parts.items()}

        larger, *smaller = (of(shape) for shape in self.shapes)
        sections = {"ceilings": self.ceilings, "correctness": self.correctness, **larger}
        sections |= {"growth": self.growth, "side by side": self.side_by_side}
        return sections | (smaller[0] if smaller else {})

    def ceilings(self) -> None:
        side = 256 if self.smoke else 8192
        sizes = {"square": (side, side, side), "BERT-base, scoring": (32768, 768, 3072)}
        sizes["BERT-base, batch of 16 x 48"] = (768, 768, 3072)
        rows = []
        for name, shape in sizes.items():
            m, k, n = (min(s, 256) for s in shape) if self.smoke else shape
            rates = {p: matmul_rate(self.device, getattr(torch, p), m, k, n) for p in ("float32", "bfloat16")}
            rows.append({"product": name, **{f"{p} TFLOP/s": rate / 1e12 for p, rate in rates.items()}})
        self.report.table("ceilings: products", rows)
        rate = copy_rate(self.device, 10**6 if self.smoke else 10**9)
        self.report.table("ceilings: memory", [{"copy": "read and written", "TB/s": rate / 1e12}])

    def correctness(self) -> None:
        """Packed is padded, a graph's weights are those of steps one by one, and every score is written."""
        rows = []
        for shape in self.shapes:
            work = self.work(shape, 2000)
            ids = np.arange(len(work.encoded))
            exact, autocast = (Ours(work, self.device, p, frozenset()) for p in ("float32", "bfloat16"))
            fast = Ours(work, self.device, "bfloat16", frozenset({PACKED, BFLOAT16}))
            padded = Ours(work, self.device, "bfloat16", frozenset({BFLOAT16}))
            expected, logits = _logits(exact, ids), _logits(fast, ids)
            rows.append(
                {
                    "network": work.name,
                    "packed": fast.forward.packs,
                    "weights cast": fast.forward.copy is not None,
                    "error": row_error(logits, expected),
                    "of padded": row_error(_logits(padded, ids), expected),
                    "of autocast": row_error(_logits(autocast, ids), expected),
                    "packed against padded": row_error(logits, _logits(padded, ids)),
                    "unwritten": int(np.isnan(fast.score(ids[::-1])).sum()),
                    "graph against steps": self._graph_error(work),
                }
            )
        self.report.table("correctness", rows)
        for row in rows:
            assert max(row["error"], row["packed against padded"]) <= 3 * row["of autocast"] + ROUGH
            assert row["unwritten"] == 0
            assert row["graph against steps"] < 0.1

    def _graph_error(self, work: Workload) -> float:
        """The largest difference of any weight after some steps without dropout, relative to how far it moved."""
        for module in work.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        work.network.config.update({"attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0})
        ids = np.arange(min(len(work.encoded), 100))
        graphs = frozenset({GRAPHS} if self.device.type == "cuda" else ())
        sides = [Ours(work, self.device, "float32", available) for available in (graphs, frozenset())]
        for side in sides:
            side.fit(ids, 2)
        assert not sides[0].forward.rejected, "no graph was captured"
        one, other = (dict(side.forward.network.named_parameters()) for side in sides)
        between = max((one[name] - other[name]).abs().max().item() for name in one)
        moved = max((other[name].cpu() - work.initial[name]).abs().max().item() for name in one)
        return between / moved

    def scoring(self, shape: str) -> None:
        bench_scoring.compare(self.report, self.work(shape, 20000), self.device, self.rounds, naive=False)

    def training(self, shape: str) -> None:
        for batch_size in (16, 4):
            work = self.work(shape, 40 * batch_size)
            bench_training.compare(self.report, work, self.device, batch_size, self.rounds)

    def iteration(self, shape: str) -> None:
        labelled, pool, epochs = (32, 48, 1) if self.smoke else (2000, 20000, 3)
        work = self.work(shape, labelled + pool)
        sides: dict[str, Ours | Rival] = {
            "al-bench": Ours(work, self.device, "bfloat16"),
            "Trainer, bfloat16": Rival(work, self.device, bf16=True),
        }
        for side in sides.values():
            side.fit(np.arange(labelled), 1)
        bench_iteration.compare(self.report, work, self.device, sides, labelled, epochs, self.rounds)

    def growth(self) -> None:
        sizes = [100, 1000] if self.smoke else [10_000, 100_000, 1_000_000]
        bench_scaling.compare(self.report, self.device, sizes, "tiny" if self.smoke else "minilm-l6", 2)

    def side_by_side(self) -> None:
        """Several processes, as a sweep's jobs are, each with an AL iteration of its own; all begin together."""
        rows, alone = [], 0.0
        for jobs in (1, 2) if self.smoke else (1, 2, 4):
            command = [sys.executable, __file__, "--worker", "--device", str(self.device)]
            command += ["--smoke"] if self.smoke else []
            pipe = subprocess.PIPE
            workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(jobs)]
            _await(workers, "ready")
            start = time.perf_counter()
            for worker in workers:  # all start before any is waited for
                worker.stdin.write("go\n")  # type: ignore[union-attr]
                worker.stdin.flush()  # type: ignore[union-attr]
            _await(workers, "done")
            spent = time.perf_counter() - start
            for worker in workers:
                worker.communicate()
            alone = alone or spent
            rows.append(
                {
                    "jobs": jobs,
                    "s": spent,
                    "iterations a minute": 60 * jobs * ITERATIONS / spent,
                    "x one": jobs * alone / spent,
                }
            )
        self.report.table("seeds side by side on one device, DistilBERT, bfloat16", rows)


def _logits(side: Ours, ids: np.ndarray) -> np.ndarray:
    order = ids[np.argsort(-side.work.encoded.tokens.lengths[ids], kind="stable")]
    logits = np.full((len(ids), side.work.classes), np.nan, dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 256):
            batch = order[start : start + 256]
            logits[batch] = side.forward.logits(side.work.encoded, batch).cpu().numpy()
    return logits


def _await(workers: list[subprocess.Popen[str]], word: str) -> None:
    """Read until each has printed it."""
    for worker in workers:
        assert any(line.strip() == word for line in worker.stdout), "a worker died"  # type: ignore[union-attr]


def worker(device: torch.device, smoke: bool) -> None:
    """AL iterations after the word "go"; what comes once for all cycles is done before."""
    labelled, pool = (16, 32) if smoke else (1000, 10000)
    work = synthetic("tiny" if smoke else "distilbert", labelled + pool)
    side = Ours(work, device, "bfloat16")
    side.fit(np.arange(labelled), 1)
    side.score(np.arange(100 if not smoke else 10))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(ITERATIONS):
        side.fit(np.arange(labelled), 3)
        side.score(np.arange(labelled, labelled + pool))
    print("done", flush=True)  # its scores are on the host, so the device is done, too


def main() -> None:
    parser = arguments(str(__doc__), budget=480)
    parser.add_argument("--worker", action="store_true", help="one of several jobs; not for you")
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of the names of sections")
    parser.set_defaults(rounds=2)
    options = parser.parse_args()
    device = prepared(options.device)
    if options.worker:
        worker(device, options.smoke)
        return
    began = time.perf_counter()
    report = Report(device, options.json)
    bench = Bench(report, device, options.smoke, 1 if options.smoke else options.rounds)
    failed = []
    for name, section in bench.sections().items():
        if not name.startswith(tuple(options.only)):
            continue
        spent = time.perf_counter() - began
        if spent > options.budget:
            report.say(f"\n{name}: left out after {spent:.0f} s of {options.budget} s")
            continue
        try:
            section()
        except Exception:
            traceback.print_exc()
            failed.append(name)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        report.say(f"[{name}: {time.perf_counter() - began - spent:.0f} s]")
    report.note("failed", failed)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
