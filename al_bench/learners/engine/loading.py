"""A model's tokenizer and network, refused where they cannot be trained; parts of networks."""

from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

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
    config = transformers.AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    tokenizer = load_tokenizer(source, config, task)
    if model.num_hidden_layers is not None:
        _keep_layers(role, model, config)
    if kind != "encoder":
        config.num_labels = classes
    network = _without_weights(config, kind)
    if is_causal(network):
        # Heads look for a text's last sub-word, by the padding's id.
        config.pad_token_id = tokenizer.pad_token_id
        config.use_cache = False  # which only saves time where texts are written
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


def _without_weights(config: Any, kind: str) -> Any:
    with torch.device("meta"):
        return KINDS[kind].from_config(config, trust_remote_code=False)


def _keep_layers(role: str, model: ModelConfig, config: Any) -> None:
    """Keep the first layers only. Raises `UserError` where a family's cannot be taken off one by one."""
    key, layers, whole = (
        f"{role}.num_hidden_layers",
        model.num_hidden_layers,
        getattr(config, "num_hidden_layers", None),
    )
    assert layers is not None
    if whole is not None and layers > whole:
        raise reject(key, layers, f"{model.name} has {whole} layers", "ask for no more than these")
    if layers != whole and not _truncated(config, layers):
        remedy = f"set {key}=null, or choose another model"
        raise reject(key, layers, f"the layers of {model.name} cannot be taken off one by one", remedy)


def _truncated(config: Any, layers: int) -> bool:
    """Set the number of layers. Returns whether the network then is one of the first layers alone."""
    if config.is_encoder_decoder:
        return False
    before = _size(config)
    try:
        config.num_hidden_layers = layers
    except NotImplementedError:  # Funnel's come in blocks
        return False
    for kinds in ("layer_types", "mlp_layer_types"):  # one for each layer
        if getattr(config, kinds, None):
            setattr(config, kinds, getattr(config, kinds)[:layers])
    # ALBERT's layers are one and the same, or, in groups, spread over however many there are.
    return _size(config) < before or getattr(config, "num_hidden_groups", None) == 1


def _size(config: Any) -> int:
    """Parameters of the encoder."""
    return sum(parameter.numel() for parameter in _without_weights(config, "encoder").parameters())


def load_tokenizer(source: Source, config: Any, task: str) -> Any:
    """config: of the model, which says what kind of tokenizer it has where the tokenizer's own files do not"""
    tokenizer = None
    if any((source.tokenizer / name).is_file() for name in VOCABULARIES):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source.tokenizer, config=config, use_fast=True, trust_remote_code=False
        )
    # Of a family without files transformers makes a tokenizer to which every word is unknown.
    if tokenizer is None:
        raise reject(source.role, source.name, "has no tokenizer files", "put tokenizer.json beside the weights")
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        remedy = "put the tokenizer.json that belongs to the weights beside them"
        raise reject(source.role, source.name, "has a tokenizer without any word", remedy)
    if not tokenizer.is_fast:
        raise reject(source.role, source.name, "has no fast tokenizer, as words need", "save it as tokenizer.json")
    if tokenizer.pad_token_id is None:
        # Nothing looks at padding, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        broken = "its tokenizer has no token to pad with, neither of padding, nor of a text's end, nor unknown"
        raise reject(source.role, source.name, broken, "name one in tokenizer_config.json, such as pad_token")
    if task == "tagging":
        put_space_before_words(tokenizer.backend_tokenizer)
    return tokenizer


def put_space_before_words(backend: Tokenizer) -> None:
    """A word of a text has a space before it, and so has its sub-word of bytes; let a word of a list have one, too."""
    split = backend.pre_tokenizer
    parts: Any = split if isinstance(split, pre_tokenizers.Sequence) else ()
    if isinstance(split, pre_tokenizers.ByteLevel):
        split.add_prefix_space = True
    elif any(isinstance(part, pre_tokenizers.ByteLevel) for part in parts):
        # What comes before it in the sequence has cut the word already, and each part would get a space.
        space, others = normalizers.Prepend(" "), backend.normalizer
        backend.normalizer = space if others is None else normalizers.Sequence([others, space])


def class_token_at(tokenizer: Any) -> int | None:
    """Where the tokenizer puts its class token: 0, or -1 for the end; None where it adds none."""
    ids = tokenizer("a")["input_ids"]
    token = tokenizer.cls_token_id
    return next((place for place in (0, -1) if ids and token is not None and ids[place] == token), None)


def is_causal(network: torch.nn.Module) -> bool:
    """Whether a sub-word sees none after it: a decoder. Attention says so of itself."""
    return any(getattr(module, "is_causal", False) for module in network.modules())


def load_network(source: Source, config: Any, kind: str) -> tuple[torch.nn.Module, frozenset[str], frozenset[str]]:
    """The network in float32; names of the parameters that no fit takes from the checkpoint; those of them it has.

    These are the head's, which is all that is not the encoder, and those of a pooler that the checkpoint lacks.
    config: as `inspect` gives it
    """
    network, report = KINDS[kind].from_pretrained(
        source.folder, config=config, dtype=torch.float32, output_loading_info=True,
        ignore_mismatched_sizes=kind != "language model", trust_remote_code=False,
    )  # fmt: skip
    missing = frozenset(report["missing_keys"])
    lacking = missing | {key[0] for key in report["mismatched_keys"]}
    # A pooler may be new, as a head is.
    prefix = f"{network.base_model_prefix}."
    names = [prefix + name for name in lacking] if kind == "encoder" else lacking
    absent = sorted(name for name in names if name.startswith(prefix) and ".pooler." not in name)
    if absent:
        lack = f"its weights lack {len(absent)} parameters of the encoder or have other sizes ({absent[0]})"
        raise reject(source.role, source.name, lack, "put the config.json and the weights of one model together")
    if broken := next((name for name, p in network.named_parameters() if not p.isfinite().all()), None):
        raise reject(source.role, source.name, f"its weights are not finite ({broken})", "get the right file")
    head = set() if kind == "encoder" else {n for n, _ in network.named_parameters() if not n.startswith(prefix)}
    return network, lacking | head, frozenset(head - missing)


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
