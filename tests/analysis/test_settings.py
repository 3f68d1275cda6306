"""Which runs are one method, what it is called, and with which one it is compared."""

import pytest
from sweeps import SWEEP, varied
from synthetic import contrasts_of, settings_of, write_runs

from al_bench.analysis.contrasts import ceiling_of, gains, random_of, unlabelled_of, unmismatched_of, unsubsampled_of


def only(tmp_path):
    (setting,) = settings_of(tmp_path)
    return setting, {method.label: method for method in setting.methods}


def test_seeds_make_a_method(tmp_path):
    write_runs(tmp_path, SWEEP)
    setting, methods = only(tmp_path)
    assert list(methods) == ["least_confidence"]
    assert methods["least_confidence"].seeds == (1, 2, 3)
    assert setting.scores(methods["least_confidence"]).shape == (3, 4)
    assert setting.shared == "`minilm_l3` selects, where a model does; `minilm_l6` is trained on what was selected"


def test_how_far_a_run_went_is_no_other_method(tmp_path):
    write_runs(tmp_path, varied("seed=1,2"))
    write_runs(tmp_path, varied("seed=2,3", "schedule.cycles=2", "evaluate_at=last"))
    setting, methods = only(tmp_path)
    assert methods["least_confidence"].seeds == (1, 2, 3)
    # Seed 2 was run twice: the longer run counts.
    assert setting.scores(methods["least_confidence"]).notna().sum().tolist() == [2, 2, 3, 2]


def test_of_two_runs_the_one_that_says_more_counts(tmp_path):
    write_runs(tmp_path, varied("seed=1", "evaluate_at=last"))
    write_runs(tmp_path, varied("seed=1"))
    write_runs(tmp_path, varied("seed=1", "evaluate_at=[0,3]"))
    setting, methods = only(tmp_path)
    assert setting.scores(methods["least_confidence"]).shape == (1, 4)


def test_other_data_are_another_setting(tmp_path):
    write_runs(tmp_path, varied("seed=1"))
    write_runs(tmp_path, varied("seed=1", "dataset=conll2003", "strategy=mnlp"))
    assert [setting.title for setting in settings_of(tmp_path)] == ["conll2003", "trec6"]


def test_labels_say_what_differs(tmp_path):
    write_runs(tmp_path, varied("subsampling=none,ups", "seed=1"))
    write_runs(tmp_path, varied("subsampling=ups", "subsampling.gamma=0.3", "seed=1"))
    write_runs(tmp_path, varied("strategy=random", "seed=1"))
    write_runs(tmp_path, varied("strategy=random", "schedule.initial=1.0", "schedule.cycles=0", "seed=1"))
    write_runs(tmp_path, varied("pseudo_labeling=plasm", "model@pseudo_labeler=minilm_l6", "seed=1"))
    setting, methods = only(tmp_path)
    assert list(methods) == [
        "everything labelled",
        "least_confidence",
        "least_confidence + ups (γ 0.1)",
        "least_confidence + ups (γ 0.3)",
        "least_confidence + plasm",
        "random",
    ]
    assert [m.label for m in setting.acquirers()] == list(methods)[1:4]


def test_several_models_are_named(tmp_path):
    write_runs(tmp_path, varied("model@acquisition=minilm_l3,minilm_l6", "strategy=entropy,breaking_ties", "seed=1"))
    write_runs(tmp_path, varied("model@successor=mpnet_base", "seed=1"))
    _, methods = only(tmp_path)
    assert "minilm_l3 · entropy → minilm_l6" in methods
    assert "minilm_l3 · least_confidence → mpnet_base" in methods


def test_models_that_acquire_one_after_the_other(tmp_path):
    """All of them are named, in order; a method is another one where another model follows, or when it begins."""
    write_runs(tmp_path, varied("seed=1,2"))
    write_runs(tmp_path, varied("seed=1,2", "+model@acquisition_from.2=minilm_l6"))
    write_runs(tmp_path, varied("seed=1", "+model@acquisition_from.3=minilm_l6"))
    write_runs(tmp_path, varied("seed=1", "+model@acquisition_from.2=minilm_l6", "acquisition_from.2.max_length=64"))
    setting, methods = only(tmp_path)
    assert list(methods) == [
        "minilm_l3",
        "minilm_l3, minilm_l6 from 2 [acquisition_from.2.max_length=256]",
        "minilm_l3, minilm_l6 from 2 [acquisition_from.2.max_length=64]",
        "minilm_l3, minilm_l6 from 3",
    ]
    assert {method.arm for method in setting.methods} == {"ASM"}
    assert [len(method.runs) for method in setting.methods] == [2, 2, 1, 1]


def test_a_mismatch_at_any_time_is_one(tmp_path):
    """The successor selects in the end, and another model selected before; or in both roles it is the same one."""
    write_runs(tmp_path, varied("seed=1", "+model@acquisition_from.2=minilm_l6"))
    longer = ("+model@acquisition_from.2=minilm_l6", "acquisition_from.2.training.epochs=3")
    write_runs(tmp_path, varied("seed=1", "model@acquisition=minilm_l6", *longer))
    setting, _ = only(tmp_path)
    assert sorted(method.arm for method in setting.methods) == ["ASM", "no mismatch"]


def test_what_is_called_the_same_is_told_apart(tmp_path):
    write_runs(tmp_path, varied("training.learning_rate=1e-4,2e-4", "seed=1"))
    _, methods = only(tmp_path)
    assert all("learning_rate=" in label for label in methods)
    assert len(methods) == 2


def test_selections_of_other_trainings_have_names_of_their_own(tmp_path):
    """So that no cell of who should select for whom is lost, and successors that share a selection share its name."""
    for epochs in (3, 4):
        write_runs(
            tmp_path, varied(f"acquisition.training.epochs={epochs}", "model@successor=minilm_l6,mpnet_base", "seed=1")
        )
    write_runs(tmp_path, varied("strategy=random", "model@successor=minilm_l6,mpnet_base", "seed=1"))
    setting, methods = only(tmp_path)
    names = [f"least_confidence [acquisition.training.epochs={epochs}]" for epochs in (3, 4)]
    assert [m.selection for m in setting.acquirers()] == names
    assert set(gains(setting)) == {(one, name) for one in names for name in ("minilm_l6", "mpnet_base")}
    assert f"{names[0]} → mpnet_base" in methods
    assert len(methods) == 6


def test_scoring_again_makes_another_method(tmp_path):
    """None of its runs is lost as a repetition of another's."""
    for rescore in (0, 2):
        write_runs(tmp_path, varied("strategy=least_confidence", f"rescore={rescore}"))
    write_runs(tmp_path, varied("strategy=random"))
    setting, methods = only(tmp_path)
    assert list(methods) == ["least_confidence", "least_confidence + rescore 2", "random"]
    assert [len(method.runs) for method in methods.values()] == [3, 3, 3]
    assert [m.label for m in setting.acquirers()] == list(methods)[:2]


def test_counterparts(rivals):
    setting, methods = only(rivals)
    asm, ups, plasm = (methods[f"minilm_l3{more}"] for more in ("", " + ups", " + plasm"))
    alone = methods["minilm_l6"]
    assert random_of(setting, asm) is methods["random"]
    assert unmismatched_of(setting, asm) is alone
    assert unmismatched_of(setting, ups) is None
    assert unsubsampled_of(setting, ups) is asm
    assert unlabelled_of(setting, plasm) is asm
    assert ceiling_of(setting, asm).label == "everything labelled"


def test_a_random_run_of_another_schedule_is_no_counterpart(tmp_path):
    write_runs(tmp_path, varied("seed=1"))
    write_runs(tmp_path, varied("seed=1", "strategy=random", "schedule.step=50"))
    setting, methods = only(tmp_path)
    assert random_of(setting, methods["least_confidence"]) is None


def test_pairs_are_of_common_seeds_at_the_last_common_budget(tmp_path):
    write_runs(tmp_path, varied("seed=1,2,3,4"))
    write_runs(tmp_path, varied("strategy=random", "seed=2,3,4,5", "evaluate_at=[0,2]"))
    setting, methods = only(tmp_path)
    (answer,) = contrasts_of(tmp_path).family("selection")
    assert (answer.contrast.seeds, answer.contrast.cycle) == ((2, 3, 4), 2)
    scores = 100 * setting.scores(methods["least_confidence"]).loc[[2, 3, 4], 2]
    assert answer.contrast.a.tolist() == scores.tolist()


def test_a_straggler_does_not_hold_the_others_back(tmp_path):
    folders = write_runs(tmp_path, SWEEP)
    write_runs(tmp_path, varied("strategy=random"))
    for name in ("ledger.jsonl", "costs.jsonl"):
        lines = (folders[0] / name).read_text().splitlines(keepends=True)
        (folders[0] / name).write_text(lines[0])
    (answer,) = contrasts_of(tmp_path).family("selection")
    assert (answer.contrast.cycle, answer.contrast.seeds) == (3, (2, 3))


def test_gains_over_random(tmp_path):
    def effect(row):
        return -0.03 if row["strategy"] == "random" else 0.0

    write_runs(tmp_path, SWEEP, effect, noise=1e-4)
    write_runs(tmp_path, varied("strategy=random"), effect, noise=1e-4)
    setting, _ = only(tmp_path)
    assert gains(setting)["least_confidence", "minilm_l6"].mean == pytest.approx(3.0, abs=0.1)
