"""A stored config as a command line: what Hydra makes of it is the config again."""

import shlex
from dataclasses import asdict

import pytest
from parts import FILTERS
from sweeps import varied
from synthetic import jobs, write_job

from al_bench.analysis.runs import columns_of
from al_bench.analysis.suggest import (
    command,
    stored,
    with_everything_labelled,
    with_random_examples,
    without_mismatch,
    without_pseudo_labels,
    without_subsampling,
)
from al_bench.config.identity import run_identity

ONE = varied("seed=7").removeprefix("-m ")
COMMANDS = [
    "seed=7",
    "+experiment=demo seed=7",
    "+experiment=[conll_distil,debug] seed=7",
    "+experiment=paper/ag_news/plasm seed=7",
    "+experiment=paper/imdb/random model@successor=electra_base seed=7",
    f"{ONE} pseudo_labeling=plasm_threshold model@pseudo_labeler=minilm_l6",
    f"{ONE} pseudo_labeling=plasm_verifier model@pseudo_labeler=minilm_l6 model@verifier=minilm_l3",
    f"{ONE} pseudo_labeling=plasm model@pseudo_labeler=minilm_l6 pseudo_labeling.filters=[{{by:knn,drop:disagreement}}]",
    f"{ONE} subsampling=ups subsampling.gamma=0.3 subsampling.refresh=all",
    f"{ONE} training.epochs=3 successor.training.epochs=4 acquisition.training.learning_rate=1e-3",
    f"{ONE} dataset.limit.train=500 +dataset.where.lang=en dataset.text=[body,title] output_dir='my outputs'",
    f"{ONE} successor.path=. successor.sha256=null successor.name='my own' successor.max_length=48",
    f"{ONE} evaluate_at=[1,3] seeds.order=11 rescore=2 precision=float32",
    f"{ONE} evaluate_at=none",
    f"{ONE} strategy=bald strategy.params.draws=20 strategy.batch=power strategy.beta=2",
    f"{ONE} subsampling=seals subsampling.params.neighbours=50",
    f"{ONE} schedule.unit=money oracle.price.word=0.02",
    f"{ONE} oracle=noisy oracle.params.rate=0.3 oracle.price.example=0.5 price.hour=2 price.currency=EUR",
    f"{ONE} schedule=paper schedule.cycles=4 schedule.stratified=true",
    f"{ONE} relabel=drop oracle=noisy",
    f"{ONE} +model@acquisition_from.2=mpnet_base acquisition_from.2.training.epochs=3 acquisition_from.2.max_length=64",
    f"{ONE} relabel=ask_gold relabel.at=[1] oracle=noisy relabel.oracle.price.example=0.5",
]


def test_a_command_states_nothing_that_is_usual(tmp_path):
    words = ["al-bench", "run", "dataset=trec6", "strategy=entropy", "name=x", "seed=7"]
    folder = write_job(tmp_path, " ".join(words[2:]))
    stated = [word for word in shlex.split(command(stored(str(folder)), [7])) if not word.startswith("output_dir=")]
    assert stated == words


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_gives_the_config_back(tmp_path, line):
    folder = write_job(tmp_path, line)
    (expected,) = jobs(line)
    (again,) = jobs(command(stored(str(folder)), [expected.seed]))
    assert run_identity(again) == run_identity(expected)
    assert (again.name, again.output_dir) == (expected.name, expected.output_dir)


def test_filters_of_ones_own_and_more_metrics(tmp_path, write_module):
    write_module("my_filters", FILTERS)
    chosen = "{by:my_filters:small_margin,drop:0.1},{by:my_filters:mixed,params:{weight:0.25}}"
    line = (
        f"{ONE} pseudo_labeling=plasm model@pseudo_labeler=minilm_l6 pseudo_labeling.filters=[{chosen}] metrics=[nll]"
    )
    folder = write_job(tmp_path, line)
    (expected,) = jobs(line)
    (again,) = jobs(command(stored(str(folder)), [expected.seed]))
    assert run_identity(again) == run_identity(expected)
    assert columns_of(asdict(expected))["filters"] == "small_margin 0.1, mixed (weight=0.25) adaptive"


@pytest.mark.parametrize("line", [line for line in COMMANDS if "evaluate_at=none" not in line])
def test_what_is_changed_is_changed_alone(tmp_path, line):
    folder = str(write_job(tmp_path, line))
    (before,) = jobs(line)

    def made(change):
        (config,) = jobs(command(change(stored(folder)), [before.seed]))
        assert (config.dataset, config.seeds) == (before.dataset, before.seeds)
        return config

    random, everything = made(with_random_examples), made(with_everything_labelled)
    for config in (random, everything):
        assert (config.strategy.name, config.subsampling.name) == ("random", "none")
        assert (config.pseudo_labeling.name, config.pseudo_labeler) == ("none", None)
    assert (everything.schedule.initial, everything.schedule.cycles) == (1.0, 0)
    assert made(without_subsampling).subsampling.name == "none"
    assert made(without_pseudo_labels).pseudo_labeling.name == "none"
    alone = made(lambda config: without_mismatch(without_pseudo_labels(config)))
    assert alone.oracle == random.oracle == before.oracle
    if before.strategy.name != "random":
        assert alone.acquisition == alone.successor
    assert alone.successor.hub == before.successor.hub


def test_pseudo_labels_bring_their_own_training_and_take_it_away_again(tmp_path):
    """The paper trains a successor for 5 epochs on pseudo-labels, for 10 on gold: nobody chose the 5."""
    line = f"{ONE} pseudo_labeling=plasm model@pseudo_labeler=minilm_l6"
    (before,) = jobs(line)
    (after,) = jobs(command(without_pseudo_labels(stored(str(write_job(tmp_path, line)))), [7]))
    assert (before.successor.training.epochs, after.successor.training.epochs) == (5, 10)


@pytest.mark.parametrize("word", ["relabel=drop", "schedule.seed_by=alps", "strategy=entropy"])
def test_the_acquisition_model_is_stated_where_something_looks_at_it(tmp_path, word):
    """Random draws fit none, unless labels are looked at again or a strategy selects the seed set."""
    line = f"strategy=random model@acquisition=minilm_l6 {word}"
    (before,), (after,) = jobs(line), jobs(command(stored(str(write_job(tmp_path, line))), [7]))
    assert after.acquisition.hub == before.acquisition.hub
    assert after.acquisition.name == "minilm_l6"


@pytest.mark.parametrize("value", ["nonsense", "null", "[a]"])
def test_a_task_that_does_not_exist(al, tmp_path, value):
    """Of a config.yaml that somebody edited."""
    path = write_job(tmp_path, ONE) / "config.yaml"
    path.write_text(path.read_text().replace("task: classification", f"task: {value}", 1))
    done = al("report", "--output-dir", tmp_path, "--tracking", "none")
    assert "Traceback" not in done.err
    assert done.code == 0, done.err


def test_texts_that_hydra_would_take_for_something_else(tmp_path):
    words = ["seed=7", "successor.name='007'", "acquisition.name='null'", "dataset.text=['Größe',b]", "name='1e5'"]
    config = stored(str(write_job(tmp_path, shlex.join(words))))
    (again,) = jobs(command(config, [7]))
    assert (again.successor.name, again.acquisition.name, again.name) == ("007", "null", "1e5")
    assert again.dataset.text == ["Größe", "b"]
