"""A decoder with low-rank adapters in both roles: killed and resumed, it decides the same to the byte."""

import os
import signal
import subprocess
import sys

import pytest
import transformers
from made import NAMES, NEGATIVE, NEUTRAL, POSITIVE, decided
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

pytest.importorskip("peft", reason="pip install al-bench[lora]")


@pytest.fixture(scope="module")
def tiny_decoder(tmp_path_factory):
    """A folder with a random Llama of 2 layers x 32, and a byte-level tokenizer that has no padding token."""
    words = [*POSITIVE, *NEGATIVE, *NEUTRAL, *(name for names in NAMES.values() for name in names)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([f" {word}" for word in words] * 3, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    transformers.set_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, max_position_embeddings=64, bos_token_id=None, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny_decoder")
    transformers.LlamaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def overrides(run, decoder):
    words = [word for word in run if not word.startswith(("acquisition.path", "successor.path", "training.learning"))]
    for role in ("acquisition", "successor"):
        words += [f"model@{role}=qwen2_5_0_5b_lora", f"{role}.path={decoder}", f"{role}.params.rank=4"]
    return [*words, "acquisition.params.layers=1", "training.learning_rate=1e-2", "progress=plain"]


def test_killed_and_resumed(al, checkout, tiny_run, tiny_decoder, tmp_path):
    words = overrides(tiny_run, tiny_decoder)
    whole = al("run", *words, "output_dir=whole")
    assert whole.code == 0, whole.err
    command = [sys.executable, "-m", "al_bench", "run", *words, "output_dir=killed"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("cycle 1"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "".join(seen)
    assert 0 < len(decided(tmp_path / "killed")) < len(decided(tmp_path / "whole"))
    resumed = al("run", *words, "output_dir=killed")
    assert resumed.code == 0, resumed.err
    assert decided(tmp_path / "killed") == decided(tmp_path / "whole")
