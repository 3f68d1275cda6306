"""`al-bench check`: a line for each promise, and one line for what cannot be checked."""

import subprocess
import sys

import pytest
from outside import STRATEGY

BROKEN = STRATEGY.replace("predictions.probs.max(axis=1)", "np.nan_to_num(predictions.probs).max(axis=1)")


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A folder of configs with two modules beside them, neither in the path."""
    folder = tmp_path / "own_configs"
    folder.mkdir()
    (folder / "checked_strategy.py").write_text(
        STRATEGY + "\n\ndef plain(view, ids, rng):\n    return view.words[ids]\n"
    )
    (folder / "hiding_strategy.py").write_text(BROKEN)
    (folder / "mistaken.py").write_text(STRATEGY.replace("@by_score(", "@by_score(needs='predictions', "))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder
    for name in ("checked_strategy", "hiding_strategy"):
        sys.modules.pop(name, None)


def test_a_broken_promise_has_a_line_and_a_remedy(al, configs):
    kept = al("check", "checked_strategy:own", "--config-dir", configs)
    assert (kept.code, kept.out.count("  ok  "), kept.err) == (0, 13, "")
    assert kept.out.splitlines()[-1] == "all 13 kept"
    broken = al("check", "hiding_strategy:own", "--config-dir", configs)
    assert broken.code == 1
    assert broken.out.count("BROKEN") == 1
    assert "let NaN become NaN scores" in broken.out
    assert broken.err == "al-bench: check hiding_strategy:own: 1 broken; see docs/extending.md\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["entropie"], "check=entropie: no such component; did you mean entropy?"),
        (["random"], "check=random: may be one of several kinds (strategy, subsampling); add --kind strategy"),
        (["random", "--kind", "strategies"], "--kind=strategies: must be one of "),
        (["nowhere:own"], "nowhere:own: cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        (["checked_strategy:nothing"], "cannot be imported (AttributeError: "),
        (["checked_strategy:np"], "is no strategy (neither a component nor a function)"),
        (["checked_strategy:plain"], "check=checked_strategy:plain: is no component yet; decorate it as"),
        (
            ["checked_strategy:plain", "--kind", "strategy"],
            "takes (view, ids, rng), not (view, candidates, budget, rng)",
        ),
        (["mistaken:own"], "needs='predictions' is no tuple; write needs=('predictions',)); mend it, see docs/ext"),
        (["checked_strategy:own", "--kind", "metric"], "is no metric (neither a component nor a function)"),
        (["checked_strategy:own", "powr=2"], "params.powr=2: no such parameter; did you mean power?"),
        (["checked_strategy:own", "power=much"], "params.power=much: must be a number; the default is 1.0"),
        (["checked_strategy:own", "power"], "check: power is no setting; write KEY=VALUE"),
        (["csv", "--kind", "reader"], "path=null: a reader is tried on a file, or a folder; add path=FILE"),
        (["linear"], "check=linear: reads a model's files; say which: al-bench check linear path=FOLDER"),
    ],
)
def test_what_cannot_be_checked_is_one_line(al, configs, words, line):
    done = al("check", *words, "--config-dir", configs)
    assert done.code == 1
    assert line in done.err
    assert done.err.count("\n") == 1


def test_the_remedies_help(al):
    assert al("check", "entropy").code == 0
    assert al("check", "random", "--kind", "strategy").code == 0


def test_a_check_needs_no_torch():
    code = (
        "import sys\nfrom al_bench.front.check import check\ncheck('entropy', [], None, None)\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
