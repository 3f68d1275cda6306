"""One module per kind of source; each gives raw splits, with labels still as the source writes them."""

from collections.abc import Callable

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.local import read_path
from al_bench.data.readers.package import read_package
from al_bench.data.readers.raw import Raw, source_of

READERS: dict[str, Callable[[DatasetConfig], dict[str, Raw]]] = {
    "path": read_path,
    "package": read_package,
    "hub": read_hub,
}


def read(config: DatasetConfig) -> dict[str, Raw]:
    """{"train" | "dev" | "test": split}, always with "train"; raise `UserError` if that cannot be had."""
    return READERS[source_of(config)](config)
