"""Self-influence in batches is what a backward pass per example says, for every family."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_families import CLASSES, IDS, TAGS, inputs_of, labels_of
from tiny import FAMILIES, SEEDS, build
from torch.nn import functional as F

from al_bench.data.ragged import Ragged
from al_bench.learners.base import Unlabelled, Watch
from al_bench.learners.engine import influence

Family = Callable[[str], Path]
TASKS = ("classification", "tagging")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples each call of `one_by_one` got: the check's three, and more only where it is needed."""
    seen: list[int] = []
    original = influence.one_by_one

    def spy(network: Any, checkpoint: Any, examples: Any, collator: Any) -> np.ndarray:
        seen.append(len(examples.ids))
        return original(network, checkpoint, examples, collator)

    monkeypatch.setattr(influence, "one_by_one", spy)
    return seen


def fitted(folder: Path, task: str, checkpoints: int = 1, **changed: Any) -> Any:
    return build(folder, task, **changed).fit(
        inputs_of(task), IDS, labels_of(task), SEEDS, watch=Watch(checkpoints=checkpoints)
    )


def soft_labels(task: str) -> np.ndarray | Ragged:
    rng = np.random.default_rng(0)
    if task == "classification":
        return rng.dirichlet(np.ones(2), size=len(IDS)).astype(np.float32)
    return Ragged(rng.dirichlet(np.ones(3), size=len(TAGS.values)).astype(np.float32), TAGS.offsets)


def reference(model: Any, checkpoint: dict[str, torch.Tensor], task: str, value: Any, gold: Any) -> float:
    """One example without anything of ours: transformers' own tokens, no padding, autograd, float64."""
    learner = model.learner
    network = copy.deepcopy(learner.network).eval()
    network.load_state_dict(checkpoint)
    network.double()
    words = task == "tagging"
    batch = learner.tokenizer(value, return_tensors="pt", truncation=True, max_length=32, is_split_into_words=words)
    names = {"input_ids", "attention_mask", "token_type_ids"}
    if network.config.model_type in ("distilbert", "mpnet"):
        names.remove("token_type_ids")
    logits = network(**{name: batch[name] for name in names & set(batch)}).logits
    target = torch.as_tensor(np.asarray(gold))
    share = 1
    if words:
        owners = batch.word_ids(0)
        kept = sorted({word for word in owners if word is not None})
        if not kept:
            return 0.0
        logits = logits[0, [owners.index(word) for word in kept]]
        target, share = target[kept], len(kept)
    else:
        target = target[None]
    loss = F.cross_entropy(logits, target.double() if target.is_floating_point() else target)
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return sum(g.square().sum().item() for g in gradients if g is not None) / share


def expected(model: Any, task: str, labels: np.ndarray | Ragged) -> np.ndarray:
    rows = labels.rows() if isinstance(labels, Ragged) else labels
    scores = [
        [reference(model, checkpoint, task, value, gold) for checkpoint in model.checkpoints]
        for value, gold in zip(inputs_of(task).inputs, rows, strict=True)
    ]
    return np.mean(scores, axis=1)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_batches_say_what_single_examples_say(name: str, task: str, family: Family, alone: list[int]) -> None:
    model = fitted(family(name), task)
    wanted = expected(model, task, labels_of(task))
    scores = model.influence(inputs_of(task), IDS, labels_of(task))
    np.testing.assert_allclose(scores, wanted, rtol=1e-4)
    assert wanted.max() > 2 * wanted[wanted > 0].min(), "equal scores would hide errors"
    used = np.count_nonzero(wanted)
    # XLNet's attention owns bare parameters, DeBERTa's shares some; everybody else is only checked.
    assert sum(alone) == (used if name in ("xlnet", "deberta") else 3)
    assert used == (8 if task == "classification" else 7)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bert", "mpnet", "albert"])
def test_neither_order_nor_padding_nor_company_matters(
    name: str, task: str, family: Family, alone: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one length are cheaper by Gram matrices, long ones by the gradients themselves: both occur."""
    model = fitted(family(name), task)
    wanted = expected(model, task, labels_of(task))
    order = np.array([4, 1, 6, 1, 3])
    labels = labels_of(task)[order]
    for budget in (10_000, 64, 1):
        monkeypatch.setitem(influence.BATCH_TOKENS, "cpu", budget)
        scores = model.influence(inputs_of(task), order, labels)
        np.testing.assert_allclose(scores, wanted[order], rtol=1e-4)
    assert max(alone) == 3


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_soft_labels(name: str, task: str, family: Family) -> None:
    model = fitted(family(name), task)
    soft = soft_labels(task)
    scores = model.influence(inputs_of(task), IDS, soft)
    np.testing.assert_allclose(scores, expected(model, task, soft), rtol=1e-4)
    hard = model.influence(inputs_of(task), IDS, labels_of(task))
    assert not np.allclose(scores, hard, rtol=0.01)
    one_hot = np.eye(2)[CLASSES] if task == "classification" else Ragged(np.eye(3)[TAGS.values], TAGS.offsets)
    np.testing.assert_allclose(model.influence(inputs_of(task), IDS, one_hot), hard, rtol=1e-6)


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_sentences_without_words(name: str, family: Family) -> None:
    """Nothing is left of a zero-width word either; its neighbour's tag stays its neighbour's."""
    model = fitted(family(name), "tagging")
    inputs = Unlabelled([[], ["\u200b"], ["\u200b", "oslo"], ["oslo"]])
    tags = Ragged.of([[], [1], [0, 2], [2]])
    kept = model.learner.encoded(inputs).firsts.lengths
    scores = model.influence(inputs, np.arange(4), tags)
    assert (scores[kept == 0] == 0).all()
    assert scores[0] == 0
    assert scores[3] > 0
    if name == "bert":
        assert kept.tolist() == [0, 0, 1, 1]
        np.testing.assert_allclose(scores[2], scores[3], rtol=1e-5)
    np.testing.assert_array_equal(model.influence(inputs, np.array([0, 0]), tags[np.array([0, 0])]), 0.0)
    assert model.influence(inputs, np.arange(0), Ragged.of([])).shape == (0,)


@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet"])
def test_the_padding_token_within_a_text(name: str, family: Family, alone: list[int]) -> None:
    """Its row of the embeddings is not trained, and RoBERTa gives it no position that is."""
    model = fitted(family(name), "classification")
    pad = model.learner.tokenizer.pad_token
    texts = [f"good {pad} film", f"{pad} {pad}", "good film, very good", f"oslo{pad}"]
    labels = np.array([0, 1, 0, 1])
    scores = model.influence(Unlabelled(texts), np.arange(4), labels)
    wanted = [
        reference(model, model.checkpoints[0], "classification", text, label)
        for text, label in zip(texts, labels, strict=True)
    ]
    np.testing.assert_allclose(scores, wanted, rtol=1e-4)
    assert max(alone) == 3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["mpnet", "xlnet"])
def test_the_network_is_left_as_it_was(name: str, training: bool, family: Family) -> None:
    model = fitted(family(name), "classification", checkpoints=2)
    network = model.learner.network
    network.classifier.requires_grad_(False) if name == "mpnet" else network.logits_proj.requires_grad_(False)
    before = model.predict(inputs_of("classification"), IDS).probs
    network.train(training)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    kept = copy.deepcopy(network)
    checkpoints = copy.deepcopy(model.checkpoints)
    model.influence(inputs_of("classification"), IDS, CLASSES)

    assert [m.training for m in network.modules()] == [m.training for m in kept.modules()]
    for (name_, now), then in zip(network.named_parameters(), kept.parameters(), strict=True):
        assert isinstance(now, torch.nn.Parameter), name_
        assert torch.equal(now, then), name_
        assert now.requires_grad == then.requires_grad, name_
        assert torch.equal(now.grad, torch.full_like(now, 7.0)), name_
    assert not any(m._forward_hooks for m in network.modules())
    assert [set(vars(m)) for m in network.modules()] == [set(vars(m)) for m in kept.modules()]
    for now, then in zip(model.checkpoints, checkpoints, strict=True):
        assert all(torch.equal(now[key], then[key]) and not now[key].requires_grad for key in then)
    np.testing.assert_array_equal(model.predict(inputs_of("classification"), IDS).probs, before)


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_checkpoints_are_averaged(name: str, family: Family) -> None:
    model = fitted(family(name), "classification", checkpoints=2)
    both = model.influence(inputs_of("classification"), IDS, CLASSES)
    np.testing.assert_allclose(both, expected(model, "classification", CLASSES), rtol=1e-4)
    first, second = model.checkpoints
    last = model.influence(inputs_of("classification"), IDS, CLASSES, checkpoints=1)
    parts = []
    for checkpoint in (first, second):
        model.checkpoints = (checkpoint,)
        parts.append(model.influence(inputs_of("classification"), IDS, CLASSES))
    np.testing.assert_allclose(last, parts[1], rtol=1e-6)
    assert not np.allclose(*parts, rtol=1e-3)
    np.testing.assert_allclose(both, np.mean(parts, axis=0), rtol=1e-6)
    model.checkpoints = ()
    with pytest.raises(AssertionError, match="kept no checkpoints"):
        model.influence(inputs_of("classification"), IDS, CLASSES)


FROZEN: dict[str, Callable[[str], bool]] = {
    "embeddings": lambda key: "embeddings." in key,
    "biases": lambda key: key.endswith("bias"),
    "weights": lambda key: key.endswith("weight") and "relative" not in key,
    "relative": lambda key: "relative_attention_bias" in key,
    # What is left is a hundredth of a percent of the whole, and would not be missed there.
    "all but relative": lambda key: "relative_attention_bias" not in key,
    "all but positions": lambda key: "position_embeddings" not in key,
    "encoder": lambda key: key.startswith("mpnet."),
}


@pytest.mark.parametrize("frozen", FROZEN)
def test_frozen_parameters_do_not_count(frozen: str, family: Family, alone: list[int]) -> None:
    model = fitted(family("mpnet"), "classification")
    whole = model.influence(inputs_of("classification"), IDS, CLASSES)
    chosen = {key: p for key, p in model.learner.network.named_parameters() if FROZEN[frozen](key)}
    assert chosen
    for parameter in chosen.values():
        parameter.requires_grad_(False)
    scores = model.influence(inputs_of("classification"), IDS, CLASSES)
    np.testing.assert_allclose(scores, expected(model, "classification", CLASSES), rtol=1e-4)
    assert (scores > 0).all()
    assert (scores < whole).all()
    assert max(alone) == 3


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_a_frozen_network_has_no_influence(name: str, family: Family) -> None:
    model = fitted(family(name), "classification")
    model.learner.network.requires_grad_(False)
    np.testing.assert_array_equal(model.influence(inputs_of("classification"), IDS, CLASSES), 0.0)


def tied(network: Any) -> None:
    first, second = (layer.attention.self for layer in network.bert.encoder.layer)
    second.query.weight = first.query.weight


def scaled(network: Any) -> None:
    """A gradient scaled by frequency is not the loss's, but it is what training goes by."""
    network.bert.embeddings.word_embeddings.scale_grad_by_freq = True


def raw(network: Any) -> None:
    network.bert.pooler.register_parameter("weight", torch.nn.Parameter(torch.ones(())))
    network.bert.pooler.register_forward_hook(lambda module, args, output: output * module.weight)


def extra(network: Any) -> None:
    network.classifier.register_parameter("gain", torch.nn.Parameter(torch.ones(())))
    network.classifier.register_forward_hook(lambda module, args, output: output * module.gain)


def bypassed(network: Any) -> None:
    """Uses a weight without calling its module, so that no hook hears of it."""
    pooler = network.bert.pooler
    pooler.forward = lambda states: torch.tanh(F.linear(states[:, 0], pooler.dense.weight, pooler.dense.bias))


def by_name(network: Any) -> None:
    pooler = network.bert.pooler
    pooler.forward = lambda states: torch.tanh(pooler.dense(input=states[:, 0]))


def flattened(network: Any) -> None:
    """Whose position it is cannot be told."""
    pooler = network.bert.pooler
    pooler.forward = lambda states: torch.tanh(pooler.dense(states.flatten(0, 1)).view_as(states))[:, 0]


@pytest.mark.parametrize("change", [tied, scaled, raw, extra, bypassed, by_name, flattened])
def test_networks_that_cannot_be_traced_are_right_all_the_same(
    change: Callable[[Any], None], bert: Path, alone: list[int]
) -> None:
    model = fitted(bert, "classification")
    network = model.learner.network
    change(network)
    model.checkpoints = ({key: tensor.clone() for key, tensor in network.state_dict().items()},)
    scores = model.influence(inputs_of("classification"), IDS, CLASSES)
    np.testing.assert_allclose(scores, plain(model), rtol=1e-4)
    # Only what inspection does not show is found out by comparing.
    assert sum(alone) == (3 + len(IDS) if change is bypassed else len(IDS))


def test_a_call_that_does_not_reach_the_loss(bert: Path, alone: list[int]) -> None:
    model = fitted(bert, "classification")
    pooler, whole = model.learner.network.bert.pooler, plain(model)
    pooler.register_forward_pre_hook(lambda module, args: [module.dense(args[0]), None][1])
    np.testing.assert_allclose(model.influence(inputs_of("classification"), IDS, CLASSES), whole, rtol=1e-4)
    assert max(alone) == 3


def plain(model: Any) -> np.ndarray:
    """As `reference`, on the network itself: a copy of a changed module would call the original's weights."""
    network = model.learner.network.eval()
    norms = []
    for text, label in zip(inputs_of("classification").inputs, CLASSES, strict=True):
        batch = model.learner.tokenizer(text, return_tensors="pt", truncation=True, max_length=32)
        network.zero_grad(set_to_none=True)
        F.cross_entropy(network(**batch).logits, torch.tensor([label])).backward()
        norms.append(sum(p.grad.square().sum().item() for p in network.parameters() if p.grad is not None))
    network.zero_grad(set_to_none=True)
    return np.array(norms)


def test_sure_answers_are_not_rounded_away(bert: Path, alone: list[int]) -> None:
    """At p = 1 - 1e-6 float32 has a digit left of p - 1; the order of the trusted examples would be noise."""
    model = fitted(bert, "classification")
    said = model.predict(inputs_of("classification"), IDS)
    labels = said.labels()
    margin = np.abs(np.diff(np.log(said.probs), axis=1)).max()
    head = model.learner.network.classifier
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(14.0 / margin)
    model.checkpoints = (copy.deepcopy(model.learner.network.state_dict()),)
    wrong = 1 - model.predict(inputs_of("classification"), IDS).probs.max(axis=1)
    assert wrong.min() < 2e-6
    scores = model.influence(inputs_of("classification"), IDS, labels)
    np.testing.assert_allclose(scores, expected(model, "classification", labels), rtol=1e-3)
    assert max(alone) == 3


def test_half_precision_and_dropout_do_not_touch_it(bert: Path) -> None:
    model = fitted(bert, "classification", precision="bfloat16", dropout=0.5)
    model.learner.network.train()
    scores = model.influence(inputs_of("classification"), IDS, CLASSES)
    assert model.learner.network.training
    np.testing.assert_allclose(scores, expected(model, "classification", CLASSES), rtol=1e-4)


def test_a_model_that_was_overwritten_refuses(bert: Path) -> None:
    model = fitted(bert, "classification")
    model.learner.fit(inputs_of("classification"), IDS, CLASSES, SEEDS)
    with pytest.raises(AssertionError, match="overwritten"):
        model.influence(inputs_of("classification"), IDS, CLASSES)
