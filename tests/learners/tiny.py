"""Randomly initialised encoders of every family, small enough for a test, saved as a user would have them."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from al_bench.config.schema import PAPER_TRAINING, ModelConfig, TrainingConfig
from al_bench.learners.base import FitSeeds
from al_bench.learners.engine.optimizations import BFLOAT16, PACKED
from al_bench.learners.families import LEARNERS
from al_bench.learners.transformer import TransformerLearner
from al_bench.ledger.cache import ArrayCache

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("good", "great", "bad", "awful", "film", "plot", "the", "was", "very", "anna", "oslo")
SEEDS = FitSeeds(model=1, order=2, cycle=0)
# Of a GPU, but for its graphs; all of them run on a CPU, too.
TESTED = frozenset({PACKED, BFLOAT16})
# Big weights: at the usual 0.02 a random network says nearly the same of every text, and errors do not show.
SPREAD = 0.3


def word_piece(cls: str = "[CLS]", sep: str = "[SEP]", pad: str = "[PAD]", unk: str = "[UNK]") -> dict[str, Any]:
    """BERT's tokenizer over letters and a few words; the padding id is 3, so that a hard-coded 0 shows."""
    pieces = [cls, unk, sep, pad, "[MASK]", *WORDS, *LETTERS, *".,!'-", *(f"##{c}" for c in LETTERS)]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unk))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", special_tokens=[(cls, 0), (sep, 2)]
    )
    names = {"cls_token": cls, "sep_token": sep, "pad_token": pad, "unk_token": unk, "mask_token": "[MASK]"}
    return {"tokenizer_object": backend, **names}


def byte_level() -> dict[str, Any]:
    """RoBERTa's byte-level BPE; like the real one it does not put a space before the first word."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([f" {word}" for word in WORDS] * 3, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    return {"tokenizer_object": backend, **names}


def unigram() -> dict[str, Any]:
    """XLNet's: separator and class token at the end, padding at the start, segment 2 for the class token."""
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"]
    pieces = [(piece, 0.0) for piece in specials]
    pieces += [(f"▁{word}", -2.0) for word in WORDS]
    pieces += [("▁", -4.0), *((letter, -5.0) for letter in LETTERS)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2", special_tokens=[("<sep>", 4), ("<cls>", 3)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<cls>", "sep_token": "<sep>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    return {
        "tokenizer_object": backend, **names, "padding_side": "left",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }  # fmt: skip


def decoder_tokens(begin: bool = False) -> dict[str, Any]:
    """Qwen's and Llama 3's byte-level BPE: words are split first, nothing is added at the end, and nothing pads.

    begin: whether texts begin with a token of their own, as Llama's do
    """
    backend = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?[a-z]+|\s+|[^\sa-z]"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|begin|>", "<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([f" {word}" for word in WORDS] * 3, trainer)
    if begin:
        backend.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    names = {"bos_token": "<|begin|>"} if begin else {}
    return {"tokenizer_object": backend, "eos_token": "<|endoftext|>", "padding_side": "left", **names}


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
         "max_position_embeddings": 64, "initializer_range": SPREAD}  # fmt: skip
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64,
          "initializer_range": SPREAD}  # fmt: skip
XLNET = {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "initializer_range": SPREAD}
DEBERTA = {**SIZES, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
# Every second layer attends to four neighbours on either side alone.
MODERN = {**SIZES, "num_hidden_layers": 3, "local_attention": 8, "global_attn_every_n_layers": 2,
          "cls_token_id": 0, "sep_token_id": 2, "attention_dropout": 0.1}  # fmt: skip
# family: (configuration, its sizes, what makes its tokenizer)
FAMILIES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "bert": (transformers.BertConfig, SIZES, word_piece),
    "distilbert": (transformers.DistilBertConfig, DISTIL, word_piece),
    "roberta": (transformers.RobertaConfig, {**SIZES, "type_vocab_size": 1}, byte_level),
    "electra": (transformers.ElectraConfig, {**SIZES, "embedding_size": 16}, word_piece),
    "albert": (transformers.AlbertConfig, {**SIZES, "embedding_size": 16}, word_piece),
    "mpnet": (transformers.MPNetConfig, SIZES, byte_level),
    "xlnet": (transformers.XLNetConfig, XLNET, unigram),
    "xlm_roberta": (transformers.XLMRobertaConfig, {**SIZES, "type_vocab_size": 1}, byte_level),
    "deberta": (transformers.DebertaV2Config, DEBERTA, word_piece),
    "modernbert": (transformers.ModernBertConfig, MODERN, word_piece),
}
DECODER = {**SIZES, "num_key_value_heads": 1}
DECODERS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "qwen2": (transformers.Qwen2Config, DECODER, decoder_tokens),
    "llama": (transformers.LlamaConfig, DECODER, partial(decoder_tokens, begin=True)),
}


def vocabulary(*specials: str) -> dict[str, int]:
    """Of word pieces."""
    pieces = [*specials, *WORDS, *LETTERS, *".,!'-", *(f"##{c}" for c in LETTERS)]
    return {piece: i for i, piece in enumerate(pieces)}


def scored(*specials: str) -> list[tuple[str, float]]:
    """Of SentencePiece's unigrams."""
    pieces = [*((piece, 0.0) for piece in specials), *((f"▁{word}", -2.0) for word in WORDS)]
    return [*pieces, ("▁", -4.0), *((letter, -5.0) for letter in LETTERS)]


def of_bert() -> Any:
    return transformers.BertTokenizer(vocab=vocabulary("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))


def of_roberta() -> Any:
    trained = json.loads(byte_level()["tokenizer_object"].to_str())["model"]
    return transformers.RobertaTokenizer(vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]])


def of_modernbert() -> Any:
    """Byte-level, with BERT's special tokens."""
    trained = byte_level()
    backend, names = trained["tokenizer_object"], ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    backend.add_special_tokens(list(names))
    ends = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(keys, names, strict=True)))


def of_albert() -> Any:
    return transformers.AlbertTokenizer(vocab=scored("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))


def of_deberta() -> Any:
    return transformers.DebertaV2Tokenizer(vocab=scored("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"))


def of_xlnet() -> Any:
    return transformers.XLNetTokenizer(vocab=scored("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"))


def of_mpnet() -> Any:
    return transformers.MPNetTokenizer(vocab=vocabulary("<s>", "<pad>", "</s>", "[UNK]", "<mask>"))


def of_xlm_roberta() -> Any:
    return transformers.XLMRobertaTokenizer(vocab=scored("<s>", "<pad>", "</s>", "<unk>", "<mask>"))


V3 = {**DEBERTA, "type_vocab_size": 0, "position_biased_input": False, "norm_rel_ebd": "layer_norm",
      "share_att_key": True}  # fmt: skip
# Families as they are published, with tokenizers of their own classes. MiniLM is a small BERT.
PUBLISHED: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "bert": (transformers.BertConfig, SIZES, of_bert),
    "distilbert": (transformers.DistilBertConfig, DISTIL, of_bert),
    "roberta": (transformers.RobertaConfig, {**SIZES, "type_vocab_size": 1}, of_roberta),
    "electra": (transformers.ElectraConfig, {**SIZES, "embedding_size": 16}, of_bert),
    "albert": (transformers.AlbertConfig, {**SIZES, "embedding_size": 16}, of_albert),
    "deberta_v2": (transformers.DebertaV2Config, {**DEBERTA, "conv_kernel_size": 3, "conv_act": "gelu"}, of_deberta),
    "deberta_v3": (transformers.DebertaV2Config, V3, of_deberta),
    "modernbert": (transformers.ModernBertConfig, MODERN, of_modernbert),
    "xlnet": (transformers.XLNetConfig, XLNET, of_xlnet),
    "mpnet": (transformers.MPNetConfig, SIZES, of_mpnet),
    "xlm_roberta": (transformers.XLMRobertaConfig, {**SIZES, "type_vocab_size": 1}, of_xlm_roberta),
    # A BERT that reads XLM-R's sub-words, and whose configuration still says BERT's padding.
    "e5": (transformers.BertConfig, {**SIZES, "pad_token_id": 0}, of_xlm_roberta),
}


def save_family(family: str, folder: Path, dtype: torch.dtype = torch.float32, **sizes: Any) -> Path:
    """A pretrained encoder or decoder without a head, and its tokenizer."""
    configuration, usual, make = {**FAMILIES, **DECODERS}[family]
    return save(configuration, {**usual, **sizes}, transformers.PreTrainedTokenizerFast(**make()), folder, dtype)


def save(
    configuration: Any, sizes: dict[str, Any], tokenizer: Any, folder: Path, dtype: torch.dtype = torch.float32
) -> Path:
    torch.manual_seed(0)
    config = configuration(
        **{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **sizes},
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    network = transformers.AutoModel.from_config(config)
    torch.nn.init.normal_(network.get_input_embeddings().weight, std=1.0)
    network.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(task: str = "classification", **changed: Any) -> TrainingConfig:
    """The paper's, but fast: few epochs, no rule for small data, a learning rate for random weights."""
    fast = {"learning_rate": 1e-3, "epochs": 2, "min_steps": 0, "batch_size": 4}
    return TrainingConfig(**{**PAPER_TRAINING[task], **fast, **changed})  # type: ignore[arg-type]


def cache_in(folder: Path) -> ArrayCache:
    """One that nothing is wrong with."""
    return ArrayCache(folder, lambda note: pytest.fail(note))


def build(
    folder: Path,
    task: str = "classification",
    labels: tuple[str, ...] | None = None,
    *,
    precision: str = "float32",
    cache: ArrayCache | None = None,
    max_length: int = 32,
    num_hidden_layers: int | None = None,
    available: frozenset[str] = TESTED,
    device: torch.device = torch.device("cpu"),  # noqa: B008
    learner: str = "transformer",
    params: Mapping[str, Any] = MappingProxyType({}),
    **training: Any,
) -> TransformerLearner:
    kind = LEARNERS[learner]
    model = ModelConfig(
        name="tiny", learner=learner, params=kind.typed(params, "params"), path=str(folder), max_length=max_length, num_hidden_layers=num_hidden_layers,
        training=settings(task, **training),
    )  # fmt: skip
    names = labels or {"classification": ("neg", "pos"), "tagging": ("O", "B-PER", "I-PER")}[task]
    facts: Any = ("acquisition", model, task, names, device, precision, cache, available)
    return kind.learner(*facts, **model.params)  # type: ignore[return-value]
