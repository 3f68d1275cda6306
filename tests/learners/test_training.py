"""One fit, step by step, against numbers worked out by hand."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SEEDS, build

from al_bench.data.ragged import Ragged
from al_bench.learners.base import FitSeeds, Unlabelled
from al_bench.learners.engine import training
from al_bench.learners.engine.collation import Collator
from al_bench.learners.engine.encoding import encode
from al_bench.learners.engine.training import Examples, batch_loss, outputs, targets
from al_bench.learners.transformer import TransformerLearner

TEXTS = ["good film", "the plot was very bad, awful!", "great", "the the", "zebra-cross", "oslo oslo oslo", "a film"]
INPUTS = Unlabelled(TEXTS)
LABELS = np.array([1, 0, 1, 0, 0, 1, 1])
IDS = np.arange(7)


class Record:
    """What the optimizer of a fit was told, step by step: a learning rate per group, the gradient's norm."""

    def __init__(self) -> None:
        self.optimizers: list[torch.optim.Optimizer] = []
        self.rates: list[list[float]] = []
        self.norms: list[float] = []


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    seen = Record()

    class Spy(torch.optim.AdamW):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            assert not self.state, "nothing of an earlier fit"
            seen.optimizers.append(self)
            self.register_step_pre_hook(self.note)

        @staticmethod
        def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            seen.rates.append([group["lr"] for group in optimizer.param_groups])
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            seen.norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))

    monkeypatch.setattr(torch.optim, "AdamW", Spy)
    return seen


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids of every batch that went into a loss."""
    seen: list[list[int]] = []
    original = training.outputs

    def spy(network: Any, examples: Examples, collator: Collator) -> Any:
        seen.append(examples.ids.tolist())
        return original(network, examples, collator)

    monkeypatch.setattr(training, "outputs", spy)
    return seen


def test_every_example_once_per_epoch(bert: Path, batches: list[list[int]]) -> None:
    ids = np.array([6, 2, 5, 0, 3])
    model = build(bert, batch_size=2, epochs=4).fit(INPUTS, ids, LABELS[ids], SEEDS)
    assert len(batches) == model.costs.steps == 12
    epochs = [sorted(chain(*batches[3 * e : 3 * e + 3])) for e in range(4)]
    assert epochs == [[0, 2, 3, 5, 6]] * 4
    assert len({tuple(map(tuple, batches[3 * e : 3 * e + 3])) for e in range(4)}) > 1, "the order changes"


def test_what_a_fit_cost(bert: Path) -> None:
    """Sub-words with the two special ones, without padding, in every epoch."""
    learner = build(bert, batch_size=4, epochs=3)
    lengths = [len(learner.tokenizer(text)["input_ids"]) for text in TEXTS]
    ids = np.array([1, 4, 5])
    costs = learner.fit(INPUTS, ids, LABELS[ids], SEEDS).costs
    assert (costs.steps, costs.epochs, costs.batch_size, costs.examples) == (3, 3, 4, 9)
    assert costs.tokens == 3 * (lengths[1] + lengths[4] + lengths[5])


def test_the_learning_rate_by_hand(bert: Path, record: Record) -> None:
    """10 steps, the first 2 of them warm-up: up to the peak, then down in equal parts, 0 after the last."""
    build(bert, batch_size=4, epochs=5, warmup=0.2, learning_rate=8e-3).fit(INPUTS, IDS, LABELS, SEEDS)
    expected = [4e-3, 8e-3, 8e-3, 7e-3, 6e-3, 5e-3, 4e-3, 3e-3, 2e-3, 1e-3]
    np.testing.assert_allclose(record.rates, [[rate, rate] for rate in expected], rtol=1e-12)


@pytest.mark.parametrize(
    ("warmup", "expected"), [(0.0, [4, 4, 3, 2, 1]), (1.0, [0.8, 1.6, 2.4, 3.2, 4]), (0.3, [2, 4, 4, 8 / 3, 4 / 3])]
)
def test_other_warm_ups(warmup: float, expected: list[float], bert: Path, record: Record) -> None:
    build(bert, batch_size=7, epochs=5, warmup=warmup, learning_rate=4e-3).fit(INPUTS, IDS, LABELS, SEEDS)
    np.testing.assert_allclose([rates[0] for rates in record.rates], np.array(expected) * 1e-3)


def test_a_single_step_learns(bert: Path, record: Record) -> None:
    build(bert, batch_size=8, epochs=1, learning_rate=4e-3).fit(INPUTS, IDS, LABELS, SEEDS)
    assert record.rates == [[4e-3, 4e-3]]


def test_the_small_data_rule_reaches_the_fit(bert: Path, batches: list[list[int]]) -> None:
    """7 examples, 10 epochs, 40 steps: 4 a step, so the batch shrinks from 16 to 2."""
    model = build(bert, batch_size=16, min_batch_size=2, epochs=10, min_steps=40).fit(INPUTS, IDS, LABELS, SEEDS)
    assert (model.costs.batch_size, model.costs.epochs, model.costs.steps) == (2, 10, 40)
    assert max(map(len, batches)) == 2
    model = build(bert, batch_size=16, min_batch_size=4, epochs=10, min_steps=41).fit(INPUTS, IDS, LABELS, SEEDS)
    assert (model.costs.batch_size, model.costs.epochs, model.costs.steps) == (4, 21, 42)


def test_gradients_are_clipped(bert: Path, record: Record) -> None:
    build(bert, clip=1e-3).fit(INPUTS, IDS, LABELS, SEEDS)
    np.testing.assert_allclose(record.norms, 1e-3, rtol=1e-3)
    record.norms.clear()
    build(bert, clip=1e6).fit(INPUTS, IDS, LABELS, SEEDS)
    assert min(record.norms) > 0.1, "as they were"


def test_biases_and_norms_do_not_decay(bert: Path, record: Record) -> None:
    learner = build(bert, weight_decay=0.25)
    learner.fit(INPUTS, IDS, LABELS, SEEDS)
    (optimizer,) = record.optimizers
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(learner.network.named_parameters())
    assert len(decay) == len(named), "every parameter is trained"
    for name, parameter in named.items():
        flat = name.endswith(".bias") or "LayerNorm" in name
        assert decay[id(parameter)] == (0 if flat else 0.25), name
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    assert optimizer.defaults["eps"] == 1e-8


def test_one_step_by_hand(bert: Path) -> None:
    """The first AdamW step moves by the learning rate in the direction of the gradient's sign, and decays."""
    learner = build(bert, batch_size=8, epochs=1, learning_rate=1e-3, weight_decay=0.1, clip=1e9)
    network = learner.network
    learner.reset(SEEDS)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    batch = learner.tokenizer(TEXTS, padding=True, return_tensors="pt")
    loss = network.train()(**batch, labels=torch.from_numpy(LABELS)).loss
    gradients = dict(zip(before, torch.autograd.grad(loss, list(network.parameters())), strict=True))
    learner.fit(INPUTS, IDS, LABELS, SEEDS)
    for name, parameter in network.named_parameters():
        gradient = gradients[name]
        decay = 1 - 1e-3 * (0.1 if parameter.dim() > 1 else 0)
        expected = before[name] * decay - 1e-3 * gradient / (gradient.abs() + 1e-8)
        solid = gradient.abs() > 1e-4  # elsewhere the sign is rounding
        assert solid.any() or gradient.abs().max() < 1e-4, name
        torch.testing.assert_close(parameter.detach()[solid], expected[solid], rtol=0, atol=2e-6)


def test_dropout_comes_from_the_model_seed_and_the_cycle(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same head, same batches: what differs between two model seeds is dropout alone."""
    monkeypatch.setattr(TransformerLearner, "reset", lambda self, seeds: self.network.load_state_dict(self.pretrained))
    learner = build(bert, dropout=0.5)

    def fitted(seeds: FitSeeds) -> np.ndarray:
        probs = learner.fit(INPUTS, IDS, LABELS, seeds).predict(INPUTS, IDS).probs
        assert isinstance(probs, np.ndarray)
        return probs

    monkeypatch.setattr(training, "training_batches", lambda lengths, size, rng: iter([np.arange(len(lengths))]))
    first = fitted(SEEDS)
    np.testing.assert_array_equal(fitted(FitSeeds(model=1, order=99, cycle=0)), first)
    assert not np.array_equal(fitted(FitSeeds(model=2, order=2, cycle=0)), first)
    assert not np.array_equal(fitted(FitSeeds(model=1, order=2, cycle=1)), first)


def test_the_order_comes_from_the_order_seed_and_the_cycle(bert: Path, batches: list[list[int]]) -> None:
    learner = build(bert, batch_size=2)

    def order(seeds: FitSeeds) -> list[list[int]]:
        batches.clear()
        learner.fit(INPUTS, IDS, LABELS, seeds)
        return list(batches)

    first = order(SEEDS)
    assert order(FitSeeds(model=99, order=2, cycle=0)) == first
    assert order(FitSeeds(model=1, order=3, cycle=0)) != first
    assert order(FitSeeds(model=1, order=2, cycle=1)) != first


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dev_share", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_tiny_labelled_sets(task: str, dev_share: float, n: int, bert: Path, batches: list[list[int]]) -> None:
    inputs = INPUTS if task == "classification" else Unlabelled([text.split() for text in TEXTS])
    labels = LABELS if task == "classification" else Ragged.of([[1] * len(words) for words in inputs.inputs])
    ids = np.array([4, 1, 6])[:n]
    learner = build(bert, task, dev_share=dev_share, min_steps=5, batch_size=2, min_batch_size=1)
    model = learner.fit(inputs, ids, labels[ids], SEEDS)
    probs = model.predict(inputs, IDS).probs
    assert np.isfinite(probs.values if isinstance(probs, Ragged) else probs).all()
    assert model.costs.steps >= 1
    trained = set(chain(*batches))
    assert trained <= set(ids.tolist())
    assert len(trained) == (n if dev_share == 0 or n == 1 else {0.1: n - 1, 0.9: 1}[dev_share])


def toy(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    tell = np.array([["bad", "awful"], ["good", "great"]])
    fill = np.array(["the", "film", "was", "very", "plot"])
    texts = [" ".join(rng.permutation([*rng.choice(fill, 4), rng.choice(tell[label])])) for label in labels]
    return texts, labels


def test_a_separable_task_is_learnt(bert: Path) -> None:
    train, test = (toy(40, seed) for seed in (0, 1))
    learner = build(bert, epochs=15, batch_size=8, learning_rate=3e-3)
    model = learner.fit(Unlabelled(train[0]), np.arange(40), train[1], SEEDS)
    said = model.predict(Unlabelled(test[0]), np.arange(40)).labels()
    assert np.mean(said == test[1]) >= 0.9


def test_a_separable_tagging_task_is_learnt(family: Callable[[str], Path]) -> None:
    learner = build(family("distilbert"), "tagging", ("O", "B-X"), epochs=15, batch_size=8, learning_rate=3e-3)
    sentences = [text.split() for text in toy(60, 0)[0]]
    gold = Ragged.of([[int(word in ("good", "awful")) for word in words] for words in sentences])
    inputs = Unlabelled(sentences)
    model = learner.fit(inputs, np.arange(40), gold[np.arange(40)], SEEDS)
    said = model.predict(inputs, np.arange(40, 60)).labels()
    assert isinstance(said, Ragged)
    assert np.mean(said.values == gold[np.arange(40, 60)].values) >= 0.95


VANISHED = [["good", "\u200b", "film"], ["\u200b"], ["zzzz"] * 10, ["bad", "plot"]]
# 16 sub-words, [CLS] and [SEP] among them: three whole words of "zzzz" (4 pieces) and the start of a fourth.
SURVIVING = [[1, 0, 1], [0], [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1]]


def test_labels_of_lost_words_are_never_used(bert: Path) -> None:
    """Whatever gold says of words without a sub-word, the fit is the same; of the others, it is not."""
    learner = build(bert, "tagging", max_length=16)
    inputs, ids = Unlabelled(VANISHED), np.arange(4)

    def fitted(tags: list[list[int]]) -> np.ndarray:
        said = learner.fit(inputs, ids, Ragged.of(tags), SEEDS).predict(inputs, ids).probs
        assert isinstance(said, Ragged)
        return said.values

    plain = [[0] * len(words) for words in VANISHED]
    poisoned = [[2 * (1 - alive) for alive in row] for row in SURVIVING]
    np.testing.assert_array_equal(fitted(poisoned), fitted(plain))
    for sentence, word in ((0, 2), (2, 3), (3, 1)):
        changed = [list(row) for row in plain]
        changed[sentence][word] = 2
        assert not np.array_equal(fitted(changed), fitted(plain)), (sentence, word)


def test_targets_of_words_by_hand(bert: Path) -> None:
    encoded = encode(VANISHED, build(bert, "tagging").tokenizer, 16, None)
    labels = Ragged.of([[9, 8], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19], [5, 6, 7], [4]])
    examples = Examples(encoded, np.array([3, 2, 0, 1]), labels)
    assert targets(examples).tolist() == [9, 8, 10, 11, 12, 13, 5, 7]


def loss_of(learner: TransformerLearner, examples: Examples) -> float:
    logits, target = outputs(learner.network, examples, learner.collator)
    return batch_loss(logits, target, examples).item()


def test_a_batch_without_a_surviving_word(bert: Path) -> None:
    learner = build(bert, "tagging", batch_size=1)
    inputs = Unlabelled(VANISHED)
    model = learner.fit(inputs, np.array([1]), Ragged.of([[2]]), SEEDS)
    assert all(torch.isfinite(p).all() for p in learner.network.parameters())
    probs = model.predict(inputs, np.arange(4)).probs
    assert isinstance(probs, Ragged)
    assert np.isfinite(probs.values).all()
    learner.network.train()
    examples = Examples(learner.encoded(inputs), np.array([1]), Ragged.of([[2]]))
    assert loss_of(learner, examples) == 0


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_the_loss_is_the_mean_over_words(name: str, family: Callable[[str], Path]) -> None:
    """A padded batch: the same as every sentence alone, each word with the same weight."""
    learner = build(family(name), "tagging")
    network = learner.network.eval()
    sentences = [["good", "film"], ["zebra", "bad", "plot", "was"], ["oslo"]]
    tags = [[1, 0], [2, 0, 1, 1], [0]]
    encoded = encode(sentences, learner.tokenizer, 32, None)
    losses = []
    for words, gold in zip(sentences, tags, strict=True):
        batch = learner.tokenizer(words, is_split_into_words=True, return_tensors="pt")
        owners = batch.word_ids(0)
        logits = network(input_ids=batch["input_ids"], token_type_ids=batch.get("token_type_ids")).logits[0]
        for word, tag in enumerate(gold):
            losses.append(-logits[owners.index(word)].log_softmax(-1)[tag].item())
    ids = np.array([2, 0, 1])
    loss = loss_of(learner, Examples(encoded, ids, Ragged.of(tags)[ids]))
    assert loss == pytest.approx(np.mean(losses), abs=1e-5)


def test_the_loss_of_texts_is_the_mean_over_texts(bert: Path) -> None:
    learner = build(bert)
    network = learner.network.eval()
    losses = []
    for text, label in zip(TEXTS, LABELS, strict=True):
        logits = network(**learner.tokenizer(text, return_tensors="pt")).logits[0]
        losses.append(-logits.log_softmax(-1)[label].item())
    examples = Examples(learner.encoded(INPUTS), IDS, LABELS)
    assert loss_of(learner, examples) == pytest.approx(np.mean(losses), abs=1e-5)


def test_labels_are_not_written_to(bert: Path) -> None:
    """Gold is shared by all cycles; a read-only array will do."""
    labels = LABELS.copy()
    labels.flags.writeable = False
    build(bert, dev_share=0.3).fit(INPUTS, IDS, labels, SEEDS)


def test_settings_are_resolved(bert: Path) -> None:
    with pytest.raises(AssertionError, match="resolved"):
        build(bert, patience=None).fit(INPUTS, IDS, LABELS, SEEDS)
