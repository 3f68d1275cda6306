"""The rules of a config about its models: what a learner is, and what others need of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from al_bench.acquisition.needs import cycle_needs
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.config.digests import file_hashes
from al_bench.config.roles import SCHEDULED, acquiring, models_by_role
from al_bench.config.schema import SOURCE, TASKS, ModelConfig, RunConfig, uses_pseudo_labels
from al_bench.config.values import Problem, is_unknown, value_problems
from al_bench.errors import known, not_one_of
from al_bench.filters import FILTERS
from al_bench.learners.families import GIVES, LEARNERS


def acquisition_schedule(config: RunConfig) -> Iterator[Problem]:
    """Whether each acquisition model begins in a cycle of the run; all other rules count on it."""
    for start in config.acquisition_from:
        key, last = f"{SCHEDULED}.{start}", config.schedule.cycles
        if not re.fullmatch("[1-9][0-9]*", start):
            yield key, "begins in no cycle", f"write {SCHEDULED}.CYCLE, from 1 on; the first model is acquisition"
        elif int(start) > last:
            broken = f"begins after the last cycle (schedule.cycles={last})"
            yield key, broken, f"set schedule.cycles to {start} or more, or an earlier cycle"


def models(config: RunConfig) -> Iterator[Problem]:
    for role, model in models_by_role(config).items():
        if is_unknown(LEARNERS, model.learner):
            yield f"{role}.learner", *not_one_of(model.learner, list(LEARNERS))
            continue
        kind, task = LEARNERS[model.learner], config.dataset.task
        if task in TASKS and task not in kind.tasks:
            able = known(name for name, other in LEARNERS.items() if task in other.tasks)
            yield f"{role}.learner", f"does not work on {task}", f"choose one of {able}"
        params = kind.typed(model.params, f"{role}.params")
        settings = kind.settings(**params)
        yield from value_problems(settings, f"{role}.params")
        yield from _out_of_task(settings, f"{role}.params", task)
        files = file_hashes(kind.files, params, f"{role}.params")
        if kind.has_source(model):
            yield from _source(role, model)
            for name in files:
                broken = f"replaces an encoder's files, and {role} has them, too"
                yield f"{role}.params.{name}", broken, f"set it to null, or {role}.path, {role}.package and {role}.hub"
        elif any(getattr(model, key) is not None for key in SOURCE):
            broken = f"is an encoder, and {role}.learner={model.learner} reads none"
            yield role, broken, f"set model@{role}={model.learner}"
    yield from _capabilities(config)
    for role in list(acquiring(config).values())[1:]:
        if config.replay is not None:
            yield role, "acquires, and a replay does not", "leave it out, or set replay=null"
        elif not cycle_needs(config):
            broken = f"acquires, and strategy={config.strategy.name} asks no model"
            yield role, broken, "leave it out, or choose another strategy"


def _out_of_task(settings: Any, where: str, task: str) -> Iterator[Problem]:
    """Settings that say nothing of the task, see `schema.of_texts`."""
    for key in fields(settings):
        if task in TASKS and key.metadata.get("task", task) != task and getattr(settings, key.name) != key.default:
            broken = f"is of whole texts, and dataset.task={task}"
            yield f"{where}.{key.name}", broken, f"set it to {key.default or repr(key.default)}"


def _source(role: str, model: ModelConfig) -> Iterator[Problem]:
    if model.path is None and model.package is None and model.hub is None:
        yield role, "has no source", f"set {role}.path, {role}.package or {role}.hub"
    is_there = model.path is not None and Path(model.path).expanduser().is_dir()
    is_hash = model.sha256 is not None and re.fullmatch(r"[0-9a-f]{64}", model.sha256)
    if model.path is not None and not is_there:
        remedy = "give a folder written by save_pretrained (config.json, model.safetensors, tokenizer files)"
        yield f"{role}.path", "no such folder", remedy
    if model.sha256 is not None and not is_hash:
        yield f"{role}.sha256", "must be 64 lower-case hex digits", "see sha256sum FILE"
    if is_there and is_hash:
        # By its hash alone a model is known (`model_identity`), so that an inherited one would hide the folder.
        from al_bench.learners.engine.weights import identify  # imports transformers

        identify(role, model)


def inherited_hashes(config: RunConfig, overrides: Sequence[str]) -> Iterator[Problem]:
    """A source that the command line puts in the place of an option's, whose hash is still there.

    That of a folder is compared with its file (`_source`); of others nobody has the file yet.
    """
    keys = {word.lstrip("+").partition("=")[0] for word in overrides}
    for role, model in models_by_role(config).items():
        if model.path is not None or model.sha256 is None or f"{role}.sha256" in keys:
            continue
        for key in ("package", "hub", "revision"):
            if f"{role}.{key}" in keys and getattr(model, key) is not None:
                remedy = f"set {role}.sha256=null or to the hash of its weights"
                remedy += f", and {role}.package=null, which comes first" if model.package and key != "package" else ""
                yield f"{role}.{key}", f"is another source than that of {role}.sha256", remedy


def _capabilities(config: RunConfig) -> Iterator[Problem]:
    """What is needed of a learner that does not give it."""
    every = models_by_role(config)
    for key, role, needs in _needs(config):
        learner = every[role].learner
        if learner in LEARNERS and (missing := set(needs) & set(GIVES) - set(LEARNERS[learner].gives)):
            fitting = {name: kind for name, kind in LEARNERS.items() if config.dataset.task in kind.tasks}
            able = known(name for name, kind in fitting.items() if missing <= set(kind.gives))
            broken = f"needs {known(missing)}, which {role}.learner={learner} does not give"
            yield key, broken, f"choose another one, or set {role}.learner to one of {able}"


def _needs(config: RunConfig) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(a key, a role, what the key's value needs of the role's learner)"""
    if config.replay is None:
        for role in acquiring(config).values():
            if config.relabel.action != "none" and config.relabel.filter.by in FILTERS:
                yield "relabel.filter.by", role, FILTERS[config.relabel.filter.by].needs
            yield "strategy", role, STRATEGIES[config.strategy.name].needs
            yield "subsampling", role, CANDIDATE_POOLS[config.subsampling.name].needs
        if config.schedule.seed_by in STRATEGIES:
            yield "schedule.seed_by", "acquisition", STRATEGIES[config.schedule.seed_by].needs
    if config.successor is None or not uses_pseudo_labels(config):
        return
    pseudo = config.pseudo_labeling
    if pseudo.labels == "soft":
        yield "pseudo_labeling.labels", "successor", ("soft labels",)
    if pseudo.smoothing > 0:
        yield "pseudo_labeling.smoothing", "successor", ("soft labels",)
    if pseudo.gold_weight != 1:
        yield "pseudo_labeling.gold_weight", "successor", ("weights",)
    for number, chosen in enumerate(pseudo.filters):
        if not is_unknown(FILTERS, chosen.by):  # which `_filter_problems` refuses
            yield f"pseudo_labeling.filters[{number}].by", "successor", FILTERS[chosen.by].needs
