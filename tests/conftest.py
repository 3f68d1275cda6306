"""Fixtures for all tests: a tiny encoder, tiny corpora, the command line in this process."""

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from made import NAMES, NEGATIVE, NEUTRAL, POSITIVE, reviews, sentences
from sweeps import RIVALS, SWEEP, varied
from synthetic import write_runs

# Tiny matrices gain nothing from threads, and threads that wait for each other on busy cores cost minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test needs the hub; trying to reach it takes half a minute where there is no network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised BERT of 2 layers x 32 and a word-piece tokenizer over letters."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = [*POSITIVE, *NEGATIVE, *NEUTRAL, *(name.lower() for names in NAMES.values() for name in names)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*words, *LETTERS])]
    pieces += [f"##{letter}" for letter in LETTERS]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny_model")
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def review_folder(tmp_path: Path) -> Path:
    """train.csv (120 reviews) and test.csv (40)."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split, n, seed in (("train", 120, 1), ("test", 40, 2)):
        lines = [f"{text},{label}" for text, label in reviews(n, seed)]
        (folder / f"{split}.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def conll_folder(tmp_path: Path) -> Path:
    """train.txt (120 sentences) and test.txt (40) in two columns, IOB2."""
    folder = tmp_path / "conll"
    folder.mkdir()
    for split, n, seed in (("train", 120, 1), ("test", 40, 2)):
        blocks = ["\n".join(f"{word} {tag}" for word, tag in s) for s in sentences(n, seed)]
        (folder / f"{split}.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return folder


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def al(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Outcome]:
    """`al("run", "seed=1")`: the command line in this process, in an empty folder; never raises."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Outcome:
        from hydra.core.global_hydra import GlobalHydra

        from al_bench.front.cli import main

        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["al-bench", *map(str, arguments)])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """`write_module("name", text)`: a module that a config can name; written again, it is loaded again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: set[str] = set()

    def write(name: str, text: str) -> None:
        names.add(name)
        sys.modules.pop(name, None)
        (tmp_path / f"{name}.py").write_text(text)

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def tiny_run(tiny_model: Path, review_folder: Path) -> list[str]:
    """Overrides of a run on the tiny corpus with the tiny model in both roles: a second or two on a CPU."""
    return tiny_overrides(tiny_model, review_folder, "classification")


@pytest.fixture
def tiny_tagging_run(tiny_model: Path, conll_folder: Path) -> list[str]:
    return [*tiny_overrides(tiny_model, conll_folder, "tagging"), "strategy=mnlp"]


def tiny_overrides(model: Path, data: Path, task: str) -> list[str]:
    dataset = "rotten_tomatoes" if task == "classification" else "conll2003"
    shared = [f"dataset={dataset}", f"dataset.path={data}", "dataset.name=tiny", "name=test", "tracking=none"]
    if task == "classification":
        shared += ["dataset.where=null", "dataset.label_names=null"]
    for role in ("acquisition", "successor"):
        shared += [f"{role}.path={model}", f"{role}.name=tiny", f"{role}.sha256=null", f"{role}.max_length=32"]
    shared += ["acquisition.num_hidden_layers=1", "successor.num_hidden_layers=2"]
    budget = ["schedule.initial=12", "schedule.step=8", "schedule.cycles=3"]
    if task == "tagging":
        budget = ["schedule.initial=60", "schedule.step=40", "schedule.cycles=3", "schedule.unit=words"]
    fit = ["training.learning_rate=1e-3", "training.epochs=4", "training.min_steps=0", "training.batch_size=8"]
    return [*shared, *budget, *fit, "device=cpu", "precision=float32"]


@pytest.fixture
def interrupt_successor(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Presses Ctrl-C once, when the successor's n-th step begins, counted over all runs of the test."""
    import al_bench.run as job

    def interrupt(n: int) -> None:
        evaluate, steps = job.evaluate_successor, count(1)

        def interrupted(*arguments: object) -> object:
            if next(steps) == n:
                raise KeyboardInterrupt
            return evaluate(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(job, "evaluate_successor", interrupted)

    return interrupt


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store of MLflow without runs, whose migrations take seconds; to be copied."""
    from al_bench.ledger.database import prepare

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepare(path, "file:///nowhere", print, own=True)
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    """The store of the folder `outputs`, ready for runs."""
    (tmp_path / "outputs").mkdir(exist_ok=True)
    return Path(shutil.copy(empty_database, tmp_path / "outputs"))


@pytest.fixture(scope="session")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of all kinds of methods on one data set: an output directory, for reading only."""
    folder = tmp_path_factory.mktemp("rivals")
    for command in (SWEEP, *(varied(*changes) for changes in RIVALS)):
        write_runs(folder, command)
    return folder
