"""What is refused of filters, readers and metrics from outside, and in which words, before anything is computed."""

from pathlib import Path
from typing import Any

import pytest
from fakes import changed
from parts import FILTERS, METRICS, READERS, write_piped

from al_bench.config.resolution import resolve
from al_bench.config.rules import validate
from al_bench.config.schema import (
    DatasetConfig,
    FilterConfig,
    ModelConfig,
    PseudoLabelingConfig,
    RunConfig,
    ScheduleConfig,
    StrategyConfig,
)
from al_bench.data.loading import load_corpus
from al_bench.errors import UserError

MODEL = ModelConfig(name="m", hub="some/model")
BASE = RunConfig(
    dataset=DatasetConfig(name="news", task="classification", path="."),
    acquisition=MODEL,
    successor=MODEL,
    pseudo_labeler=MODEL,
    strategy=StrategyConfig("entropy"),
    pseudo_labeling=PseudoLabelingConfig("plasm"),
    schedule=ScheduleConfig(10, 10, cycles=1),
)


@pytest.fixture(autouse=True)
def modules(write_module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("my_filters", FILTERS), ("my_readers", READERS), ("my_metrics", METRICS)):
        write_module(name, text)


def refusal(**values: Any) -> str:
    with pytest.raises(UserError) as error:
        validate(changed(BASE, {key.replace("__", "."): value for key, value in values.items()}))
    (line,) = str(error.value).splitlines()
    return line


FILTER = "pseudo_labeling.filters[0]"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"by": "my_filters:mixed", "params": {"wait": 1}}, f"{FILTER}.params.wait=1: no such parameter"),
        ({"by": "my_filters:mixed", "params": {"weight": "a"}}, f"{FILTER}.params.weight=a: must be a number"),
        ({"by": "knn", "params": {"neighbours": 3}}, f"{FILTER}.params.neighbours=3: stands beside params"),
        ({"by": "aum", "params": {"neighbours": 3}}, f"{FILTER}.params.neighbours=3: no such parameter; leave it out"),
        ({"by": "my_filters:none"}, "pseudo_labeling.filters.by=my_filters:none: cannot be imported (AttributeError"),
        ({"by": "my_filters:np"}, "pseudo_labeling.filters.by=my_filters:np: is no filter"),
        (
            {"by": "my_filters:needy"},
            "pseudo_labeling.filters.by=my_filters:needy: cannot be imported (TypeError: needs",
        ),
        ({"by": "my_filters:curious", "drop": "disagreement"}, f"{FILTER}.drop=disagreement: my_filters:curious contr"),
        ({"by": "my_filters:mixed", "threshold": 0.5}, f"{FILTER}.threshold=0.5: is of the confidence filter"),
    ],
)
def test_filters(settings: dict[str, Any], line: str) -> None:
    if settings["by"].endswith("needy"):
        Path("my_filters.py").write_text(FILTERS + '\n@label_filter(needs=("gold",))\ndef needy(chain): ...\n')
    assert line in refusal(pseudo_labeling__filters=[FilterConfig(**settings)])


def test_a_filters_settings_have_their_defaults() -> None:
    chosen = [FilterConfig("my_filters:mixed"), FilterConfig("knn")]
    config = changed(BASE, {"pseudo_labeling.filters": chosen})
    validate(config)
    filters = resolve(config).pseudo_labeling.filters
    assert [one.params for one in filters] == [{"weight": 0.5}, {}]
    assert resolve(config).verifier is not None, "one of them needs it"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"format": "xml"}, "dataset.format=xml: must be one of auto, conll, csv, folder, json, parquet; "),
        ({"format": "my_readers:gone"}, "dataset.format=my_readers:gone: cannot be imported (AttributeError"),
        ({"format": "my_readers:piped", "params": {"sing": 1}}, "dataset.params.sing=1: no such parameter; did you"),
        (
            {"format": "csv", "params": {"sign": 1}},
            "dataset.params={'sign': 1}: has sign=1, and dataset.format=csv tak",
        ),
        ({"format": "my_readers:piped", "path": None, "hub": "a/b"}, "reads files, and there are none; set dataset.pa"),
    ],
)
def test_readers(values: dict[str, Any], line: str) -> None:
    assert line in refusal(**{f"dataset__{key}": value for key, value in values.items()})


@pytest.mark.parametrize(
    ("name", "path", "line"),
    [
        ("uneven", "piped", "my_readers:uneven gives 2 inputs and 1 labels for train.piped; mend the reader"),
        (
            "numbers",
            "piped",
            "gives an example 0 with a label that is neither a text nor a whole number for train.piped",
        ),
        ("wrong", "piped", "gives an example 0 that has ['a'] instead of a text for train.piped"),
        ("rows", "piped", "my_readers:rows gives a list, not a Raw, for train.piped"),
        ("folder", "piped/train.piped", "dataset.format=my_readers:folder: train.piped is a file; use one of conll"),
        ("piped", "other", "holds no training split"),
    ],
)
def test_what_a_reader_gives(name: str, path: str, line: str) -> None:
    write_piped(Path("piped"), {"train": [("good film", "pos"), ("bad film", "neg")] * 5})
    Path("other").mkdir()
    Path("other/train.other").write_text("good film|pos\nbad film|neg")
    with pytest.raises(UserError) as error:
        load_corpus(DatasetConfig("news", "classification", path, f"my_readers:{name}"))
    assert line in str(error.value)


def test_a_reader_of_any_extension() -> None:
    """And one of its own extension alone: beside it, a file of the same name does not matter."""
    write_piped(Path("piped"), {"train": [("good film", "pos"), ("bad film", "neg")] * 5})
    Path("piped/train.txt").write_text("notes")
    corpus = load_corpus(DatasetConfig("news", "classification", "piped", "my_readers:piped"))
    assert len(corpus.train) + len(corpus.test) == 10
    Path("piped/train.txt").unlink()
    Path("piped/train.piped").rename("piped/train.whatever")
    assert len(load_corpus(DatasetConfig("news", "classification", "piped", "my_readers:of_any_name")).train) == 8


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        (["bryer"], "metrics=bryer: must be one of brier, nll; did you mean brier?"),
        (["brier", "brier"], "metrics=['brier', 'brier']: has one twice; leave it out"),
        (["accuracy"], "metrics=accuracy: every run has it; leave it out"),
        (["my_metrics:gone"], "metrics=my_metrics:gone: cannot be imported (AttributeError"),
        (["my_metrics:strict"], "metrics=my_metrics:strict: has settings without a default, and no run sets them"),
    ],
)
def test_metrics(chosen: list[str], line: str) -> None:
    assert line in refusal(metrics=chosen)
