"""Each kind of the paper's blocks, run to its end through the command line with tiny models on tiny data."""

import json

import pytest

from al_bench.ledger.ledger import Ledger

KINDS = {
    "ag_news/no_mismatch": 6,
    "ag_news/no_mismatch_mahalanobis": 1,
    "ag_news/random": 6,
    "ag_news/ceilings": 6,
    "ag_news/asm_distilbert": 3,
    "ag_news/asm_mahalanobis": 1,
    "ag_news/plasm": 1,
    "ag_news/plasm_ups": 1,
    "ag_news/plasm_threshold": 1,
    "ag_news/plasm_fixed_shares": 5,
    "ag_news/plasm_filters": 5,
    "ag_news/ups": 2,
    "ag_news/ups_grid": 9,
    "ag_news/subsampling": 2,
    "conll2003/no_mismatch": 2,
    "conll2003/random": 2,
    "conll2003/ceilings": 2,
    "conll2003/asm_electra": 1,
    "conll2003/plasm": 1,
    "conll2003/plasm_ups": 1,
    "conll2003/plasm_fixed_shares": 5,
    "conll2003/plasm_filters": 5,
    "conll2003/ups": 2,
    "conll2003/subsampling": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("block", KINDS)
def test_a_block_runs_tiny(al, tiny_model, review_folder, conll_folder, tmp_path, block):
    tagging = block.startswith("conll2003")
    words = [f"+experiment=paper/{block}", f"dataset.path={conll_folder if tagging else review_folder}"]
    roles = ["acquisition", "successor", *(["pseudo_labeler"] if "plasm" in block else [])]
    for role in roles:
        words += [f"{role}.path={tiny_model}", f"{role}.max_length=32"]
    words += ["training.epochs=1", "training.min_steps=0", "seed=1", "tracking=none", "device=cpu", "precision=float32"]
    if "ceilings" not in block:
        words += ["schedule.initial=0.2", "schedule.step=0.1", "schedule.cycles=1", "evaluate_at=last"]
    done = al("run", *words)
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/sweeps/*/summary.json")
    jobs = json.loads(path.read_text())
    assert [job["state"] for job in jobs] == ["finished"] * KINDS[block]
    for job in jobs:
        last = Ledger(tmp_path / job["directory"] / "ledger.jsonl").read()[-1]
        assert last["successor"]["f1" if tagging else "accuracy"] >= 0
        assert (last["pseudo"] is not None) == ("plasm" in block)
        assert (last["acquisition"] is None) == ("random" in block or "ceilings" in block)
