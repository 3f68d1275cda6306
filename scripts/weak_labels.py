"""Label a whole training split by a weak model: a cheap oracle, for oracle=column. Writes CSV: id,label.

python scripts/weak_labels.py weak.csv --gold 300 dataset=trec6 dataset.path=FOLDER
al-bench run +experiment=trec6_money/weak_all dataset.path=FOLDER oracle.params.file=weak.csv

The model is naive Bayes on TF-IDF (or a logistic regression), fitted on a few gold labels drawn at random. The words
after the options are those of `al-bench run` that say which data it is, so that ids count the same examples.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.errors import UserError
from al_bench.front.jobs import job_of
from al_bench.seeds import stream

MODELS: dict[str, ClassifierMixin] = {
    "bayes": MultinomialNB(alpha=0.1),
    "logistic": LogisticRegression(C=10, max_iter=1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("overrides", nargs="*", help="such as dataset=trec6 dataset.path=FOLDER")
    parser.add_argument("--gold", type=int, default=300, help="gold labels to learn from (default: 300)")
    parser.add_argument("--model", choices=MODELS, default="bayes")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    options = parser.parse_intermixed_args()
    try:
        config = job_of(options.overrides)
    except UserError as error:
        parser.error(str(error))
    if config.dataset.task != "classification":
        parser.error("dataset.task: weak labels are of classification")
    corpus = load_corpus(config.dataset)
    labels = weak_labels(corpus, options.gold, options.model, options.seed)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows((i, corpus.label_names[label]) for i, label in enumerate(labels))
    right = float(np.mean(labels == corpus.train.labels))
    print(f"{options.output}: {len(labels):,} labels from {options.gold:,} gold ones, {right:.1%} of them right")


def weak_labels(corpus: Corpus, gold: int, model: str, seed: int) -> np.ndarray:
    """(n,) labels of the whole training split by a model of `gold` examples of it."""
    texts, labels = np.array(corpus.train.inputs, dtype=object), corpus.train.labels
    known = stream(seed, "weak labels").permutation(len(texts))[:gold]
    classifier = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), MODELS[model])
    return classifier.fit(texts[known], labels[known]).predict(texts)


if __name__ == "__main__":
    main()
