"""One job from top to bottom: config -> corpus -> cycles -> successor -> ledger, MLflow and display."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from al_bench.acquisition.cycle import Cycle
from al_bench.acquisition.loop import Computed, acquire
from al_bench.acquisition.needs import acquires
from al_bench.acquisition.pool import Pool
from al_bench.acquisition.setup import Setup
from al_bench.config.component_identity import is_bracket, model_identity, strategy_identity
from al_bench.config.digests import content_hash
from al_bench.config.identity import run_identity, trajectory_identity
from al_bench.config.roles import acquirer, is_acquiring
from al_bench.config.schema import RunConfig, uses_pseudo_labels
from al_bench.costs import Costs, charged_once, machine_money
from al_bench.data.metrics import majority
from al_bench.errors import UserError, known
from al_bench.ledger.ledger import Row, load_record, remove_leftovers, write_json
from al_bench.ledger.provenance import provenance
from al_bench.ledger.replay import replay
from al_bench.ledger.rundir import RunDirectory
from al_bench.ledger.store import Steps, claim
from al_bench.ledger.tracking import Tracker
from al_bench.ledger.trajectory import Trajectory, of_other_code
from al_bench.successor.pseudo_labeling import Plasm
from al_bench.successor.successor import Succession, succeed
from al_bench.workbench import Display, Workbench, fingerprints_of


def run(config: RunConfig, folder: Path, sweep: Path | None, job: dict[str, Any], display: Display) -> None:
    """Execute a validated, resolved config, or the cycles of it that are not committed yet.

    folder: the run's directory; sweep: the directory of the sweep it belongs to
    job: recorded unchanged: "overrides", and "config_dir" where the user has options of his own; in a sweep "sweep",
        "job" (its number) and "jobs" (run side by side)
    """
    directory = RunDirectory(folder)
    tracker = Tracker(directory, config.tracking, Path(config.output_dir).absolute(), sweep, display.warn)
    remove_leftovers(tracker.output_dir)
    if (lost := folder / "status.json").exists() and not directory.status:
        display.say(f"note: {lost} is damaged; the ledger still says what is done, so the run goes on")
    try:
        with directory.claimed(config, job, partial(display.say, "waiting: another process holds this run")):
            if directory.finished:
                verify(config, directory, display)
                display.say("already finished, nothing to do")
            else:
                work(config, directory, display, tracker, job.get("jobs", 1))
        bracket = config.replay is None and is_bracket(strategy_identity(config))
        display.table(directory.rows(), folder.name + (" (a bracket)" if bracket else ""))
        display.say(f"run directory: {folder}")
    finally:
        display.close()
        # An interrupted run imports nothing for its farewell, which takes seconds; `al-bench sync` makes up for it.
        if tracker.is_open or not isinstance(sys.exception(), KeyboardInterrupt | SystemExit):
            tracker.finish()


def verify(config: RunConfig, directory: RunDirectory, display: Display) -> None:
    """Raise `UserError` where a finished run's results are of other data or models than those that are there now."""
    try:
        current = fingerprints_of(config)
    except UserError as error:
        display.say(f"note: not compared with the data and the models of now: {error}")
    else:
        claim(directory.folder, run_identity(config), directory.fingerprints | current)


def work(config: RunConfig, directory: RunDirectory, display: Display, tracker: Tracker, jobs: int) -> None:
    """Compute or read every cycle of the run, evaluate it, and commit it."""
    bench = Workbench(config, display, directory.folder.name, jobs)
    cycles, fingerprints, machines = acquisition(bench)
    claim(directory.folder, run_identity(config), fingerprints)
    path = directory.folder / "provenance.json"
    facts = provenance(bench.hardware, bench.account["machine"])
    facts["optimizations"] = load_record(path).get("optimizations", {})
    write_json(path, facts)
    display.say(f"trajectory {fingerprints['trajectory']}, {bench.precision} on {bench.device}")

    steps = Steps(bench.output_dir / "steps", fingerprints, **bench.account)
    baseline = majority(bench.corpus)
    succession = Succession(config, bench.corpus, bench.precision, bench.learner, steps, display.phase)
    committed = directory.rows()
    machines += [one for _, spent in committed for one in spent["machines"].values()]
    if changes := other_machine(bench.account["machine"], machines):
        display.say(
            f"note: {changes}; the cycles from here on may differ from those of a run that was never interrupted"
        )
    train, answers, second = bench.corpus.train, Counter[str](), Counter[str]()
    pool = Pool.unlabelled_of(len(train), train.labels)
    for cycle, costs in cycles:
        pool = cycle.begun(pool)
        answers.update(cycle.seed_answers)
        second.update(cycle.second_answers)
        fresh = cycle.number >= len(committed)
        if fresh:
            if late := ", ".join(map(str, beyond_end(config.evaluate_at, cycle))):
                display.say(f"evaluate_at: cycle {cycle.number} is the last, and is evaluated in place of {late}")
            evaluation = evaluate_successor(replace(succession, answers=pool.answers), cycle, pool.labelled)
            charged = {phase for _, spent in committed for phase in spent["seconds"]}
            committed.append(lines(config, cycle, costs, evaluation, baseline, charged, answers, second))
            directory.commit(*committed[-1])
            used = bench.learners.items()
            facts["optimizations"] |= {role: list(learner.optimizations) for role, learner in used}
            write_json(path, facts)
            tracker.update()
        display.cycle(*committed[cycle.number], fresh=fresh)
        pool = cycle.ended(pool)
        answers.update(cycle.answers)


def acquisition(bench: Workbench) -> tuple[Iterator[Computed], dict[str, Any], list[dict[str, Any]]]:
    """The cycles, computed or read one by one; the fingerprints of data and models, with the trajectory's id.

    And, where recorded cycles will be continued, the machines that computed them.
    """
    config, corpus = bench.config, bench.corpus
    machines: list[dict[str, Any]] = []
    if config.replay is not None:
        source = Path(config.replay).expanduser()
        # The whole file is read now: one that cannot be replayed must not leave a fingerprint in the run.
        cycles, trajectory_id = (
            iter(list(replay(source, corpus, bench.annotator))),
            f"replay-{content_hash(source)[:12]}",
        )
    else:
        learner = bench.acquirer if acquires(config) else None
        fingerprints = {key: one for key, one in bench.fingerprints.items() if key == "data" or is_acquiring(key)}
        identity = trajectory_identity(config, bench.precision)
        root, size = bench.output_dir / "trajectories", len(corpus.train)
        trajectory = Trajectory(root, identity, fingerprints, size, **bench.account)
        setup = Setup(config, corpus, learner, bench.display.phase, bench.annotator, trajectory.seed_set)
        if config.relabel.action == "ask":
            setup.second.answers(1)  # files that are wrong are refused now, not after the first fits
        cycles = acquire(setup, trajectory.cycle)
        trajectory_id = trajectory.id
        rows = trajectory.rows()
        if not rows and (change := of_other_code(root, identity)):
            bench.display.say(f"note: {change}; a new trajectory begins")
        if learner is not None and len(rows) <= config.schedule.cycles:
            machines += [spent["machine"] for _, spent in rows]
    return cycles, {**bench.fingerprints, "precision": bench.precision, "trajectory": trajectory_id}, machines


def other_machine(here: dict[str, Any], machines: list[dict[str, Any]]) -> str:
    """In what this machine differs from those before so that sums are rounded otherwise; empty if in nothing."""
    before = {key: {one[key] for one in machines} - {here[key]} for key in ("processor", "device", "threads")}
    changes = [f"{key}={here[key]}, before {known(map(str, values))}" for key, values in before.items() if values]
    return "; ".join(changes)


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
    if has_model and model_identity(config.successor) == model_identity(acquirer(config, cycle.number)[1]):
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


def lines(
    config: RunConfig, cycle: Cycle, costs: Costs, evaluation: Evaluation, baseline: dict[str, float],
    charged: set[str], answers: Mapping[str, int], second: Mapping[str, int],
) -> Row:  # fmt: skip
    """A cycle's lines in the run's ledger.jsonl and costs.jsonl.

    baseline: what `majority` gives; charged: the phases of all earlier cycles
    answers, second: of the oracle until the cycle's fit, in numbers: when first asked, and when asked again
    """
    metrics, pseudo, successor_costs = evaluation
    price, again = config.oracle.price, (config.relabel.oracle or config.oracle).price
    money = price.of(answers["answered"], answers["words"]) + again.of(second["answered"], second["words"])
    decided = {
        "cycle": cycle.number,
        "labelled": cycle.labelled,
        "words": cycle.words,
        **{name: answers[name] + second[name] for name in ("asked", "answered", "right")},
        "money_labels": money if price.is_known else None,
        "acquisition": cycle.metrics,
        "successor": metrics,
        "baseline": baseline,
        "pseudo": pseudo,
        "scored": len(cycle.scored),
        "extended": cycle.extended,
        "query": cycle.query,
    }
    roles = {"acquisition": costs, "successor": successor_costs}
    seconds = costs.seconds | charged_once(successor_costs.seconds, charged)
    hour = config.price.hour
    return decided, {
        "cycle": cycle.number,
        "seconds": seconds,
        **({} if hour is None else {"money_machine": machine_money(seconds, hour)}),
        **costs.counts,
        **successor_costs.counts,
        "peak_memory_bytes": max(c.counts.get("peak_memory_bytes", 0) for c in roles.values()),
        "machines": {role: c.machine for role, c in roles.items() if c.machine},
        "finished_at": time.time(),
    }
