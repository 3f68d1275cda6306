"""How well does each filter find wrong labels? AUC on real data: 10 % flipped ones, and a labeller's own errors.

    python scripts/bench_filters.py --data FOLDER --task classification

Planted: a tenth of the pool's gold labels (tagging: one word of a tenth of the sentences) is flipped, and the filters
that judge any given label look for them. Own: a model trained on the gold part labels the pool, and all filters look
for its errors. AUC is the probability that a wrong example is more suspicious than a right one; 0.5 is chance.
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benching import MINILM
from sklearn.metrics import roc_auc_score

from al_bench.config.schema import PAPER_TRAINING, DatasetConfig, Limits, TrainingConfig
from al_bench.data.corpus import Corpus, Labels
from al_bench.data.loading import load_corpus
from al_bench.data.ragged import Ragged, joined
from al_bench.filters.opinions import of_confidence, of_neighbours, of_verifier
from al_bench.learners.base import FitSeeds, Unlabelled, Watch
from al_bench.learners.engine.device import resolve_device, resolve_precision
from al_bench.learners.families import LEARNERS
from al_bench.seeds import stream
from al_bench.successor.pseudo_labeling import mistaken

SEEDS = FitSeeds(1, 1, 0)


@dataclass
class Bench:
    """gold, pool: ids; learner: of every role, fitted in turn"""

    corpus: Corpus
    gold: np.ndarray
    pool: np.ndarray
    learner: object

    @property
    def inputs(self) -> Unlabelled:
        return Unlabelled(self.corpus.train.inputs)

    def suspicions(self, labels: Labels) -> dict[str, tuple[np.ndarray, float]]:
        """{filter: ((n,) suspicion of the pool's labels, seconds beside the fit it looks back on)}"""
        results, train = {}, self.corpus.train
        ids = np.concatenate([self.gold, self.pool])
        model = self.learner.fit(
            self.inputs, ids, joined([train.labels[self.gold], labels]), SEEDS, watch=Watch(checkpoints=3, margins=True)
        )
        results["aum"] = -model.margins[len(self.gold) :], 0.0
        began = time.perf_counter()
        results["tracin"] = model.influence(self.inputs, self.pool, labels), time.perf_counter() - began
        began = time.perf_counter()
        known, asked = (self.learner.embed(self.inputs, i) for i in (self.gold, self.pool))
        near = of_neighbours(known, train.labels[self.gold], asked, labels, len(self.corpus.label_names), 10)
        results["knn"] = near.score, time.perf_counter() - began
        began = time.perf_counter()
        model = self.learner.fit(self.inputs, self.gold, train.labels[self.gold], replace(SEEDS, model=2))
        verdict = of_verifier(model.predict(self.inputs, self.pool), labels)
        results["verifier"] = verdict.score, time.perf_counter() - began
        return results


def flipped(labels: Labels, share: float, classes: int, rng: np.random.Generator) -> Labels:
    """A share of the examples gets another label, of a sentence one of its words."""
    n = len(labels)
    chosen = rng.permutation(n)[: round(share * n)]
    values = (labels.values if isinstance(labels, Ragged) else labels).copy()
    places = chosen
    if isinstance(labels, Ragged):
        places = labels.offsets[:-1][chosen] + rng.integers(0, labels.lengths[chosen])
    values[places] = (values[places] + rng.integers(1, classes, len(places))) % classes
    return Ragged(values, labels.offsets) if isinstance(labels, Ragged) else values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with train and test files")
    parser.add_argument("--task", choices=("classification", "tagging"), required=True)
    parser.add_argument("--gold", type=int, default=400, help="examples with a trusted label (400)")
    parser.add_argument("--pool", type=int, default=1600, help="examples whose label may be wrong (1600)")
    parser.add_argument("--share", type=float, default=0.1, help="of planted errors (0.1)")
    parser.add_argument("--epochs", type=int, default=5, help="of each fit (5)")
    parser.add_argument("--learner", choices=sorted(LEARNERS.shipped), default="transformer")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    size = options.gold + options.pool
    corpus = load_corpus(DatasetConfig("bench", options.task, path=options.data, limit=Limits(train=size, test=100)))
    changed = {"learning_rate": 2e-4, "epochs": options.epochs, "min_steps": 150}
    training = TrainingConfig(**{**PAPER_TRAINING[options.task], **changed})
    model = replace(MINILM, max_length=128, training=training, learner=options.learner)
    device = resolve_device("auto")
    learner = LEARNERS[options.learner].learner(
        "model", model, options.task, corpus.label_names, device, resolve_precision("auto", device)
    )
    rng = stream(0, "bench filters")
    order = rng.permutation(size)
    bench = Bench(corpus, np.sort(order[: options.gold]), np.sort(order[options.gold :]), learner)
    truth = corpus.train.labels[bench.pool]
    labeller = learner.fit(bench.inputs, bench.gold, corpus.train.labels[bench.gold], SEEDS)
    predictions = labeller.predict(bench.inputs, bench.pool)
    own, doubt = predictions.labels(), of_confidence(predictions)
    rows = []
    planted = flipped(truth, options.share, len(corpus.label_names), rng)
    for name, labels, more in (("planted", planted, {}), ("own errors", own, {"confidence": (doubt, 0.0)})):
        wrong = mistaken(truth, labels)
        for by, (score, seconds) in {**bench.suspicions(labels), **more}.items():
            auc = float(roc_auc_score(wrong, score))
            rows.append({"labels": name, "wrong": float(wrong.mean()), "filter": by, "auc": auc, "seconds": seconds})
            print(f"{name:12} wrong {wrong.mean():6.1%}  {by:10} AUC {auc:.3f}  {seconds:6.1f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
