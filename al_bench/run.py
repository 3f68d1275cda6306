"""One job from top to bottom: config -> corpus -> cycles -> successor -> ledger, MLflow and display."""

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
from al_bench.costs import Costs, charged_once
from al_bench.data.corpus import Corpus
from al_bench.data.loading import load_corpus
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.engine.device import hardware, resolve_device, resolve_precision
from al_bench.learners.engine.optimizations import optimizations_of
from al_bench.learners.engine.weights import identify
from al_bench.learners.families import LEARNERS
from al_bench.ledger.ledger import load_record, write_json
from al_bench.ledger.provenance import machine, provenance
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
    """Execute a validated, resolved config, or the cycles of it that are not committed yet.

    folder: the run's directory; sweep: the directory of the sweep it belongs to
    job: recorded unchanged: "overrides"; in a sweep "sweep", "job" (its number) and "jobs" (run side by side)
    """
    directory = RunDirectory(folder)
    tracker = Tracker(directory, config.tracking, Path(config.output_dir).absolute(), sweep, display.say)
    try:
        with directory.claimed(config, job, partial(display.say, "waiting: another process holds this run")):
            if directory.finished:
                display.say("already finished, nothing to do")
            else:
                work(config, directory, display, tracker, job.get("jobs", 1))
        display.table(directory.rows(), folder.name)
        display.say(f"run directory: {folder}")
    finally:
        display.close()
        tracker.finish()


def work(config: RunConfig, directory: RunDirectory, display: Display, tracker: Tracker, jobs: int) -> None:
    """Compute or read every cycle of the run, evaluate it, and commit it."""
    bench = Workbench.of(config, display, jobs)
    cycles, fingerprints = acquisition(bench, directory.folder.name)
    fingerprints |= {role: identify(role, getattr(config, role)) for role in successor_roles(config)}
    directory.record_fingerprints(config, fingerprints)
    path = directory.folder / "provenance.json"
    facts = provenance(hardware(bench.device), bench.machine)
    facts["optimizations"] = load_record(path).get("optimizations", {})
    write_json(path, facts)
    display.say(f"trajectory {fingerprints['trajectory']}, {bench.precision} on {bench.device}")

    steps = Steps(
        bench.output_dir / "steps",
        fingerprints,
        run=directory.folder.name,
        machine=bench.machine,
        waiting=bench.waiting,
    )
    succession = Succession(config, bench.corpus, bench.precision, bench.learner, steps, display.phase)
    committed = directory.rows()
    labelled = np.empty(0, dtype=np.int64)
    for cycle, costs in cycles:
        labelled = np.union1d(labelled, cycle.seed_set)
        fresh = cycle.number >= len(committed)
        if fresh:
            beyond = ", ".join(map(str, beyond_end(config.evaluate_at, cycle)))
            if beyond:
                display.say(
                    f"evaluate_at: cycle {cycle.number} is the last, and is evaluated in place of {beyond}"
                )
            evaluation = evaluate_successor(succession, cycle, labelled)
            charged = {phase for _, spent in committed for phase in spent["seconds"]}
            committed.append(lines(cycle, costs, evaluation, charged))
            directory.commit(*committed[-1])
            facts["optimizations"] |= bench.optimizations
            write_json(path, facts)
            tracker.update()
        display.cycle(*committed[cycle.number], fresh=fresh)
        labelled = np.union1d(labelled, cycle.queried)


@dataclass(frozen=True)
class Workbench:
    """What all stages of a run share.

    machine: as `provenance.machine` gives it; learners: by role, as far as they were needed
    """

    config: RunConfig
    corpus: Corpus
    device: torch.device
    precision: str
    machine: dict[str, Any]
    display: Display
    learners: dict[str, Learner] = field(default_factory=dict)

    @classmethod
    def of(cls, config: RunConfig, display: Display, jobs: int) -> "Workbench":
        """Raises `UserError` for a device that this machine lacks and for data that contradict the config."""
        device = resolve_device(config.device)
        precision = resolve_precision(config.precision, device)
        corpus = load_corpus(config.dataset)
        validate_with_data(config, corpus)
        display.say(corpus.summary)
        for note in corpus.notes:
            display.say(f"note: {note}")
        here = machine(hardware(device), precision, config.engine, jobs)
        return cls(config, corpus, device, precision, here, display)

    @property
    def output_dir(self) -> Path:
        return Path(self.config.output_dir).absolute()

    def learner(self, role: str) -> Learner:
        """The role's learner, built at its first use: recorded results need none."""
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
            # Only evaluation needs the test split, so preparing it belongs to no phase. Stages prepare the pool.
            learner.prepare(Unlabelled(self.corpus.test.inputs), exact=True)
            self.learners[role] = learner
        return self.learners[role]

    @property
    def optimizations(self) -> dict[str, list[str]]:
        return {role: list(learner.optimizations) for role, learner in self.learners.items()}

    def waiting(self) -> None:
        self.display.say("waiting: another process is computing what this run needs next")


def acquisition(bench: Workbench, run_name: str) -> tuple[Iterator[Computed], dict[str, str]]:
    """The cycles, computed or read one by one; and the hashes of data and weights, with the trajectory's id."""
    config, corpus = bench.config, bench.corpus
    fingerprints = {"data": corpus.fingerprint, "precision": bench.precision}
    if config.replay is not None:
        source = Path(config.replay).expanduser()
        # The whole file is read now: one that cannot be replayed must not leave a fingerprint in the run.
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
        machine=bench.machine,
        waiting=bench.waiting,
    )
    setup = Setup(config, corpus, learner, bench.display.phase)
    return acquire(setup, trajectory.cycle), {**fingerprints, "trajectory": trajectory.id}


def successor_roles(config: RunConfig) -> list[str]:
    """The roles that are fitted on the labelled examples, outside the loop."""
    if config.successor is None or config.evaluate_at == []:
        return []
    return [role for role in ("successor", "pseudo_labeler", "verifier") if getattr(config, role) is not None]


@dataclass(frozen=True)
class Evaluation:
    """The successor at a cycle; empty where the config does not ask for it.

    metrics: on the test split; pseudo: a report on the pseudo-labels it was fitted on
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
    has_model = cycle.metrics is not None and config.replay is None
    if has_model and model_identity(config.successor) == model_identity(config.acquisition):
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
    cycle: Cycle, costs: Costs, evaluation: Evaluation, charged: set[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A cycle's lines in the run's ledger.jsonl and costs.jsonl; charged: the phases of all earlier cycles."""
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
    roles = {"acquisition": costs, "successor": evaluation.costs}
    return decided, {
        "cycle": cycle.number,
        "seconds": costs.seconds | charged_once(evaluation.costs.seconds, charged),
        **costs.counts,
        **evaluation.costs.counts,
        "peak_memory_bytes": max(c.counts.get("peak_memory_bytes", 0) for c in roles.values()),
        "machines": {role: c.machine for role, c in roles.items() if c.machine},
        "finished_at": time.time(),
    }
