"""Every format of a file by name, and its reader. Those from outside have the same rights.

reader(path, config, **settings) -> `Raw` of one file or, where it reads `folders`, of one folder
"""

from dataclasses import dataclass
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.columns import problem_of
from al_bench.data.readers.conll import read_conll
from al_bench.data.readers.raw import Raw, source_error
from al_bench.data.readers.tables import read_csv, read_json, read_parquet
from al_bench.errors import UserError, first_line
from al_bench.plugins import Component, Registry

WAYS = ("auto", "folder")  # values of `dataset.format` that name no reader: by extension, and a folder per class


@dataclass(frozen=True)
class Reader(Component):
    """extensions: of its files, in lower case, such as ".csv"; () for any
    folders: reads a folder, not a file
    """

    extensions: tuple[str, ...] = ()
    folders: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("path", "config")


reader = Reader.of
READERS = Registry(
    "reader",
    "dataset.format",
    Reader.of,
    {
        "conll": reader(
            read_conll,
            extensions=(".txt", ".conll", ".conllu", ".iob", ".iob2", ".bio"),
            summary="a word a line, its tag in another column, a blank line after each sentence",
        ),
        "csv": reader(
            read_csv, extensions=(".csv", ".tsv"), summary="a row per example, split at commas, semicolons or tabs"
        ),
        "json": reader(
            read_json,
            extensions=(".json", ".jsonl", ".ndjson"),
            summary="an object per example, in an array or one a line",
        ),
        "parquet": reader(
            read_parquet, extensions=(".parquet",), summary="a row per example, with the names of its labels"
        ),
    },
)
# Of shipped readers alone: a file is read by one from outside where the config names it, so that its code counts.
BY_EXTENSION = {extension: name for name, kind in READERS.shipped.items() for extension in kind.extensions}


def is_outside(name: str) -> bool:
    return name not in WAYS and name not in READERS.shipped


def read_by(name: str, path: Path, config: DatasetConfig) -> Raw:
    """The examples of a file or folder. Raises `UserError`, whatever a reader from outside raises."""
    if not is_outside(name):
        return READERS[name].call(path, config)
    try:
        raw = READERS[name].call(path, config, **config.params)
    except UserError:
        raise
    except Exception as error:
        broken = f"{path.name} cannot be read by {name} ({type(error).__name__}: {first_line(error)})"
        raise source_error(config, broken, "mend the file or the reader") from error
    if reason := _flaw(raw, config):
        raise source_error(config, f"{name} gives {reason} for {path.name}", "mend the reader, see docs/extending.md")
    return raw


def _flaw(raw: object, config: DatasetConfig) -> str | None:
    """What is wrong with what a reader gave; None where nothing is."""
    if not isinstance(raw, Raw):
        return f"a {type(raw).__name__}, not a Raw,"
    if not all(isinstance(part, list) for part in (raw.inputs, raw.labels or [])):
        return "no lists"
    if raw.labels is not None and len(raw.labels) != len(raw.inputs):
        return f"{len(raw.inputs)} inputs and {len(raw.labels)} labels"
    for number, example in enumerate(raw.inputs):
        label = None if raw.labels is None else raw.labels[number]
        if reason := problem_of(config.task, example, label, raw.labels is None)[1]:
            return f"an example {number} that {reason}"
        kinds = {type(one) for one in (label if isinstance(label, list) else [label])} - {str, int}
        if raw.labels is not None and kinds:
            return f"an example {number} with a label that is neither a text nor a whole number"
    return None
