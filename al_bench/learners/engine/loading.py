"""A model's tokenizer and network, refused where they cannot be trained; parts of networks."""

from typing import Any

import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from al_bench.config.schema import ModelConfig
from al_bench.errors import UserError, reject
from al_bench.learners.engine.weights import VOCABULARIES, Source

KINDS = {
    "encoder": transformers.AutoModel,
    "classification": transformers.AutoModelForSequenceClassification,
    "tagging": transformers.AutoModelForTokenClassification,
    "language model": transformers.AutoModelForMaskedLM,
}


def inspect(source: Source, model: ModelConfig, task: str, kind: str, classes: int) -> tuple[Any, Any, torch.nn.Module]:
    """Tokenizer, configuration, and the network without weights: all that tells whether a model can be trained.

    kind: of `KINDS`. Raises `UserError`, or an error of a library's, where it cannot; reads no weights.
    """
    role = source.role
    if source.is_table:
        broken = "is a table of vectors (model2vec), and has no network"
        raise reject(role, source.name, broken, f"set {role}.learner=linear")
    tokenizer = load_tokenizer(source, task)
    config = transformers.AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    if model.num_hidden_layers is not None:
        if model.num_hidden_layers > config.num_hidden_layers:
            layers = f"{model.name} has {config.num_hidden_layers} layers"
            raise reject(f"{role}.num_hidden_layers", model.num_hidden_layers, layers, "ask for no more than these")
        config.num_hidden_layers = model.num_hidden_layers
    if kind != "encoder":
        config.num_labels = classes
    with torch.device("meta"):
        network = KINDS[kind].from_config(config, trust_remote_code=False)
    longest = positions(network)
    if longest is not None and model.max_length is not None and model.max_length > longest:
        remedy = f"set {role}.max_length={longest} or less"
        raise reject(f"{role}.max_length", model.max_length, f"{model.name} has {longest} positions", remedy)
    rows, token = network.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values())
    if token >= rows:
        broken = f"its tokenizer has a token {token}, but there are only {rows} embeddings, from 0"
        remedy = "call model.resize_token_embeddings(len(tokenizer)), and save both"
        raise reject(role, source.name, broken, remedy)
    return tokenizer, config, network


def load_tokenizer(source: Source, task: str) -> Any:
    tokenizer = None
    if source.has(*VOCABULARIES):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.folder, use_fast=True, trust_remote_code=False)
    # Of a family without files transformers makes a tokenizer to which every word is unknown.
    if tokenizer is None:
        raise reject(source.role, source.name, "has no tokenizer files", "put tokenizer.json beside the weights")
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        remedy = "put the tokenizer.json that belongs to the weights beside them"
        raise reject(source.role, source.name, "has a tokenizer without any word", remedy)
    if not tokenizer.is_fast:
        raise reject(source.role, source.name, "has no fast tokenizer, as words need", "save it as tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise reject(source.role, source.name, "its tokenizer has no padding token", "use an encoder such as BERT")
    if task == "tagging":
        space_words(tokenizer)
    return tokenizer


def space_words(tokenizer: Any) -> None:
    """A word of a text has a space before it, and so has its sub-word; let a word of a list have one, too."""
    split = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(split, ByteLevel):
        split.add_prefix_space = True


def class_token_at(tokenizer: Any) -> int | None:
    """Where the tokenizer puts its class token: 0, or -1 for the end; None where it adds none."""
    ids = tokenizer("a")["input_ids"]
    known = tokenizer.cls_token_id
    return next((place for place in (0, -1) if ids and known is not None and ids[place] == known), None)


def load_network(source: Source, config: Any, kind: str) -> tuple[torch.nn.Module, frozenset[str]]:
    """The network in float32, and the names of parameters that the checkpoint lacks (the new head).

    config: as `inspect` gives it
    """
    network, report = KINDS[kind].from_pretrained(
        source.folder, config=config, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
        trust_remote_code=False,
    )  # fmt: skip
    fresh = frozenset({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    # A pooler may be new, as a head is.
    prefix = f"{network.base_model_prefix}."
    names = [prefix + name for name in fresh] if kind == "encoder" else fresh
    absent = sorted(name for name in names if name.startswith(prefix) and ".pooler." not in name)
    if absent:
        lack = f"its weights lack {len(absent)} parameters of the encoder or have other sizes ({absent[0]})"
        raise reject(source.role, source.name, lack, "put the config.json and the weights of one model together")
    return network, fresh


def positions(network: torch.nn.Module) -> int | None:
    """The longest input, or None."""
    table = _position_table(network)
    if table is not None:
        return table.num_embeddings - first_position(network)
    limit = getattr(network.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def first_position(network: torch.nn.Module) -> int:
    """RoBERTa and its relatives number positions from the padding's id on, plus one."""
    table = _position_table(network)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def _position_table(network: torch.nn.Module) -> torch.nn.Embedding | None:
    named = (module for name, module in network.named_modules() if name.endswith("position_embeddings"))
    return next((module for module in named if isinstance(module, torch.nn.Embedding)), None)


def last_layer(network: Any, classes: int) -> torch.nn.Linear:
    """The layer that computes the logits: the classifier, or the projection that ends a head of several layers."""
    base = getattr(network, "base_model", network)
    encoder = set() if base is network else set(base.modules())
    layers = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == classes and module not in encoder
    ]
    if not layers:
        raise UserError(
            f"{type(network).__name__} has no linear layer that ends in {classes} classes, "
            "so there are no embeddings of its texts; choose a strategy that needs probabilities only"
        )
    return layers[-1]


def set_head_dropout(network: torch.nn.Module, p: float) -> None:
    """Dropout modules outside the encoder belong to the head."""
    encoder = getattr(network, "base_model_prefix", "")
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.startswith(encoder + "."):
            module.p = p
