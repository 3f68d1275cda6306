"""The function that Hydra calls for each job, in the process that its launcher chose."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al_bench.config.identity import digest, run_folder
from al_bench.config.rules import validate
from al_bench.config.schema import RunConfig, resolve
from al_bench.errors import UserError, of_disk, reject
from al_bench.front.cli import stop
from al_bench.front.messages import explain
from al_bench.front.sweep import record_job
from al_bench.ledger.rundir import RunDirectory


def register() -> None:
    """Tell Hydra what `configs/` names: the schema, against which it checks every option, and two resolvers.

    `${run_folder:}`: the directory of a job's run, from its config. `${process:}`: the sweep's process.
    """
    ConfigStore.instance().store(name="schema", node=RunConfig)
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    # Cached with the config, so that the jobs of a parallel launcher know their sweep's process, not their own.
    OmegaConf.register_new_resolver("process", lambda: os.getpid(), replace=True, use_cache=True)


def _run_folder(*, _root_: DictConfig) -> str:
    try:
        return run_folder(checked(_root_, _root_.hydra.overrides.task))
    except Exception:
        if _root_.hydra.mode != RunMode.MULTIRUN:
            raise
        # Hydra would end the whole sweep here. The job itself will fail with this error, in this directory.
        return f"runs/invalid/{digest(_without_hydra(_root_))}"


def _without_hydra(composed: DictConfig) -> Any:
    """Plain values, since a node that `+key=value` opened for a new key would keep the key."""
    return OmegaConf.to_container(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))


def checked(composed: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """The composed config as a validated and resolved `RunConfig`. Raises `UserError`.

    overrides: the command line's, for the message
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), _without_hydra(composed))
        if missing := sorted(OmegaConf.missing_keys(merged)):
            raise reject(missing[0], "???", "has no value", f"set {missing[0]}=...")
        config: Any = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, overrides)) from error
    validate(config)
    return resolve(config)


def run_job(composed: DictConfig) -> None:
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir).resolve()
    overrides = list(hydra.overrides.task)
    if hydra.mode != RunMode.MULTIRUN:
        try:
            execute(composed, folder, None, {"overrides": overrides})
        except UserError as error:
            stop(str(error))  # here, because Hydra puts a line of its own before any exception but SystemExit
        return
    sweep = Path(hydra.sweep.dir).resolve()
    record_job(sweep, hydra.job.num, overrides, folder)
    try:
        job = {"overrides": overrides, "sweep": str(sweep), "job": hydra.job.num}
        execute(composed, folder, sweep, {**job, "jobs": jobs_at_once(hydra.launcher)})
    except Exception as error:
        RunDirectory(folder).leave_reason(error)  # it may have failed before it claimed the directory
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

    display = Display(config.progress, config.schedule.cycles, config.dataset.task)
    try:
        run(config, folder, sweep, job, display)
    except OSError as error:
        raise (of_disk(error) or error) from error
    except (OutOfMemoryError, MemoryError) as error:
        broken = f"it has not enough memory ({str(error).partition('.')[0]})"
        remedy = "lower training.batch_size or a model's max_length; the same command then continues"
        raise reject("device", config.device, broken, remedy) from error
