"""What a user can get wrong, each through the real command line: one clear line a problem, or it works."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.errors import known

LINES_ONLY = "al-bench: "


def assert_refused(done, expected: Sequence[str]) -> None:
    """A non-zero exit, and for each expected piece one line that holds it; nothing else on stderr."""
    lines = done.err.splitlines()
    assert done.code != 0
    assert "Traceback" not in done.err + done.out
    assert all(line.startswith(LINES_ONLY) for line in lines), done.err
    assert len(lines) == len(expected), done.err
    for piece in expected:
        assert any(piece in line for line in lines), f"{piece!r} is not in\n{done.err}"


# ------------------------------------------------------------------------------- what the config alone tells

PLASM = ["pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6"]
KEYS_OF_STRATEGY = "the keys in strategy are aggregate, batch, beta, name, no_entity, params"

CONFIG = {
    "unknown group": (["datset=ag_news"], ["datset=ag_news: no such key; did you mean dataset?"]),
    "unknown option": (
        ["strategy=entropi"],
        [f"strategy=entropi: must be one of {known(STRATEGIES)}; did you mean entropy?"],
    ),
    "unknown key": (
        ["schedule.cycels=3"],
        ["schedule.cycels=3: no such key; did you mean schedule.cycles?"],
    ),
    "key without its group": (["gamma=0.1"], ["gamma=0.1: no such key; did you mean subsampling.gamma?"]),
    "key like no other": (["strategy.zzz=1"], [f"strategy.zzz=1: no such key; {KEYS_OF_STRATEGY}"]),
    "new key forced in": (["++dataset.pth=x"], ["dataset.pth=x: no such key; did you mean dataset.path?"]),
    "new key added": (["+strategy.zzz=1"], [f"strategy.zzz=1: no such key; {KEYS_OF_STRATEGY}"]),
    "key to delete that is not there": (["~seeed"], ["~seeed: no such key; did you mean seed or seeds?"]),
    "Hydra's own key": (["hydra.run.dri=x"], ["hydra.run.dri=x: no such key; see `al-bench run --cfg hydra`"]),
    "text for a whole number": (
        ["schedule.cycles=abc"],
        ["schedule.cycles=abc: must be a whole number; the default is 15"],
    ),
    "fraction for a whole number": (["seed=1.5"], ["seed=1.5: must be a whole number; the default is 42"]),
    "nothing for a whole number": (["seed="], ["seed=: must be a whole number"]),
    "null for a whole number": (["seed=null"], ["seed=null: must be a whole number"]),
    "text for a number": (["schedule.step=ten"], ["schedule.step=ten: must be a number; the default is 0.01"]),
    "list for text": (["dataset.path=[a,b]"], ["dataset.path=['a', 'b']: must be text or null"]),
    "text for a list": (
        ["dataset.splits.train=all"],
        ["dataset.splits.train=all: must be a list such as [a,b]; write 'dataset.splits.train=[all]'"],
    ),
    "list for pairs": (["dataset.where=[1]"], ["dataset.where=[1]: must be pairs such as {a: b} or null"]),
    "text for yes or no": (
        ["schedule.stratified=maybe"],
        ["schedule.stratified=maybe: must be true or false; the default is False"],
    ),
    "yes or no for a number": (["schedule.step=true"], ["schedule.step=True: must be a number"]),
    "number for a group": (["schedule=3"], ["schedule=3: must be the name of an option; see `al-bench ls`"]),
    "null for a group": (["strategy=null"], ["strategy=null: must be the name of an option; see `al-bench ls`"]),
    "role for its group": (["successor=minilm_l3"], ["successor=minilm_l3", "model@successor=minilm_l3"][:1]),
    "model without its role": (
        ["model=minilm_l3"],
        ["model=minilm_l3: no such group; did you mean model@acquisition or"],
    ),
    "model in a role of its own": (["+model@judge=minilm_l3"], ["judge: no such key"]),
    "experiment that is not there": (
        ["+experiment=dmeo"],
        ["experiment=dmeo: must be one of ag_news_distil, brackets, cheap_then_better, conll_distil, conll_distil_ups, debug, demo, learners; did you mean demo?"],
    ),
    "experiment without its plus": (["experiment=demo"], ["add one: +experiment=demo"]),
    "not an override": (["seed"], ["seed: is no KEY=VALUE"]),
    "two equals signs": (["name=a=b"], ["name=a=b: is no KEY=VALUE"]),
    "filter on one more column": (
        ["dataset.where={label: x}"],
        ["dataset.where.label: no such key; to add it to dataset.where write +dataset.where.label=VALUE"],
    ),
    "a pattern with brackets": (["strategy=glob([be]*)"], ["quote what is special: 'strategy=glob(\"[be]*\")'"]),
    "a blank in a key": (["+dataset.where.a b=c"], ["+dataset.where.a b=c: a key has ASCII signs and no blank here"]),
    "bracket left open": (["dataset.text=[a"], ["dataset.text=[a: is no KEY=VALUE"]),
    "several values without -m": (["seed=1,2"], ["seed=1,2: holds several values; add -m to run each of them"]),
    "several columns without a list": (
        ["dataset.text=a,b"],
        ["dataset.text=a,b: holds several values; add -m to run each of them, or write 'dataset.text=[a,b]' for a list"],
    ),
    "a list of options": (
        ["strategy=[entropy,random]"],
        ["strategy=[entropy,random]: is a list, but one option is chosen; give one, or run each of them: -m "
         "strategy=entropy,random"],
    ),
    "interpolation of nothing": (["name=${nope}"], ["name=${nope}: Interpolation key 'nope' not found"]),
    "unknown option of the program": (["--sweep"], ["unrecognized arguments: --sweep; see `al-bench run --help`"]),
    "unknown kind of --cfg": (["--cfg", "jobs"], ["invalid choice: 'jobs'"]),
    "two modes at once": (["-m", "--cfg", "job"], ["Only one of --run, --multirun, --cfg"]),
    "config folder that is not there": (
        ["--config-dir", "mine"],
        ["--config-dir=mine: no such folder; give the folder that holds your config groups"],
    ),
    "name with a slash": (["name=a/b"], ["name=a/b: names a folder; use up to 200 letters"]),
    "unknown subsampling": (["subsampling.name=upps"], ["subsampling=upps: must be one of", ][:1]),
    "unknown device": (["device=gpu"], ["device=gpu: is no device; use auto, cpu, cuda, cuda:N or mps"]),
    "unknown precision": (["precision=fp16"], ["precision=fp16: must be one of auto, bfloat16, float32"]),
    "unknown engine": (["engine=fastt"], ["engine=fastt: must be one of fast, plain; did you mean fast?"]),
    "unknown progress": (["progress=bars"], ["progress=bars: must be one of auto, bar, none, plain; did you mean bar?"]),
    "tracking without an address": (["tracking=mlflow"], ['tracking=mlflow: must be "sqlite", "none" or an MLflow URI']),
    "unknown unit": (["schedule.unit=sentences"], ["schedule.unit=sentences: must be one of examples, money, words"]),
    "unknown task": (["dataset.task=ner"], ["dataset.task=ner: must be one of classification, tagging"]),
    "unknown format": (["dataset.format=xml"], ["dataset.format=xml: must be one of"]),
    "unknown scheme": (["dataset.scheme=bio"], ["dataset.scheme=bio: must be one of auto, bilou, io, iob1, iob2, none"]),
    "unknown encoding": (["dataset.encoding=utf-9"], ["dataset.encoding=utf-9: is no encoding Python knows"]),
    "no column": (["dataset.text=[]"], ["dataset.text=[]: names no column"]),
    "MNLP on classification": (
        ["strategy=mnlp"],
        [f"strategy=mnlp: does not work on classification; choose one of {known(name for name in STRATEGIES if name != 'mnlp')}"],
    ),
    "unknown aggregate": (["strategy.aggregate=median"], ["strategy.aggregate=median: must be one of max, mean, sum"]),
    "UPS for random draws": (["strategy=random", "subsampling=ups"], ["subsampling=ups: saves nothing"]),
    "a shared setting among params": (["subsampling=random", "+subsampling.params.gamma=0.2"], ["subsampling.params.gamma=0.2: stands beside params, not in it; set subsampling.gamma"]),
    "UPS with a count": (["subsampling=ups", "subsampling.gamma=10"], ["subsampling.gamma=10: must be a share"]),
    "UPS with a share over one": (["subsampling=ups", "subsampling.gamma=1.5"], ["subsampling.gamma=1.5: must be from 0 to 1"]),
    "UPS without temperature": (["subsampling=ups", "subsampling.temperature=null"], ["subsampling.temperature=null: is missing"]),
    "negative refresh": (["subsampling=ups", "subsampling.refresh=[-1]"], ["subsampling.refresh=[-1]: must hold query rounds"]),
    "refresh in words": (["subsampling=ups", "subsampling.refresh=often"], ["subsampling.refresh=often: must be a list of rounds"]),
    "share over one": (["schedule.initial=1.5"], ["schedule.initial=1.5: is a share above 1.0; write 2 for a count"]),
    "negative budget": (["schedule.step=-3"], ["schedule.step=-3: must be positive"]),
    "no budget": (["schedule.step=0"], ["schedule.step=0: must be positive"]),
    "budget that is no number": (["schedule.initial=nan"], ["schedule.initial=nan: must be positive"]),
    "more than everything": (
        ["schedule.initial=0.5", "schedule.step=0.2"],
        ["schedule.cycles=15: asks for 350% of the training split (initial + cycles x step)"],
    ),
    "more than the limit": (
        ["dataset.limit.train=150", "schedule.initial=50", "schedule.step=10"],
        ["schedule.cycles=15: asks for 200 examples of a pool of 150 (dataset.limit.train)"],
    ),
    "negative cycles": (["schedule.cycles=-1"], ["schedule.cycles=-1: must be from 0 to 100000; it counts queries"]),
    "evaluation after the end": (["evaluate_at=[0,16]"], ["evaluate_at=[0, 16]: must hold cycles from 0 to schedule.cycles=15"]),
    "evaluation nowhere": (["evaluate_at=[]"], ["evaluate_at=[]: must hold cycles"]),
    "evaluation in words": (["evaluate_at=often"], ['evaluate_at=often: must be "all", "last", "none" or a list of cycles']),
    "no successor": (
        ["model@successor=none", "evaluate_at=last"], ["successor=null: is missing; add model@successor=NAME"]
    ),
    "no source of a model of one's own": (
        ["model@acquisition=hf"], ["acquisition=: has no source; set acquisition.path, acquisition.package or acquisition.hub"]
    ),
    "key of no successor": (
        ["~model@successor", "evaluate_at=none", "successor.path=x"],
        ["successor.path=x: there is no successor; leave this out, or add model@successor=NAME"],
    ),
    "replay of nothing": (["replay=ids.jsonl"], ["replay=ids.jsonl: no such file or folder"]),
    "seed set of nothing": (["schedule.seed_set=ids.txt"], ["schedule.seed_set=ids.txt: no such file; give a file with one id a line"]),
    "negative seed": (["seed=-1"], ["seed=-1: must be"]),
    "negative single seed": (["seeds.model=-1"], ["seeds.model=-1: must be"]),
    "data path of nothing": (["dataset.path=no/where"], ["dataset.path=no/where: no such file or folder; it is read relative to"]),
    "no source of data": (["dataset.path=null", "dataset.package=null"], ["dataset=rotten_tomatoes: has no source; set dataset.path"]),
    "model path of nothing": (["successor.path=no/where"], ["successor.path=no/where: no such folder"]),
    "no source of the model": (
        ["successor.path=null", "successor.package=null", "successor.hub=null"],
        ["successor=minilm_l6: has no source"],
    ),
    "hash that is none": (["successor.sha256=abc"], ["successor.sha256=abc: must be 64 lower-case hex digits"]),
    "no layers": (["successor.num_hidden_layers=0"], ["successor.num_hidden_layers=0: must be at least 1"]),
    "no epochs": (["training.epochs=0"], ["training.epochs=0: must be at least 1"]),
    "warm-up over everything": (["acquisition.training.warmup=2"], ["acquisition.training.warmup=2.0: must be from 0 to 1"]),
    "unknown learner": (["successor.learner=svm"], ["successor.learner=svm: must be one of bilstm_crf, cnn, linear, lora, transformer"]),
    "no regularization": (["successor.regularization=0"], ["successor.regularization=0.0: must be at least 1e-09"]),
    "PLASM without a labeller": (["pseudo_labeling=plasm"], ["pseudo_labeler=null: plasm needs one; add model@pseudo_labeler=NAME"]),
    "a labeller without PLASM": (["model@pseudo_labeler=minilm_l6"], ["pseudo_labeler=minilm_l6: labels nothing under pseudo_labeling=none"]),
    "PLASM without a successor": (
        [*PLASM, "~model@successor", "evaluate_at=none"], ["successor=null: plasm needs one; add model@successor=NAME"]
    ),
    "PLASM at no cycle": ([*PLASM, "evaluate_at=none"], ["evaluate_at=none: leaves plasm nothing to do; set it to all or last"]),
    "key of no labeller": (
        ["pseudo_labeler.path=x"], ["pseudo_labeler.path=x: there is no pseudo-labeler; leave this out, or add model@pseudo_labeler=NAME"]
    ),
    "unknown pseudo-labels": ([*PLASM, "pseudo_labeling.labels=fuzzy"], ["pseudo_labeling.labels=fuzzy: must be one of hard, soft"]),
    "smoothing of soft labels": (
        [*PLASM, "pseudo_labeling=plasm_soft", "pseudo_labeling.smoothing=0.1"], ["pseudo_labeling.smoothing=0.1: is of hard labels"]
    ),
    "smoothing where there are no pseudo-labels": (
        ["pseudo_labeling.smoothing=1"], ["pseudo_labeling.smoothing=1.0: must be from 0 to 0.99; 0.1 is usual"]
    ),
    "limit of nothing": (
        ["dataset.limit.test=0"], ["dataset.limit.test=0: must be at least 1; set a number of examples, or null for all"]
    ),
    "no gold weight": ([*PLASM, "pseudo_labeling.gold_weight=0"], ["pseudo_labeling.gold_weight=0.0: must be at least 1e-06"]),
    "unknown filter": (
        [*PLASM, "pseudo_labeling.filters=[{by:trakin}]"],
        ["pseudo_labeling.filters[0].by=trakin: must be one of aum, confidence, knn, tracin, verifier; did you mean tracin?"],
    ),
    "unknown key of a filter": ([*PLASM, "pseudo_labeling.filters=[{by:tracin,dorp:0.1}]"], ["no such key"]),
    "a share over one to drop": (
        [*PLASM, "pseudo_labeling.filters=[{by:tracin,drop:2}]"],
        ["pseudo_labeling.filters[0].drop=2: must be a share from 0 to 1, adaptive or disagreement; try adaptive"],
    ),
    "disagreement with nobody": (
        [*PLASM, "pseudo_labeling.filters=[{by:aum,drop:disagreement}]"], ["pseudo_labeling.filters[0].drop=disagreement: aum contradicts nobody"]
    ),
    "a threshold of no confidence": (
        [*PLASM, "pseudo_labeling.filters=[{by:knn,threshold:0.5}]"], ["pseudo_labeling.filters[0].threshold=0.5: is of the confidence filter"]
    ),
    "no checkpoint": ([*PLASM, "pseudo_labeling.filters=[{by:tracin,checkpoints:0}]"], ["pseudo_labeling.filters[0].checkpoints=0: must be at least 1"]),
    "no neighbour": ([*PLASM, "pseudo_labeling.filters=[{by:knn,neighbours:0}]"], ["pseudo_labeling.filters[0].neighbours=0: must be at least 1"]),
    "several mistakes at once": (
        ["seed=x", "strategy=entropi", "schedule.cycels=3", "device=gpu", "schedule.step=-1"],
        ["seed=x: must be", "strategy=entropi: must be", "schedule.cycels=3: no", "device=gpu: is", "schedule.step=-1: must"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), CONFIG.values(), ids=CONFIG)
def test_config(al, tmp_path, monkeypatch, overrides, expected):
    def execute(*_):
        pytest.fail("was accepted")

    monkeypatch.setattr("al_bench.front.jobs.execute", execute)
    assert_refused(al("run", *overrides), expected)
    assert not any(tmp_path.iterdir())


def test_config_errors_come_before_torch(checkout, tmp_path):
    """In a process of its own: neither a mistake in a type nor one against a rule costs an import of torch."""
    script = """
import sys
from al_bench.front.cli import main
try:
    main()
finally:
    print(sorted({"torch", "transformers", "datasets", "mlflow"} & set(sys.modules)))
"""
    for override in ("schedule.cycles=abc", "schedule.cycles=-1"):
        done = subprocess.run(
            [sys.executable, "-c", script, "run", override],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "[]\n")
        assert done.stderr.startswith(f"al-bench: {override}: must be")


# ------------------------------------------------------------------------------------- a user's own option files


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


OPTIONS = {
    "unknown key": (
        "dataset/mine",
        "name: mine\ntask: classification\npth: /x\n",
        "dataset.pth: no such key (in the option file dataset/mine.yaml); did you mean dataset.path?",
    ),
    "wrong type": (
        "model@successor/mine",
        "name: mine\nhub: x/y\nnum_hidden_layers: three\n",
        "successor.num_hidden_layers=three: must be a whole number or null (in the option file model/mine.yaml)",
    ),
    "a list": ("dataset/mine", "- a\n", "dataset/mine.yaml: holds a list; write keys and values"),
    "no YAML": ("dataset/mine", "name: [a\n", "dataset/mine.yaml: line 2 is no valid YAML"),
    "no task": (
        "dataset/mine",
        "name: mine\npath: .\n",
        "dataset.task=???: has no value; set dataset.task=classification or tagging",
    ),
    "experiment outside the root": (
        "experiment/mine",
        "name: mine\n",
        "experiment=mine: no such key (in the option file experiment/mine.yaml); let the file begin with the line "
        "`# @package _global_`",
    ),
    "experiment with an unknown group": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /strategi: mnlp\n",
        "strategi: no such group (in the option file experiment/mine.yaml); did you mean strategy?",
    ),
    "experiment with an unknown option": (
        "experiment/mine",
        "# @package _global_\ndefaults:\n  - override /strategy: mnpl\n",
        "least_confidence, mahalanobis, mnlp, random; did you mean mnlp?",
    ),
    "experiment with an unknown key": (
        "experiment/mine",
        "# @package _global_\nschedule: {cycels: 3}\n",
        "schedule.cycels: no such key (in the option file experiment/mine.yaml); did you mean schedule.cycles?",
    ),
}


@pytest.mark.parametrize(("option", "content", "expected"), OPTIONS.values(), ids=OPTIONS)
def test_option_file(al, tmp_path, option, content, expected):
    group, _, name = option.partition("/")
    write(tmp_path / "mine" / group.partition("@")[0] / f"{name}.yaml", content)
    plus = "+" if group == "experiment" else ""
    assert_refused(al("run", "--config-dir", "mine", f"{plus}{group}={name}"), [expected])


# ------------------------------------------------------------------------------------ what only the data can tell


@dataclass
class Data:
    """Files of a corpus, and what the run says: a refusal, or a note where it works.

    mend: files after which the same command must work, since a refusal must leave nothing in its way
    """

    files: dict[str, str | bytes]
    expected: list[str]
    overrides: list[str] = field(default_factory=list)
    task: str = "classification"
    mend: dict[str, str | bytes] | None = None
    works: bool = False


ROWS = [(f"the plot was {word}", label) for word, label in [("good", "pos"), ("bad", "neg")] * 30]
GOOD = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
SENTENCES = "\n".join(f"Anna B-PER\nwas O\nin O\n{place} B-LOC\n" for place in ["Oslo", "Lima", "Berlin"] * 20)


def csv(rows: Sequence[tuple[str, str]], header: str = "text,label") -> str:
    return "".join(f"{line}\n" for line in [header, *(f"{text},{label}" for text, label in rows)])


def json_lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


DATA = {
    "empty folder": Data({}, ["holds no training split"], mend={"train.csv": GOOD}),
    "empty file": Data({"train.csv": ""}, ["train.csv is empty"], mend={"train.csv": GOOD}),
    "header only": Data({"train.csv": "text,label\n"}, ["train.csv has no examples"]),
    "header only in the test split": Data({"train.csv": GOOD, "test.csv": "text,label\n"}, ["test.csv has no examples"]),
    "blanks only": Data({"train.csv": csv([(" ", "pos"), ("  ", "neg")])}, ["train.csv has no examples"]),
    "latin-1 bytes": Data(
        {"train.csv": GOOD.replace("plot", "é").encode("latin-1")},
        ["train.csv is not utf-8; try dataset.encoding=cp1252"],
    ),
    "no text column": Data(
        {"train.csv": csv(ROWS, "review,label")},
        ["train.csv has no column text; it has review, label; set dataset.text=COLUMN"],
    ),
    "no label column": Data(
        {"train.csv": csv(ROWS, "text,class")},
        ["train.csv has no column label; it has text, class; set dataset.label=COLUMN"],
    ),
    "one class": Data({"train.csv": csv([ROWS[0]] * 40)}, ["the training split has one class only"]),
    "labels missing in places": Data({"train.csv": GOOD + "the film,\n"}, ["row 61 of train.csv has no label"]),
    "ragged rows": Data({"train.csv": GOOD + "good, but long,pos\n"}, ["row 61 of train.csv has 3 fields, its first line 2"]),
    "quote left open": Data({"train.csv": GOOD + '"the film,pos\n'}, ["train.csv is malformed in line"]),
    "double column": Data({"train.csv": csv(ROWS, "text,text")}, ["train.csv has two columns 'text'"]),
    "malformed JSON": Data({"train.jsonl": '{"text": "a", "label": \n'}, ["train.jsonl is malformed in line 1"]),
    "JSON of other things": Data({"train.jsonl": "[1, 2]\n"}, ["row 1 of train.jsonl is a int, not an object"]),
    "no Parquet": Data({"train.parquet": "PAR"}, ["train.parquet is no readable Parquet file"]),
    "two files for one split": Data(
        {"train.csv": GOOD, "train.jsonl": "{}"}, ["holds train.csv and train.jsonl; set dataset.splits.train=[FILE]"]
    ),
    "tagging data for classification": Data({"train.txt": SENTENCES}, ["set dataset.task=tagging"]),
    "more words than tags": Data(
        {"train.jsonl": json_lines({"tokens": ["a", "b"], "ner_tags": ["O"]})},
        ["row 1 of train.jsonl has 2 words and 1 tags"],
        task="tagging",
    ),
    "one column": Data({"train.txt": SENTENCES + "Anna\n"}, ["of train.txt has 1 columns ('Anna')"], task="tagging"),
    "bad tag names": Data({"train.txt": SENTENCES.replace("B-PER", "PER")}, ["'PER' is no tag"], task="tagging"),
    "tags as bare numbers": Data(
        {"train.jsonl": json_lines({"tokens": ["a"], "ner_tags": [3]})}, ["the tags are numbers (3)"], task="tagging"
    ),
    "no entity": Data({"train.txt": "the O\nfilm O\n\n" * 20}, ["no entity, only O"], task="tagging"),
    "filter on a column that is not there": Data(
        {"train.csv": GOOD}, ["dataset.where={source: x}: train.csv has no such column"], ["dataset.where={source: x}", "dataset.package=null"]
    ),
    "filter that keeps nothing": Data({"train.csv": GOOD}, ["train.csv has no examples"], ["+dataset.where.label=x"]),
    "seed set that takes the whole pool": Data(
        {"train.csv": GOOD, "test.csv": GOOD}, ["schedule.initial=60: takes 60 examples, but the training split has 60"], ["schedule.initial=60"]
    ),
    "limit that leaves one class": Data(
        {"train.csv": csv([ROWS[0]] * 58 + [ROWS[1]] * 2)},
        ["the training split has one class only; check dataset.label and dataset.where or raise dataset.limit.train"],
        ["dataset.limit.train=4", "schedule.initial=2", "schedule.step=2"],
    ),
    "layers that are not there": Data(
        {"train.csv": GOOD}, ["num_hidden_layers=3"], ["successor.num_hidden_layers=3"]
    ),
    "longer than the positions": Data(
        {"train.csv": GOOD}, ["successor.max_length=65: tiny has 64 positions"], ["successor.max_length=65"]
    ),
    "test labels unseen in training": Data(
        {"train.csv": GOOD, "test.csv": csv([*ROWS[:10], ("the film", "other")])},
        ["note: labels of test that no training example has: other"],
        works=True,
    ),
    "words that vanish in tokenisation": Data(
        {"train.txt": SENTENCES.replace("in O", "\u200b O"), "test.txt": SENTENCES + "\n\u200b O\n\u00ad O\n"},
        ["cycle 1/1"],
        task="tagging",
        works=True,
    ),
    "pool smaller than the query": Data(
        {"train.csv": GOOD, "test.csv": GOOD}, ["60 labelled"], ["schedule.initial=50", "schedule.step=40"], works=True
    ),
    "limit larger than the split": Data({"train.csv": GOOD}, ["48 train"], ["dataset.limit.train=999"], works=True),
    "seed set of one class": Data(
        {"train.csv": csv([ROWS[0]] * 50 + [ROWS[1]])}, ["cycle 1/1"], ["schedule.initial=2"], works=True
    ),
    "rows with no words": Data({"train.csv": GOOD + " ,pos\n"}, ["note: dropped 1 of 61 examples"], works=True),
    "no test split": Data({"train.csv": GOOD}, ["note: no test split in train.csv: cut 12 of 60 examples"], works=True),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA.values(), ids=DATA)
def test_data(al, request, tmp_path, case):
    kind = "quick_run" if case.task == "classification" else "quick_tagging_run"
    words = request.getfixturevalue(kind)
    if any("dataset.where" in word for word in case.overrides):  # onto null no mapping can be put
        words = [word for word in words if word != "dataset.where=null"]
    command = ["run", *words, f"dataset.path={tmp_path / 'mine'}", *case.overrides]
    (tmp_path / "mine").mkdir()
    for name, content in case.files.items():
        write(tmp_path / "mine" / name, content)
    done = al(*command)
    if case.works:
        assert done.code == 0, done.err
        assert case.expected[0] in done.out
    else:
        assert_refused(done, case.expected)
    if case.mend:
        for name, content in case.mend.items():
            write(tmp_path / "mine" / name, content)
        assert al(*command).code == 0


# ----------------------------------------------------------------- ids, weights, devices, disks, tracking servers

IDS = {
    "id outside": ("0\n120\n", "holds id 120, but the training split has ids 0 to 119"),
    "negative id": ("-1\n", "holds id -1, but the training split has ids 0 to 119"),
    "id twice": ("3\n4\n3\n", "holds id 3 twice; list every id once"),
    "words": ("one\ntwo\n", "cannot be read as whole numbers"),
    "nothing": ("", "holds no id; write ids from 0 to 119, one a line"),
    "other bytes": (b"\xff\xfe", "cannot be read as whole numbers"),
}


@pytest.mark.parametrize(("content", "expected"), IDS.values(), ids=IDS)
def test_seed_set(al, quick_run, tmp_path, content, expected):
    write(tmp_path / "ids.txt", content)
    done = al("run", *quick_run, "schedule.seed_set=ids.txt")
    assert_refused(done, [expected])
    assert "schedule.seed_set=" in done.err


REPLAYS = {
    "id outside": ("[0, 1]\n[120]\n", "holds id 120, but the training split has ids 0 to 119"),
    "id twice": ("[0, 1]\n[1]\n", "holds id 1 twice"),
    "no JSON": ("[0, 1]\n0 1\n", "line 2 is not JSON"),
    "no list": ("5\n", "line 1 is not a list of whole numbers"),
    "fractions": ("[0.5]\n", "line 1 is not a list of whole numbers"),
    "nothing": ("", "holds no line"),
    "other bytes": (b"\xff\xfe[1]", "ids.jsonl"),
}


@pytest.mark.parametrize(("content", "expected"), REPLAYS.values(), ids=REPLAYS)
def test_replay(al, quick_run, tmp_path, content, expected):
    write(tmp_path / "ids.jsonl", content)
    done = al("run", *quick_run, "replay=ids.jsonl")
    assert_refused(done, [expected])
    assert "replay=" in done.err


def test_a_mended_replay_runs(al, quick_run, tmp_path):
    write(tmp_path / "ids.jsonl", "[0, 1, 120]\n")
    assert al("run", *quick_run, "replay=ids.jsonl").code == 1
    write(tmp_path / "ids.jsonl", "[0, 1, 2]\n")
    done = al("run", *quick_run, "replay=ids.jsonl")
    assert done.code == 0, done.err


def test_model_without_weights(al, quick_run, tiny_model, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    command = ["run", *quick_run, f"successor.path={bare}"]
    assert_refused(al(*command), ["has no model.safetensors"])
    for path in tiny_model.iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    assert al(*command).code == 0


def test_model_with_other_weights(al, quick_run):
    wrong = "0" * 64
    done = al("run", *quick_run, f"acquisition.sha256={wrong}")
    assert_refused(done, [f"acquisition.sha256={wrong}: "])
    assert "set acquisition.sha256=null" in done.err
    assert al("run", *quick_run).code == 0


def test_damaged_weights(al, quick_run, tiny_model, tmp_path):
    for path in tiny_model.iterdir():
        write(tmp_path / "damaged" / path.name, path.read_bytes()[:1000])
    assert_refused(al("run", *quick_run, "acquisition.path=damaged"), ["damaged: model.safetensors cannot be loaded"])


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_device_that_is_not_here(al, quick_run, monkeypatch, device):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert_refused(al("run", *quick_run, f"device={device}"), [f"device={device}: this machine has"])


def test_a_device_with_too_little_memory(al, quick_run, monkeypatch):
    """What was finished is kept, and the line says how to go on."""
    import torch

    from al_bench.learners.transformer import TransformerLearner

    def large(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB. GPU 0 has ...")

    with monkeypatch.context() as patched:
        patched.setattr(TransformerLearner, "fit", large)
        refused = al("run", *quick_run, "device=cpu")
    assert_refused(refused, ["device=cpu: it has not enough memory (CUDA out of memory); lower training.batch_size"])
    assert al("run", *quick_run, "device=cpu").code == 0


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/al-bench", "/dev/null/runs"])
def test_output_that_cannot_be_written(al, quick_run, tmp_path, place):
    """As root, permissions stop nobody; a file in the folder's place does, and so does /proc."""
    write(tmp_path / "file", "mine")
    done = al("run", *quick_run, f"output_dir={place}")
    assert_refused(done, ["set output_dir to a folder that can be written"])
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("longest", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1000, 3000)), 2000])
def test_full_disk(al, quick_run, checkout, tmp_path, longest):
    """In a process that may write no longer file: one line, and with room the same command works."""
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({longest}, {longest}))
from al_bench.front.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, "run", *quick_run],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(LINES_ONLY)
    assert "File too large; make room, then the same command continues" in lines[0]
    assert al("run", *quick_run).code == 0


def test_unreachable_tracking_server(al, quick_run, tmp_path):
    """The run finishes, says so once, and soon."""
    began = time.perf_counter()
    done = al("run", *quick_run, "tracking=http://localhost:9")
    assert done.code == 0, done.err
    assert (done.out + done.err).count("tracking to http://localhost:9 failed") == 1
    assert "Traceback" not in done.out + done.err
    assert json.loads(next(tmp_path.rglob("status.json")).read_text())["state"] == "finished"
    assert time.perf_counter() - began < 60
