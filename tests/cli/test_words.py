"""The words of a command line: options between overrides, patterns in sweeps, letters outside ASCII, the user's paths."""

import html
import json
import re
import shlex
from pathlib import Path

import pytest

from al_bench.front.cli import hydra_words


@pytest.fixture
def own_options(tmp_path: Path, review_folder: Path) -> Path:
    """A folder with a data set of one's own, in which the columns have names outside ASCII."""
    for split in ("train", "test"):
        path = review_folder / f"{split}.csv"
        path.write_text(path.read_text().replace("text,label", "Größe,label", 1))
    folder = tmp_path / "my options"
    (folder / "dataset").mkdir(parents=True)
    text = f"# mine\nname: tiny\ntask: classification\npath: {review_folder}\ntext: [Größe]\n"
    (folder / "dataset" / "mine.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("options", [["--cfg", "job", "-p", "seed"], ["--cfg=job", "--package", "seed"]])
def test_options_stand_anywhere(al, own_options, options):
    words = ["dataset=mine", "seed=3", "schedule.cycles=2"]
    for place in range(4):
        done = al(
            "run", *words[:place], "--config-dir", own_options, *words[place:2], *options, *words[max(place, 2) :]
        )
        assert (done.code, done.out.strip()) == (0, "3"), done.err


def test_info_takes_no_override_for_its_topic(al):
    done = al("run", "--info", "seed=3")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dataset.path=~/x y.csv", "dataset.path='~/x y.csv'"),
        ("dataset.text=[Größe, b]", "dataset.text=['Größe', b]"),
        ("dataset.text=['Größe',\"ü\"]", "dataset.text=['Größe',\"ü\"]"),
        ("dataset.where={a:ü}", "dataset.where={a:'ü'}"),
        ("tracking=sqlite:///ü.db", "tracking='sqlite:///ü.db'"),
        ("name=a=b", "name=a=b"),
        ("~strategy", "~strategy"),
    ],
)
def test_what_hydra_knows_in_quotes_only_is_quoted(word, expected):
    assert hydra_words([word]) == [expected]
    assert hydra_words([expected]) == [expected]


@pytest.mark.parametrize("column", ["Größe", "[Größe]", '["Größe"]', '"Größe"'])
def test_a_column_outside_ascii(al, own_options, quick_run, column):
    done = al("run", *quick_run, f"dataset.text={column}", "evaluate_at=none")
    assert done.code == 0, done.err


def test_a_pattern_in_a_sweep(al, quick_run, tmp_path):
    """A job that is refused is named as it is; all others run."""
    words = [*quick_run, "evaluate_at=none", "subsampling=none", "strategy=glob(m*)"]
    plan = al("plan", "-m", *words)
    assert "strategy=mnlp: does not work on classification" in plan.out
    assert "1 of 2 jobs refused" in plan.err
    done = al("run", "-m", *words)
    assert done.code == 1
    assert "job 1 (strategy=mnlp) failed: strategy=mnlp: does not work on classification" in done.err
    (path,) = tmp_path.glob("outputs/sweeps/*/summary.json")
    assert [row["state"] for row in json.loads(path.read_text())] == ["finished", "failed"]


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("strategy=glob(zz*)", "matches none; see `al-bench ls`"),
        ("rescore=interval(1,2)", "write rescore=range(0,1,0.1)"),
    ],
)
def test_a_sweep_without_jobs(al, tmp_path, command, word, expected):
    done = al(command, "-m", word)
    assert done.code == 1
    assert expected in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


def test_paths_start_where_the_command_was_given(al, quick_run, review_folder, tmp_path):
    words = [word for word in quick_run if not word.startswith("dataset.path")]
    words += [f"dataset.path={review_folder.name}", "evaluate_at=none", "hydra.job.chdir=true", "output_dir=out"]
    done = al("run", "-m", *words, "seed=1,2")
    assert done.code == 0, done.err
    assert al("run", *words, "seed=1").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"runs", "sweeps", "trajectories", "cache"}
    assert not list((tmp_path / "out").rglob("out"))


def test_the_home_folder(al, quick_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert al("run", *quick_run, "evaluate_at=none", "output_dir=~/x").code == 0
    assert (tmp_path / "home" / "x" / "runs").is_dir()
    assert not (tmp_path / "~").exists()


def test_suggested_commands_keep_ones_own_options(al, own_options, quick_run, tmp_path):
    """The command of a run, and the one that would fill a gap, as the report prints them."""
    given = ("dataset", "evaluate_at")
    words = [word for word in quick_run if not word.startswith(given)]
    command = ["run", "--config-dir", own_options.name, *words, "dataset=mine", "evaluate_at=last", "strategy=entropy"]
    done = al(*command)
    assert done.code == 0, done.err
    assert al("report").code == 0
    page = html.unescape((tmp_path / "outputs" / "report.html").read_text())
    commands = dict.fromkeys(re.findall(r"al-bench run [^<\n]+", page))
    assert len(commands) > 2
    for line in commands:
        words = shlex.split(line)[1:]
        assert Path(words[words.index("--config-dir") + 1]).absolute() == own_options
        assert "dataset=mine" in words
        planned = al("plan", *words[1:])
        assert planned.code == 0, planned.err
    assert (
        "already finished"
        in al(
            *shlex.split(next(line for line in commands if "strategy=entropy" in line and "evaluate_at=last" in line))[
                1:
            ]
        ).out
    )
    random = next(line for line in commands if "strategy=random" in line)
    done = al(*[re.sub(r"^seed=.*", "seed=42", word) for word in shlex.split(random)[1:] if word != "-m"])
    assert done.code == 0, done.err
    assert "cycle 1/1" in done.out
