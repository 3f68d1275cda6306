"""The committed scripts: every experiment of the paper is in one block, and each block's plan works."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from al_bench.acquisition.annotation import Annotator
from al_bench.config.catalog import listing
from al_bench.config.schema import DatasetConfig, OracleConfig
from al_bench.data.loading import load_corpus

SCRIPT = Path(__file__).parent.parent / "scripts" / "reproduce.sh"
BLOCKS = ("asm", "ceilings", "filters", "no_mismatch", "plasm", "random", "subsampling", "threshold", "ups")
SHIPPED = [name for name in listing("experiment", None) if name.startswith("paper/") and name != "paper/base"]


def reproduce(folder: Path, program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script with an `al-bench` of our own."""
    stub = folder / "al-bench"
    stub.write_text(f"#!/bin/sh\n{program}\n")
    stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment}
    return subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)


def run_by(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The experiments that a script would run, by what `ECHO` printed."""
    return [line.split("=")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("run ")]


ECHO = 'echo "$@"'


def test_every_experiment_is_in_one_block(tmp_path):
    named = [name for block in BLOCKS for name in run_by(reproduce(tmp_path, ECHO, block))]
    assert sorted(named) == sorted(SHIPPED)


def assert_planned(names: list[str], printed: str, output: Path) -> None:
    assert names
    assert "0 refused" not in printed
    for name in names:
        assert f"al-bench run seed=7 output_dir={output} +experiment={name}" in printed


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_plans_with_overrides(block, al, tmp_path):
    """What the script hands on, in this process, of the last data set that the block has: the slow test has all."""
    dataset = run_by(reproduce(tmp_path, ECHO, block))[-1].split("/")[1]
    words = [dataset, "seed=7", f"output_dir={tmp_path}/out"]
    names = run_by(reproduce(tmp_path, ECHO, block, *words))
    (line,) = reproduce(tmp_path, ECHO, block, *words, PLAN="only").stdout.splitlines()
    done = al(*line.split())
    assert done.code == 0, done.err
    assert_planned(names, done.out, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_a_whole_block_plans_with_overrides(block, tmp_path):
    words = ["seed=7", f"output_dir={tmp_path}/out"]
    done = reproduce(tmp_path, f'exec {sys.executable} -m al_bench "$@"', block, *words, PLAN="only")
    assert done.returncode == 0, done.stderr
    assert_planned(run_by(reproduce(tmp_path, ECHO, block)), done.stdout, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], "tables --output-dir outputs"), (["output_dir=my out", "seed=7"], "tables --output-dir my out")],
)
def test_the_tables_are_of_the_runs(tmp_path, words, expected):
    done = reproduce(tmp_path, ECHO, "threshold", *words)
    run, tables = done.stdout.splitlines()[1:]
    assert run == " ".join(["run +experiment=paper/ag_news/plasm_threshold", *words])
    assert tables == expected


@pytest.mark.parametrize(
    ("fails", "code"), [("tables", 0), ("run", 1), ("plan", 1), ("nothing", 0)], ids=lambda value: str(value)
)
def test_the_exit_code_is_of_the_runs(tmp_path, fails, code):
    """Tables that fail hide neither failed runs nor finished ones, and a line names the command that makes them."""
    done = reproduce(tmp_path, f'{ECHO}; [ "$1" != {fails} ]', "threshold", "output_dir=mine")
    assert done.returncode == code
    assert ("al-bench tables --output-dir mine" in done.stderr) == (fails == "tables")


def test_each_data_set_has_its_own_path_and_keeps_its_name(tmp_path):
    words = ["conll2003", "imdb", "imdb.path=/data/aclImdb", "ag_news.path=/data/ag", "seed=7"]
    done = reproduce(tmp_path, ECHO, "random", *words)
    assert [line for line in done.stdout.splitlines() if line.startswith("run ")] == [
        "run +experiment=paper/conll2003/random seed=7",
        "run +experiment=paper/imdb/random seed=7 dataset.path=/data/aclImdb dataset.name=imdb",
    ]
    assert sum(line.startswith("plan ") for line in done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["random", "dataset.path=/data/conll"], "write DATASET.path=/data/conll"),
        (["threshold", "imdb"], "leave the data set out, or choose another"),
    ],
)
def test_data_that_do_not_fit_the_experiments(tmp_path, words, remedy):
    done = reproduce(tmp_path, ECHO, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert remedy in done.stderr


@pytest.mark.parametrize("words", [(), ("asn",)])
def test_no_such_block(tmp_path, words):
    done = reproduce(tmp_path, ECHO, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    for block in BLOCKS:
        assert block in done.stderr.partition("choose one of")[2]


@pytest.fixture
def called(monkeypatch, capfd) -> Callable[..., str]:
    """`called("weak_labels", "weak.csv")`: what a script prints, in this process."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))

    def call(name: str, *words: object) -> str:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        capfd.readouterr()
        import_module(name).main()
        return capfd.readouterr().out

    return call


def test_weak_labels_count_the_examples_of_the_run(called, tmp_path, review_folder):
    """Ids are those of the config's corpus, and more gold labels make better ones."""
    output, shares = tmp_path / "weak.csv", []
    words = [
        "dataset=rotten_tomatoes",
        "dataset.where=null",
        "dataset.label_names=null",
        f"dataset.path={review_folder}",
    ]
    corpus = load_corpus(DatasetConfig(task="classification", path=str(review_folder)))
    for gold in (6, 100):
        printed = called("weak_labels", output, "--gold", gold, *words)
        assert f"120 labels from {gold} gold ones" in printed
        annotator = Annotator(OracleConfig("column", {"file": str(output)}), corpus, 0)
        shares.append(float((annotator.label(np.arange(120)) == corpus.train.labels).mean()))
        assert f"{shares[-1]:.1%} of them right" in printed
    assert shares[0] < shares[1]


def losses_in(printed: str) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in printed.splitlines() if line.startswith("epoch ")]


def test_a_masked_language_model_learns_the_texts_alone(called, al, tiny_model, tiny_run, review_folder, tmp_path):
    """From an encoder without such a head; the loss falls, other labels change nothing, and ALPS can use it."""
    dataset = [word for word in tiny_run if word.startswith("dataset")]
    words = [
        *dataset,
        f"acquisition.path={tiny_model}",
        "acquisition.sha256=null",
        "acquisition.num_hidden_layers=1",
        "acquisition.max_length=32",
    ]
    options = ["--epochs", 3, "--learning-rate", 3e-3, *words]
    losses = losses_in(called("train_mlm", tmp_path / "mlm", *options))
    assert len(losses) == 3
    assert losses[-1] < 0.9 * losses[0]
    train = review_folder / "train.csv"
    train.write_text(re.sub(r",(pos|neg)$", ",pos", train.read_text(), count=100, flags=re.MULTILINE))
    assert losses_in(called("train_mlm", tmp_path / "again", *options)) == losses
    files = [tmp_path / name / "model.safetensors" for name in ("mlm", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    done = al("run", *tiny_run, f"acquisition.path={tmp_path}/mlm", "acquisition.num_hidden_layers=null",
              "acquisition.learner=linear", "strategy=alps", "successor=null", "evaluate_at=none")  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "modernbert"])
def test_outputs_for_the_masked_sub_words_alone_give_the_loss_of_all(called, family):
    """transformers' own, over all sub-words of which those that are not masked do not count."""
    import torch
    from train_mlm import step
    from transformers import AutoConfig, AutoModelForMaskedLM

    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}
    names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    if family == "distilbert":
        sizes = {names.get(name, name): size for name, size in sizes.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForMaskedLM.from_config(AutoConfig.for_model(family, **sizes)).eval()
        ids = torch.randint(5, 50, (3, 7))
        labels = torch.where(torch.rand(3, 7) < 0.4, ids, -100)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = network(**batch, labels=labels).loss.item()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    assert step(network, {**batch, "labels": labels}, optimizer) == pytest.approx(expected, rel=1e-5)
    assert network(**batch, labels=labels).loss.item() < expected


def test_a_masked_language_model_needs_an_encoder_that_is_there(called, tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        called("train_mlm", tmp_path / "mlm", "dataset=trec6", "acquisition.num_hidden_layers=0")
    assert stop.value.code == 2
    assert "acquisition.num_hidden_layers" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("script", sorted(SCRIPT.parent.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("al_bench"):
            module = import_module(str(node.module))
            assert [one.name for one in node.names if not hasattr(module, one.name)] == []
