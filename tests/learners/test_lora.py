"""Low-rank adapters: against the formula of the paper, and against a fit of all that peft trains by hand."""

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_families import IDS, flat, inputs_of, labels_of
from tiny import DECODERS, FAMILIES, SEEDS, build
from torch.nn import functional as F

from al_bench.data.ragged import Ragged
from al_bench.errors import UserError
from al_bench.learners.base import FitSeeds, Unlabelled, Watch
from al_bench.learners.engine.adapters import RoundedLinear
from al_bench.learners.engine.optimizations import BFLOAT16, PACKED
from al_bench.learners.lora import LoraLearner

pytest.importorskip("peft", reason="pip install al-bench[lora]")

Family = Callable[[str], Path]
TASKS = ("classification", "tagging")
ADAPTED = [*FAMILIES, *DECODERS]


def lora(folder: Path, task: str = "classification", **facts: Any) -> LoraLearner:
    params = {"rank": 4, "alpha": 8, "dropout": 0.0, **facts.pop("params", {})}
    learner = build(folder, task, learner="lora", params=params, **{"learning_rate": 1e-2, **facts})
    assert isinstance(learner, LoraLearner)
    return learner


def trained(learner: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.network.named_parameters() if p.requires_grad}


def frozen(learner: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.network.named_parameters() if not p.requires_grad}


def merged(learner: Any) -> Any:
    """The plain network with W + alpha / rank x B A in place of every adapted W: what the adapters stand for."""
    network = copy.deepcopy(learner.network)
    for name, module in list(network.named_modules()):
        if hasattr(module, "base_layer"):
            base, change = module.base_layer, module.lora_B.default.weight @ module.lora_A.default.weight
            layer = torch.nn.Linear(base.in_features, base.out_features, base.bias is not None)
            weights = {"weight": base.weight.float() + learner.alpha / learner.rank * change}
            layer.load_state_dict(weights if base.bias is None else weights | {"bias": base.bias.float()})
            network.set_submodule(name, layer)
    for name, module in list(network.named_modules()):
        if isinstance(module, RoundedLinear):
            layer = torch.nn.Linear(module.in_features, module.out_features, module.bias is not None)
            layer.load_state_dict({key: value.float() for key, value in module.state_dict().items()})
            network.set_submodule(name, layer)
    return network.float()


def of(network: Any, learner: Any, task: str) -> np.ndarray:
    """What another network says of all examples, in the learner's own batches."""
    own, learner.forward.network = learner.forward.network, network
    try:
        logits = [learner.forward.logits(learner.encoded(inputs_of(task)), np.array([i]), exact=True) for i in IDS]
    finally:
        learner.forward.network = own
    return torch.cat(logits).softmax(-1).detach().numpy()


@pytest.mark.parametrize("name", ADAPTED)
def test_a_fitted_network_is_the_frozen_one_plus_ba(name: str, family: Family) -> None:
    """In every family: nothing but adapters and head moves, and they move the answers."""
    learner = lora(family(name))
    before, start = frozen(learner), of(learner.network, learner, "classification")
    model = learner.fit(inputs_of("classification"), IDS, labels_of("classification"), SEEDS)
    probs = model.predict(inputs_of("classification"), IDS).probs
    np.testing.assert_allclose(probs, of(merged(learner), learner, "classification"), atol=1e-4)
    assert np.abs(probs - start).max() > 0.01
    after = frozen(learner)
    assert all(torch.equal(after[key], before[key]) for key in before)
    weights = trained(learner)
    assert model.costs.parameters == sum(tensor.numel() for tensor in weights.values())
    assert {key for key in weights if ".lora_" not in key} == learner.head_parameters
    assert all(tensor.any() for key, tensor in weights.items() if ".lora_B." in key), "each adapter gets a gradient"


@pytest.mark.parametrize("name", ["bert", "qwen2"])
def test_sentences(name: str, family: Family) -> None:
    learner = lora(family(name), "tagging")
    model = learner.fit(inputs_of("tagging"), IDS, labels_of("tagging"), SEEDS)
    probs = model.predict(inputs_of("tagging"), IDS).probs
    np.testing.assert_allclose(flat(probs), of(merged(learner), learner, "tagging"), atol=1e-4)


def test_trained_parameters_of_a_worked_example(family: Family) -> None:
    """BERT's layer of 32 x 48 has four layers of 32 x 32, and one each of 32 x 48 and back; the head is 32 x 2 + 2."""
    count = {}
    for layers, targets in ((None, ["all-linear"]), (1, ["all-linear"]), (1, ["query", "value"])):
        learner = lora(family("bert"), params={"layers": layers, "targets": targets})
        model = learner.fit(inputs_of("classification"), IDS, labels_of("classification"), SEEDS)
        count[layers, len(targets)] = model.costs.parameters
    head = 32 * 2 + 2
    one = 4 * 4 * (32 + 32) + 2 * 4 * (32 + 48)
    assert count == {(None, 1): 2 * one + head, (1, 1): one + head, (1, 2): 2 * 4 * (32 + 32) + head}


def test_the_last_layers_are_adapted(family: Family) -> None:
    learner = lora(family("bert"), params={"layers": 1, "targets": ["query"]})
    assert {name for name in trained(learner) if ".lora_" in name} == {
        f"bert.encoder.layer.1.attention.self.query.lora_{part}.default.weight" for part in "AB"
    }


def test_a_fit_is_drawn_from_its_seeds_alone(family: Family) -> None:
    """A is uniform up to the root of 1 / inputs, B is zero: the network starts as it was pretrained."""
    learner = lora(family("bert"), params={"rank": 32, "dropout": 0.3})
    plain = build(family("bert"))
    torch.manual_seed(3)
    for one in (learner, plain):
        one.reset(SEEDS)
    drawn = trained(learner)
    for name, tensor in drawn.items():
        if ".lora_A." in name:
            bound = tensor.shape[1] ** -0.5
            assert 0.95 * bound < tensor.abs().max() <= bound
            assert abs(tensor.std() / (bound / 3**0.5) - 1) < 0.1
    np.testing.assert_array_equal(*(of(one.network, one, "classification") for one in (learner, plain)))
    matrices = [tensor.flatten()[:64].tolist() for name, tensor in drawn.items() if ".lora_A." in name]
    assert len({tuple(matrix) for matrix in matrices}) == len(matrices), "each has its own draw"

    def fitted(seeds: FitSeeds, one: Any = learner) -> np.ndarray:
        return one.fit(inputs_of("classification"), IDS, labels_of("classification"), seeds).predict(
            inputs_of("classification"), IDS
        ).probs  # fmt: skip

    first = fitted(SEEDS)
    other = fitted(FitSeeds(9, 2, 0))
    assert np.abs(first - other).max() > 0
    np.testing.assert_array_equal(fitted(SEEDS), first)
    np.testing.assert_array_equal(fitted(SEEDS, lora(family("bert"), params={"rank": 32, "dropout": 0.3})), first)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bert", "qwen2"])
def test_influence_is_of_the_trained_parameters(name: str, task: str, family: Family) -> None:
    learner = lora(family(name), task)
    labels = labels_of(task)
    model = learner.fit(inputs_of(task), IDS, labels, SEEDS, watch=Watch(checkpoints=2, margins=True))
    assert model.checkpoints[0].keys() == {*trained(learner), *(n for n, _ in learner.network.named_buffers())} & {
        *learner.network.state_dict()
    }
    scores = model.influence(inputs_of(task), IDS, labels)
    network = copy.deepcopy(learner.network).eval()
    for i in (0, 1, 6):
        expected = []
        for checkpoint in model.checkpoints:
            network.load_state_dict(checkpoint, strict=False)
            encoded = learner.encoded(inputs_of(task))
            logits = network(input_ids=torch.from_numpy(encoded.tokens.row(i)).long()[None]).logits[0]
            if task == "tagging":
                logits = logits[encoded.firsts.row(i)]
                loss = F.cross_entropy(
                    logits, torch.from_numpy(labels.row(i)[encoded.kept[encoded.firsts.positions(np.array([i]))]])
                )
            else:
                loss = F.cross_entropy(logits, torch.tensor(labels[i]))
            parameters = [p for p in network.parameters() if p.requires_grad]
            gradients = torch.autograd.grad(loss, parameters)
            expected.append(sum(g.square().sum().item() for g in gradients) / (len(logits) if task == "tagging" else 1))
        np.testing.assert_allclose(scores[i], np.mean(expected), rtol=1e-3)
    assert model.margins is not None
    assert np.ptp(model.margins) > 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bert", "qwen2"])
@pytest.mark.parametrize("available", [frozenset(), frozenset({PACKED, BFLOAT16})])
def test_a_base_in_bfloat16(name: str, task: str, available: frozenset[str], family: Family) -> None:
    """It is kept once, half as large; exact answers are those of the rounded weights in float32."""
    learner = lora(family(name), task, precision="bfloat16", available=available)
    assert (BFLOAT16 in learner.optimizations) == bool(available)
    before = frozen(learner)
    rounded = {name for name, tensor in before.items() if tensor.dtype == torch.bfloat16}
    assert {name.split(".")[-2] for name in rounded} >= {"base_layer"}
    assert {tensor.dtype for tensor in trained(learner).values()} == {torch.float32}
    model = learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)
    exact, rough = (flat(model.predict(inputs_of(task), IDS, exact=value).probs) for value in (True, False))
    np.testing.assert_allclose(exact, of(merged(learner), learner, task), atol=1e-4)
    assert 0 < np.abs(exact - rough).max() < 0.1
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen(learner).items())
    working = dict(learner.forward.working_network.named_parameters())
    assert all(
        working[name].data_ptr() == p.data_ptr() for name, p in learner.network.named_parameters() if name in rounded
    )


def test_vectors_before_any_fit_are_those_of_the_plain_network(family: Family) -> None:
    """Also after a fit, and in bfloat16 near to them."""
    for task in TASKS:
        plain = build(family("bert"), task).embed(inputs_of(task), IDS)
        learner = lora(family("bert"), task)
        learner.fit(inputs_of(task), IDS, labels_of(task), SEEDS)
        np.testing.assert_allclose(flat(learner.embed(inputs_of(task), IDS)), flat(plain), atol=1e-6)
        rounded = lora(family("bert"), task, precision="bfloat16")
        assert 0 < np.abs(flat(rounded.embed(inputs_of(task), IDS)) - flat(plain)).max() < 0.2
        assert rounded._embedder.digest != learner._embedder.digest
        assert lora(family("bert"), task)._embedder.digest == learner._embedder.digest, "kept for other runs, too"


def test_samples_come_from_the_adapters_dropout(family: Family) -> None:
    """A decoder has no other."""
    learner = lora(family("qwen2"), params={"dropout": 0.3})
    model = learner.fit(inputs_of("classification"), IDS, labels_of("classification"), SEEDS)
    drawn = np.concatenate([probs for _, probs, _ in model.samples(inputs_of("classification"), IDS, 3, seed=1)])
    assert np.ptp(drawn, axis=1).max() > 1e-3
    facts: Any = ("acquisition", learner.config, "classification", 2, frozenset({"samples"}))
    LoraLearner.check(*facts)
    learner.config.params["dropout"] = 0.0
    with pytest.raises(UserError, match=r"nothing that drops.*set acquisition\.params\.dropout=0\.1, or"):
        LoraLearner.check(*facts)


def test_a_dev_split_restores_the_best_adapters(family: Family) -> None:
    learner = lora(family("bert"), dev_share=0.4, epochs=3)
    model = learner.fit(inputs_of("classification"), IDS, labels_of("classification"), SEEDS)
    assert model.dev_score is not None
    held_out = learner.forward.network
    assert all(torch.isfinite(p).all() for p in held_out.parameters())


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("bert", {"targets": ["q_proj"]}, r"params\.targets=q_proj: is the end of no linear layer's name in Bert.*"
         r"choose all-linear, or some of attention\.output\.dense, attention\.self\.key, .*output\.dense"),
        ("qwen2", {"targets": ["q_proj", "query"]}, r"targets=query: .*mlp\.down_proj, .*self_attn\.q_proj"),
        ("bert", {"layers": 3}, r"params\.layers=3: .* has 2 layers; ask for no more"),
        ("bert", {"targets": []}, r"names no layer; set \[all-linear\]"),
    ],
)  # fmt: skip
def test_targets_that_there_are_not(name: str, params: dict[str, Any], message: str, family: Family) -> None:
    learner = lora(family(name))
    learner.config.params.update(params)
    with pytest.raises(UserError, match=message):
        LoraLearner.check("acquisition", learner.config, "classification", 2, frozenset())
    with pytest.raises(UserError, match=message):
        lora(family(name), params=params)


@pytest.mark.parametrize(
    ("name", "targets"),
    [("distilbert", ["q_lin"]), ("electra", ["query", "value"]), ("deberta", ["query_proj"]), ("modernbert", ["Wqkv"]),
     ("mpnet", ["attn.q"]), ("xlnet", ["ff.layer_1"]), ("qwen2", ["q_proj"]), ("llama", ["self_attn.v_proj"])],
)  # fmt: skip
def test_targets_by_name(name: str, targets: list[str], family: Family) -> None:
    learner = lora(family(name), params={"targets": targets})
    adapted = {key.partition(".lora_")[0] for key in trained(learner) if ".lora_" in key}
    assert adapted
    assert all(key.endswith(tuple(targets)) for key in adapted)


def test_no_peft(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = lora(family("bert"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("al_bench.learners.lora.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"acquisition\.learner=lora: needs peft.*; pip install al-bench\[lora\]$"):
        LoraLearner.check("acquisition", learner.config, "classification", 2, frozenset())


def test_soft_labels_and_weights(family: Family) -> None:
    learner = lora(family("bert"))

    def probs(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return learner.fit(inputs_of("classification"), IDS, labels, SEEDS, weights=weights).predict(
            inputs_of("classification"), IDS
        ).probs  # fmt: skip

    hard = labels_of("classification")
    np.testing.assert_allclose(probs(np.eye(2, dtype=np.float32)[hard]), probs(hard), atol=1e-5)
    assert np.abs(probs(hard, np.where(IDS < 4, 20.0, 1.0)) - probs(hard)).max() > 1e-4


def test_ragged_words_survive(family: Family) -> None:
    learner = lora(family("qwen2"), "tagging")
    inputs = Unlabelled([[], ["a"], ["good", "oslo"]])
    model = learner.fit(inputs, np.arange(3), Ragged.of([[], [1], [0, 2]]), SEEDS)
    assert model.predict(inputs, np.arange(3)).probs.lengths.tolist() == [0, 1, 2]
