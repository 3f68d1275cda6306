"""What a run works with: its data, its machine, its models, each checked before the first cycle, and its display."""

from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from al_bench.acquisition.needs import needs_of
from al_bench.acquisition.setup import annotator_of
from al_bench.config.identity import models_of
from al_bench.config.roles import acquirer, acquiring, is_acquiring, models_by_role, title
from al_bench.config.rules import validate_with_data
from al_bench.config.schema import RunConfig
from al_bench.data.corpus import Corpus, Split
from al_bench.data.loading import fingerprint_of, load_corpus
from al_bench.data.ragged import values_of
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.engine.device import hardware, resolve_device, resolve_precision
from al_bench.learners.engine.optimizations import optimizations_of
from al_bench.learners.families import LEARNERS, fingerprint
from al_bench.ledger.cache import ArrayCache
from al_bench.ledger.ledger import Row
from al_bench.ledger.provenance import machine


class Display(Protocol):
    """Where a run reports its progress; `front/progress.py` shows it in a terminal."""

    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def phase(self, name: str) -> None: ...
    def cycle(self, decided: dict[str, Any], spent: dict[str, Any], *, fresh: bool) -> None: ...
    def table(self, rows: list[Row], title: str) -> None: ...
    def close(self) -> None: ...


class Workbench:
    """What all stages of a run share.

    annotator: the oracle, whose answers are there
    learners: by role, as far as they were needed
    account: who computes, on which machine, and what to do while another process computes, for results on disk
    Raises `UserError` for a device that this machine lacks and for data that contradict the config.
    """

    def __init__(self, config: RunConfig, display: Display, run_name: str, jobs: int) -> None:
        self.config, self.display = config, display
        self.output_dir = Path(config.output_dir).absolute()
        self.device = resolve_device(config.device)
        self.precision = resolve_precision(config.precision, self.device)
        self.corpus = load_corpus(config.dataset)
        validate_with_data(config, self.corpus)
        display.say(self.corpus.summary)
        for note in self.corpus.notes:
            display.say(f"note: {note}")
        self.annotator = annotator_of(config, self.corpus)
        answers = self.annotator.answers()  # files that are wrong are refused now, not hours later
        if not answers.known.all():
            display.say(f"note: oracle={config.oracle.name} abstains from {(~answers.known).sum():,} training examples")
        self.hardware = hardware(self.device)
        here = machine(self.hardware, self.precision, config.engine, jobs)
        waiting = partial(display.say, "waiting: another process is computing what this run needs next")
        self.account: dict[str, Any] = {"run": run_name, "machine": here, "waiting": waiting}
        self.learners: dict[str, Learner] = {}
        self.fingerprints = {"data": self.corpus.fingerprint, **self._checked_models()}

    def _checked_models(self) -> dict[str, dict[str, str]]:
        """The fingerprints of all models that will be fitted, which are those that can be: hours later is too late."""
        config, fingerprints = self.config, {}
        needs_by_role = {role: needs_of(config, start) for start, role in acquiring(config).items()}
        for role, model in models_of(config).items():
            self.display.phase(f"checking the {title(role)}")
            needs = needs_by_role.get(role, frozenset())
            classes = len(self.corpus.label_names)
            LEARNERS[model.learner].learner.check(role, model, config.dataset.task, classes, needs)
            fingerprints[role] = fingerprint(role, model)
        return fingerprints

    def learner(self, role: str) -> Learner:
        """The role's learner, built at its first use: recorded results need none."""
        if role not in self.learners:
            model, corpus = models_by_role(self.config)[role], self.corpus
            self.display.phase(f"loading the {title(role)}")
            kind = LEARNERS[model.learner]
            cache = ArrayCache(self.output_dir / "cache" / "encodings", self.display.say)
            computing = (self.device, self.precision)
            available = optimizations_of(self.config.engine, *computing) if kind.engine else frozenset()
            facts = (role, model, corpus.task, corpus.label_names, *computing, cache, available)
            learner: Learner = kind.learner(*facts, **model.params)
            # Only evaluation needs the test split, so preparing it belongs to no phase. Stages prepare the pool.
            learner.prepare(Unlabelled(self.corpus.test.inputs), exact=True)
            cuts = [cut for name in ("train", "test") if (cut := cut_off(learner, corpus, name))]
            # Now some learners know the words.
            self.display.say(f"{title(role)} {model.name}: {learner.computes}")
            for note in learner.notes:
                self.display.say(f"note: {role}={model.name} {note}")
            if cuts:
                self.display.say(f"note: {role}.max_length={model.max_length} cuts off {' and '.join(cuts)}")
            self.learners[role] = learner
        return self.learners[role]

    def acquirer(self, cycle: int) -> Learner:
        """The learner that acquires in a cycle; one that acquired before it is released, with its memory."""
        role, _ = acquirer(self.config, cycle)
        for other in [key for key in self.learners if is_acquiring(key) and key != role]:
            del self.learners[other]
        return self.learner(role)


def fingerprints_of(config: RunConfig) -> dict[str, Any]:
    """Of the data and of all models of a resolved config. Raises `UserError` where one cannot be read."""
    models = {role: fingerprint(role, model) for role, model in models_of(config).items()}
    return {"data": fingerprint_of(config.dataset), **models}


def cut_off(learner: Learner, corpus: Corpus, name: str) -> str:
    """What is too long in a split, in words; empty if nothing is."""
    split: Split = getattr(corpus, name)
    cut = learner.cut_off(Unlabelled(split.inputs))
    if not cut.any():
        return ""
    if corpus.task == "classification":
        return f"the ends of up to {cut.sum():,} of {len(cut):,} texts of {name}"
    begins = np.array([label.startswith("B-") for label in corpus.label_names])[values_of(split.labels)]
    entities = f" and {(cut & begins).sum():,} of {begins.sum():,} entities" if corpus.kind == "tagging" else ""
    return f"{cut.sum():,} of {len(cut):,} words{entities} of {name}"
