"""The jobs of a command line: their configs, composed as Hydra would compose them, and what Hydra calls for each.

Hydra calls `run_job` in the process that its launcher chose.
"""

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al_bench.config.catalog import CHOICES, EXPERIMENT, listing, outside_options, roots
from al_bench.config.credentials import conceal
from al_bench.config.digests import digest
from al_bench.config.identity import run_folder
from al_bench.config.resolution import resolve
from al_bench.config.roles import SCHEDULED
from al_bench.config.rules import validate
from al_bench.config.schema import TASKS, RunConfig, shipped_configs, without_absent
from al_bench.data.readers.files import data_name
from al_bench.errors import UserError, first_line, known, of_disk, reject
from al_bench.front.cli import stop
from al_bench.front.interrupts import Interrupted, interrupts
from al_bench.front.messages import culprit, explain
from al_bench.front.sweep import grid, record_job, started, words_of
from al_bench.ledger.rundir import RunDirectory
from al_bench.plugins import look_in


def register(words: Sequence[str] = ()) -> None:
    """Tell Hydra what `configs/` names: the schema, against which it checks every option, and four resolvers.

    And the components from outside, which have no file there; words: of the command line, which may name some.

    `${output_folder:}`: `output_dir` as a path. `${run_folder:}`: the directory of a job's run in it, from its config.
    `${data_name:NAME}`: the name of a dataset, or of the user's own file or folder in place of its source.
    `${process:}`: the sweep's process.
    """
    ConfigStore.instance().store(name="schema", node=RunConfig)
    for group, name, keys in outside_options(words):
        ConfigStore.instance().store(group=group, name=name, node=keys)
    OmegaConf.register_new_resolver("output_folder", _output_folder, replace=True)
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("data_name", _data_name, replace=True)
    # Cached with the config, so that the jobs of a parallel launcher know their sweep's process, not their own.
    OmegaConf.register_new_resolver("process", lambda: os.getpid(), replace=True, use_cache=True)


def _output_folder(*, _root_: DictConfig) -> str:
    try:
        return str(Path(_root_.output_dir or "outputs").expanduser())
    except RuntimeError:  # like an empty one refused by the rules, which a sweep has to record somewhere
        return "outputs"


def _run_folder(*, _root_: DictConfig) -> str:
    look_in(Path.cwd(), *own_configs(_root_.hydra))  # here first, in a process of a launcher
    try:
        return run_folder(checked(_root_, words_of(_root_.hydra)))
    except Exception:
        if _root_.hydra.mode != RunMode.MULTIRUN:
            raise
        # Hydra would end the whole sweep here. The job itself will fail with this error, in this directory.
        return f"runs/invalid/{digest(_without_hydra(_root_))}"


def _data_name(own: str, *, _parent_: DictConfig) -> str:
    path, splits = _parent_.path, _parent_.splits
    return own if path is None else data_name(Path(path), [*splits.train, *splits.dev, *splits.test]) or own


def _without_hydra(composed: DictConfig, *, resolve: bool = False) -> Any:
    """Plain values, since a node that `+key=value` opened for a new key would keep the key."""
    job = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return OmegaConf.to_container(job, resolve=resolve)


def checked(composed: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """The composed config as a validated and resolved `RunConfig`. Raises `UserError`.

    overrides: the command line's, for the message
    """
    for word in overrides:
        key, _, value = word.lstrip("+").partition("=")
        scheduled = key.startswith(f"model@{SCHEDULED}.")
        if (key in CHOICES.values() or scheduled) and value.startswith("["):  # of which Hydra would take the last
            several = f"give one, or run each of them: -m {'+' * scheduled}{key}={value.strip('[]')}"
            raise reject(key, value, "is a list, but one option is chosen", several)
    try:
        # Resolved first, or the schema would not see what a value such as ${seed} stands for.
        merged = OmegaConf.merge(_schema(), _without_hydra(composed, resolve=True))
        if missing := sorted(OmegaConf.missing_keys(merged)):
            value = known(TASKS).replace(", ", " or ") if missing[0] == "dataset.task" else "..."
            raise reject(missing[0], "???", "has no value", f"set {missing[0]}={value}")
        config: Any = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, overrides)) from error
    config = without_absent(config)
    validate(config, overrides)
    config.tracking = conceal(config.tracking)  # an option file may have it, too
    return resolve(config)


@cache  # a third of the time of a check; a merge copies it
def _schema() -> Any:
    return OmegaConf.structured(RunConfig)


def job_of(words: Sequence[str]) -> RunConfig:
    """The config of the one job that a script's command line asks for. Raises `UserError`."""
    register()
    with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
        return checked(_composed(list(words)), words)


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
            break
        except Exception as more:  # whatever Hydra, OmegaConf, YAML or our rules raise for the next mistake
            error = more
            lines.append(explain(error, words))
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
    return grid(hydra.sweeper.params, overrides, extra) if is_sweep else [overrides]


def _search_path(options: argparse.Namespace) -> list[str]:
    if not options.config_dir:
        return []
    return [f"hydra.searchpath=[file://{roots(options.config_dir)[-1].absolute()}]"]


def _composed(words: list[str]) -> DictConfig:
    try:
        return compose("config", words, return_hydra_config=True)
    except Exception as error:  # whatever Hydra, OmegaConf or YAML raise for a mistake
        raise UserError(explain(error, words)) from error


def own_configs(hydra: Any) -> list[str]:
    """The folder of --config-dir, if one was given."""
    return [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]


def run_job(composed: DictConfig) -> None:
    hydra = HydraConfig.get()
    if hydra.job.chdir:
        os.chdir(hydra.runtime.cwd)  # the user's paths start where the command was given
    folder = Path(hydra.runtime.output_dir).resolve()
    own = own_configs(hydra)
    look_in(Path.cwd(), *own)
    job: dict[str, Any] = {"overrides": words_of(hydra), **({"config_dir": own[0]} if own else {})}
    if hydra.mode != RunMode.MULTIRUN:
        try:
            execute(composed, folder, None, job)
        except UserError as error:
            stop(str(error))  # here, because Hydra puts a line of its own before any exception but SystemExit
        return
    sweep = Path(hydra.sweep.dir).resolve()
    record_job(sweep, hydra.job.num, job["overrides"], folder)
    job |= {"sweep": str(sweep), "job": hydra.job.num, "jobs": jobs_at_once(hydra.launcher)}
    try:
        with nullcontext() if started else interrupts.handled(of_a_sweep=True):
            execute(composed, folder, sweep, job)
    except Interrupted as interrupt:
        if started:
            raise
        # A launcher's own process goes on, with another job.
        raise CompactHydraException(f"job {hydra.job.num} interrupted") from interrupt
    except Exception as error:
        RunDirectory(folder).leave_reason(error)  # it may have failed before it claimed the directory
        record_job(sweep, hydra.job.num, job["overrides"], folder, first_line(error))
        raise CompactHydraException(f"job {hydra.job.num} failed: {error}") from error


def jobs_at_once(launcher: DictConfig) -> int:
    """How many jobs of a sweep share this machine: joblib's n_jobs, where -1 is one per CPU; else 1."""
    jobs = int(launcher.get("n_jobs", 1))
    return jobs if jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + jobs)


def execute(composed: DictConfig, folder: Path, sweep: Path | None, job: dict[str, Any]) -> None:
    config = checked(composed, job["overrides"])
    from torch import OutOfMemoryError

    from al_bench.front.progress import Display
    from al_bench.run import run

    label = f"job {job['job']}: " if job.get("jobs", 1) > 1 else ""
    display = Display(config.progress, config.schedule.cycles, config.dataset.kind, label)
    interrupts.run = RunDirectory(folder)
    try:
        run(config, folder, sweep, job, display)
    except OSError as error:
        raise (of_disk(error) or error) from error
    except (OutOfMemoryError, MemoryError) as error:
        broken = f"it has not enough memory ({str(error).partition('.')[0]})"
        remedy = "lower training.batch_size or a model's max_length; the same command then continues"
        raise reject("device", config.device, broken, remedy) from error
