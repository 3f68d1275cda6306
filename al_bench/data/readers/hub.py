"""The Hugging Face hub, and folders written by `datasets.save_to_disk`."""

from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.network import hub_or_cache
from al_bench.data.readers.columns import examples
from al_bench.data.readers.raw import Raw, Table, choose_splits, source_error
from al_bench.errors import first_line


def read_hub(config: DatasetConfig, saved: Path | None = None) -> dict[str, Raw]:
    """The splits of a hub repository, or of a `saved` folder. Raises `UserError` where it cannot be loaded.

    A single data set is the training split.
    """
    import datasets

    where = str(config.hub) if saved is None else saved.name
    loaded: Any
    try:
        if saved is None:
            with hub_or_cache():
                loaded = datasets.load_dataset(config.hub, config.hub_config, revision=config.revision)
        else:
            loaded = datasets.load_from_disk(str(saved))
    except Exception as error:  # datasets, Arrow, the hub and its HTTP client each raise their own kinds
        remedy = "check dataset.hub, hub_config, revision and the network, or set dataset.path=..."
        remedy = remedy if saved is None else "save it again with save_to_disk"
        raise source_error(config, f"cannot be loaded ({first_line(error)})", remedy) from error
    if not isinstance(loaded, dict):
        return {"train": examples(_table(loaded, where), config)}
    chosen = choose_splits(list(loaded), config.splits)
    if "train" not in chosen:
        broken = f"has no split {' or '.join(config.splits.train)}, but {', '.join(loaded)}"
        raise source_error(config, broken, "set dataset.splits.train=[SPLIT]")
    return {role: examples(_table(loaded[name], f"{where}, split {name}"), config) for role, name in chosen.items()}


def _table(dataset: Any, where: str) -> Table:
    elements = {name: getattr(feature, "feature", feature) for name, feature in dataset.features.items()}
    classes = {name: element.names for name, element in elements.items() if getattr(element, "names", None)}
    return Table(where, dataset.column_names, lambda name: dataset[name][:], classes)
