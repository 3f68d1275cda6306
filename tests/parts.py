"""Modules with a filter, a reader and a metric of a user's own, as texts; and the corpus that the readers read."""

from pathlib import Path

FILTERS = """import numpy as np
from al_bench.filters import label_filter
from al_bench.filters.protocol import Suspicion

@label_filter(needs=("margins",))
def small_margin(chain):
    return Suspicion(-chain.margins)

@label_filter(needs=("verifier", "margins", "fit", "pretrained", "doubt"), contradicts=True)
def mixed(chain, *, weight: float = 0.5):
    probs, labels = chain.verdict.probs, chain.labels
    doubt = 1 - probs[np.arange(len(labels)), labels]
    again = chain.model.predict(chain.inputs, chain.ids)
    assert len(chain.ids) == len(again) == len(chain.margins) == len(chain.doubt) == len(chain.words)
    assert [len(part) for part in chain.vectors] == [len(chain.trusted), len(chain.ids)]
    assert chain.classes == 2 and 0 <= chain.quality <= 1
    return Suspicion(weight * doubt - (1 - weight) * chain.margins, again.labels() != labels)

@label_filter
def curious(chain):
    return Suspicion(chain.influence)

@label_filter
def silent(chain):
    return Suspicion(np.full(len(chain.ids), np.nan))
"""

READERS = """import al_bench.data.readers.files as files
from al_bench.data.readers.formats import reader
from al_bench.data.readers.raw import Raw

@reader(extensions=(".piped",))
def piped(path, config, *, sign: str = "|", note: bool = False):
    rows = [line.split(sign) for line in files.read_text(path, config).splitlines()]
    notes = ("read by hand",) if note else ()
    return Raw(path.name, [text for text, _ in rows], [label for _, label in rows], notes=notes)

@reader
def of_any_name(path, config):
    return piped.call(path, config)

@reader(folders=True)
def folder(path, config):
    rows = [file.read_text().split("|") for file in sorted(path.glob("*.piped"))]
    return Raw(path.name, [text for text, _ in rows], [label for _, label in rows])

def uneven(path, config):
    return Raw(path.name, ["a", "b"], ["x"])

def numbers(path, config):
    return Raw(path.name, ["a", "b"], [0.5, 1.5])

def wrong(path, config):
    return Raw(path.name, [["a"], ["b"]], ["x", "y"])

def rows(path, config):
    return [("a", "x")]
"""

METRICS = """from al_bench.learners.metrics import Metric

@Metric.of(lower_is_better=True)
def price(predictions, gold, label_names):
    wrong = predictions.labels() != gold
    return {"all": float(wrong.sum()), **{name: float(wrong[gold == i].sum()) for i, name in enumerate(label_names)}}

def failing(predictions, gold, label_names):
    raise RuntimeError("no price list")

def accuracy(predictions, gold, label_names):
    return 1.0

def strict(predictions, gold, label_names, *, limit: float):
    return limit
"""


def write_piped(folder: Path, rows: dict[str, list[tuple[str, str]]]) -> None:
    """Rows of a text and a label by split, in a format that only `READERS` read."""
    folder.mkdir()
    for split, lines in rows.items():
        (folder / f"{split}.piped").write_text("\n".join("|".join(line) for line in lines))
