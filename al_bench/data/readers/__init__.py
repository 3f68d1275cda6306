"""Readers of every kind of source. Each returns raw splits, with labels as the source writes them."""

from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.local import in_package, read_local
from al_bench.data.readers.raw import Raw, source_of


def read(config: DatasetConfig) -> dict[str, Raw]:
    """{"train" | "dev" | "test": split}, always with "train". Raises `UserError` where the source has none."""
    source = source_of(config)
    if source == "hub":
        return read_hub(config)
    path = in_package(str(config.package)) if source == "package" else Path(str(config.path)).expanduser()
    return read_local(path, config)
