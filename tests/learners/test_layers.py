"""`num_hidden_layers`: the first layers of a network, or a refusal."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import PUBLISHED, SIZES, build, save

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError
from al_bench.learners.engine.loading import _keep_layers

FOUR = {**SIZES, "num_hidden_layers": 4}


@pytest.mark.parametrize("name", PUBLISHED)
def test_states_are_those_of_the_whole_network_after_as_many_layers(name: str, tmp_path: Path) -> None:
    configuration, sizes, tokenizer = PUBLISHED[name]
    more = {key: 4 for key in ("num_hidden_layers", "n_layers", "n_layer") if key in sizes}
    folder = save(configuration, {**sizes, **more}, tokenizer(), tmp_path / "model")
    whole = transformers.AutoModel.from_pretrained(folder).eval()
    short = build(folder, num_hidden_layers=3, available=frozenset()).network.base_model.eval()
    batch = {"input_ids": torch.tensor([[2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 3]])}
    with torch.no_grad():
        states = whole(**batch, output_hidden_states=True).hidden_states
        expected = whole.final_norm(states[3]) if name == "modernbert" else states[3]
        torch.testing.assert_close(short(**batch).last_hidden_state, expected, rtol=0, atol=1e-6)
        assert not torch.allclose(states[3], states[4], atol=0.01), "the fourth layer counts"


DECODERS = {
    "llama": transformers.LlamaConfig(vocab_size=9, **FOUR, num_key_value_heads=2),
    "qwen2": transformers.Qwen2Config(vocab_size=9, **FOUR, num_key_value_heads=2),
    "gpt2": transformers.GPT2Config(vocab_size=9, n_embd=32, n_layer=4, n_head=2),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_keep_their_first_layers(name: str) -> None:
    config = DECODERS[name]
    _keep_layers("acquisition", ModelConfig(name="tiny", num_hidden_layers=3), config)
    with torch.device("meta"):
        network = transformers.AutoModel.from_config(config)
    assert len(network.h if name == "gpt2" else network.layers) == 3
    config.validate()


REFUSED: dict[str, Any] = {
    "groups of layers": transformers.AlbertConfig(vocab_size=9, **FOUR, embedding_size=16, num_hidden_groups=2),
    "blocks": transformers.FunnelConfig(
        vocab_size=9, block_sizes=[2, 2], d_model=32, n_head=2, d_head=16, d_inner=48, architectures=["FunnelModel"]
    ),
    "two stacks": transformers.BartConfig(vocab_size=9, d_model=32, encoder_layers=4, decoder_layers=4),
}


@pytest.mark.parametrize("what", REFUSED)
def test_layers_that_cannot_be_taken_off(what: str) -> None:
    _keep_layers("successor", ModelConfig(name="tiny", num_hidden_layers=4), REFUSED[what])
    with pytest.raises(UserError) as caught:
        _keep_layers("successor", ModelConfig(name="tiny", num_hidden_layers=3), REFUSED[what])
    assert str(caught.value) == (
        "successor.num_hidden_layers=3: the layers of tiny cannot be taken off one by one; "
        "set successor.num_hidden_layers=null, or choose another model"
    )
