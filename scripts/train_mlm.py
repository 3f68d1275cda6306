"""Train a masked language model on the training texts of a corpus, without their labels. Writes a model folder.

python scripts/train_mlm.py models/trec6_mlm dataset=trec6 dataset.path=FOLDER model@acquisition=minilm_l6
al-bench run dataset=trec6 dataset.path=FOLDER strategy=alps acquisition.path=models/trec6_mlm acquisition.sha256=null

The words after the options are those of `al-bench run` that say which data it is, and with which encoder to start: the
acquisition model's, of which `acquisition.num_hidden_layers` keeps the first layers only. Its head is new where the
checkpoint has none, as after training for sentence similarity. More training on texts of the task is domain-adaptive
pretraining (Gururangan et al. 2020); masks are those of Devlin et al. (2019).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional as F

from al_bench.config.schema import ModelConfig
from al_bench.data.corpus import Inputs
from al_bench.data.loading import load_corpus
from al_bench.errors import UserError
from al_bench.front.jobs import job_of
from al_bench.learners.engine.batching import training_batches
from al_bench.learners.engine.encoding import encode
from al_bench.learners.engine.loading import inspect, load_network
from al_bench.learners.engine.training import learning_rates
from al_bench.learners.engine.weights import fetch
from al_bench.seeds import number, stream

MASKED = 0.15  # of the sub-words
WARMUP = 0.1  # of the steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*", help="such as dataset=trec6 dataset.path=FOLDER")
    parser.add_argument("--epochs", type=int, default=5, help="over the training texts (default: 5)")
    parser.add_argument("--batch-size", type=int, default=32, help="texts a step (default: 32)")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="the highest one (default: 5e-4)")
    parser.add_argument("--seed", type=int, default=0, help="of head, order, masks and dropout (default: 0)")
    options = parser.parse_intermixed_args()
    try:
        config = job_of(options.overrides)
    except UserError as error:
        parser.error(str(error))
    inputs, o = load_corpus(config.dataset).train.inputs, options
    train(o.folder, config.acquisition, inputs, o.epochs, o.batch_size, o.learning_rate, o.seed)
    print(f"{options.folder}: from {config.acquisition.name}, {len(inputs):,} texts")


def train(
    folder: Path, model: ModelConfig, inputs: Inputs, epochs: int, batch_size: int, learning_rate: float, seed: int
) -> list[float]:
    """Save the model with its tokenizer. Returns each epoch's mean loss of the masked sub-words, which it prints, too.

    inputs: texts, or sentences as lists of words
    """
    source = fetch("acquisition", model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(seed, "head and dropout"))
        with source.reading():
            task = "classification" if isinstance(inputs[0], str) else "tagging"
            tokenizer, config, _ = inspect(source, model, task, "language model", 2)
            collate = transformers.DataCollatorForLanguageModeling(
                tokenizer, mlm_probability=MASKED, seed=number(seed, "masks")
            )
            network: Any = load_network(source, config, "language model")[0].train()
        assert model.max_length is not None, "it is resolved"
        tokens, rng = encode(inputs, tokenizer, model.max_length, None).tokens, stream(seed, "order")
        rates = iter(learning_rates(learning_rate, WARMUP, epochs * -(-len(tokens) // batch_size)))
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
        means = []
        for epoch in range(1, epochs + 1):
            losses = []
            for positions in training_batches(tokens.lengths, batch_size, rng):
                batch = collate([example(tokens.row(i), tokenizer.all_special_ids) for i in positions])
                optimizer.param_groups[0]["lr"] = next(rates)
                if (batch["labels"] >= 0).any():  # of few short texts, no sub-word may be masked
                    losses.append(step(network, batch, optimizer))
            means.append(float(np.mean(losses)))
            print(f"epoch {epoch} of {epochs}: loss of masked sub-words {means[-1]:.3f}", flush=True)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return means


def example(row: np.ndarray, special: list[int]) -> dict[str, list[int]]:
    """Sub-words of a text, and which of them are never masked."""
    return {"input_ids": row.tolist(), "special_tokens_mask": np.isin(row, special).astype(int).tolist()}


def step(network: Any, batch: Any, optimizer: torch.optim.Optimizer) -> float:
    """The mean loss of the masked sub-words. Only for these are there outputs, which cost more than all layers."""
    labels = batch.pop("labels")
    masked = labels >= 0
    hook = network.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][masked],))
    loss = F.cross_entropy(network(**batch).logits, labels[masked])
    hook.remove()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


if __name__ == "__main__":
    main()
