"""The jobs behind a command line: what Hydra would run for it, composed here without running any."""

import argparse
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from al_bench.config.catalog import EXPERIMENT, listing, roots
from al_bench.config.schema import RunConfig, shipped_configs
from al_bench.errors import UserError, reject
from al_bench.front.job import checked
from al_bench.front.messages import explain


def jobs_of(options: argparse.Namespace) -> Iterator[tuple[list[str], RunConfig | UserError]]:
    """(overrides, config or why it is refused) of every job, in the order in which Hydra would run them.

    options: Hydra's command line, parsed; `+experiment=` may hold patterns, and names separated by commas
    """
    extra = []
    if options.config_dir:
        extra = [f"hydra.searchpath=[file://{roots(options.config_dir)[-1].absolute()}]"]
    composed = _Composed(extra)
    with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
        for overrides in expanded(options.overrides, options.config_dir):
            for words in job_overrides(overrides, extra, multirun=options.multirun):
                yield words, composed.config(words)


def expanded(overrides: Sequence[str], config_dir: str | None) -> list[list[str]]:
    """One command line for each experiment: an experiment's own sweep cannot stand in another's."""
    chosen = next((word for word in overrides if word.startswith(EXPERIMENT)), None)
    names = chosen.removeprefix(EXPERIMENT) if chosen else ""
    if chosen is None or names.startswith("[") or not set(names) & set(",*?"):
        return [list(overrides)]
    options = listing("experiment", config_dir)
    found: list[str] = []
    for pattern in names.split(","):
        matching = [name for name in options if fnmatch(name, pattern)]
        if not matching:
            raise reject("experiment", pattern, "matches none", "see `al-bench ls experiments`")
        # A pattern means what can be run as it is, so not what experiments share.
        found += [name for name in matching if name == pattern or Path(name).name != "base"]
    return [
        [EXPERIMENT + name if word == chosen else word for word in overrides] for name in dict.fromkeys(found)
    ]


def job_overrides(overrides: list[str], extra: list[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of every job of a grid sweep, or of the one job."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(explain(error, overrides)) from error
    single = [word for word, one in zip(overrides, parsed, strict=True) if not one.is_sweep_override()]
    if not multirun and len(single) < len(overrides):
        single = overrides  # Hydra says what it thinks of them
    hydra = _composed([*single, *extra]).hydra
    if not (multirun or hydra.mode == RunMode.MULTIRUN):
        return [overrides]
    given = {one.get_key_element() for one in parsed}
    params = {key: value for key, value in (hydra.sweeper.params or {}).items() if key not in given}
    words = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    sweep = OverridesParser.create().parse_overrides(words)
    return [job for batch in BasicSweeper.split_arguments(sweep, max_batch_size=None) for job in batch]


def _composed(words: list[str]) -> DictConfig:
    try:
        return compose("config", words, return_hydra_config=True)
    except UserError:
        raise
    except Exception as error:  # whatever Hydra, OmegaConf or YAML make of a mistake
        raise UserError(explain(error, words)) from error


class _Composed:
    """Composes each job; those that differ in nothing but their seed once, since Hydra takes a fifth of a second."""

    def __init__(self, extra: list[str]) -> None:
        self._extra = extra
        self._known: dict[tuple[str, ...], DictConfig] = {}

    def config(self, words: list[str]) -> RunConfig | UserError:
        seeds = [word for word in words if re.fullmatch(r"seed=\d+", word)]
        others = tuple(word for word in words if word not in seeds)
        try:
            if others not in self._known:
                self._known[others] = _composed([*others, *self._extra])
            composed = self._known[others]
            for word in seeds:
                composed.seed = int(word.removeprefix("seed="))
            return checked(composed, words)
        except UserError as error:
            return error
