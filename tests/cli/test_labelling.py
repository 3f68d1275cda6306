"""Runs whose labels are not gold, through the command line: learned, counted, paid, resumed."""

from pathlib import Path

import numpy as np
import pytest
from made import decided

from al_bench.config.schema import DatasetConfig
from al_bench.data.loading import load_corpus
from al_bench.learners.transformer import TransformerLearner
from al_bench.ledger.ledger import Ledger

PRICED = ["oracle.price.example=0.25", "oracle.price.word=0.01", "price.hour=36", "price.currency=EUR"]


def records(outputs: Path, name: str = "ledger") -> list[dict]:
    (path,) = outputs.glob(f"runs/test/*/{name}.jsonl")
    return Ledger(path).read()


def test_a_noisy_oracle_is_counted_and_paid(al, quick_run, review_folder, tmp_path):
    words = [*quick_run, "oracle=noisy", "oracle.params.rate=0.4", "oracle.params.abstain=0.3", *PRICED]
    done = al("run", *words, "schedule.cycles=2")
    assert done.code == 0, done.err
    assert "note: oracle=noisy abstains from" in done.out
    (path,) = tmp_path.glob("outputs/trajectories/*/ledger.jsonl")
    cycles, lines = Ledger(path).read(), records(tmp_path / "outputs")
    corpus = load_corpus(DatasetConfig(task="classification", path=str(review_folder)))
    ids, labels = np.array(cycles[0]["seeded"]), np.load(path.parent / "seed_labels" / "cycle_0000.npy")
    for cycle, line in zip(cycles, lines, strict=True):
        known = ids[labels >= 0]
        assert line["asked"] == len(ids)
        assert line["answered"] == line["labelled"] == len(known) < len(ids)
        assert line["right"] == (labels == corpus.train.labels[ids]).sum() < len(known)
        assert line["money_labels"] == pytest.approx(0.25 * len(known) + 0.01 * corpus.train.words[known].sum())
        if cycle["queried"]:
            ids = np.append(ids, cycle["queried"])
            labels = np.append(labels, np.load(path.parent / "labels" / f"cycle_{cycle['cycle']:04d}.npy"))
    for line in records(tmp_path / "outputs", "costs"):
        spent = sum(seconds for phase, seconds in line["seconds"].items() if not phase.endswith("evaluate"))
        assert line["money_machine"] == pytest.approx(spent * 36 / 3600)


def test_without_prices_no_money_is_counted(al, quick_run, tmp_path):
    assert al("run", *quick_run).code == 0
    lines = records(tmp_path / "outputs")
    assert [line["money_labels"] for line in lines] == [None] * len(lines)
    assert all(line["asked"] == line["answered"] == line["right"] == line["labelled"] for line in lines)
    assert not any("money_machine" in line for line in records(tmp_path / "outputs", "costs"))


def answers_of(folder: Path, answers: dict[int, str]) -> str:
    path = folder / "answers.csv"
    path.write_text("id,label\n" + "".join(f"{i},{label}\n" for i, label in answers.items()))
    return str(path)


def test_a_file_of_answers_counts_by_its_content(al, quick_run, review_folder, tmp_path):
    """With gold labels in it, it is as good as gold, and the same to the byte; other labels are another run."""
    corpus = load_corpus(DatasetConfig(task="classification", path=str(review_folder)))
    gold = {i: corpus.label_names[label] for i, label in enumerate(corpus.train.labels)}
    words = [*quick_run, "oracle=column", f"oracle.params.file={answers_of(tmp_path, gold)}"]
    assert al("run", *words, "output_dir=file").code == 0
    assert al("run", *quick_run, "output_dir=gold").code == 0
    one, two = (decided(tmp_path / name) for name in ("file", "gold"))
    assert sorted(one.values()) == sorted(two.values())
    again = al("run", *words, "output_dir=file")
    assert "already finished" in again.out
    answers_of(tmp_path, {**gold, 0: corpus.label_names[1 - corpus.train.labels[0]]})
    other = al("run", *words, "output_dir=file")
    assert "already finished" not in other.out
    assert len(list(tmp_path.glob("file/runs/test/*"))) == len(list(tmp_path.glob("file/trajectories/*"))) == 2


def test_another_column_of_the_source(al, quick_run, review_folder, tmp_path):
    path = review_folder / "train.csv"
    header, *rows = path.read_text().splitlines()
    labels = sorted({row.rpartition(",")[2] for row in rows})
    crowd = ["" if i % 4 == 0 else labels[0] if i % 8 == 1 else row.rpartition(",")[2] for i, row in enumerate(rows)]
    path.write_text("\n".join([f"{header},crowd", *(f"{row},{label}" for row, label in zip(rows, crowd, strict=True))]))
    done = al("run", *quick_run, "oracle=column", "dataset.answers=crowd", "schedule.initial=40")
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("outputs/trajectories/*/ledger.jsonl")
    (cycle, *_) = Ledger(path).read()
    said = [crowd[i] for i in cycle["seeded"]]
    assert cycle["seed_answers"]["abstained"] == said.count("") > 0
    numbers = [labels.index(label) if label else -1 for label in said]
    assert np.load(path.parent / "seed_labels" / "cycle_0000.npy").tolist() == numbers


@pytest.mark.parametrize("when", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_interrupted_with_abstentions_and_pseudo_labels(al, quick_run, tiny_model, tmp_path, interrupt_successor, when):
    words = [*quick_run, "oracle=noisy", "oracle.params={rate: 0.3, abstain: 0.3}", *PRICED, "schedule.cycles=2"]
    words += ["pseudo_labeling=plasm_knn", "model@pseudo_labeler=minilm_l6", f"pseudo_labeler.path={tiny_model}"]
    words += ["pseudo_labeler.sha256=null", "pseudo_labeler.max_length=32", "training.dev_share=0.2"]
    interrupt_successor(when + 3)
    assert al("run", *words, "output_dir=whole").code == 0
    assert al("run", *words, "output_dir=parts").code != 0 or when == 4
    assert al("run", *words, "output_dir=parts").code == 0
    assert decided(tmp_path / "whole") == decided(tmp_path / "parts")


def test_spans_with_mistakes(al, quick_tagging_run, tmp_path):
    done = al("run", *quick_tagging_run, "oracle=noisy_spans", "oracle.params.missed=0.5", "oracle.price.word=0.02")
    assert done.code == 0, done.err
    last = records(tmp_path / "outputs")[-1]
    assert last["right"] < last["answered"] == last["asked"]
    assert last["money_labels"] == pytest.approx(0.02 * last["words"])


def test_budgets_in_money(al, quick_run, tmp_path):
    budget = ["schedule.unit=money", "schedule.initial=4.5", "schedule.step=1.25"]
    words = [*quick_run, *budget, "oracle.price.example=0.25", "schedule.cycles=2"]
    plan = al("plan", *words)
    assert plan.code == 0, plan.err
    done = al("run", *words)
    assert done.code == 0, done.err
    lines = records(tmp_path / "outputs")
    assert [line["labelled"] for line in lines] == [18, 23, 28]
    assert [line["money_labels"] for line in lines] == [4.5, 5.75, 7.0]


def test_a_bad_file_of_second_answers_is_refused_before_any_fit(al, quick_run, tmp_path, monkeypatch):
    monkeypatch.setattr(TransformerLearner, "fit", lambda *_, **__: pytest.fail("a model was fitted"))
    words = [*quick_run, "oracle=noisy", "relabel=ask_gold", "relabel.oracle.name=column"]
    done = al("run", *words, f"+relabel.oracle.params.file={answers_of(tmp_path, {7000: 'pos'})}")
    assert done.code == 1
    assert "has the id 7000, but the training split has ids 0 to" in done.err, done.err


REFUSED = {
    "no such oracle": (["oracle.name=gould"], ["oracle=gould: must be one of column, gold"]),
    "no such parameter": (["oracle=noisy", "+oracle.params.rat=0.1"], ["did you mean"]),
    "rate": (["oracle=noisy", "oracle.params.rate=1.5"], ["oracle.params.rate=1.5: must be from 0 to 1"]),
    "kind": (["oracle=noisy_spans"], ["oracle=noisy_spans: does not label classification data; choose one of column"]),
    "no file": (["oracle=column", "oracle.params.file=x.csv"], ["oracle.params.file=", "cannot be read"]),
    "no answers": (["oracle=column"], ["oracle.params.file=null: says nowhere what it answers; set oracle.params.file="]),
    "no column": (["oracle=column", "dataset.answers=crowd"], ["dataset.answers=crowd: train.csv has no such column"]),
    "matrix": (["oracle=noisy_confusion", "oracle.params.matrix={x: {y: 0.2}}"], ["is no label of the corpus"]),
    "no matrix": (["oracle=noisy_confusion"], ["oracle.params.matrix=null: says nowhere what is mistaken for what; set"]),
    "price": (["oracle.price.word=-1"], ["oracle.price.word=-1.0: must be at least 0"]),
    "no end of money": (["oracle.price.example=inf"], ["oracle.price.example=inf: must be at least 0 and finite"]),
    "nobody's home": (
        ["oracle=column", "oracle.params.file=~nobody-here/x.csv"],
        ["oracle.params.file=~nobody-here/x.csv: no such home folder; write the whole path"],
    ),
    "hour": (["price.hour=-1"], ["price.hour=-1.0: must be at least 0"]),
    "money without a price": (["schedule.unit=money"], ["schedule.unit=money: is money, and a label costs nothing; set"]),
    "a budget of nothing": (
        ["schedule.unit=money", "oracle.price.example=1", "schedule.step=0.0"], ["schedule.step=0.0: must be positive"],
    ),
    "the same answer": (["relabel=ask"], ["relabel.action=ask: asks again, and oracle=gold would say the same; set relabel=none"]),
    "gold again": (["relabel=ask_gold"], ["relabel.oracle.name=gold: would say the same as oracle=gold; set relabel=none"]),
    "adaptive": (["relabel=drop", "relabel.filter.drop=adaptive"], ["relabel.filter.drop=adaptive: needs a labeller"]),
    "evidence": (["relabel=drop", "relabel.filter.by=knn"], ["relabel.filter.by=knn: needs pretrained", "one of aum, verifier"]),
    "no cycles": (["relabel=drop", "relabel.at=[x]"], ["relabel.at=['x']: must be a list of cycles, or all"]),
    "nobody to ask": (["relabel=ask_gold", "relabel.action=drop"], ["relabel.oracle=gold: is asked by relabel.action=ask"]),
    "open price": (
        ["relabel=ask_gold", "oracle=noisy", "oracle.price.example=1"],
        ["relabel.oracle.price.example=null: is open, and the first answers have a price"],
    ),
    "all of the money": (
        ["schedule.unit=money", "oracle.price.example=1", "schedule.initial=500.5"],
        ["schedule.initial=500.5: takes 500.5 money, but the training split has 120 and none would be left"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(al, quick_run, case, tmp_path):
    words, expected = REFUSED[case]
    done = al("run", *quick_run, *words)
    assert done.code == 1
    for part in expected:
        assert part in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert not list(tmp_path.glob("outputs/trajectories/*"))


@pytest.mark.parametrize("relabel", ["drop", "ask_gold"])
def test_labels_that_look_wrong_are_left_out_or_asked_for_again(al, quick_run, tmp_path, relabel, interrupt_successor):
    words = [*quick_run, "oracle=noisy", "oracle.params.rate=0.4", "oracle.price.example=0.1", f"relabel={relabel}"]
    words += ["relabel.filter.drop=0.25", "relabel.folds=2", "acquisition.num_hidden_layers=1"]
    words += ["relabel.oracle.price.example=2"] if relabel == "ask_gold" else []
    done = al("run", *words, "output_dir=whole")
    assert done.code == 0, done.err
    lines = records(tmp_path / "whole")
    (path,) = tmp_path.glob("whole/trajectories/*/ledger.jsonl")
    revised = [len(cycle["revised"]) for cycle in Ledger(path).read()]
    assert revised[0] == 3
    first = [12, 20]
    second = np.cumsum(revised) if relabel == "ask_gold" else np.zeros(2)
    assert [line["asked"] for line in lines] == [one + again for one, again in zip(first, second, strict=True)]
    money = [0.1 * one + 2 * again for one, again in zip(first, second, strict=True)]
    assert [line["money_labels"] for line in lines] == pytest.approx(money)
    kept = first if relabel == "ask_gold" else [one - gone for one, gone in zip(first, np.cumsum(revised), strict=True)]
    assert [line["labelled"] for line in lines] == kept
    assert all("relabel" in line["seconds"] for line in records(tmp_path / "whole", "costs"))
    interrupt_successor(2)
    assert al("run", *words, "output_dir=parts").code != 0
    assert al("run", *words, "output_dir=parts").code == 0
    assert decided(tmp_path / "whole") == decided(tmp_path / "parts")
