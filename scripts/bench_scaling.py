"""How time and memory grow with the pool: from ten thousand texts to a million.

    python scripts/bench_scaling.py

On a CPU an encoder would take hours for a million texts, so a mean of embeddings with a linear layer stands in
for it; encoded texts, batches, predictions, scores, UPS's draw and the query are the real ones.

Memory is what scoring holds at its peak beyond the encoded texts. On the host it may grow by `BYTES` a text: their
order and lengths, a few numbers each; predictions come and go in parts of bounded size.
"""

import tracemalloc
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from benching import CLASSES, Ours, Report, Workload, arguments, begin, draw_by_ups, in_turns, synthetic
from torch import nn

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.selection import ranked

BYTES = 64


class MeanOfEmbeddings(nn.Module):
    """Has the interface of an encoder, at next to no cost."""

    base_model_prefix = "mean"

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            hidden_size=16, num_hidden_layers=0, intermediate_size=0, num_labels=CLASSES, _attn_implementation="none"
        )
        self.table = nn.Embedding(vocabulary, 16)
        self.head = nn.Linear(16, CLASSES)

    @property
    def base_model(self) -> nn.Module:
        return self

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Any:
        states = self.table(input_ids)
        if attention_mask is None:
            return SimpleNamespace(logits=self.head(states.mean(dim=1)))
        chosen = attention_mask.unsqueeze(-1)
        return SimpleNamespace(logits=self.head((states * chosen).sum(dim=1) / chosen.sum(dim=1)))


def compare(report: Report, device: torch.device, sizes: list[int], shape: str, rounds: int) -> float:
    """Print seconds and bytes of a query at each size; gives the exponent of growth."""
    rows, middles, held = [], [], []
    for n in sizes:
        work = synthetic(shape, n)
        if device.type == "cpu":
            network = MeanOfEmbeddings(work.network.config.vocab_size)
            work = Workload("mean of embeddings", network, work.tokenizer, work.encoded, work.labels, CLASSES)
        # The stand-in has no states that could be checked.
        cuda = device.type == "cuda"
        side = Ours(work, device, "bfloat16" if cuda else "float32", None if cuda else frozenset())
        ids = np.arange(n)
        pool = Pool.unlabelled_of(n).remember(ids, np.random.default_rng(0).random(n).astype(np.float32))
        side.score(ids[: max(1, n // 10)])
        scores, host, there = peaks(device, partial(side.score, ids))
        works: dict[str, Callable[[], Any]] = {
            "score": partial(side.score, ids),
            "draw": partial(draw_by_ups, pool, np.random.default_rng(0)),
            "rank": partial(ranked, ids, scores, np.random.default_rng(0)),
            "remember": partial(pool.remember, ids, scores.astype(np.float32)),
        }
        middle = {part: float(np.median(times)) for part, times in in_turns(device, works, rounds).items()}
        middles.append(middle["score"])
        held.append(host)
        rows.append(
            {
                "texts": f"{n:,}",
                "score s": middle["score"],
                "us a text": middle["score"] / n * 1e6,
                "UPS draw s": middle["draw"],
                "rank s": middle["rank"],
                "remember s": middle["remember"],
                "padding": side.padding,
                "host bytes a text": host / n,
                "device bytes a text": there / n,
            }
        )
    name = "mean of embeddings" if device.type == "cpu" else shape
    exponent = float(np.polyfit(np.log(sizes), np.log(middles), 1)[0])
    report.table(f"growth, {name}", rows)
    report.note("exponent", exponent)
    report.say(f"scoring time grows with the pool to the power of {exponent:.3f}")
    slope = float(np.polyfit(sizes, held, 1)[0])
    report.note("host bytes a further text", slope)
    report.say(f"host memory grows by {slope:.0f} bytes a text, of {BYTES} that are allowed")
    return exponent


def peaks(device: torch.device, work: Callable[[], Any]) -> tuple[Any, int, int]:
    """(what it gives, bytes of arrays on the host, bytes on the GPU), each at its peak, less what was there before."""
    cuda, before = device.type == "cuda", 0
    if cuda:
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    tracemalloc.start()
    result = work()
    host = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, host, torch.cuda.max_memory_allocated(device) - before if cuda else 0


def main() -> None:
    options = arguments(str(__doc__)).parse_args()
    sizes = [100, 1000] if options.smoke else [10_000, 100_000, 1_000_000]
    device, _, report = begin(options, 10)
    compare(report, device, sizes, options.shape, options.rounds)


if __name__ == "__main__":
    main()
