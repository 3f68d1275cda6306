"""One job from top to bottom: config -> corpus -> cycles -> successor -> ledger, MLflow and display."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from al_bench.acquisition.loop import Computed, Cycle, Setup, acquire
from al_bench.acquisition.strategies import STRATEGIES
from al_bench.config.identity import ROLES, content_hash, model_identity, run_identity, trajectory_identity
from al_bench.config.rules import validate_with_data
from al_bench.config.schema import RunConfig, uses_pseudo_labels
from al_bench.costs import Costs, charged_once
from al_bench.data.loading import load_corpus
from al_bench.learners.base import Learner, Unlabelled
from al_bench.learners.engine.device import hardware, resolve_device, resolve_precision
from al_bench.learners.engine.optimizations import optimizations_of
from al_bench.learners.engine.weights import identify
from al_bench.learners.families import LEARNERS
from al_bench.ledger.ledger import Row, load_record, write_json
from al_bench.ledger.provenance import machine, provenance
from al_bench.ledger.replay import replay
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.store import Steps, claim
from al_bench.ledger.tracking import Tracker
from al_bench.ledger.trajectory import Trajectory
from al_bench.successor.pseudo_labeling import Plasm
from al_bench.successor.successor import Succession, succeed


class Display(Protocol):
    """Where a run reports its progress; `front/progress.py` shows it in a terminal."""

    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def phase(self, name: str) -> None: ...
    def cycle(self, decided: dict[str, Any], spent: dict[str, Any], *, fresh: bool) -> None: ...
    def table(self, rows: list[Row], title: str) -> None: ...
    def close(self) -> None: ...


def run(config: RunConfig, folder: Path, sweep: Path | None, job: dict[str, Any], display: Display) -> None:
    """Execute a validated, resolved config, or the cycles of it that are not committed yet.

    folder: the run's directory; sweep: the directory of the sweep it belongs to
    job: recorded unchanged: "overrides"; in a sweep "sweep", "job" (its number) and "jobs" (run side by side)
    """
    directory = RunDirectory(folder)
    tracker = Tracker(directory, config.tracking, Path(config.output_dir).absolute(), sweep, display.warn)
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
    bench = Workbench(config, display, directory.folder.name, jobs)
    cycles, fingerprints = acquisition(bench)
    if config.evaluate_at != []:
        outside = {role: getattr(config, role) for role in ROLES[1:]}  # fitted outside the loop
        fingerprints |= {role: identify(role, model) for role, model in outside.items() if model is not None}
    claim(directory.folder, run_identity(config), fingerprints)
    path = directory.folder / "provenance.json"
    facts = provenance(bench.hardware, bench.account["machine"])
    facts["optimizations"] = load_record(path).get("optimizations", {})
    write_json(path, facts)
    display.say(f"trajectory {fingerprints['trajectory']}, {bench.precision} on {bench.device}")

    steps = Steps(bench.output_dir / "steps", fingerprints, **bench.account)
    succession = Succession(config, bench.corpus, bench.precision, bench.learner, steps, display.phase)
    committed = directory.rows()
    labelled = np.empty(0, dtype=np.int64)
    for cycle, costs in cycles:
        labelled = np.union1d(labelled, cycle.seed_set)
        fresh = cycle.number >= len(committed)
        if fresh:
            if late := ", ".join(map(str, beyond_end(config.evaluate_at, cycle))):
                display.say(f"evaluate_at: cycle {cycle.number} is the last, and is evaluated in place of {late}")
            evaluation = evaluate_successor(succession, cycle, labelled)
            charged = {phase for _, spent in committed for phase in spent["seconds"]}
            committed.append(lines(cycle, costs, evaluation, charged))
            directory.commit(*committed[-1])
            used = bench.learners.items()
            facts["optimizations"] |= {role: list(learner.optimizations) for role, learner in used}
            write_json(path, facts)
            tracker.update()
        display.cycle(*committed[cycle.number], fresh=fresh)
        labelled = np.union1d(labelled, cycle.queried)


class Workbench:
    """What all stages of a run share.

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
        self.hardware = hardware(self.device)
        here = machine(self.hardware, self.precision, config.engine, jobs)
        waiting = partial(display.say, "waiting: another process is computing what this run needs next")
        self.account: dict[str, Any] = {"run": run_name, "machine": here, "waiting": waiting}
        self.learners: dict[str, Learner] = {}

    def learner(self, role: str) -> Learner:
        """The role's learner, built at its first use: recorded results need none."""
        if role not in self.learners:
            title, model, corpus = role.replace("_", "-"), getattr(self.config, role), self.corpus
            self.display.phase(f"loading the {title}")
            kind, cache = LEARNERS[model.learner], self.output_dir / "cache" / "encodings"
            computing = (self.device, self.precision)
            available = optimizations_of(self.config.engine, *computing)
            learner: Learner = kind(role, model, corpus.task, corpus.label_names, *computing, cache, available)
            self.display.say(f"{title} {model.name}: {learner.computes}")
            # Only evaluation needs the test split, so preparing it belongs to no phase. Stages prepare the pool.
            learner.prepare(Unlabelled(self.corpus.test.inputs), exact=True)
            self.learners[role] = learner
        return self.learners[role]


def acquisition(bench: Workbench) -> tuple[Iterator[Computed], dict[str, str]]:
    """The cycles, computed or read one by one; and the hashes of data and weights, with the trajectory's id."""
    config, corpus = bench.config, bench.corpus
    fingerprints, learner = {"data": corpus.fingerprint}, None
    if config.replay is not None:
        source = Path(config.replay).expanduser()
        # The whole file is read now: one that cannot be replayed must not leave a fingerprint in the run.
        cycles, trajectory_id = iter(list(replay(source, corpus))), f"replay-{content_hash(source)[:12]}"
    else:
        if STRATEGIES[config.strategy.name].needs:
            fingerprints["acquisition"] = identify("acquisition", config.acquisition)
            learner = partial(bench.learner, "acquisition")
        identity = trajectory_identity(config, bench.precision)
        root, size = bench.output_dir / "trajectories", len(corpus.train)
        trajectory = Trajectory(root, identity, fingerprints, size, **bench.account)
        cycles = acquire(Setup(config, corpus, learner, bench.display.phase), trajectory.cycle)
        trajectory_id = trajectory.id
    return cycles, {**fingerprints, "precision": bench.precision, "trajectory": trajectory_id}


# Of the successor at a cycle: metrics on the test split, a report on the pseudo-labels it was fitted on, and costs.
Evaluation = tuple[dict[str, float] | None, dict[str, Any] | None, Costs]


def evaluate_successor(s: Succession, cycle: Cycle, labelled: np.ndarray) -> Evaluation:
    """Empty where the config does not ask for it."""
    config = s.config
    if config.successor is None or not is_evaluated(config.evaluate_at, cycle):
        return None, None, Costs()
    if uses_pseudo_labels(config) and len(labelled) < len(s.corpus.train):
        return Plasm(s, labelled, cycle.number).result()
    has_model = cycle.metrics is not None and config.replay is None
    if has_model and model_identity(config.successor) == model_identity(config.acquisition):
        return cycle.metrics, None, Costs()
    metrics, costs = succeed(s, labelled, cycle.number)
    return metrics, None, costs


def is_evaluated(evaluate_at: list[int] | str, cycle: Cycle) -> bool:
    if isinstance(evaluate_at, list):
        return cycle.number in evaluate_at or bool(beyond_end(evaluate_at, cycle))
    return evaluate_at == "all" or not len(cycle.queried)


def beyond_end(evaluate_at: list[int] | str, cycle: Cycle) -> list[int]:
    """The cycles in `evaluate_at` that never come, since nothing is left to query; the last one takes their place."""
    if not isinstance(evaluate_at, list) or len(cycle.queried):
        return []
    return [number for number in evaluate_at if number > cycle.number]


def lines(cycle: Cycle, costs: Costs, evaluation: Evaluation, charged: set[str]) -> Row:
    """A cycle's lines in the run's ledger.jsonl and costs.jsonl; charged: the phases of all earlier cycles."""
    metrics, pseudo, successor_costs = evaluation
    decided = {
        "cycle": cycle.number,
        "labelled": cycle.labelled,
        "words": cycle.words,
        "acquisition": cycle.metrics,
        "successor": metrics,
        "pseudo": pseudo,
        "scored": len(cycle.scored),
        "extended": cycle.extended,
        "query": cycle.query,
    }
    roles = {"acquisition": costs, "successor": successor_costs}
    return decided, {
        "cycle": cycle.number,
        "seconds": costs.seconds | charged_once(successor_costs.seconds, charged),
        **costs.counts,
        **successor_costs.counts,
        "peak_memory_bytes": max(c.counts.get("peak_memory_bytes", 0) for c in roles.values()),
        "machines": {role: c.machine for role, c in roles.items() if c.machine},
        "finished_at": time.time(),
    }
