"""The jobs of a command line: their configs, composed as Hydra would compose them; nothing is run."""

import argparse
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from al_bench.config.catalog import EXPERIMENT, listing, roots
from al_bench.config.schema import RunConfig, shipped_configs
from al_bench.errors import UserError, reject
from al_bench.front.job import checked
from al_bench.front.messages import culprit, explain
from al_bench.front.sweep import grid


def jobs_of(options: argparse.Namespace) -> Iterator[tuple[list[str], RunConfig | UserError]]:
    """(overrides, config or the reason of its refusal) of every job, in Hydra's order.

    options: Hydra's command line, parsed; `+experiment=` may hold patterns, and names separated by commas
    """
    extra = _search_path(options)
    composed: dict[tuple[str, ...], DictConfig] = {}
    with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
        for overrides in expanded(options.overrides, options.config_dir):
            for words in job_overrides(overrides, extra, multirun=options.multirun):
                # Jobs that differ in their seed alone are composed once, since Hydra takes a fifth of a second.
                seeds = [word for word in words if re.fullmatch(r"seed=\d+", word)]
                others = tuple(word for word in words if word not in seeds)
                try:
                    if others not in composed:
                        composed[others] = _composed([*others, *extra])
                    for word in seeds:
                        composed[others].seed = int(word.removeprefix("seed="))
                    yield words, checked(composed[others], words)
                except UserError as error:
                    yield words, error


def problems(error: Exception, options: argparse.Namespace) -> list[str]:
    """A line for the error, and one for each that shows once the overrides that caused the others are removed.

    Hydra stops at the first mistake. options: its command line, parsed
    """
    extra = _search_path(options)
    words = [*options.overrides]
    lines = [explain(error, words)]
    if options.multirun or options.config_name or options.config_path:
        return lines
    words += extra
    while (word := culprit(error, words)) is not None:
        words.remove(word)
        try:
            with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
                checked(compose("config", words, return_hydra_config=True), words)
        except Exception as more:  # whatever Hydra, OmegaConf, YAML or our rules raise for the next mistake
            error = more
            lines.append(explain(error, words))
        else:
            break
    return list(dict.fromkeys(lines))


def expanded(overrides: Sequence[str], config_dir: str | None) -> list[list[str]]:
    """One command line for each experiment: an experiment's own sweep cannot stand in another's."""
    chosen = next((word for word in overrides if word.startswith(EXPERIMENT)), None)
    patterns = chosen.removeprefix(EXPERIMENT) if chosen else ""
    if patterns.startswith("[") or not set(patterns) & set(",*?"):
        return [list(overrides)]
    options = listing("experiment", config_dir)
    names: list[str] = []
    for pattern in patterns.split(","):
        matching = [name for name in options if fnmatch(name, pattern)]
        if not matching:
            raise reject("experiment", pattern, "matches none", "see `al-bench ls experiments`")
        # A pattern stands for what can be run as it is, so not for `base`, which the others share.
        names += [name for name in matching if name == pattern or Path(name).name != "base"]
    words = dict.fromkeys(EXPERIMENT + name for name in names)
    return [[experiment if word == chosen else word for word in overrides] for experiment in words]


def job_overrides(overrides: list[str], extra: list[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of every job of a grid sweep, or of the one job."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(explain(error, overrides)) from error
    single = [word for word, one in zip(overrides, parsed, strict=True) if not one.is_sweep_override()]
    if not multirun and len(single) < len(overrides):
        single = overrides  # so that Hydra refuses them
    hydra = _composed([*single, *extra]).hydra
    is_sweep = multirun or hydra.mode == RunMode.MULTIRUN
    return grid(hydra.sweeper.params, overrides) if is_sweep else [overrides]


def _search_path(options: argparse.Namespace) -> list[str]:
    if not options.config_dir:
        return []
    return [f"hydra.searchpath=[file://{roots(options.config_dir)[-1].absolute()}]"]


def _composed(words: list[str]) -> DictConfig:
    try:
        return compose("config", words, return_hydra_config=True)
    except Exception as error:  # whatever Hydra, OmegaConf or YAML raise for a mistake
        raise UserError(explain(error, words)) from error
