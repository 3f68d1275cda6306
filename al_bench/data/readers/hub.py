"""The Hugging Face hub, and folders written by `datasets.save_to_disk`."""

from pathlib import Path
from typing import Any

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.columns import examples
from al_bench.data.readers.raw import Raw, Table, bad
from al_bench.data.readers.splits import pick
from al_bench.errors import first_line


def read_hub(config: DatasetConfig) -> dict[str, Raw]:
    """The hub's splits; `UserError` where the repository cannot be had."""
    import datasets

    try:
        found = datasets.load_dataset(config.hub, config.hub_config, revision=config.revision)
    except Exception as error:  # datasets, its hub client and its HTTP client each raise their own kinds
        remedy = "check dataset.hub, hub_config, revision and the network, or set dataset.path=..."
        raise bad(config, f"cannot be loaded ({first_line(error)})", remedy) from error
    return _splits(found, config, str(config.hub))


def read_saved(folder: Path, config: DatasetConfig) -> dict[str, Raw]:
    """The splits of a folder that `save_to_disk` wrote; a single data set is the training split."""
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever Arrow and datasets make of a damaged folder
        remedy = "save it again with save_to_disk"
        raise bad(config, f"cannot be loaded ({first_line(error)})", remedy) from error
    if isinstance(found, datasets.Dataset):
        return {"train": examples(_table(found, folder.name), config)}
    return _splits(found, config, folder.name)


def _splits(found: Any, config: DatasetConfig, where: str) -> dict[str, Raw]:
    chosen = pick(list(found), config.splits)
    if "train" not in chosen:
        broken = f"has no split {' or '.join(config.splits.train)}, but {', '.join(found)}"
        raise bad(config, broken, "set dataset.splits.train=[SPLIT]")
    tables = {role: _table(found[name], f"{where}, split {name}") for role, name in chosen.items()}
    return {role: examples(table, config) for role, table in tables.items()}


def _table(dataset: Any, where: str) -> Table:
    classes = {}
    for name, feature in dataset.features.items():
        inner = getattr(feature, "feature", feature)  # of a sequence
        names = getattr(inner, "names", None)  # of a ClassLabel
        if names is not None:
            classes[name] = names
    return Table(where, dataset.column_names, lambda name: dataset[name][:], classes)
