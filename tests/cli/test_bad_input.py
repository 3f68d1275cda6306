"""What a user can get wrong, each through the real command line: one clear line a problem, or it works."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

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

KEYS_OF_STRATEGY = "the keys in strategy are aggregate, name"

CONFIG = {
    "unknown group": (["datset=ag_news"], ["datset=ag_news: no such key; did you mean dataset?"]),
    "unknown option": (
        ["strategy=entropi"],
        ["strategy=entropi: must be one of breaking_ties, entropy, least_confidence, mnlp, random; did you mean entropy?"],
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
        ["dataset.text=sentence"],
        ["dataset.text=sentence: must be a list such as [a,b]; write dataset.text=[sentence]"],
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
        ["model=minilm_l3: no such group; did you mean model@acquisition or model@successor?"],
    ),
    "model in a role of its own": (["+model@judge=minilm_l3"], ["judge: no such key"]),
    "experiment that is not there": (
        ["+experiment=dmeo"],
        ["experiment=dmeo: must be one of ag_news_distil, conll_distil, conll_distil_ups, debug, demo; did you mean demo?"],
    ),
    "experiment without its plus": (["experiment=demo"], ["add one: +experiment=demo"]),
    "not an override": (["seed"], ["seed: is no KEY=VALUE"]),
    "two equals signs": (["name=a=b"], ["name=a=b: is no KEY=VALUE"]),
    "bracket left open": (["dataset.text=[a"], ["dataset.text=[a: is no KEY=VALUE"]),
    "several values without -m": (["seed=1,2"], ["seed=1,2: holds several values; add -m"]),
    "interpolation of nothing": (["name=${nope}"], ["name=${nope}: Interpolation key 'nope' not found"]),
    "unknown option of the program": (["--sweep"], ["unrecognized arguments: --sweep; see `al-bench run --help`"]),
    "unknown kind of --cfg": (["--cfg", "jobs"], ["invalid choice: 'jobs'"]),
    "two modes at once": (["-m", "--cfg", "job"], ["Only one of --run, --multirun, --cfg"]),
    "config folder that is not there": (
        ["--config-dir", "mine"],
        ["/mine: no such folder; give the folder that holds your config groups"],
    ),
    "name with a slash": (["name=a/b"], ["name=a/b: names a folder; use letters"]),
    "unknown subsampling": (["subsampling.name=upps"], ["subsampling=upps: must be one of", ][:1]),
    "unknown device": (["device=gpu"], ["device=gpu: is no device; use auto, cpu, cuda, cuda:N or mps"]),
    "unknown precision": (["precision=fp16"], ["precision=fp16: must be one of auto, bfloat16, float32"]),
    "unknown progress": (["progress=bars"], ["progress=bars: must be one of auto, bar, none, plain; did you mean bar?"]),
    "tracking without an address": (["tracking=mlflow"], ['tracking=mlflow: must be "sqlite", "none" or an MLflow URI']),
    "unknown unit": (["schedule.unit=sentences"], ["schedule.unit=sentences: must be one of examples, words"]),
    "unknown task": (["dataset.task=ner"], ["dataset.task=ner: must be one of classification, tagging"]),
    "unknown format": (["dataset.format=xml"], ["dataset.format=xml: must be one of"]),
    "unknown scheme": (["dataset.scheme=bio"], ["dataset.scheme=bio: must be one of auto, bilou, iob1, iob2"]),
    "unknown encoding": (["dataset.encoding=utf-9"], ["dataset.encoding=utf-9: is no encoding Python knows"]),
    "no column": (["dataset.text=[]"], ["dataset.text=[]: names no column"]),
    "MNLP on classification": (
        ["strategy=mnlp"],
        ["strategy=mnlp: does not work on classification; choose one of breaking_ties, entropy, least_confidence, random"],
    ),
    "unknown aggregate": (["strategy.aggregate=median"], ["strategy.aggregate=median: must be one of max, mean, sum"]),
    "UPS for random draws": (["strategy=random", "subsampling=ups"], ["subsampling=ups: saves nothing"]),
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
    "negative cycles": (["schedule.cycles=-1"], ["schedule.cycles=-1: must be at least 0; it counts queries"]),
    "evaluation after the end": (["evaluate_at=[0,16]"], ["evaluate_at=[0, 16]: must hold cycles from 0 to schedule.cycles=15"]),
    "evaluation nowhere": (["evaluate_at=[]"], ["evaluate_at=[]: must hold cycles"]),
    "evaluation in words": (["evaluate_at=often"], ['evaluate_at=often: must be "all", "last", "none" or a list of cycles']),
    "no successor": (["~model@successor"], ["successor=null: is missing; add model@successor=NAME"]),
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
    "several mistakes at once": (
        ["seed=x", "strategy=entropi", "schedule.cycels=3", "device=gpu", "schedule.step=-1"],
        ["seed=x: must be", "strategy=entropi: must be", "schedule.cycels=3: no", "device=gpu: is", "schedule.step=-1: must"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), CONFIG.values(), ids=CONFIG)
def test_config(al, tmp_path, monkeypatch, overrides, expected):
    def execute(*_):
        pytest.fail("was accepted")

    monkeypatch.setattr("al_bench.task.execute", execute)
    assert_refused(al("run", *overrides), expected)
    assert not any(tmp_path.iterdir())
