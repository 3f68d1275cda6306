"""`al-bench rm` and `al-bench run --force`: remove runs, and the results that no other run needs."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from al_bench.config import identity
from al_bench.config.digests import differences, digest
from al_bench.config.roles import ROLES
from al_bench.config.schema import RunConfig, uses_pseudo_labels
from al_bench.errors import UserError, first_line, reject
from al_bench.ledger.ledger import is_locked, load_record, read_json
from al_bench.ledger.store import step_folder

PRECISIONS = ("float32", "bfloat16")  # a run that did not begin has not resolved its own
LOCKS = (".lock", "lock")  # of a run, and of a trajectory or a step


def rm(names: Sequence[str], failed: bool, orphans: bool, yes: bool, output_dir: str) -> None:
    """Show what goes, ask, and remove it; what a process works on stays.

    names: patterns of runs below OUTPUT_DIR/runs, or their paths; failed: also all runs that failed
    orphans: also trajectories and steps that no remaining run needs, and the cache
    """
    root = Path(output_dir).expanduser().absolute()
    if not (names or failed or orphans):
        raise UserError("rm: names nothing; give names or patterns of runs, --failed or --orphans")
    runs = list(run_folders(root))
    chosen = [run for run in runs if failed and load_record(run / "status.json").get("state") == "failed"]
    for name in names:
        matching = [run for run in runs if _matches(run, name, root)]
        if not matching:
            raise reject("rm", name, "matches no run", f"see the folders of {root / 'runs'}")
        chosen += matching
    chosen = list(dict.fromkeys(chosen))
    if orphans:
        chosen += unneeded(root, set(runs) - set(chosen))
    busy = [folder for folder in chosen if in_use(folder)]
    chosen = [folder for folder in chosen if folder not in busy]
    for folder in busy:
        print(f"kept, since a process works on it: {folder.relative_to(root)}")
    for folder in chosen:
        state = load_record(folder / "status.json").get("state", "")
        print(f"{_megabytes([folder]):>12}  {folder.relative_to(root)}  {state}".rstrip())
    if not chosen:
        print("nothing to remove")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("rm: nothing was removed, since there is nobody to ask; add --yes")
        if input(f"remove {len(chosen)} folders, {_megabytes(chosen)}? [y/N] ").strip().lower() not in ("y", "yes"):
            return
    size = _megabytes(chosen)
    for folder in chosen:
        remove(folder)
    print(f"removed {len(chosen)} folders, {size}")


def force(runs: Mapping[Path, RunConfig], output_dir: Path) -> None:
    """Remove runs, and what they alone need, so that it is computed again. What other runs share stays, with a line.

    Raises `UserError`, with nothing removed, for a run in progress, for data or a model that cannot be read, and for
    shared results that are of other data or another model than those of now.
    """
    from al_bench.workbench import fingerprints_of  # imports torch, which `rm` does not need

    asked = {folder: config for folder, config in runs.items() if folder.exists()}
    for folder in asked:
        if in_use(folder):
            raise UserError(f"--force: {folder} is in progress; end it first, or leave --force out")
    needed = {folder: needs(folder, output_dir) for folder in asked}
    alone = set().union(*needed.values()) & set(unneeded(output_dir, set(run_folders(output_dir)) - set(asked)))
    shared = set()
    for folder, config in asked.items():
        current = fingerprints_of(config)
        for result in (result for result in needed[folder] - alone if (result / "identity.json").exists()):
            recorded = read_json(result / "identity.json")["fingerprints"]
            if changed := differences(recorded, {key: current.get(key) for key in recorded}):
                remedy = "remove those runs, too (al-bench rm), or set another output_dir"
                broken = f"{' and '.join(changed)} changed since, and other runs share it"
                raise UserError(f"--force: {result}: {broken}; {remedy}")
            shared.add(result)
    for result in sorted(shared):
        print(f"kept, since other runs share it: {result}")
    for folder in [*asked, *alone]:
        remove(folder)


def run_folders(root: Path) -> Iterator[Path]:
    folders = sorted(path.parent for path in (root / "runs").rglob("status.json"))
    yield from (folder for folder in folders if not folder.name.startswith("."))


def unneeded(root: Path, runs: Iterable[Path]) -> list[Path]:
    """Trajectories and steps that no run needs, the cache where none is in progress, and halves of killed removals."""
    runs = list(runs)
    needed = {result for run in runs for result in needs(run, root)}
    results = [path.parent for kind in ("trajectories", "steps") for path in (root / kind).glob("*/identity.json")]
    caches = [root / "cache"] if (root / "cache").exists() and not any(map(in_use, runs)) else []
    halves = [path for place in ("runs/*/", "trajectories/", "steps/", "") for path in root.glob(f"{place}.*.removed")]
    return [*(folder for folder in sorted(results) if folder not in needed), *caches, *halves]


def needs(run: Path, root: Path) -> set[Path]:
    """The folders of the results that a run was or will be made of, as if its successor were evaluated at each cycle.

    Raises `UserError` where its config does not say that.
    """
    if not (run / "config.yaml").exists():  # refused before it began
        return set()
    try:
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.load(run / "config.yaml"))
        config: Any = OmegaConf.to_object(merged)
        ids = [digest(identity.trajectory_identity(config, precision)) for precision in PRECISIONS]
        acquired = ids if config.replay is None else [Path(config.replay).name]
        steps = product(PRECISIONS, range(config.schedule.cycles + 1))
        folders = {step_folder(root / "steps", one) for at in steps for one in _steps(config, *at)}
        # A run of an earlier format has a trajectory that is named otherwise today.
        recorded = load_record(run / "identity.json").get("fingerprints", {}).get("trajectory", "")
        return folders | {root / "trajectories" / name for name in (*acquired, recorded)}
    except (OSError, ValueError, TypeError, UserError, OmegaConfBaseException, YAMLError) as error:
        broken = f"nobody can tell what it needs ({first_line(error)})"
        raise UserError(f"{run}: {broken}; remove this run first: al-bench rm {run.name}") from error


def _steps(config: RunConfig, precision: str, cycle: int) -> Iterator[dict[str, Any]]:
    at = (config, precision, cycle)
    for role in ROLES[1:]:
        if getattr(config, role) is not None:
            yield identity.fit_identity(*at, role)
    if uses_pseudo_labels(config):
        filters = config.pseudo_labeling.filters
        yield identity.pseudo_labels_identity(*at)
        yield identity.fit_identity(*at, "successor", filters)
        for number in range(len(filters)):
            yield identity.suspicion_identity(*at, number)
            yield identity.fit_identity(*at, "successor", filters[:number])


def in_use(folder: Path) -> bool:
    return any(is_locked(folder / name) for name in LOCKS)


def remove(folder: Path) -> None:
    """Under another name first, so that a kill leaves no half of a run."""
    hidden = folder.with_name(f".{folder.name}.removed")
    folder.rename(hidden)
    shutil.rmtree(hidden)


def _matches(run: Path, name: str, root: Path) -> bool:
    inside = run.relative_to(root / "runs").as_posix()
    path = Path(name).absolute()
    return any(fnmatch(inside, one) for one in (name, f"{name}/*", f"*/{name}")) or run.is_relative_to(path)


def _megabytes(folders: Iterable[Path]) -> str:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return f"{sum(path.stat().st_size for path in files) / 1e6:,.1f} MB"
