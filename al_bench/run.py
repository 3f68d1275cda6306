"""One job from top to bottom: config -> corpus -> cycles -> successor -> ledger, with its copies."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.loop import Computed, Costs, Cycle, Setup, acquire
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config import RunConfig
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.identity import model_identity, trajectory_identity
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.weights import identify
from al_bench.learners.transformer import TransformerLearner
from al_bench.ledger.ledger import write_json
from al_bench.ledger.provenance import provenance
from al_bench.ledger.replay import content_hash, replay
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.tracking import Tracker
from al_bench.ledger.trajectory import Trajectory
from al_bench.progress import Display
from al_bench.rules import validate_with_data
from al_bench.successor.successor import succeed


def run(config: RunConfig, folder: Path, sweep: Path | None, job: dict[str, Any]) -> None:
    """Execute a validated, resolved config, or what is left of it.

    folder: the run's directory; sweep: the directory of the sweep it belongs to
    job: overrides and number, recorded as they are
    """
    directory = RunDirectory(folder)
    display = Display(config.progress, config.schedule.cycles, config.dataset.task)
    tracker = Tracker(directory, config.tracking, Path(config.output_dir).absolute(), sweep, display.say)
    try:
        with directory.claimed(config, job):
            if directory.finished:
                display.say(f"already finished, nothing to do: {folder}")
            else:
                Job(config, directory, display, tracker).go()
        display.table(directory.rows(), folder.name)
        display.say(f"run directory: {folder}")
    finally:
        display.close()
        tracker.finish()


@dataclass
class Job:
    """The parts of one run, built in the order in which they can refuse."""

    config: RunConfig
    directory: RunDirectory
    display: Display
    tracker: Tracker

    def go(self) -> None:
        self._build()
        rows = self.directory.rows()
        labelled = np.empty(0, dtype=np.int64)
        for cycle, costs in self.acquired:
            labelled = np.union1d(labelled, cycle.seeded)
            fresh = cycle.number >= len(rows)
            if fresh:
                self.directory.commit(*self._finished(cycle, costs, labelled))
                self.tracker.update()
            self.display.cycle(*self.directory.rows()[cycle.number], fresh=fresh)
            labelled = np.union1d(labelled, cycle.queried)

    def _build(self) -> None:
        config, say = self.config, self.display.say
        self.device = machine.resolve_device(config.device)
        self.precision = machine.resolve_precision(config.precision, self.device)
        self.corpus = load_corpus(config.dataset)
        validate_with_data(config, self.corpus)
        say(describe_corpus(self.corpus))
        for note in self.corpus.notes:
            say(f"note: {note}")
        needs_model = bool(STRATEGIES[config.strategy.name].needs) and config.replay is None
        behind = {"data": self.corpus.fingerprint}
        if needs_model:
            behind["acquisition"] = identify("acquisition", config.acquisition)
        self.acquired: Iterator[Computed]
        if config.replay is None:
            setup = Setup(config, self.corpus, self.learner("acquisition") if needs_model else None, self.display.phase)
            trajectory = Trajectory(
                Path(config.output_dir).absolute() / "trajectories",
                trajectory_identity(config, self.precision),
                behind,
                len(self.corpus.train),
                run=self.directory.folder.name,
                waiting=partial(say, "waiting: another process is computing this trajectory"),
            )
            behind = {**behind, "trajectory": trajectory.id}
            self.acquired = acquire(setup, trajectory.cycle)
        else:
            source = Path(config.replay).expanduser()
            behind = {**behind, "trajectory": f"replay-{content_hash(source)[:12]}"}
            self.acquired = replay(source, self.corpus)
        self.successor = self.learner("successor")
        if config.successor is not None and config.evaluate_at != []:
            behind["successor"] = identify("successor", config.successor)
        behind["precision"] = self.precision
        self.directory.record_behind(config, behind)
        write_json(self.directory.folder / "provenance.json", provenance(machine.hardware(self.device), self.precision))
        say(f"trajectory {behind['trajectory']}, {self.precision} on {self.device}")

    def learner(self, role: str) -> Callable[[], Learner]:
        """Builds the role's learner at the first call: a finished trajectory needs none."""

        @cache
        def build() -> TransformerLearner:
            self.display.phase(f"loading {role}")
            config, corpus = self.config, self.corpus
            store = Path(config.output_dir).absolute() / "cache" / "encodings"
            model = getattr(config, role)
            learner = TransformerLearner(
                role, model, corpus.task, corpus.label_names, self.device, self.precision, store
            )
            for split in (corpus.train, corpus.test):
                learner.prepare(Unlabelled(split.inputs))
            return learner

        return build

    def _finished(self, cycle: Cycle, costs: Costs, labelled: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        """A cycle's lines in the run's ledger and costs: the acquisition's and, where asked for, the successor's."""
        successor, spent = self._successor(cycle, labelled)
        decided = {
            "cycle": cycle.number,
            "labelled": cycle.labelled,
            "words": cycle.words,
            "acquisition": cycle.metrics,
            "successor": successor,
            "scored": len(cycle.scored),
            "extended": cycle.extended,
            "query": cycle.query,
        }
        peak = max(costs.counts.get("peak_memory_bytes", 0), spent.counts.get("peak_memory_bytes", 0))
        counts = {**costs.counts, **spent.counts, "peak_memory_bytes": peak}
        return decided, {
            "cycle": cycle.number,
            "seconds": {**costs.seconds, **spent.seconds},
            **counts,
            "finished_at": time.time(),
        }

    def _successor(self, cycle: Cycle, labelled: np.ndarray) -> tuple[dict[str, float] | None, Costs]:
        config = self.config
        last = not len(cycle.queried)
        if isinstance(config.evaluate_at, list):
            wanted = cycle.number in config.evaluate_at
        else:
            wanted = config.evaluate_at == "all" or last
        if config.successor is None or not wanted:
            return None, Costs({})
        same = cycle.metrics is not None and config.replay is None
        if same and model_identity(config.successor) == model_identity(config.acquisition):
            return cycle.metrics, Costs({})
        return succeed(config, self.corpus, self.successor, labelled, cycle.number, self.display.phase)


def describe_corpus(corpus: Corpus) -> str:
    labels = [name[2:] for name in corpus.label_names if name.startswith("B-")]
    kind = f"{len(labels)} entity types" if corpus.task == "tagging" else f"{len(corpus.label_names)} classes"
    return f"{corpus.name}: {len(corpus.train):,} train ({int(corpus.train.words.sum()):,} words), " \
           f"{len(corpus.test):,} test, {kind}"
