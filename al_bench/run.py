"""One job from top to bottom: config -> corpus -> cycles -> successor -> ledger, with its copies."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from al_bench.acquisition.loop import Computed, Cycle, Setup, acquire
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.identity import content_hash, model_identity, trajectory_identity
from al_bench.config.rules import validate_with_data
from al_bench.config.schema import RunConfig, uses_pseudo_labels
from al_bench.costs import Costs
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.engine import device as machine
from al_bench.learners.engine.optimizations import optimizations_of
from al_bench.learners.engine.weights import identify
from al_bench.learners.families import LEARNERS
from al_bench.ledger.ledger import write_json
from al_bench.ledger.provenance import provenance
from al_bench.ledger.replay import replay
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.steps import Steps
from al_bench.ledger.tracking import Tracker
from al_bench.ledger.trajectory import Trajectory
from al_bench.successor.pseudo_labeling import plasm
from al_bench.successor.successor import Succession, succeed


class Display(Protocol):
    """Where a run reports its progress; `front/progress.py` shows it in a terminal."""

    def say(self, text: str) -> None: ...
    def phase(self, name: str) -> None: ...
    def cycle(self, decided: dict[str, Any], spent: dict[str, Any], *, fresh: bool) -> None: ...
    def table(self, rows: list[tuple[dict[str, Any], dict[str, Any]]], title: str) -> None: ...
    def close(self) -> None: ...


def run(config: RunConfig, folder: Path, sweep: Path | None, job: dict[str, Any], display: Display) -> None:
    """Execute a validated, resolved config, or what is left of it.

    folder: the run's directory; sweep: the directory of the sweep it belongs to
    job: overrides and number, recorded as they are
    """
    directory = RunDirectory(folder)
    tracker = Tracker(directory, config.tracking, Path(config.output_dir).absolute(), sweep, display.say)
    try:
        with directory.claimed(config, job, partial(display.say, "waiting: another process holds this run")):
            if directory.finished:
                display.say("already finished, nothing to do")
            else:
                work(config, directory, display, tracker)
        display.table(directory.rows(), folder.name)
        display.say(f"run directory: {folder}")
    finally:
        display.close()
        tracker.finish()


def work(config: RunConfig, directory: RunDirectory, display: Display, tracker: Tracker) -> None:
    """Every cycle of the run: acquired or remembered, evaluated, committed."""
    bench = Workbench.of(config, display)
    acquired, fingerprints = acquisition(bench, directory.folder.name)
    fingerprints |= {role: identify(role, getattr(config, role)) for role in succeeding(config)}
    directory.record_fingerprints(config, fingerprints)
    facts = provenance(machine.hardware(bench.device), bench.precision)
    write_json(directory.folder / "provenance.json", facts)
    display.say(f"trajectory {fingerprints['trajectory']}, {bench.precision} on {bench.device}")

    steps = Steps(bench.output_dir / "steps", fingerprints, run=directory.folder.name, waiting=bench.waiting)
    succession = Succession(config, bench.corpus, bench.precision, bench.learner, steps, display.phase)
    committed = directory.rows()
    labelled = np.empty(0, dtype=np.int64)
    for cycle, costs in acquired:
        labelled = np.union1d(labelled, cycle.seed_set)
        fresh = cycle.number >= len(committed)
        if fresh:
            beyond = ", ".join(map(str, beyond_end(config.evaluate_at, cycle)))
            if beyond:
                display.say(
                    f"evaluate_at: cycle {cycle.number} is the last, and is evaluated in place of {beyond}"
                )
            committed.append(
                lines(cycle, costs, evaluate_successor(succession, cycle, labelled), bench.prepared())
            )
            directory.commit(*committed[-1])
            tracker.update()
        display.cycle(*committed[cycle.number], fresh=fresh)
        labelled = np.union1d(labelled, cycle.queried)


@dataclass(frozen=True)
class Workbench:
    """What all stages of a run share."""

    config: RunConfig
    corpus: Corpus
    device: torch.device
    precision: str
    display: Display
    learners: dict[str, Learner] = field(default_factory=dict)
    preparing: list[float] = field(default_factory=list)  # seconds not yet charged to a cycle

    @classmethod
    def of(cls, config: RunConfig, display: Display) -> "Workbench":
        """Raises `UserError` for a device that is not here, and for data that cannot be what the config says."""
        device = machine.resolve_device(config.device)
        corpus = load_corpus(config.dataset)
        validate_with_data(config, corpus)
        display.say(corpus.summary)
        for note in corpus.notes:
            display.say(f"note: {note}")
        return cls(config, corpus, device, machine.resolve_precision(config.precision, device), display)

    @property
    def output_dir(self) -> Path:
        return Path(self.config.output_dir).absolute()

    def learner(self, role: str) -> Learner:
        """Built when first asked for: what is finished already needs none."""
        if role not in self.learners:
            self.display.phase(f"loading the {role.replace('_', '-')}")
            model = getattr(self.config, role)
            learner: Learner = LEARNERS[model.learner](
                role,
                model,
                self.corpus.task,
                self.corpus.label_names,
                self.device,
                self.precision,
                self.output_dir / "cache" / "encodings",
                optimizations_of(self.config.engine, self.device, self.precision),
            )
            self.display.say(f"{role.replace('_', '-')} {model.name}: {learner.computes}")
            began = time.perf_counter()
            for split in (self.corpus.train, self.corpus.test):
                learner.prepare(Unlabelled(split.inputs))
            self.preparing.append(time.perf_counter() - began)
            self.learners[role] = learner
        return self.learners[role]

    def prepared(self) -> float:
        """Seconds of tokenising and embedding since the last call; little, where an earlier run left its arrays."""
        seconds = sum(self.preparing)
        self.preparing.clear()
        return seconds

    def waiting(self) -> None:
        self.display.say("waiting: another process is computing what this run needs next")


def acquisition(bench: Workbench, run_name: str) -> tuple[Iterator[Computed], dict[str, str]]:
    """The cycles, yet to be computed or read; the fingerprints of data and weights, and the trajectory's id."""
    config, corpus = bench.config, bench.corpus
    fingerprints = {"data": corpus.fingerprint, "precision": bench.precision}
    if config.replay is not None:
        source = Path(config.replay).expanduser()
        # All of it now: a file that cannot be replayed must leave no record of the run.
        cycles = list(replay(source, corpus))
        return iter(cycles), {**fingerprints, "trajectory": f"replay-{content_hash(source)[:12]}"}
    learner = None
    if STRATEGIES[config.strategy.name].needs:
        fingerprints["acquisition"] = identify("acquisition", config.acquisition)
        learner = partial(bench.learner, "acquisition")
    trajectory = Trajectory(
        bench.output_dir / "trajectories",
        trajectory_identity(config, bench.precision),
        {key: value for key, value in fingerprints.items() if key != "precision"},
        len(corpus.train),
        run=run_name,
        waiting=bench.waiting,
    )
    setup = Setup(config, corpus, learner, bench.display.phase)
    return acquire(setup, trajectory.cycle), {**fingerprints, "trajectory": trajectory.id}


def succeeding(config: RunConfig) -> list[str]:
    """The roles that are fitted after the loop."""
    if config.successor is None or config.evaluate_at == []:
        return []
    return [role for role in ("successor", "pseudo_labeler", "verifier") if getattr(config, role) is not None]


@dataclass(frozen=True)
class Evaluation:
    """What came of the successor at a cycle: nothing where it is not asked for.

    metrics: on the test split; pseudo: a report on the pseudo-labels it learned from
    """

    metrics: dict[str, float] | None = None
    pseudo: dict[str, Any] | None = None
    costs: Costs = field(default_factory=lambda: Costs({}))


def evaluate_successor(s: Succession, cycle: Cycle, labelled: np.ndarray) -> Evaluation:
    config = s.config
    if config.successor is None or not is_evaluated(config.evaluate_at, cycle):
        return Evaluation()
    if uses_pseudo_labels(config) and len(labelled) < len(s.corpus.train):
        return Evaluation(*plasm(s, labelled, cycle.number))
    known = cycle.metrics is not None and config.replay is None
    if known and model_identity(config.successor) == model_identity(config.acquisition):
        return Evaluation(cycle.metrics)
    metrics, costs = succeed(s, labelled, cycle.number)
    return Evaluation(metrics, None, costs)


def is_evaluated(evaluate_at: list[int] | str, cycle: Cycle) -> bool:
    if isinstance(evaluate_at, list):
        return cycle.number in evaluate_at or bool(beyond_end(evaluate_at, cycle))
    return evaluate_at == "all" or not len(cycle.queried)


def beyond_end(evaluate_at: list[int] | str, cycle: Cycle) -> list[int]:
    """The cycles in `evaluate_at` that never come, since nothing is left to query; the last one takes their place."""
    if not isinstance(evaluate_at, list) or len(cycle.queried):
        return []
    return [number for number in evaluate_at if number > cycle.number]


def lines(
    cycle: Cycle, costs: Costs, evaluation: Evaluation, prepared: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A cycle in the run's ledger, and beside it; prepared: seconds of what is done once per corpus."""
    decided = {
        "cycle": cycle.number,
        "labelled": cycle.labelled,
        "words": cycle.words,
        "acquisition": cycle.metrics,
        "successor": evaluation.metrics,
        "pseudo": evaluation.pseudo,
        "scored": len(cycle.scored),
        "extended": cycle.extended,
        "query": cycle.query,
    }
    spent = evaluation.costs
    peak = max(c.counts.get("peak_memory_bytes", 0) for c in (costs, spent))
    return decided, {
        "cycle": cycle.number,
        "seconds": {**costs.seconds, **spent.seconds, **({"prepare": prepared} if prepared else {})},
        **costs.counts,
        **spent.counts,
        "peak_memory_bytes": peak,
        "finished_at": time.time(),
    }
