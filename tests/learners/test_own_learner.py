"""A learner from outside, in a run and in the rules; and what others know of learners without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bag_of_words
import numpy as np
import pytest
from fakes import changed, config_of
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from al_bench import plugins
from al_bench.config.catalog import listing
from al_bench.config.component_identity import model_identity
from al_bench.config.identity import fit_identity
from al_bench.config.resolution import resolve
from al_bench.config.rules import validate
from al_bench.config.schema import FilterConfig, ModelConfig, PseudoLabelingConfig, TrainingConfig
from al_bench.errors import UserError
from al_bench.learners.base import BasicLearner, FitSeeds, Learner, Unlabelled
from al_bench.learners.families import GIVES, LEARNERS, LearnerKind, fingerprint
from al_bench.planning.units import units

NAME = "bag_of_words:BagOfWords"
TEXTS = ["good film", "bad film", "great good plot", "awful plot", "film"]
CLASSES = np.array([1, 0, 1, 0, 1])


def words_of(tiny_run: list[str], *roles: str) -> list[str]:
    """The tiny run's overrides with the learner in these roles, which then have no encoder."""
    kept = [word for word in tiny_run if not word.startswith(tuple(f"{role}." for role in roles))]
    return [*kept, *(f"model@{role}={NAME}" for role in roles)]


def ledger(folder: Path) -> list[dict[str, Any]]:
    (path,) = (folder / "outputs" / "runs").glob("*/*/ledger.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_is_what_scikit_learn_computes() -> None:
    learner: Learner = LEARNERS[NAME].learner("successor", ModelConfig(), "classification", ("a", "b", "c"), None, "")
    model = learner.fit(Unlabelled(TEXTS), np.arange(4), CLASSES[:4], FitSeeds(1, 2, 0))
    vectors = TfidfVectorizer(token_pattern=r"\S+").fit(TEXTS[:4])
    expected = LogisticRegression(C=10.0).fit(vectors.transform(TEXTS[:4]), CLASSES[:4])
    probs = model.predict(Unlabelled(TEXTS), np.arange(5)).probs
    np.testing.assert_allclose(probs[:, :2], expected.predict_proba(vectors.transform(TEXTS)), atol=1e-6)
    assert (probs[:, 2] == 0).all()
    assert learner.prepare(Unlabelled(TEXTS)) == 0
    assert not learner.cut_off(Unlabelled(TEXTS)).any()
    assert learner.peak_memory() > 1e6


@pytest.mark.parametrize("roles", [("acquisition", "successor"), ("acquisition",)])
def test_a_run_in_each_role(roles: tuple[str, ...], al: Any, tiny_run: list[str], tmp_path: Path) -> None:
    words = words_of(tiny_run, *roles)
    outcome = al("run", *words)
    assert outcome.code == 0, outcome.err
    rows = ledger(tmp_path)
    assert [row["labelled"] for row in rows] == [12, 20, 28, 36]
    assert all(row[role]["accuracy"] > 0.4 for row in rows for role in roles)
    if len(roles) == 2:
        assert all(row["acquisition"] == row["successor"] for row in rows), "the fit is shared"
        (run,) = (tmp_path / "outputs" / "runs").glob("*/*BagOfWords*")
        again = al("run", *words)
        assert "already finished" in again.out
        assert al("plan", *words).code == 0
        assert al("tables", str(run.parent)).code == 0


def test_its_settings_are_typed_and_part_of_the_identity(al: Any, tiny_run: list[str], tmp_path: Path) -> None:
    words = words_of(tiny_run, "acquisition", "successor")
    for setting, expected in {
        "+acquisition.params.strong=1": "acquisition.params.strong=1: no such parameter; did you mean strength?",
        "acquisition.params.strength=much": "acquisition.params.strength=much: must be a number; the default is 10.0",
        "successor.params.strength=-1": "successor.params.strength=-1: must be at least 1e-06; 1 is usual",
    }.items():
        outcome = al("run", *words, setting)
        assert outcome.code == 1
        assert expected in outcome.err
    assert al("run", *words, "acquisition.params.strength=0.1", "schedule.cycles=1").code == 0
    (identity,) = (tmp_path / "outputs" / "trajectories").glob("*/identity.json")
    acquisition = json.loads(identity.read_text())["identity"]["acquisition"]
    code = LEARNERS.code(NAME)
    assert acquisition == {"learner": NAME, "params": {"strength": 0.1}, "code": code}
    assert fingerprint("acquisition", ModelConfig(learner=NAME)) == {"code": code}


BROKEN = {
    "on tagging": (
        {"dataset.task": "tagging"}, "acquisition.learner={NAME}: does not work on tagging; choose one of bilstm_crf, linear, lora, transformer"
    ),
    "with an encoder": (
        {"acquisition.hub": "some/model"}, "acquisition=fake: is an encoder, and acquisition.learner={NAME} reads none; set model@acquisition={NAME}"
    ),
    "embeddings": (
        {"strategy.name": "mahalanobis"},
        "strategy=mahalanobis: needs embeddings, which acquisition.learner={NAME} does not give; "
        "choose another one, or set acquisition.learner to one of cnn, linear, lora, transformer",
    ),
    "soft labels": ({"pseudo_labeling.labels": "soft"}, "pseudo_labeling.labels=soft: needs soft labels, which successor"),
    "smoothing": ({"pseudo_labeling.smoothing": 0.1}, "pseudo_labeling.smoothing=0.1: needs soft labels, which successor"),
    **{
        by: ({"pseudo_labeling.filters": [FilterConfig(by)]}, f"pseudo_labeling.filters[0].by={by}: needs {need}, which")
        for by, need in {"tracin": "influence", "aum": "margins", "knn": "pretrained"}.items()
    },
}  # fmt: skip


def own_config(**changes: Any) -> Any:
    own = ModelConfig(name="fake", learner=NAME)
    config = config_of(evaluate_at="all", successor=own)
    config.pseudo_labeling, config.pseudo_labeler = PseudoLabelingConfig("plasm"), own
    return changed(config, {"acquisition": own, "dataset.hub": "some/data", **changes})


@pytest.mark.parametrize("case", BROKEN)
def test_what_it_cannot_is_refused_by_a_rule(case: str) -> None:
    changes, expected = BROKEN[case]
    with pytest.raises(UserError) as caught:
        validate(own_config(**changes))
    line, *others = str(caught.value).splitlines()
    assert line.startswith(expected.replace("{NAME}", NAME))
    assert all("does not work on tagging" in other for other in others), "of the other roles"


def test_what_it_can_is_not_refused() -> None:
    for changes in ({}, {"pseudo_labeling.gold_weight": 2.0}, {"pseudo_labeling.filters": [FilterConfig("verifier")]}):
        validate(own_config(**changes))
    tagging = {"dataset.task": "tagging", "strategy.name": "random"}
    remedy = ModelConfig(name="fake", hub="some/model", learner="linear")
    validate(own_config(**{**tagging, "acquisition": remedy, "successor": remedy, "pseudo_labeler": remedy}))


def test_what_is_no_learner_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_module.py").write_text("import nothing_like_that\n")
    monkeypatch.syspath_prepend(tmp_path)
    cases = {
        "own_module:Mine": "learner=own_module:Mine: cannot be imported (ModuleNotFoundError: ",
        "collections:Counter": "learner=collections:Counter: is no learner (no class that is derived from al_bench.",
        "svm": "acquisition.learner=svm: must be one of bilstm_crf, cnn, linear, lora, transformer; ",
    }
    for name, expected in cases.items():
        with pytest.raises(UserError) as caught:
            validate(own_config(**{"acquisition.learner": name}))
        (line,) = str(caught.value).splitlines()
        assert line.startswith(expected)
    with pytest.raises(TypeError, match=r"gives=\['dreams'\], which nobody needs"):
        LearnerKind.of(BasicLearner, gives=("dreams",))
    with pytest.raises(TypeError, match=r"reads=\['epochs'\], which are no keys of a model"):
        LearnerKind.of(BasicLearner, reads=("max_length", "epochs", "training.dev_share"))


def test_changed_code_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(bag_of_words.__file__).read_text()
    digests = []
    monkeypatch.syspath_prepend(tmp_path)
    for text in (source, source + "\n# changed\n"):
        (tmp_path / "another_bag.py").write_text(text)
        sys.modules.pop("another_bag", None)
        digests.append(model_identity(ModelConfig(learner="another_bag:BagOfWords"))["code"])
    assert digests[0] != digests[1]


def test_a_registered_learner_reads_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default all keys that learners share, and no engine; those that it says it does not read are inert."""
    monkeypatch.setitem(plugins._given["learner"], "plain", BasicLearner)
    monkeypatch.setattr("al_bench.plugins.source_hash", lambda *_: "code")
    plain = ModelConfig(learner="plain", training=TrainingConfig(epochs=3))
    assert "plain" in list(LEARNERS)
    assert listing("model", None)["plain"].startswith("What a learner of your own can be derived from")
    assert model_identity(plain).keys() == {
        "learner", "params", "code", "num_hidden_layers", "max_length", "regularization", "training",
    }  # fmt: skip
    assert model_identity(ModelConfig(learner=NAME, max_length=9)) == model_identity(ModelConfig(learner=NAME))
    for engine in ("fast", "plain"):
        config = resolve(changed(own_config(), {"engine": engine, "strategy.name": "random"}))
        assert "engine" not in fit_identity(config, "float32", 0, "successor")


def test_a_plan_counts_no_epochs_that_it_has_not() -> None:
    config = resolve(changed(own_config(), {"dataset.train_examples": 100, "pseudo_labeling.name": "none"}))
    config.pseudo_labeler = None
    assert {unit.steps for unit in units(config, "float32", [0])} == {1.0}


def test_shipped_learners_are_known_without_torch() -> None:
    program = (
        "import sys\nfrom al_bench.learners.families import LEARNERS\n"
        "facts = [(kind.gives, kind.summary, kind.settings, kind.defaults) for kind in LEARNERS.shipped.values()]\n"
        "from al_bench.config import rules\n"
        "print(sorted({'torch', 'sklearn', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    for kind in LEARNERS.shipped.values():
        assert set(kind.gives) <= set(GIVES)
        assert issubclass(kind.learner, BasicLearner)
