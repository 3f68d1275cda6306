"""Mistakes in config values, drawn by Hypothesis, through the real entry point: one clear line each, or it works."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from al_bench.config.schema import RunConfig

# What people type by mistake, and what breaks parsers: as words of a command line.
VALUES = (
    "", "null", "true", "false", "-1", "0", "1", "0.5", "-0.5", "1e308", "1e-400", "inf", "-inf", "nan", "10**30",
    "100000000000000000000000000", "0x10", "1_000", "007", "[]", "[1]", "[-1]", "[a,b]", "[[1]]", "[null]", "{}",
    "{a:1}", "{a:{b:1}}", "all", "none", "last", "auto", "undefined", "utf-16", "rot13", "idna", "base64", "cuda:99",
    "..", ".", "~", "~nobody/x", "/", "/proc/x", "/dev/null", "sqlite:////proc/x.db", "http://", "://", "a://b",
    "__main__:x", "os:x", ":", "a:b:c", "a b", "a%b", "a?b", "a#b", "ü", "日本", "${seed}", "${nope}", "${nope:}",
    "${oc.env:NOPE}", "${oc.env:HOME}", "\\${seed}", "'", '"', "'a", "a=b", "=", "$", "\\", "[", "{", "(", "!!python/name:os.system",
    "a\tb", "a\nb", "x" * 300, "x" * 5000, "\x7f", "\u202e", "\ufeff", "glob(*)", "range(1,3)", "interval(0,1)",
    "choice(1,2)", "shuffle(1,2)", "int(1.5)", "str(1)", "float(x)", "sort(2,1)", "extend_list(1)",
)  # fmt: skip
PREFIXES = ("", "", "", "", "", "+", "++", "~")


def keys(schema: Any = RunConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a run's config, groups of keys included."""
    for field in fields(schema):
        yield prefix + field.name
        hint = get_type_hints(schema)[field.name]
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                yield from keys(part, f"{prefix}{field.name}.")


KEYS = tuple(keys())
# As root, a run could write there.
NOT_FOR_OUTPUT = ("/", "/proc/x", "/dev/null", "")
mistakes = (
    st.tuples(st.sampled_from(PREFIXES), st.sampled_from(KEYS), st.sampled_from(VALUES))
    .map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}")
    .filter(lambda word: not any(word.endswith(f"output_dir={value}") for value in NOT_FOR_OUTPUT))
)


def assert_clear(done: Any) -> None:
    """It worked, or every line on stderr is a message of ours."""
    assert "Traceback" not in done.err + done.out
    if done.code != 0:
        lines = done.err.splitlines()
        assert lines, "it failed without a word"
        assert all(line.startswith("al-bench: ") for line in lines), done.err


def check(al: Any, run: list[str], words: list[str]) -> None:
    assert_clear(al("run", *run, *words))


@pytest.fixture
def least_run(tiny_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One fit of two steps: what is no mistake after all is over in a moment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return [*tiny_run, "schedule.cycles=0", "training.epochs=1", "training.batch_size=16", "progress=plain"]


def fuzz(examples: int) -> Any:
    phases = (Phase.explicit, Phase.generate)
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, phases=phases, suppress_health_check=checks, derandomize=True)


@fuzz(30)
@given(words=st.lists(mistakes, min_size=1, max_size=2))
@example(words=["dataset.split_seed=-1"])
@example(words=["rescore=inf"])
@example(words=["rescore=1e308"])
@example(words=["dataset.label_names=${seed}"])
@example(words=["dataset.package=__main__:x", "dataset.path=null"])
@example(words=["schedule.cycles=10**30"])
@example(words=["dataset.encoding=undefined"])
@example(words=["training.dev_share=${oc.env:NOPE}", "training.dev_share=null"])
def test_some_mistakes(al, least_run, words):
    check(al, least_run, words)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@fuzz(2000)
@given(words=st.lists(mistakes, min_size=1, max_size=3))
def test_many_mistakes(al, least_run, words):
    check(al, least_run, words)
