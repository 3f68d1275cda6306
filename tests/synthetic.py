"""Run directories as a sweep leaves them, without the sweep: real configs, made-up numbers with known effects."""

import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from made import write_ledger

from al_bench.analysis.arms import Setting
from al_bench.analysis.contrasts import Contrasts
from al_bench.analysis.runs import columns_of
from al_bench.analysis.store import load
from al_bench.config.digests import digest
from al_bench.config.identity import run_folder, run_identity, trajectory_identity
from al_bench.config.schema import RunConfig
from al_bench.data.metrics import headline
from al_bench.front.cli import hydra_options
from al_bench.front.jobs import jobs_of, register
from al_bench.ledger.ledger import write_json
from al_bench.ledger.rundir import write_config

ANY_SEED = 987654321  # of a config whose seeds come after it
POOL = 2000  # examples, of 14 words each
WORDS = 14
Row = dict[str, Any]  # the columns that say what a run is
Effect = Callable[[Row], float]  # what is added to a run's successor at every cycle


def settings_of(folder: Path) -> tuple[Setting, ...]:
    return tuple(contrasts_of(folder).settings)


def contrasts_of(folder: Path) -> Contrasts:
    return Contrasts.of(load([folder]))


def configs(command: str) -> list[tuple[list[str], RunConfig]]:
    """(overrides, resolved config) of every job of an `al-bench run` command line."""
    words = shlex.split(command)
    seeds = [word for word in words if word.startswith("seed=")]
    if not seeds:
        return _composed(tuple(words))
    any_seed = f"seed={ANY_SEED}"  # one, whatever the experiment's own sweep has
    composed = _composed((*(word for word in words if word not in seeds), any_seed))
    numbers = [int(text) for text in seeds[-1].removeprefix("seed=").split(",")]
    return [
        ([*(word for word in overrides if word != any_seed), f"seed={seed}"], _seeded(config, seed))
        for seed in numbers
        for overrides, config in composed
    ]


def jobs(command: str) -> list[RunConfig]:
    """What `al-bench run` makes of a command line, an experiment's own sweep included."""
    return [config for _, config in _composed(tuple(shlex.split(command.removeprefix("al-bench run "))))]


def write_job(output: Path, command: str) -> Path:
    """The finished run directory of a command line's one job, whose own words it keeps as they are."""
    ((words, config),) = _composed(tuple(shlex.split(command)))
    return write_run(output, words, config, lambda row: 0.0, 0.004)


@cache
def _composed(words: tuple[str, ...]) -> list[tuple[list[str], RunConfig]]:
    """By Hydra, which takes a tenth of a second for each job; so the seeds come after it."""
    register()
    jobs = []
    for overrides, config in jobs_of(hydra_options(list(words))):
        assert isinstance(config, RunConfig), str(config)
        jobs.append((overrides, config))
    return jobs


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    followed = {key: seed for key, value in vars(config.seeds).items() if value == config.seed}
    return replace(config, seed=seed, seeds=replace(config.seeds, **followed))


def write_runs(
    output: Path, command: str, effect: Effect = lambda row: 0.0, noise: float = 0.004, facts: Row | None = None
) -> list[Path]:
    """A finished run directory for every job of the command.

    facts: parts of the config that are not on the command line, such as a strategy whose module is gone, as they are
        recorded: oracle, price, strategy, subsampling; "code" in them is the identity's alone
    """
    return [write_run(output, words, config, effect, noise, facts or {}) for words, config in configs(command)]


def write_run(
    output: Path, overrides: list[str], config: RunConfig, effect: Effect, noise: float, facts: Row | None = None
) -> Path:
    facts = facts or {}
    content = asdict(config) | {key: {k: v for k, v in one.items() if k != "code"} for key, one in facts.items()}
    folder = output / run_folder(config)
    folder = folder.with_name(f"{folder.name}-{digest(facts)}") if facts else folder
    if folder.exists():  # already finished, nothing to do
        return folder
    folder.mkdir(parents=True)
    write_config(folder, yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))
    identity = run_identity(config) | {key: value for key, value in facts.items() if key != "price"}
    trajectory = digest(trajectory_identity(config, "float32"))
    fingerprints = {"trajectory": trajectory, "precision": "float32"}
    write_json(folder / "identity.json", {"identity": identity, "fingerprints": fingerprints})
    write_json(folder / "provenance.json", {"al_bench": "0.1.0", "git": "0" * 40, "host": "made"})
    write_json(folder / "status.json", {"state": "finished", "started_at": 0.0, "overrides": overrides})
    row = columns_of(content, identity)
    # Without the format, whose next number is no reason for other results.
    sources = ({**one, "format": 0} for one in (trajectory_identity(config, "float32"), identity))
    shared, own = (np.random.default_rng(int(digest(one), 16)) for one in sources)
    # What the seed does to every arm alike: the reason to pair.
    luck = float(np.random.default_rng(config.seed).normal(0, 2 * noise))
    lines = []
    for cycle in range(config.schedule.cycles + 1):
        numbers = (luck + shared.normal(0, noise), luck + effect(row) + own.normal(0, noise))
        decided, spent = _cycle(config, row, cycle, *numbers, shared.uniform(0.95, 1.05))
        lines.append((decided | _answers(content, decided["labelled"]), spent | _machine(content, spent["seconds"])))
    for name, records in zip(("ledger", "costs"), zip(*lines, strict=True), strict=True):
        write_ledger(folder / f"{name}.jsonl", records)
    return folder


def _cycle(
    config: RunConfig, row: Row, cycle: int, acquisition: float, successor: float, pace: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was decided and what was spent; acquisition, successor: what is added to the curve of either."""
    labelled, last = _labelled(config, cycle), cycle == config.schedule.cycles
    metric = headline(row["task"])
    curve = 0.9 - 0.4 * float(np.exp(-6 * labelled / POOL))
    scored = 0
    if row["acquisition"] and not last:
        refresh = config.subsampling.refresh
        asleep = row["subsampling"] != "none" and refresh != "all" and cycle not in refresh
        scored = int((POOL - labelled) * (0.11 if asleep else 1.0))
    seconds: dict[str, float] = {}
    if row["acquisition"] and cycle == 0:
        seconds["prepare"] = 1.5 * pace
    if row["acquisition"]:
        seconds |= {"train": (8 + 0.01 * labelled) * pace, "evaluate": 2.0}
    if not last:
        seconds |= {"subsample": 0.001, "predict": 0.005 * scored * pace, "select": 0.012}
    evaluated = config.evaluate_at == "all" or (last if config.evaluate_at == "last" else cycle in config.evaluate_at)
    pseudo = None
    if evaluated and config.successor:
        seconds |= {"successor_train": 20.0 * pace, "successor_evaluate": 4.0}
        if row["pseudo_labeler"]:
            pseudo = _pseudo(row, metric, curve, POOL - labelled)
            seconds |= {"labeller_train": 30.0, "pseudo_label": 9.0, "influence": 12.0}
    decided = {
        "cycle": cycle,
        "labelled": labelled,
        "words": labelled * WORDS,
        "acquisition": {metric: curve + acquisition, "ece": 0.05} if row["acquisition"] else None,
        "successor": {metric: curve + successor, "ece": 0.04} if evaluated and config.successor else None,
        "baseline": {metric: 0.25, "examples": 500},
        "pseudo": pseudo,
        "scored": scored,
        "extended": 0,
        "query": {} if last else {"examples": 20, "words": 280, "mean_words": 14.0, "labels": {}},
    }
    spent = {"cycle": cycle, "seconds": seconds, "scored_examples": scored, "peak_memory_bytes": 1}
    return decided, {**spent, "finished_at": float(cycle)}


def _answers(content: Row, labelled: int) -> Row:
    """Of the oracle for all that was asked so far: one that is not gold abstains once in 5 and is wrong once in 4."""
    oracle = content.get("oracle", {"name": "gold"})
    always = oracle["name"] == "gold"
    price = {"example": None, "word": None} | (oracle.get("price") or {})
    return {
        "asked": labelled if always else labelled * 5 // 4,
        "answered": labelled,
        "right": labelled if always else labelled * 3 // 4,
        "money_labels": None
        if set(price.values()) == {None}
        else labelled * ((price["example"] or 0.0) + WORDS * (price["word"] or 0.0)),
    }


def _machine(content: Row, seconds: dict[str, float]) -> Row:
    hour = (content.get("price") or {}).get("hour")
    return {} if hour is None else {"money_machine": hour * sum(seconds.values()) / 3600}


def _labelled(config: RunConfig, cycle: int) -> int:
    """Examples, whatever the budget counts."""
    schedule, whole = config.schedule, POOL * (WORDS if config.schedule.unit == "words" else 1)
    initial, step = (
        share * whole if isinstance(share, float) else share for share in (schedule.initial, schedule.step)
    )
    budget = min(initial + cycle * step, whole)
    return round(budget / (WORDS if schedule.unit == "words" else 1))


def _pseudo(row: Row, metric: str, curve: float, rest: int) -> dict[str, Any]:
    filtered = row["filters"] != "none"
    return {
        "examples": rest,
        "kept": round(rest * 0.9) if filtered else rest,
        "quality": curve - 0.01,
        metric: curve,
        f"kept_{metric}": curve + (0.03 if filtered else 0.0),
        "wrong": 1 - curve,
        "dropped": {row["filters"].split()[0]: 0.1} if filtered else {},
        "filter_precision": 0.4 if filtered else None,
        "filter_recall": 0.35 if filtered else None,
        "unfiltered_successor": {metric: curve - 0.01} if filtered else None,
    }
