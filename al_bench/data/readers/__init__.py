"""Readers of every kind of source. Each returns raw splits, with labels as the source writes them."""

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.local import read_package, read_path
from al_bench.data.readers.raw import Raw, source_of

READERS = {"path": read_path, "package": read_package, "hub": read_hub}


def read(config: DatasetConfig) -> dict[str, Raw]:
    """{"train" | "dev" | "test": split}, always with "train". Raises `UserError` where the source has none."""
    return READERS[source_of(config)](config)
